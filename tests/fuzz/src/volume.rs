//! Sound file systems and disks, whose structure is then damaged.

use crate::{Base, Patched, folder};
use fortress_disk::ImageFile;
use fortress_disk::gpt::{self, LayoutOptions, PartitionEntry, partition_types};
use fortress_filesystem::ext4::{self, BlockOwner, Ext4Options, Headroom};
use fortress_filesystem::fat::{self, FatKind, FatOptions};
use fortress_progress::Silent;
use fortress_tree::{Metadata, Node, Tree, TreePath};
use std::fs::File;
use std::ops::Range;
use uuid::Uuid;

const BLOCK: usize = 4096;
const SECTOR: usize = 512;

fn path(text: &str) -> TreePath {
    TreePath::new(text).expect("a path")
}

/// Some files and folders, with long names, and one folder that is large.
fn tree(links: bool) -> Tree {
    let mut tree = Tree::new(1_700_000_000);
    let mut write = |name: &str, content: Vec<u8>| {
        let written = tree.write(&path(name), 0o644, content);
        written.expect("a file is put into the tree");
    };
    write("/EFI/Linux/a-rather-long-name_0.1.0+3.efi", vec![7; 9000]);
    write("/loader/loader.conf", b"timeout 0\n".to_vec());
    write("/empty", Vec::new());
    for number in 0..90 {
        let name = format!("/many/{number}-{}", "n".repeat(60));
        write(&name, name.clone().into_bytes());
    }
    if links {
        tree.link(&path("/short"), "empty").expect("a link");
        tree.link(&path("/long"), "e".repeat(100)).expect("a link");
        let mut metadata = Metadata::new(0o755);
        let attribute = ("user.a".to_owned(), vec![1; 2000]);
        metadata.attributes.extend([attribute]);
        let node = Node::file(metadata, vec![1; 70_000].into());
        tree.insert(path("/attributes"), node).expect("a file");
    }
    tree
}

fn file(length: u64) -> File {
    let file = tempfile::tempfile().expect("a temporary file can be made");
    file.set_len(length).expect("it can be made longer");
    file
}

fn read(file: &File, length: u64) -> Vec<u8> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, 0).expect("it can be read");
    bytes
}

/// An ext4; its structure is every block that is no file's.
pub fn ext4() -> Base {
    let tree = tree(true);
    let headroom = Headroom {
        percent: 20,
        bytes: 0,
    };
    let size = ext4::plan(&tree, headroom).expect("the tree fits");
    let options = Ext4Options {
        size,
        uuid: Uuid::from_u128(7),
        hash_seed: Uuid::from_u128(8),
        label: "root".into(),
        epoch: 1_700_000_000,
    };
    let file = file(size);
    ext4::write(&tree, &options, &file, 0, &Silent).expect("an ext4 is written");
    let bytes = read(&file, size);
    let structure = ext4::read(&file, 0, size).expect("it is read");
    assert_eq!(structure.problems(), []);
    let is_structure = |block: &u64| match structure.owner(*block) {
        BlockOwner::Free | BlockOwner::Journal => false,
        BlockOwner::Contents { path, .. } => ["/", "/many", "/EFI"].contains(&path.as_str()),
        // Most inodes are not in use.
        BlockOwner::InodeTable(_) => bytes[*block as usize * BLOCK..][..BLOCK]
            .iter()
            .any(|byte| *byte != 0),
        _ => true,
    };
    let blocks = (0..structure.blocks()).filter(is_structure);
    let structure = blocks
        .map(|block| block as usize * BLOCK..(block as usize + 1) * BLOCK)
        .collect();
    Base { bytes, structure }
}

/// Makes the checksum of an ext4's superblock right: with a wrong one nothing else is read.
pub fn with_superblock_checksum(mut image: Patched<'_>) -> Patched<'_> {
    let superblock = image.bytes(1024..2048);
    let sum = superblock[..1020].iter().fold(!0u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            sum >> 1 ^ (sum & 1) * 0x82f6_3b78
        })
    });
    image.change(1024 + 1020, &sum.to_le_bytes());
    image
}

/// A FAT32; its structure is its boot sector, the begin of both tables, and its directories.
pub fn fat() -> Base {
    let tree = tree(false);
    let size = fat::plan(&tree, Some(1)).expect("the tree fits");
    let options = FatOptions {
        kind: FatKind::Fat32,
        size,
        sectors_per_cluster: Some(1),
        volume_id: 7,
        label: "FUZZ".into(),
        epoch: 1_700_000_000,
    };
    let file = file(size);
    fat::write(&tree, &options, &file, 0).expect("a FAT32 is written");
    let bytes = read(&file, size);
    let structure = fat::check(&file, 0, size).expect("it is read");
    assert_eq!(structure.problems(), []);
    let short = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let table = short(14) * SECTOR;
    let table_length = (short(36) | short(38) << 16) * SECTOR;
    let data = table + 2 * table_length;
    let structure: Vec<Range<usize>> = vec![
        0..64,
        table..table + 1024,
        table + table_length..table + table_length + 1024,
        data..data + (32 << 10),
    ];
    Base { bytes, structure }
}

/// A disk with two partitions; its structure is the partition table, both copies.
pub fn disk() -> Base {
    let folder = folder();
    let partition = |number: u128, kind: Uuid| PartitionEntry {
        kind,
        guid: Uuid::from_u128(number),
        name: format!("partition {number}"),
        length: 1 << 20,
        attributes: 0,
    };
    let partitions = vec![
        partition(1, partition_types::ESP),
        partition(2, partition_types::X86_64.root),
    ];
    let options = LayoutOptions::new(Uuid::from_u128(9));
    let layout = gpt::layout(partitions, &options).expect("the partitions fit");
    let image = ImageFile::create(&folder.path().join("disk"), layout.length);
    let image = image.expect("an image is made");
    gpt::write(image.file(), &layout).expect("a table is written");
    let bytes = read(image.file(), layout.length);
    let end = bytes.len();
    let structure = vec![
        440..SECTOR,
        SECTOR..SECTOR + 92,
        2 * SECTOR..2 * SECTOR + 4 * 128,
        end - 33 * SECTOR..end - 33 * SECTOR + 4 * 128,
        end - SECTOR..end - SECTOR + 92,
    ];
    Base { bytes, structure }
}

/// Makes the checksums of both copies of a partition table right, as far as their own numbers lead.
pub fn with_checksums(mut image: Patched<'_>) -> Patched<'_> {
    let end = image.length() as usize;
    for header in [SECTOR, end - SECTOR] {
        let mut bytes = image.bytes(header..header + SECTOR);
        let number = |bytes: &[u8], at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize
        };
        let (start, length) = (number(&bytes, 72), number(&bytes, 80));
        let start = start.saturating_mul(SECTOR);
        let entries = start..start.saturating_add(length.saturating_mul(128));
        if entries.end <= end {
            let sum = crc32fast::hash(&image.bytes(entries));
            bytes[88..92].copy_from_slice(&sum.to_le_bytes());
        }
        bytes[16..20].fill(0);
        let length = number(&bytes, 12).min(SECTOR);
        let sum = crc32fast::hash(&bytes[..length]);
        bytes[16..20].copy_from_slice(&sum.to_le_bytes());
        image.change(header, &bytes);
    }
    image
}
