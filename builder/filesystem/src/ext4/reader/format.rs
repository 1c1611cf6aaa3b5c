//! The on-disk form of ext4, as far as it is read
//! ([format](https://docs.kernel.org/filesystems/ext4/globals.html)).

use super::checksum::{START, crc32c};

/// Bytes in a block.
pub(super) const BLOCK: usize = 4096;
/// Where the superblock begins.
pub(super) const SUPERBLOCK_OFFSET: u64 = 1024;
/// Bytes in a superblock.
pub(super) const SUPERBLOCK: usize = 1024;
/// Blocks in a group: as many as a block has bits.
pub(super) const GROUP: u64 = 8 * BLOCK as u64;
/// The root directory's inode, and the journal's.
pub(super) const ROOT: u32 = 2;
pub(super) const JOURNAL: u32 = 8;
/// Incompatible features that are known: file types in directories, extents, 64 bits, flexible
/// groups, a checksum seed.
const KNOWN: u32 = 0x2 | 0x40 | BITS_64 | 0x200 | CHECKSUM_SEED;
const RECOVER: u32 = 0x4;
const BITS_64: u32 = 0x80;
const CHECKSUM_SEED: u32 = 0x2000;
/// Read-only compatible features that matter here.
const SPARSE_SUPERBLOCKS: u32 = 0x1;
const GROUP_CHECKSUMS: u32 = 0x10;
const BIG_ALLOCATION: u32 = 0x200;
const METADATA_CHECKSUMS: u32 = 0x400;
/// Most blocks that are believed: 1 TiB.
const MOST_BLOCKS: u64 = 1 << 28;
/// Most inodes that are believed.
const MOST_INODES: u32 = 1 << 22;

/// An inode's flags: its directory is indexed; it has extents; its data is in itself.
pub(super) const INDEXED: u32 = 0x1000;
pub(super) const EXTENTS: u32 = 0x8_0000;

/// Group flags: no inode is in use and their bitmap is not written; the block bitmap is not.
pub(super) const INODES_UNINITIALIZED: u16 = 1;
pub(super) const BLOCKS_UNINITIALIZED: u16 = 2;

pub(super) fn short(bytes: &[u8], at: usize) -> u16 {
    let bytes = bytes.get(at..).and_then(|rest| rest.first_chunk());
    bytes.map_or(0, |bytes| u16::from_le_bytes(*bytes))
}

pub(super) fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from(short(bytes, at)) | u32::from(short(bytes, at + 2)) << 16
}

/// What is read of a superblock.
#[derive(Debug, Clone)]
pub(super) struct Superblock {
    pub(super) blocks: u64,
    pub(super) free_blocks: u64,
    pub(super) inodes: u32,
    pub(super) free_inodes: u32,
    pub(super) inodes_per_group: u32,
    pub(super) inode_length: usize,
    pub(super) descriptor_length: usize,
    pub(super) sparse: bool,
    pub(super) seed: u32,
    pub(super) needs_recovery: bool,
    pub(super) clean: bool,
}

impl Superblock {
    /// Reads a superblock and checks that its numbers can be; the reason if they cannot.
    pub(super) fn parse(bytes: &[u8; SUPERBLOCK]) -> Result<Self, String> {
        if short(bytes, 0x38) != 0xef53 {
            return Err("there is no superblock of ext4".into());
        }
        let (incompatible, read_only) = (long(bytes, 0x60), long(bytes, 0x64));
        let unknown = incompatible & !(KNOWN | RECOVER);
        if unknown != 0 || read_only & (GROUP_CHECKSUMS | BIG_ALLOCATION) != 0 {
            return Err(format!(
                "it has features that are not known here ({unknown:#x}, {read_only:#x})"
            ));
        }
        if read_only & METADATA_CHECKSUMS == 0 || bytes[0x175] != 1 {
            return Err("it has no checksums".into());
        }
        if crc32c(START, &bytes[..0x3fc]) != long(bytes, 0x3fc) {
            return Err("the superblock's checksum is wrong".into());
        }
        let has_64_bits = incompatible & BITS_64 != 0;
        let wide = |low: usize, high: usize| {
            let high = if has_64_bits { long(bytes, high) } else { 0 };
            u64::from(long(bytes, low)) | u64::from(high) << 32
        };
        let superblock = Self {
            blocks: wide(0x4, 0x150),
            free_blocks: wide(0xc, 0x158),
            inodes: long(bytes, 0x0),
            free_inodes: long(bytes, 0x10),
            inodes_per_group: long(bytes, 0x28),
            inode_length: usize::from(short(bytes, 0x58)),
            descriptor_length: match has_64_bits {
                true => usize::from(short(bytes, 0xfe)),
                false => 32,
            },
            sparse: read_only & SPARSE_SUPERBLOCKS != 0,
            seed: match incompatible & CHECKSUM_SEED != 0 {
                true => long(bytes, 0x270),
                false => crc32c(START, &bytes[0x68..0x78]),
            },
            needs_recovery: incompatible & RECOVER != 0,
            clean: short(bytes, 0x3a) & 3 == 1,
        };
        superblock.check(bytes)?;
        Ok(superblock)
    }

