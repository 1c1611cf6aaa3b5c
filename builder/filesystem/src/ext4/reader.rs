//! Reads an ext4's structure, and says what is wrong with it and what each block belongs to.
//!
//! Contents of files are not read. Every number is checked before it is used, what is kept is
//! bounded, and the journal is not replayed: a file system that needs that is not whole.

mod checksum;
mod directories;
mod files;
mod format;

use super::WHAT;
use crate::{Error, ReadAt, Result};
use checksum::crc32c;
use format::{
    BLOCK, BLOCKS_UNINITIALIZED, GROUP, Group, INODES_UNINITIALIZED, Inode, InodeKind, ROOT,
    SUPERBLOCK, SUPERBLOCK_OFFSET, Superblock,
};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;

/// Most problems that are kept; more are counted.
const MOST_PROBLEMS: usize = 200;
/// Most stretches of blocks, names and bytes of names that are kept.
const MOST_STRETCHES: usize = 1 << 23;
const MOST_NAMES: usize = 1 << 23;
const MOST_NAME_BYTES: usize = 128 << 20;
/// How much of an inode table is read at once.
const TABLE_PIECE: u64 = 256;

/// Something that is wrong with a file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The block that it is in, if it is in one.
    pub block: Option<u64>,
    /// What is wrong.
    pub reason: String,
}

/// What a block belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockOwner {
    /// The superblock, or a copy of it; the group that it is in.
    Superblock(u64),
    /// Group descriptors, or a copy of them.
    Descriptors(u64),
    /// A group's map of used blocks.
    BlockBitmap(u64),
    /// A group's map of used inodes.
    InodeBitmap(u64),
    /// A part of a group's inodes.
    InodeTable(u64),
    /// The journal.
    Journal,
    /// A file's, directory's or link's contents.
    Contents {
        /// Its path, as far as there is one; else its inode's number.
        path: String,
        /// The first byte of it that is in the block.
        offset: u64,
        /// Its length in bytes.
        length: u64,
    },
    /// Where a file's blocks are listed.
    Extents {
        /// The file.
        path: String,
    },
    /// Extended attributes.
    Attributes {
        /// The file.
        path: String,
    },
    /// Nothing: it is free.
    Free,
}

/// A stretch of blocks, and what it belongs to.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    start: u64,
    count: u64,
    owner: Owner,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Superblock(u64),
    Descriptors(u64),
    BlockBitmap(u64),
    InodeBitmap(u64),
    InodeTable(u64),
    Contents { inode: u32, logical: u32 },
    Extents { inode: u32 },
    Attributes { inode: u32 },
}

/// What is known of an inode that is in use.
#[derive(Debug, Clone)]
struct Known {
    kind: InodeKind,
    entry_type: u8,
    links: u16,
    /// How many names lead to it.
    names: u32,
    length: u64,
    /// The directory in which it was first found, and its name there.
    place: Option<(u32, Box<[u8]>)>,
}

/// A file system's structure.
#[derive(Debug)]
pub struct Structure {
    problems: Vec<Problem>,
    more_problems: u64,
    complete: bool,
    stretches: Vec<Stretch>,
    inodes: BTreeMap<u32, Known>,
    blocks: u64,
}

impl Structure {
    /// What is wrong: at most 200 problems.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// How many problems there are beyond those.
    pub fn more_problems(&self) -> u64 {
        self.more_problems
    }

    /// Whether all was read that is to be read; not if the source said that it would block.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Blocks of 4096 bytes.
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// How many files, directories, links and devices there are.
    pub fn files(&self) -> usize {
        self.inodes.values().filter(|known| known.names > 0).count()
    }

    /// What a block belongs to.
    pub fn owner(&self, block: u64) -> BlockOwner {
        let after = self
            .stretches
            .partition_point(|stretch| stretch.start <= block);
        let found = after.checked_sub(1).and_then(|at| self.stretches.get(at));
        let Some(stretch) = found.filter(|one| block - one.start < one.count) else {
            return BlockOwner::Free;
        };
        match stretch.owner {
            Owner::Superblock(group) => BlockOwner::Superblock(group),
            Owner::Descriptors(group) => BlockOwner::Descriptors(group),
            Owner::BlockBitmap(group) => BlockOwner::BlockBitmap(group),
            Owner::InodeBitmap(group) => BlockOwner::InodeBitmap(group),
            Owner::InodeTable(group) => BlockOwner::InodeTable(group),
            Owner::Contents {
                inode: format::JOURNAL,
                ..
            } => BlockOwner::Journal,
            Owner::Contents { inode, logical } => BlockOwner::Contents {
                path: self.path(inode),
                offset: (u64::from(logical) + block - stretch.start) * BLOCK as u64,
                length: self.inodes.get(&inode).map_or(0, |known| known.length),
            },
            Owner::Extents { inode } => BlockOwner::Extents {
                path: self.path(inode),
            },
            Owner::Attributes { inode } => BlockOwner::Attributes {
                path: self.path(inode),
            },
        }
    }

