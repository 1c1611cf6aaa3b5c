//! FAT32 judged by fsck.fat and mtools; the reader judged by the writer.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that panics has failed"
)]

mod common;

use common::{EPOCH, path};
use fortress_filesystem::Error;
use fortress_filesystem::fat::{self, ByteOwner, FatKind, FatOptions};
use fortress_tests::Oracle;
use fortress_tree::{Content, Kind, Metadata, Node, Tree, TreePath};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;

fn options(size: u64) -> FatOptions {
    FatOptions {
        kind: FatKind::Fat32,
        size,
        sectors_per_cluster: None,
        volume_id: 0x1234_abcd,
        label: "ESP".into(),
        epoch: EPOCH,
    }
}

/// Writes a tree as an image of its own in `folder`.
fn image(tree: &Tree, options: &FatOptions, folder: &Path) -> PathBuf {
    let path = folder.join("fat.img");
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path);
    let file = file.unwrap();
    file.set_len(options.size).unwrap();
    fat::write(tree, options, &file, 0).unwrap();
    path
}

#[track_caller]
fn assert_clean(oracle: &Oracle, image: &Path) {
    let outcome = oracle.run(&["fsck.fat", "-n", "-v", &oracle.inside(image)]);
    let said = format!("{}{}", outcome.output, outcome.errors);
    assert!(outcome.status == 0, "{said}");
    for complaint in [
        "differences",
        "Dirty",
        "orrect",
        "invalid",
        "Unused",
        "wrong",
    ] {
        assert!(!said.contains(complaint), "{said}");
    }
}

/// What is in an EFI system partition, and names from the corners of what FAT has.
fn sample() -> Tree {
    let mut tree = Tree::new(EPOCH);
    let mut write = |name: &str, content: Vec<u8>| {
        tree.write(&path(name), 0o644, content).unwrap();
    };
    write("/EFI/BOOT/BOOTX64.EFI", vec![1; 200_000]);
    write(
        "/EFI/Linux/host_0.1+3.efi",
        (0..3_000_000).map(|i| (i >> 9) as u8).collect(),
    );
    write("/EFI/systemd/systemd-bootx64.efi", vec![3; 100_001]);
    write("/loader/loader.conf", b"timeout 0\n".to_vec());
    write("/loader/entries.srel", b"type1\n".to_vec());
    write("/empty file", Vec::new());
    write("/one-cluster", vec![4; 4096]);
    write("/names/bcm2711-rpi-4-b.dtb", vec![5; 512]);
    write("/names/bcm2711-rpi-400.dtb", vec![6; 513]);
    write("/names/BCM271~1.DTB", b"an obstacle".to_vec());
    write("/names/UPPER.TXT", vec![7]);
    write("/names/lower.txt", vec![8]);
    write("/names/Mixed.Txt", vec![9]);
    write("/names/.hidden", vec![10]);
    write("/names/many.dots.in.it", vec![11]);
    write("/names/+,;=[]", vec![12]);
    write("/names/ünïcödé ✓", vec![13]);
    write("/names/thirteen-unit", vec![14]); // a long name that fills its entry
    write(&format!("/names/{}", "n".repeat(255)), vec![15]);
    write(
        "/deep/er/and/deep/er/and/deep/er/and/deep/er/file",
        vec![16],
    );
    let mut link = Node::symlink("");
    link.kind = Kind::HardLink(path("/loader/loader.conf"));
    tree.insert(path("/loader/copy.conf"), link).unwrap();
    let mut old = Node::file(
        Metadata::new(0o600),
        Content::from("1980 is as early as it gets"),
    );
    old.metadata.modified = 0;
    tree.insert(path("/old"), old).unwrap();
    let mut odd = Node::file(Metadata::new(0o600), Content::from("two seconds"));
    odd.metadata.modified = 1_234_567_891;
    tree.insert(path("/odd"), odd).unwrap();
    tree
}

