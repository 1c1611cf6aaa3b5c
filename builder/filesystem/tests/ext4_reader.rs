//! The reader of ext4: it finds no fault where there is none, finds what e2fsck finds, and reads
//! whatever it is given without coming to harm.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that panics has failed"
)]

mod common;

use common::{EPOCH, add_corners, add_devices_and_attributes, path};
use fortress_filesystem::ReadAt;
use fortress_filesystem::ext4::{self, BlockOwner, Ext4Options, Headroom};
use fortress_filesystem::fat::{self, FatKind, FatOptions};
use fortress_progress::Silent;
use fortress_tree::Tree;
use proptest::prelude::*;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use uuid::Uuid;

/// A tree with corners, an indexed directory, and files of several sizes.
fn tree() -> Tree {
    let mut tree = Tree::new(EPOCH);
    add_corners(&mut tree);
    add_devices_and_attributes(&mut tree);
    for number in 0..1500 {
        let name = format!("/usr/share/many/{number}-{}", "n".repeat(60));
        tree.write(&path(&name), 0o644, format!("{number}"))
            .unwrap();
    }
    let long: Vec<u8> = (0..9 << 20).map(|at: u32| (at >> 7) as u8).collect();
    tree.write(&path("/usr/lib/long"), 0o755, long).unwrap();
    tree
}

/// It as a file system: its bytes.
fn image() -> &'static [u8] {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let tree = tree();
        let size = ext4::plan(
            &tree,
            Headroom {
                percent: 20,
                bytes: 0,
            },
        )
        .unwrap();
        let options = Ext4Options {
            size,
            uuid: Uuid::from_u128(7),
            hash_seed: Uuid::from_u128(8),
            label: "root".into(),
            epoch: EPOCH,
        };
        let folder = tempfile::tempdir().unwrap();
        let file_path = folder.path().join("image");
        let file = fs::File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&file_path)
            .unwrap();
        file.set_len(size).unwrap();
        ext4::write(&tree, &options, &file, 0, &Silent).unwrap();
        fs::read(&file_path).unwrap()
    })
}

fn read(bytes: &[u8]) -> fortress_filesystem::Result<ext4::Structure> {
    struct_of(&Bytes(bytes.to_vec()), bytes.len() as u64)
}

fn struct_of(source: &dyn ReadAt, length: u64) -> fortress_filesystem::Result<ext4::Structure> {
    ext4::read(source, 0, length)
}

#[derive(Debug)]
struct Bytes(Vec<u8>);

impl ReadAt for Bytes {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.as_slice().read_exact_at(buffer, offset)
    }
}

#[test]
fn nothing_is_wrong_with_what_is_right() {
    let structure = read(image()).unwrap();
    assert_eq!(structure.problems(), []);
    assert!(structure.is_complete());
    let offsets: Vec<u64> = (0..structure.blocks())
        .filter_map(|block| match structure.owner(block) {
            BlockOwner::Contents {
                path,
                offset,
                length,
            } if path == "/usr/lib/long" => {
                assert_eq!(length, 9 << 20);
                let start = block as usize * 4096;
                let wanted: Vec<u8> = (offset as u32..offset as u32 + 4096)
                    .map(|at| (at >> 7) as u8)
                    .collect();
                assert_eq!(image()[start..start + 4096], wanted);
                Some(offset)
            }
            _ => None,
        })
        .collect();
    assert_eq!(offsets, (0..9 << 20).step_by(4096).collect::<Vec<u64>>());
    assert_eq!(structure.owner(u64::MAX), BlockOwner::Free);
}

/// What a source has not now is asked for again, until all is there.
#[test]
fn what_is_missing_is_asked_for() {
    #[derive(Debug)]
    struct Late {
        asked: Mutex<Vec<(u64, usize)>>,
        has: Vec<(u64, usize)>,
    }
    impl ReadAt for Late {
        fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
            let wanted = (offset, buffer.len());
            if !self.has.contains(&wanted) {
                self.asked.lock().unwrap().push(wanted);
                return Err(io::ErrorKind::WouldBlock.into());
            }
            image().read_exact_at(buffer, offset)
        }
    }
    let mut late = Late {
        asked: Mutex::new(Vec::new()),
        has: Vec::new(),
    };
    for round in 0..8 {
        let structure = struct_of(&late, image().len() as u64);
        if structure.as_ref().is_ok_and(ext4::Structure::is_complete) {
            assert_eq!(structure.unwrap().problems(), []);
            assert!(round > 2);
            return;
        }
        if let Ok(structure) = structure {
            assert_eq!(structure.problems(), [], "what is not there is no problem");
        }
        let asked = std::mem::take(&mut *late.asked.lock().unwrap());
        late.has.extend(asked);
    }
    panic!("it is never done");
}