    /// A path of an inode; its number, if no name leads to it.
    fn path(&self, inode: u32) -> String {
        let mut names: Vec<&[u8]> = Vec::new();
        let mut at = inode;
        while at != ROOT {
            let place = self.inodes.get(&at).and_then(|known| known.place.as_ref());
            // Directories that contain each other have no way to the root.
            let Some((parent, name)) = place.filter(|_| names.len() < 1024) else {
                return format!("inode {inode}");
            };
            names.push(name);
            at = *parent;
        }
        let names = names.iter().rev();
        let text: String = names
            .map(|name| format!("/{}", String::from_utf8_lossy(name)))
            .collect();
        if text.is_empty() { "/".into() } else { text }
    }
}

/// Reads the structure of the file system in the `length` bytes at `offset`.
///
/// # Errors
/// When this is no ext4 of the kind that [`super::write`] makes, its superblock is damaged, or
/// reading fails. Whatever else is wrong is among the problems.
pub fn read(source: &dyn ReadAt, offset: u64, length: u64) -> Result<Structure> {
    let (superblock, wrong) = superblock(source, offset, length)?;
    if superblock.blocks > length / BLOCK as u64 {
        return Err(damaged("it is longer than its partition"));
    }
    let mut reader = Reader {
        source,
        offset,
        used: Bits::new(superblock.blocks),
        structure: Structure {
            problems: Vec::new(),
            more_problems: 0,
            complete: true,
            stretches: Vec::new(),
            inodes: BTreeMap::new(),
            blocks: superblock.blocks,
        },
        directories: Vec::new(),
        attributes: BTreeSet::new(),
        shared: 0,
        name_bytes: 0,
        names: 0,
        superblock,
    };
    if let Some(wrong) = wrong {
        let reason = format!("{wrong}: the copy of it in group 1 was read instead");
        reader.problem(Some(0), reason);
    }
    reader.run()?;
    let mut structure = reader.structure;
    structure.stretches.sort_by_key(|stretch| stretch.start);
    Ok(structure)
}

/// Reads the superblock; if it is damaged, its first copy, and says what is wrong with it.
fn superblock(
    source: &dyn ReadAt,
    offset: u64,
    length: u64,
) -> Result<(Superblock, Option<String>)> {
    let mut bytes = [0; SUPERBLOCK];
    let first = offset.saturating_add(SUPERBLOCK_OFFSET);
    source
        .read_exact_at(&mut bytes, first)
        .map_err(unreadable)?;
    let wrong = match Superblock::parse(&bytes) {
        Ok(superblock) => return Ok((superblock, None)),
        Err(wrong) => wrong,
    };
    let copy = GROUP * BLOCK as u64;
    if copy + SUPERBLOCK as u64 > length {
        return Err(damaged(wrong));
    }
    source
        .read_exact_at(&mut bytes, offset.saturating_add(copy))
        .map_err(unreadable)?;
    match Superblock::parse(&bytes) {
        Ok(superblock) => Ok((superblock, Some(wrong))),
        Err(_) => Err(damaged(wrong)),
    }
}

fn damaged(reason: impl Into<String>) -> Error {
    let reason = reason.into();
    Error::Damaged { what: WHAT, reason }
}

fn unreadable(source: std::io::Error) -> Error {
    Error::Io {
        operation: "read",
        what: WHAT,
        source,
    }
}

/// A bit for each block.
struct Bits(Vec<u64>);

impl Bits {
    fn new(count: u64) -> Self {
        Self(vec![0; count.div_ceil(64) as usize])
    }

    fn get(&self, at: u64) -> bool {
        let word = self.0.get((at / 64) as usize);
        word.is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    /// Sets a bit; whether it was set.
    fn set(&mut self, at: u64) -> bool {
        match self.0.get_mut((at / 64) as usize) {
            Some(word) => {
                let was = *word >> (at % 64) & 1 == 1;
                *word |= 1 << (at % 64);
                was
            }
            None => false,
        }
    }
}

/// The work while it goes on.
struct Reader<'a> {
    source: &'a dyn ReadAt,
    offset: u64,
    superblock: Superblock,
    structure: Structure,
    /// Blocks that belong to something.
    used: Bits,
    /// Directories, and their blocks in order.
    directories: Vec<(u32, Inode, Vec<u64>)>,
    /// Blocks of extended attributes: inodes may share one.
    attributes: BTreeSet<u64>,
    /// Blocks that were claimed again. Any number of files may claim all blocks there are, so this has
    /// an end.
    shared: u64,
    names: usize,
    name_bytes: usize,
}