    fn check(&self, bytes: &[u8; SUPERBLOCK]) -> Result<(), String> {
        let per_group = self.inodes_per_group;
        let possible = [
            ("the block size is not 4096 bytes", long(bytes, 0x18) == 2),
            (
                "groups have not 32768 blocks",
                u64::from(long(bytes, 0x20)) == GROUP,
            ),
            ("the first block is not 0", long(bytes, 0x14) == 0),
            (
                "it has no blocks, or too many",
                (1..=MOST_BLOCKS).contains(&self.blocks),
            ),
            (
                "it has no inodes, or too many",
                (16..=MOST_INODES).contains(&self.inodes),
            ),
            (
                "its groups have no inodes, or too many",
                per_group > 0 && u64::from(per_group) <= GROUP && per_group.is_multiple_of(8),
            ),
            (
                "inodes have an impossible length",
                self.inode_length.is_power_of_two() && (256..=BLOCK).contains(&self.inode_length),
            ),
            (
                "group descriptors have an impossible length",
                matches!(self.descriptor_length, 32 | 64),
            ),
            (
                "inodes and groups do not fit each other",
                u64::from(self.inodes) == u64::from(per_group) * self.groups(),
            ),
            (
                "the journal is in no inode of its own",
                long(bytes, 0xe0) == JOURNAL,
            ),
        ];
        match possible.iter().find(|(_, possible)| !possible) {
            Some((reason, _)) => Err((*reason).into()),
            None => Ok(()),
        }
    }

    pub(super) fn groups(&self) -> u64 {
        self.blocks.div_ceil(GROUP)
    }

    /// Blocks of all group descriptors together.
    pub(super) fn descriptor_blocks(&self) -> u64 {
        (self.groups() * self.descriptor_length as u64).div_ceil(BLOCK as u64)
    }

    /// Blocks of a group's inode table.
    pub(super) fn table_blocks(&self) -> u64 {
        (u64::from(self.inodes_per_group) * self.inode_length as u64).div_ceil(BLOCK as u64)
    }

    /// Whether a group begins with a copy of superblock and descriptors.
    pub(super) fn has_copy(&self, group: u64) -> bool {
        let power_of = |base: u64| {
            let mut power = base;
            while power < group {
                power *= base;
            }
            power == group
        };
        !self.sparse || group <= 1 || [3, 5, 7].into_iter().any(power_of)
    }

    /// How many blocks a group has: the last one may have fewer.
    pub(super) fn blocks_of(&self, group: u64) -> u64 {
        self.blocks.saturating_sub(group * GROUP).min(GROUP)
    }
}

/// What is read of a group descriptor.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) block_bitmap: u64,
    pub(super) inode_bitmap: u64,
    pub(super) inode_table: u64,
    pub(super) free_blocks: u32,
    pub(super) free_inodes: u32,
    pub(super) flags: u16,
    pub(super) block_bitmap_checksum: u32,
    pub(super) inode_bitmap_checksum: u32,
    pub(super) checksum_is_right: bool,
}

impl Group {
    /// Reads a descriptor of 32 or 64 bytes.
    pub(super) fn parse(bytes: &[u8], number: u32, seed: u32) -> Self {
        // The upper halves begin at byte 32, where there are any.
        let wide = |low: usize, high: usize| {
            u64::from(long(bytes, low)) | u64::from(long(bytes, high)) << 32
        };
        let double = |low: usize, high: usize| {
            u32::from(short(bytes, low)) | u32::from(short(bytes, high)) << 16
        };
        let sum = crc32c(seed, &number.to_le_bytes());
        let sum = crc32c(sum, bytes.get(..0x1e).unwrap_or_default());
        let sum = crc32c(sum, &[0; 2]);
        let sum = crc32c(sum, bytes.get(0x20..).unwrap_or_default());
        Self {
            block_bitmap: wide(0x0, 0x20),
            inode_bitmap: wide(0x4, 0x24),
            inode_table: wide(0x8, 0x28),
            free_blocks: double(0xc, 0x2c),
            free_inodes: double(0xe, 0x2e),
            flags: short(bytes, 0x12),
            block_bitmap_checksum: double(0x18, 0x38),
            inode_bitmap_checksum: double(0x1a, 0x3a),
            checksum_is_right: sum as u16 == short(bytes, 0x1e),
        }
    }
}