/// Files that all claim the same blocks are not followed for ever.
#[test]
fn files_on_each_other_have_an_end() {
    let mut bytes = image().to_vec();
    let structure = read(&bytes).unwrap();
    let owners = (0..structure.blocks()).map(|block| (block, structure.owner(block)));
    let (mut long, mut tables) = (None, Vec::new());
    for (block, owner) in owners {
        match owner {
            BlockOwner::InodeTable(_) => tables.push(block as usize * 4096),
            BlockOwner::Contents {
                path, offset: 0, ..
            } if path == "/usr/lib/long" => long = Some(block as u32),
            _ => {}
        }
    }
    // One extent: from the first block, a thousand blocks, there.
    let mut extents = [0; 24];
    extents[..8].copy_from_slice(&[0x0a, 0xf3, 1, 0, 4, 0, 0, 0]);
    extents[16..18].copy_from_slice(&1000u16.to_le_bytes());
    extents[20..24].copy_from_slice(&long.unwrap().to_le_bytes());
    for table in tables {
        for inode in (table..table + 4096).step_by(256) {
            if bytes[inode + 1] >> 4 == 8 {
                bytes[inode + 4..inode + 8].copy_from_slice(&(9u32 << 20).to_le_bytes());
                bytes[inode + 0x28..inode + 0x40].copy_from_slice(&extents);
            }
        }
    }
    let error = read(&bytes).unwrap_err();
    assert!(error.to_string().contains("lie on each other"), "{error}");
}

/// Whether e2fsck finds nothing.
fn e2fsck(bytes: &[u8], folder: &Path) -> bool {
    let path = folder.join("checked");
    fs::write(&path, bytes).unwrap();
    let ran = Command::new("e2fsck")
        .args(["-f", "-n"])
        .arg(&path)
        .output();
    match ran {
        Ok(output) => output.status.code() == Some(0),
        Err(error) => panic!("e2fsck (see tests/host-packages.txt): {error}"),
    }
}

/// Blocks with structure in them, of each kind.
fn metadata() -> &'static [u64] {
    static BLOCKS: OnceLock<Vec<u64>> = OnceLock::new();
    BLOCKS.get_or_init(|| {
        let structure = read(image()).unwrap();
        (0..structure.blocks())
            .filter(|block| match structure.owner(*block) {
                BlockOwner::Contents { path, .. } => {
                    ["/usr/share/many", "/", "/usr"].contains(&path.as_str())
                }
                BlockOwner::Superblock(0)
                | BlockOwner::Descriptors(0)
                | BlockOwner::BlockBitmap(_)
                | BlockOwner::InodeBitmap(_)
                | BlockOwner::InodeTable(_)
                | BlockOwner::Extents { .. } => true,
                _ => false,
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Where e2fsck finds a fault, so does the reader.
    #[test]
    fn what_e2fsck_finds_is_found(pick: prop::sample::Index, at in 0usize..4096, bit in 0u8..8) {
        let folder = tempfile::tempdir().unwrap();
        let block = *pick.get(metadata());
        let mut bytes = image().to_vec();
        bytes[block as usize * 4096 + at] ^= 1 << bit;
        let clean = read(&bytes).is_ok_and(|structure| structure.problems().is_empty());
        prop_assert!(
            !clean || e2fsck(&bytes, folder.path()),
            "block {block}, byte {at}: e2fsck finds a fault"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damage_does_no_harm(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0usize..4096, any::<u32>()), 1..12),
        fix in any::<bool>(),
    ) {
        let mut bytes = image().to_vec();
        for (pick, at, value) in changes {
            let start = *pick.get(metadata()) as usize * 4096 + at.min(4092);
            bytes[start..start + 4].copy_from_slice(&value.to_le_bytes());
        }
        if fix {
            // With a right checksum, so that what it says is looked at.
            let sum = crc32c(&bytes[1024..1024 + 0x3fc]);
            bytes[1024 + 0x3fc..2048].copy_from_slice(&sum.to_le_bytes());
        }
        if let Ok(structure) = read(&bytes) {
            for block in (0..structure.blocks()).step_by(97) {
                let _ = structure.owner(block);
            }
        }
    }

    #[test]
    fn a_superblock_that_says_anything_does_no_harm(
        changes in prop::collection::vec((0usize..0x3f0, any::<u32>()), 1..6),
    ) {
        let mut bytes = image()[..1 << 20].to_vec();
        for (at, value) in changes {
            bytes[1024 + at..1024 + at + 4].copy_from_slice(&value.to_le_bytes());
        }
        let sum = crc32c(&bytes[1024..1024 + 0x3fc]);
        bytes[1024 + 0x3fc..2048].copy_from_slice(&sum.to_le_bytes());
        let _ = read(&bytes);
        let _ = struct_of(&Bytes(bytes), u64::MAX / 2);
    }
}

fn crc32c(bytes: &[u8]) -> u32 {
    bytes.iter().fold(!0, |sum: u32, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            sum >> 1 ^ if sum & 1 == 1 { 0x82f6_3b78 } else { 0 }
        })
    })
}