impl Reader<'_> {
    fn run(&mut self) -> Result<()> {
        if self.superblock.needs_recovery || !self.superblock.clean {
            self.problem(
                Some(0),
                "it was not closed properly, or errors were found before",
            );
        }
        let groups = self.groups()?;
        for (number, group) in (0..).zip(&groups) {
            self.claim_group(number, group);
        }
        let mut used_inodes = 0;
        for (number, group) in (0..).zip(&groups) {
            used_inodes += self.inodes_of(number, group)?;
        }
        let free = u64::from(self.superblock.inodes) - used_inodes;
        if self.structure.complete && free != u64::from(self.superblock.free_inodes) {
            self.problem(Some(0), "the number of free inodes is wrong");
        }
        for (number, inode, blocks) in std::mem::take(&mut self.directories) {
            self.directory(number, &inode, &blocks)?;
        }
        if self.structure.complete {
            // What was not read may have claimed any block, and named any inode.
            self.compare_bitmaps(&groups)?;
            self.compare_names();
        }
        Ok(())
    }

    fn problem(&mut self, block: Option<u64>, reason: impl Into<String>) {
        if self.structure.problems.len() < MOST_PROBLEMS {
            let reason = reason.into();
            self.structure.problems.push(Problem { block, reason });
        } else {
            self.structure.more_problems += 1;
        }
    }

    /// Reads whole blocks; none if the source does not have them now.
    fn read(&mut self, block: u64, buffer: &mut [u8]) -> Result<bool> {
        match self
            .source
            .read_exact_at(buffer, self.offset + block * BLOCK as u64)
        {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.structure.complete = false;
                Ok(false)
            }
            Err(error) => Err(unreadable(error)),
        }
    }

    /// Notes what blocks belong to; false if they lie outside, or belong to something else.
    fn claim(&mut self, start: u64, count: u64, owner: Owner) -> Result<bool> {
        let end = start.checked_add(count);
        if end.is_none_or(|end| end > self.superblock.blocks) {
            return Ok(false);
        }
        if self.structure.stretches.len() == MOST_STRETCHES {
            return Err(damaged("its files are in too many pieces"));
        }
        let mut shared = false;
        for block in start..start + count {
            shared |= self.used.set(block);
        }
        if shared {
            self.shared += count;
            return match self.shared > self.superblock.blocks {
                true => Err(damaged("its files lie on each other")),
                false => Ok(false),
            };
        }
        self.structure.stretches.push(Stretch {
            start,
            count,
            owner,
        });
        Ok(true)
    }

    fn groups(&mut self) -> Result<Vec<Group>> {
        let length = self.superblock.descriptor_length;
        let mut bytes = vec![0; self.superblock.groups() as usize * length];
        let padded = bytes.len().next_multiple_of(BLOCK);
        bytes.resize(padded, 0);
        if !self.read(1, &mut bytes)? {
            return Ok(Vec::new());
        }
        let mut groups = Vec::new();
        for (number, bytes) in (0..self.superblock.groups()).zip(bytes.chunks_exact(length)) {
            let group = Group::parse(bytes, number as u32, self.superblock.seed);
            if !group.checksum_is_right {
                let reason = format!("the checksum of group {number}'s descriptor is wrong");
                self.problem(Some(1), reason);
            }
            groups.push(group);
        }
        Ok(groups)
    }

    /// Claims a group's own blocks.
    fn claim_group(&mut self, number: u64, group: &Group) {
        let start = number * GROUP;
        let mut parts = vec![
            (group.block_bitmap, 1, Owner::BlockBitmap(number)),
            (group.inode_bitmap, 1, Owner::InodeBitmap(number)),
            (
                group.inode_table,
                self.superblock.table_blocks(),
                Owner::InodeTable(number),
            ),
        ];
        if self.superblock.has_copy(number) {
            let descriptors = self.superblock.descriptor_blocks();
            parts.push((start, 1, Owner::Superblock(number)));
            parts.push((start + 1, descriptors, Owner::Descriptors(number)));
        }
        for (start, count, owner) in parts {
            if !matches!(self.claim(start, count, owner), Ok(true)) {
                let reason = format!("group {number}'s own blocks lie outside, or on others");
                self.problem(Some(1), reason);
            }
        }
    }

    /// Reads a group's inodes that are in use; gives how many there are.
    fn inodes_of(&mut self, number: u64, group: &Group) -> Result<u64> {
        let per_group = u64::from(self.superblock.inodes_per_group);
        if group.flags & INODES_UNINITIALIZED != 0 {
            return Ok(0);
        }
        let mut bitmap = vec![0; BLOCK];
        let table_end = group
            .inode_table
            .checked_add(self.superblock.table_blocks());
        let within = |end: Option<u64>| end.is_some_and(|end| end <= self.superblock.blocks);
        if !within(group.inode_bitmap.checked_add(1)) || !within(table_end) {
            return Ok(0); // told already
        }
        if !self.read(group.inode_bitmap, &mut bitmap)? {
            return Ok(0);
        }
        let bits = &bitmap[..(per_group / 8) as usize];
        let sum = crc32c(self.superblock.seed, bits);
        if self.differs(sum, group.inode_bitmap_checksum) {
            let reason = format!("the checksum of group {number}'s map of inodes is wrong");
            self.problem(Some(group.inode_bitmap), reason);
        }
        if bitmap[bits.len()..].iter().any(|byte| *byte != 0xff) {
            let reason = format!("group {number} has free inodes beyond its last one");
            self.problem(Some(group.inode_bitmap), reason);
        }
        let is_used = |index: u64| bits[(index / 8) as usize] >> (index % 8) & 1 == 1;
        let used = (0..per_group).filter(|index| is_used(*index)).count() as u64;
        if per_group - used != u64::from(group.free_inodes) {
            let reason = format!("group {number}'s number of free inodes is wrong");
            self.problem(Some(1), reason);
        }
        let length = self.superblock.inode_length;
        let per_block = (BLOCK / length) as u64;
        let mut piece = vec![0; TABLE_PIECE as usize * BLOCK];
        let mut at = 0;
        while at < self.superblock.table_blocks() {
            let count = TABLE_PIECE.min(self.superblock.table_blocks() - at);
            let piece = &mut piece[..count as usize * BLOCK];
            if self.read(group.inode_table + at, piece)? {
                let first = at * per_block;
                for (index, bytes) in (first..per_group).zip(piece.chunks_exact(length)) {
                    if is_used(index) {
                        let inode = (number * per_group + index + 1) as u32;
                        let block = group.inode_table + index / per_block;
                        self.inode(inode, bytes, block)?;
                    }
                }
            }
            at += count;
        }
        Ok(used)
    }

    /// Whether a bitmap's checksum is another: of short descriptors there is only the lower half.
    fn differs(&self, sum: u32, stored: u32) -> bool {
        match self.superblock.descriptor_length {
            32 => sum & 0xffff != stored & 0xffff,
            _ => sum != stored,
        }
    }

    /// Compares the maps of used blocks with what was found to be used.
    fn compare_bitmaps(&mut self, groups: &[Group]) -> Result<()> {
        let mut all_free = 0;
        for (number, group) in (0..).zip(groups) {
            let count = self.superblock.blocks_of(number);
            let start = number * GROUP;
            let mut free = 0;
            let mut bitmap = vec![0; BLOCK];
            let readable = group.block_bitmap < self.superblock.blocks
                && group.flags & BLOCKS_UNINITIALIZED == 0;
            if readable && self.read(group.block_bitmap, &mut bitmap)? {
                let sum = crc32c(self.superblock.seed, &bitmap);
                if self.differs(sum, group.block_bitmap_checksum) {
                    let reason = format!("the checksum of group {number}'s map of blocks is wrong");
                    self.problem(Some(group.block_bitmap), reason);
                }
                for index in 0..count {
                    let marked = bitmap[(index / 8) as usize] >> (index % 8) & 1 == 1;
                    free += u64::from(!marked);
                    let block = start + index;
                    match (marked, self.used.get(block)) {
                        (true, false) => {
                            self.problem(
                                Some(block),
                                "it is marked as used and belongs to nothing",
                            );
                        }
                        (false, true) => {
                            self.problem(Some(block), "it is in use and marked as free");
                        }
                        _ => {}
                    }
                }
                if (count..GROUP).any(|index| bitmap[(index / 8) as usize] >> (index % 8) & 1 == 0)
                {
                    let reason = "blocks beyond the end are marked as free";
                    self.problem(Some(group.block_bitmap), reason);
                }
            } else {
                free = (start..start + count)
                    .filter(|block| !self.used.get(*block))
                    .count() as u64;
            }
            if free != u64::from(group.free_blocks) {
                let reason = format!("group {number}'s number of free blocks is wrong");
                self.problem(Some(1), reason);
            }
            all_free += free;
        }
        if all_free != self.superblock.free_blocks {
            self.problem(Some(0), "the number of free blocks is wrong");
        }
        Ok(())
    }
}