/// Everything in an image, copied out by mtools.
fn copies(oracle: &Oracle, image: &Path) -> tempfile::TempDir {
    let copies = oracle.folder();
    let (from, to) = (oracle.inside(image), oracle.inside(copies.path()));
    let locale = ["env", "LC_ALL=C.UTF-8", "TZ=UTC"];
    let copy = ["mcopy", "-s", "-Q", "-m", "-i", &from, "::*", &to];
    oracle.run(&[&locale[..], &copy[..]].concat()).success();
    copies
}

/// Compares a tree with a folder that has its names, contents and times.
#[track_caller]
fn assert_same(tree: &Tree, folder: &Path) {
    let mut expected = BTreeSet::new();
    for (path, node) in tree.iter() {
        expected.insert(path.clone());
        if !node.is_directory() {
            let host = folder.join(path.relative());
            let found = std::fs::metadata(&host).unwrap_or_else(|error| panic!("{path}: {error}"));
            let content = tree.content(path).unwrap();
            assert_eq!(found.len(), content.length(), "{path}");
            assert!(common::same_bytes(content, &host), "{path}");
            assert_eq!(found.mtime(), fat_time(tree, path), "{path}");
        }
    }
    assert_eq!(common::paths_in(folder, &[]), expected);
}

/// A node's time as FAT can keep it.
fn fat_time(tree: &Tree, path: &TreePath) -> i64 {
    let node = tree.get(path).unwrap();
    let node = match &node.kind {
        Kind::HardLink(target) => tree.get(target).unwrap(),
        _ => node,
    };
    let earliest = 315_532_800;
    node.metadata.modified.clamp(earliest, EPOCH) & !1
}

#[test]
fn fsck_and_mtools_find_every_file_as_it_was() {
    let oracle = Oracle::open();
    let folder = oracle.folder();
    let tree = sample();
    for cluster in [None, Some(1), Some(4)] {
        let mut options = options(fat::plan(&tree, cluster).unwrap());
        options.sectors_per_cluster = cluster;
        let image = image(&tree, &options, folder.path());
        assert_clean(&oracle, &image);
        let copies = copies(&oracle, &image);
        assert_same(&tree, copies.path());
        let from = oracle.inside(&image);
        let listed = oracle.run(&["mdir", "-i", &from, "::/names"]).success();
        assert!(listed.contains("Volume in drive : is ESP"), "{listed}");
        assert!(listed.contains("Serial Number is 1234-ABCD"), "{listed}");
        assert!(listed.contains("BCM271~1 DTB        11"), "{listed}");
    }
}

#[test]
fn the_reader_sees_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let tree = sample();
    let image = image(&tree, &options(40 * MIB), folder.path());
    let file = File::open(image).unwrap();
    let volume = fat::read(&file, 0, 40 * MIB).unwrap();
    assert_eq!(volume.label(), "ESP");
    assert_eq!(volume.volume_id(), 0x1234_abcd);
    let mut expected = BTreeSet::new();
    for (path, _) in tree.iter().filter(|(path, _)| !path.is_root()) {
        expected.insert(path.relative().to_owned());
    }
    let found = volume.entries().iter().map(|entry| entry.path.clone());
    assert_eq!(found.collect::<BTreeSet<_>>(), expected);
    for entry in volume.entries() {
        let path = path(&entry.path);
        assert_eq!(entry.modified, fat_time(&tree, &path), "{path}");
        assert_eq!(entry.directory, tree.get(&path).unwrap().is_directory());
        if !entry.directory {
            let mut bytes = Vec::new();
            volume.copy(&entry.path.to_lowercase(), &mut bytes).unwrap();
            assert_eq!(bytes, tree.read(&path).unwrap(), "{path}");
            // Written once, so nothing is in pieces.
            let stretches = volume.stretches(&entry.path).unwrap();
            assert_eq!(stretches.len(), usize::from(entry.length > 0), "{path}");
            for (offset, length) in stretches {
                let mut bytes = vec![0; length as usize];
                file.read_exact_at(&mut bytes, offset).unwrap();
                assert_eq!(bytes, tree.read(&path).unwrap(), "{path}");
            }
        }
    }
    assert!(volume.stretches("EFI").is_err());
    for missing in ["", "EFI", "EFI/BOOT/BOOTAA64.EFI"] {
        let error = volume.copy(missing, &mut Vec::new()).unwrap_err();
        assert!(matches!(error, Error::Missing { .. }), "{error}");
    }
}