/// A small FAT with some files, as bytes.
fn volume() -> &'static [u8] {
    static VOLUME: OnceLock<Vec<u8>> = OnceLock::new();
    VOLUME.get_or_init(|| {
        let mut tree = Tree::new(EPOCH);
        for (name, length) in [
            ("/EFI/Linux/one.efi", 70_000),
            ("/EFI/BOOT/two.efi", 5),
            ("/empty", 0),
        ] {
            tree.write(&path(name), 0o644, vec![1; length]).unwrap();
        }
        let size = fat::plan(&tree, None).unwrap();
        let options = FatOptions {
            kind: FatKind::Fat32,
            size,
            sectors_per_cluster: None,
            volume_id: 1,
            label: "ESP".into(),
            epoch: EPOCH,
        };
        let folder = tempfile::tempdir().unwrap();
        let file_path = folder.path().join("volume");
        let file = fs::File::create_new(&file_path).unwrap();
        file.set_len(size).unwrap();
        fat::write(&tree, &options, &file, 0).unwrap();
        fs::read(&file_path).unwrap()
    })
}

#[test]
fn a_volume_is_checked_too() {
    let bytes = volume();
    let length = bytes.len() as u64;
    let check = |bytes: &[u8]| fat::check(&Bytes(bytes.to_vec()), 0, length).unwrap();
    let good = check(bytes);
    assert_eq!(good.problems(), []);
    let mut free: u64 = 0;
    for range in good.free(length) {
        let bytes = &bytes[range.start as usize..range.end as usize];
        assert!(bytes.iter().all(|byte| *byte == 0));
        free += bytes.len() as u64;
    }
    assert!(free > 0 && free < length);
    let contents = bytes
        .windows(70_000)
        .position(|window| window.iter().all(|byte| *byte == 1));
    let start = contents.unwrap() as u64;
    let owner = |at| good.owner(at);
    let wanted = fat::ByteOwner::Contents {
        path: "EFI/Linux/one.efi".into(),
        offset: 69_999,
    };
    assert_eq!(owner(start + 69_999), wanted);
    assert_eq!(owner(start + 70_000), fat::ByteOwner::Free);
    assert_eq!(owner(3), fat::ByteOwner::BootSector);

    // A cluster in the second table, a lost cluster, a chain that ends too soon.
    let reserved = u64::from(u16::from_le_bytes([bytes[14], bytes[15]])) * 512;
    let table = u64::from(u32::from_le_bytes(bytes[36..40].try_into().unwrap())) * 512;
    let changed = |at: u64, value: u32, both: bool| {
        let mut bytes = bytes.to_vec();
        for copy in 0..=u64::from(both) {
            let at = (at + copy * table) as usize;
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        bytes
    };
    let said = |bytes: &[u8], reason: &str| {
        let structure = check(bytes);
        let found = structure
            .problems()
            .iter()
            .any(|one| one.reason.contains(reason));
        assert!(found, "{reason}: {:?}", structure.problems());
    };
    said(
        &changed(reserved + table + 4 * 9, 7, false),
        "copies of the table differ",
    );
    said(
        &changed(reserved + 4 * 5000, 0x0fff_fff8, true),
        "belongs to nothing",
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_damaged_volume_does_no_harm(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u32>()), 1..20),
    ) {
        let mut bytes = volume().to_vec();
        let used: Vec<usize> = (0..bytes.len() / 4).filter(|word| *word < 600 || bytes[word * 4] != 0 && bytes[word * 4] != 1).collect();
        for (pick, value) in changes {
            let start = *pick.get(&used) * 4;
            bytes[start..start + 4].copy_from_slice(&value.to_le_bytes());
        }
        let length = bytes.len() as u64;
        if let Ok(structure) = fat::check(&Bytes(bytes), 0, length) {
            for at in (0..length).step_by(4099) {
                let _ = structure.owner(at);
            }
            let _ = structure.free(length);
        }
    }
}