/// What is read of an inode.
#[derive(Debug, Clone)]
pub(super) struct Inode {
    pub(super) mode: u16,
    pub(super) links: u16,
    pub(super) length: u64,
    /// In units of 512 bytes.
    pub(super) sectors: u64,
    pub(super) flags: u32,
    pub(super) attributes: u64,
    /// The root of its extents, a short link's target, or a device's numbers.
    pub(super) root: [u8; 60],
    /// What checksums of its blocks begin with.
    pub(super) seed: u32,
    pub(super) checksum_is_right: bool,
}

/// What an inode is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InodeKind {
    File,
    Directory,
    Link,
    Special,
}

impl Inode {
    /// Reads an inode, all of its bytes.
    pub(super) fn parse(bytes: &[u8], number: u32, seed: u32) -> Self {
        let generation = long(bytes, 0x64).to_le_bytes();
        let seed = crc32c(crc32c(seed, &number.to_le_bytes()), &generation);
        let has_upper = short(bytes, 0x80) >= 4;
        let mut zeroed = bytes.to_vec();
        for at in [0x7c, 0x82] {
            if let Some(field) = zeroed
                .get_mut(at..at + 2)
                .filter(|_| at == 0x7c || has_upper)
            {
                field.fill(0);
            }
        }
        let sum = crc32c(seed, &zeroed);
        let stored = u32::from(short(bytes, 0x7c)) | u32::from(short(bytes, 0x82)) << 16;
        let mut root = [0; 60];
        if let Some(bytes) = bytes.get(0x28..0x64) {
            root.copy_from_slice(bytes);
        }
        Self {
            mode: short(bytes, 0x0),
            links: short(bytes, 0x1a),
            length: u64::from(long(bytes, 0x4)) | u64::from(long(bytes, 0x6c)) << 32,
            sectors: u64::from(long(bytes, 0x1c)) | u64::from(short(bytes, 0x74)) << 32,
            flags: long(bytes, 0x20),
            attributes: u64::from(long(bytes, 0x68)) | u64::from(short(bytes, 0x76)) << 32,
            root,
            seed,
            checksum_is_right: match has_upper {
                true => sum == stored,
                false => sum & 0xffff == stored & 0xffff,
            },
        }
    }

    /// What it is; none if that cannot be.
    pub(super) fn kind(&self) -> Option<InodeKind> {
        match self.mode >> 12 {
            0x8 => Some(InodeKind::File),
            0x4 => Some(InodeKind::Directory),
            0xa => Some(InodeKind::Link),
            0x1 | 0x2 | 0x6 | 0xc => Some(InodeKind::Special),
            _ => None,
        }
    }

    /// The type that directory entries give it.
    pub(super) fn entry_type(&self) -> u8 {
        match self.mode >> 12 {
            0x8 => 1,
            0x4 => 2,
            0x2 => 3,
            0x6 => 4,
            0x1 => 5,
            0xc => 6,
            0xa => 7,
            _ => 0,
        }
    }
}

/// An extent: blocks of a file that lie one after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) logical: u32,
    pub(super) count: u32,
    pub(super) start: u64,
}

/// A node of an extent tree.
#[derive(Debug, Clone)]
pub(super) struct ExtentNode {
    pub(super) depth: u16,
    /// Of a leaf.
    pub(super) extents: Vec<Extent>,
    /// Of any other node: the first logical block that each child covers, and where it is.
    pub(super) children: Vec<(u32, u64)>,
    /// Most entries that it has room for.
    pub(super) room: usize,
}

impl ExtentNode {
    /// Reads a node in so many bytes; none if it is none.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (count, room) = (usize::from(short(bytes, 2)), usize::from(short(bytes, 4)));
        let depth = short(bytes, 6);
        if short(bytes, 0) != 0xf30a || count > room || 12 + room * 12 > bytes.len() || depth > 5 {
            return None;
        }
        let entries = bytes.get(12..12 + count * 12)?.chunks_exact(12);
        let mut node = Self {
            depth,
            extents: Vec::new(),
            children: Vec::new(),
            room,
        };
        for entry in entries {
            if depth == 0 {
                let count = u32::from(short(entry, 4));
                node.extents.push(Extent {
                    logical: long(entry, 0),
                    // Above 32768: allocated and not written.
                    count: if count > 32768 { count - 32768 } else { count },
                    start: u64::from(long(entry, 8)) | u64::from(short(entry, 6)) << 32,
                });
            } else {
                let child = u64::from(long(entry, 4)) | u64::from(short(entry, 8)) << 32;
                node.children.push((long(entry, 0), child));
            }
        }
        Some(node)
    }
}