#[test]
fn the_bytes_are_the_same_each_time_wherever_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let tree = sample();
    let options = options(36 * MIB);
    let file = tempfile::tempfile_in(folder.path()).unwrap();
    file.set_len(4 * 36 * MIB).unwrap();
    for at in [0, 36, 72] {
        fat::write(&tree, &options, &file, at * MIB).unwrap();
    }
    let read = |at: u64| {
        let mut bytes = vec![0; (36 * MIB) as usize];
        file.read_exact_at(&mut bytes, at * MIB).unwrap();
        // Where the partition is, the boot sectors say.
        for sector in [0, 6 * 512] {
            let hidden = &mut bytes[sector + 28..sector + 32];
            assert_eq!(hidden, ((at * MIB / 512) as u32).to_le_bytes());
            hidden.fill(0);
        }
        bytes
    };
    let first = read(0);
    assert!(first == read(36) && first == read(72));
}

#[test]
fn ten_thousand_names_alike_fit_a_directory() {
    let oracle = Oracle::open();
    let folder = oracle.folder();
    let mut tree = Tree::new(EPOCH);
    tree.make_directories(&path("/overlays")).unwrap();
    for number in 0..10_000 {
        let node = Node::file(Metadata::new(0o644), Content::from(vec![0; number % 3]));
        tree.insert(path(&format!("/overlays/an-overlay-{number}.dtbo")), node)
            .unwrap();
    }
    let image = image(&tree, &options(48 * MIB), folder.path());
    assert_clean(&oracle, &image);
    let listed = oracle
        .run(&["mdir", "-b", "-i", &oracle.inside(&image), "::/overlays"])
        .success();
    assert_eq!(listed.lines().collect::<BTreeSet<_>>().len(), 10_000);
    assert!(listed.contains("::/overlays/an-overlay-9999.dtbo\n"));
}

#[test]
fn a_file_of_nearly_four_gibibytes_fits_and_one_of_four_does_not() {
    const FOUR_GIB: u64 = 4 << 30;
    let oracle = Oracle::open();
    let folder = oracle.folder();
    let host = folder.path().join("large");
    let file = File::create(&host).unwrap();
    let tree_of = |length: u64| {
        file.set_len(length).unwrap();
        let mut tree = Tree::new(EPOCH);
        let content = Content::host_file(&host).unwrap();
        tree.write(&path("/large"), 0o644, content).unwrap();
        tree
    };
    let error = fat::plan(&tree_of(FOUR_GIB), None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/large cannot be put in the FAT file system: it has 4 GiB or more"
    );
    assert!(fat::plan(&tree_of(FOUR_GIB - 1), None).is_ok());
    // One cluster less than the most: fsck.fat's own count would overflow.
    let length = FOUR_GIB - 4096;
    let tree = tree_of(length);
    file.write_all_at(b"end", length - 3).unwrap();
    let size = fat::plan(&tree, Some(8)).unwrap();
    let mut options = options(size);
    options.sectors_per_cluster = Some(8);
    let image = image(&tree, &options, folder.path());
    assert_clean(&oracle, &image);
    assert!(std::fs::metadata(&image).unwrap().blocks() * 512 < 64 * MIB);
    let file = File::open(&image).unwrap();
    let volume = fat::read(&file, 0, size).unwrap();
    let mut tail = Tail(Vec::new());
    assert_eq!(volume.copy("large", &mut tail).unwrap(), length);
    assert!(tail.0.ends_with(b"\0end"));
}

/// Keeps the last piece that was written.
struct Tail(Vec<u8>);

impl std::io::Write for Tail {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = bytes[bytes.len().saturating_sub(8)..].to_vec();
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_does_not_fit_or_suit_is_refused_with_the_reason() {
    let file = tempfile::tempfile().unwrap();
    file.set_len(64 * MIB).unwrap();
    let refused = |tree: &Tree, options: &FatOptions| {
        fat::write(tree, options, &file, 0).unwrap_err().to_string()
    };
    let small = refused(&sample(), &options(8 * MIB));
    assert_eq!(
        small,
        format!(
            "the FAT file system of {} bytes is too small: it takes {} bytes",
            8 * MIB,
            33 * MIB
        )
    );
    let mut tree = sample();
    tree.write(&path("/more"), 0o644, vec![1; 40_000_000])
        .unwrap();
    let needed = fat::plan(&tree, None).unwrap();
    assert!(refused(&tree, &options(34 * MIB)).contains(&needed.to_string()));
    fat::write(&tree, &options(needed), &file, 0).unwrap();
    for label in ["lower", "TWELVE CHARS", "A.B"] {
        let mut options = options(34 * MIB);
        options.label = label.into();
        assert!(refused(&sample(), &options).contains(label));
    }
    for (name, reason) in [
        ("/EFI/boot", "but for upper and lower case"),
        ("/a:b", "character ':'"),
        ("/dot.", "ends with a dot"),
    ] {
        let mut tree = sample();
        tree.write(&path(name), 0o644, "x").unwrap();
        let said = refused(&tree, &options(34 * MIB));
        assert!(said.starts_with(name) && said.contains(reason), "{said}");
    }
    let mut tree = sample();
    tree.link(&path("/link"), "loader").unwrap();
    assert!(refused(&tree, &options(34 * MIB)).contains("a symbolic link"));
    let full = File::options().write(true).open("/dev/full").unwrap();
    let error = fat::write(&sample(), &options(34 * MIB), &full, 0).unwrap_err();
    assert!(matches!(error, Error::Full { .. }), "{error:?}");
}

/// A volume, written from a tree.
fn volume(tree: &Tree) -> File {
    let file = tempfile::tempfile().unwrap();
    file.set_len(34 * MIB).unwrap();
    fat::write(tree, &options(34 * MIB), &file, 0).unwrap();
    file
}

/// Directories whose chains run into each other are not read again and again: here each goes on in
/// two mebibytes that all of them share.
#[test]
fn directories_that_share_clusters_have_an_end() {
    let mut tree = Tree::new(EPOCH);
    for number in 0..40 {
        let name = format!("/folder-{number}");
        tree.make_directories(&path(&name)).unwrap();
    }
    // Entries that were deleted.
    let deleted = vec![0xe5; (2 << 20) - 8192];
    tree.write(&path("/shared"), 0o644, deleted).unwrap();
    let file = volume(&tree);
    let structure = fat::check(&file, 0, 34 * MIB).unwrap();
    let mut sector = [0; 512];
    file.read_exact_at(&mut sector, 0).unwrap();
    let number = |at: usize| u64::from(u16::from_le_bytes([sector[at], sector[at + 1]]));
    let (cluster, reserved) = (u64::from(sector[13]) * 512, number(14) * 512);
    let data = reserved + 2 * (number(36) | number(38) << 16) * 512;
    let owner = |index: u64| structure.owner(data + index * cluster);
    let shared = (0..10_000).find(|index| {
        matches!(owner(*index), ByteOwner::Contents { path, offset: 0 } if path == "shared")
    });
    let next = (shared.unwrap() as u32 + 2).to_le_bytes();
    for index in 0..10_000 {
        if matches!(owner(index), ByteOwner::Directory(path) if path.starts_with("folder-")) {
            let entry = reserved + (index + 2) * 4;
            file.write_all_at(&next, entry).unwrap();
        }
    }
    let error = fat::read(&file, 0, 34 * MIB).unwrap_err();
    assert!(error.to_string().contains("more than there is"), "{error}");
}

/// Trees of names of all kinds.
fn trees() -> impl Strategy<Value = Tree> {
    let name = prop_oneof![
        "[A-Z0-9]{1,8}(\\.[A-Z]{1,3})?",
        "[a-zA-Z+,. éß✓🔒]{1,30}[a-z]",
        "[x]{200}"
    ];
    let entry = (
        prop::collection::vec(name, 1..5),
        any::<bool>(),
        0usize..20_000,
    );
    prop::collection::vec(entry, 0..120).prop_map(|entries| {
        let mut tree = Tree::new(EPOCH);
        let mut folded = BTreeSet::new();
        for (names, directory, length) in entries {
            let Ok(path) = TreePath::new(&names.join("/")) else {
                continue;
            };
            let mut prefixes = Vec::new();
            let mut prefix = Some(path.clone());
            while let Some(this) = prefix.filter(|path| !path.is_root()) {
                prefix = this.parent();
                prefixes.push(this);
            }
            let collides = prefixes.iter().any(|path| {
                tree.get(path).is_none() && folded.contains(&path.as_str().to_uppercase())
            });
            if collides || tree.get(&path).is_some() {
                continue;
            }
            let node = match directory {
                true => Node::directory(Metadata::new(0o755)),
                false => Node::file(Metadata::new(0o644), Content::from(vec![7; length])),
            };
            if tree.place(&path, node).is_ok() {
                folded.extend(prefixes.iter().map(|path| path.as_str().to_uppercase()));
            }
        }
        tree
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_tree_is_clean_and_comes_back(tree in trees()) {
        let oracle = Oracle::open();
        let folder = oracle.folder();
        let size = fat::plan(&tree, None).unwrap();
        let image = image(&tree, &options(size), folder.path());
        assert_clean(&oracle, &image);
        let file = File::open(&image).unwrap();
        let volume = fat::read(&file, 0, size).unwrap();
        let mut found = vec![String::from("/")];
        found.extend(volume.entries().iter().map(|entry| format!("/{}", entry.path)));
        found.sort();
        let mut expected: Vec<_> = tree.iter().map(|(path, _)| path.to_string()).collect();
        expected.sort();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn a_damaged_volume_never_panics(
        damage in prop::collection::vec((0usize..4, any::<u16>(), any::<u8>()), 1..40),
    ) {
        let file = tempfile::tempfile().unwrap();
        file.set_len(34 * MIB).unwrap();
        fat::write(&sample(), &options(34 * MIB), &file, 0).unwrap();
        let mut sector = [0; 512];
        file.read_exact_at(&mut sector, 0).unwrap();
        let reserved = u64::from(u16::from_le_bytes([sector[14], sector[15]]));
        let table = u64::from(u32::from_le_bytes([sector[36], sector[37], sector[38], sector[39]]));
        for (area, at, value) in damage {
            // The boot sector, the first table, the root directory, other directories.
            let (start, length) = match area {
                0 => (11, 80),
                1 => (reserved * 512, 16_384),
                2 => ((reserved + 2 * table) * 512, 512),
                _ => ((reserved + 2 * table) * 512, 16_384),
            };
            file.write_all_at(&[value], start + u64::from(at) % length).unwrap();
        }
        if let Ok(volume) = fat::read(&file, 0, 34 * MIB) {
            for entry in volume.entries() {
                prop_assert!(!entry.path.split('/').any(|name| name.is_empty() || name == ".."));
                let _ = volume.copy(&entry.path, &mut std::io::sink());
                for (offset, length) in volume.stretches(&entry.path).unwrap_or_default() {
                    prop_assert!(offset + length <= 34 * MIB);
                }
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        prop_assert!(fat::read(&file, 0, bytes.len() as u64).is_err());
    }
}
