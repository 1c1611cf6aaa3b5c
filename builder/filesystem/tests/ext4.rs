//! ext4 judged by e2fsck, dumpe2fs and the kernel.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that panics has failed"
)]

mod common;

use common::{Compared, EPOCH, Mounted, add_corners, add_devices_and_attributes, path};
use fortress_filesystem::Error;
use fortress_filesystem::ext4::{self, Ext4Options, Headroom};
use fortress_progress::{Observer, Silent, Stage, Unit};
use fortress_tests::Oracle;
use fortress_tree::{Content, Kind, Metadata, Node, Tree, TreePath};
use proptest::prelude::*;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;

const ALL: Compared = Compared {
    attributes: true,
    link_times: true,
    directory_times: true,
};

fn options(size: u64) -> Ext4Options {
    Ext4Options {
        size,
        uuid: Uuid::from_u128(0x1234_5678_9abc_def0_1234_5678_9abc_def0),
        hash_seed: Uuid::from_u128(42),
        label: "root-x86".into(),
        epoch: EPOCH,
    }
}

/// Writes a tree as an image of its own in `folder`, `offset` bytes into it.
fn image(tree: &Tree, folder: &Path, offset: u64) -> PathBuf {
    let size = ext4::plan(tree, Headroom::default()).unwrap();
    let path = folder.join("image");
    let file = File::create(&path).unwrap();
    file.set_len(offset + size).unwrap();
    ext4::write(tree, &options(size), &file, offset, &Silent).unwrap();
    path
}

#[track_caller]
fn assert_clean(oracle: &Oracle, image: &Path, offset: u64) {
    let name = format!("{}?offset={offset}", oracle.inside(image));
    let outcome = oracle.run(&["e2fsck", "-f", "-n", &name]);
    let said = format!("{}{}", outcome.output, outcome.errors);
    assert!(outcome.status == 0 && !said.contains("Fix?"), "{said}");
}

/// A field of the superblock as dumpe2fs tells it.
fn field(oracle: &Oracle, image: &Path, name: &str) -> String {
    let said = oracle
        .run(&["dumpe2fs", "-h", &oracle.inside(image)])
        .success();
    let line = said.lines().find(|line| line.starts_with(name)).unwrap();
    line[name.len()..].trim_start_matches(':').trim().to_owned()
}

#[test]
fn a_real_root_arrives_whole_and_the_same_each_time() {
    let oracle = Oracle::open();
    let mut tree = Tree::new(EPOCH);
    let folders = [
        "/etc",
        "/usr/lib/systemd",
        "/usr/share/zoneinfo",
        "/usr/bin",
    ];
    common::load(&mut tree, oracle.root(), &folders);
    add_corners(&mut tree);
    add_devices_and_attributes(&mut tree);
    let folder = oracle.folder();
    let offset = 3 << 20;
    let first = image(&tree, folder.path(), offset);
    assert_clean(&oracle, &first, offset);
    let mounted = Mounted::new(&first, &format!("loop,ro,offset={offset}"));
    common::assert_same(&tree, mounted.path(), &["/lost+found"], ALL);
    drop(mounted);
    // Once more, by one thread.
    let other = oracle.folder();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    let second = pool.install(|| image(&tree, other.path(), offset));
    assert!(common::same_bytes(
        &Content::host_file(&first).unwrap(),
        &second
    ));
}

#[test]
fn large_directories_and_files_arrive() {
    let oracle = Oracle::open();
    let folder = oracle.folder();
    let mut tree = Tree::new(EPOCH);
    for number in 0..10_000 {
        let name = format!("/flat/a-file-with-a-rather-long-name-{number}");
        tree.write(&path(&name), 0o644, format!("{number}"))
            .unwrap();
    }
    // Five extents of 128 MiB, so that it takes a tree of extents.
    let sparse = folder.path().join("sparse");
    let file = File::create(&sparse).unwrap();
    file.set_len(600 << 20).unwrap();
    for at in [0, 300 << 20, (600 << 20) - 3] {
        std::os::unix::fs::FileExt::write_all_at(&file, b"end", at).unwrap();
    }
    tree.write(&path("/large"), 0o644, Content::host_file(&sparse).unwrap())
        .unwrap();
    let image = image(&tree, folder.path(), 0);
    assert_clean(&oracle, &image, 0);
    let mounted = Mounted::new(&image, "loop,ro");
    common::assert_same(&tree, mounted.path(), &["/lost+found"], ALL);
    drop(mounted);
    // Its zeros took no room.
    assert!(std::fs::metadata(&image).unwrap().blocks() * 512 < 80 << 20);
}

#[test]
fn an_empty_tree_is_a_file_system_too() {
    let oracle = Oracle::open();
    let folder = oracle.folder();
    let image = image(&Tree::new(0), folder.path(), 0);
    assert_clean(&oracle, &image, 0);
    assert_eq!(std::fs::metadata(&image).unwrap().len(), 16 << 20);
    assert_eq!(field(&oracle, &image, "Block size"), "4096");
    assert_eq!(field(&oracle, &image, "Filesystem volume name"), "root-x86");
    assert_eq!(
        field(&oracle, &image, "Filesystem UUID"),
        "12345678-9abc-def0-1234-56789abcdef0"
    );
    assert_eq!(
        field(&oracle, &image, "Directory Hash Seed"),
        "00000000-0000-0000-0000-00000000002a"
    );
}

#[test]
fn the_planned_size_is_tight_and_headroom_is_free() {
    let oracle = Oracle::open();
    let mut tree = Tree::new(EPOCH);
    common::load(&mut tree, oracle.root(), &["/usr/bin", "/etc"]);
    let folder = oracle.folder();
    let tight = image(&tree, folder.path(), 0);
    let free = |image: &Path| -> u64 { field(&oracle, image, "Free blocks").parse().unwrap() };
    assert!(free(&tight) < 64, "{} blocks are free", free(&tight));
    let size = std::fs::metadata(&tight).unwrap().len();
    let headroom = Headroom {
        percent: 30,
        bytes: 5 << 20,
    };
    let roomy = ext4::plan(&tree, headroom).unwrap();
    assert!(roomy >= size * 13 / 10 + (5 << 20) && roomy < size * 14 / 10 + (6 << 20));
    let file = File::create(&tight).unwrap();
    file.set_len(roomy).unwrap();
    ext4::write(&tree, &options(roomy), &file, 0, &Silent).unwrap();
    assert_clean(&oracle, &tight, 0);
    assert!(free(&tight) * 4096 > size * 3 / 10 + (4 << 20));
}

#[test]
fn many_empty_files_get_the_groups_that_their_inodes_take() {
    let oracle = Oracle::open();
    let folder = oracle.folder();
    let mut tree = Tree::new(EPOCH);
    for directory in 0..40 {
        let directory = path(&format!("/{directory}"));
        tree.insert(directory.clone(), Node::directory(Metadata::new(0o755)))
            .unwrap();
        for number in 0..1000 {
            let node = Node::file(Metadata::new(0o644), Content::from(""));
            tree.insert(directory.join(&number.to_string()).unwrap(), node)
                .unwrap();
        }
    }
    let image = image(&tree, folder.path(), 0);
    assert_clean(&oracle, &image, 0);
}

#[test]
fn what_does_not_fit_or_suit_is_refused_with_the_reason() {
    let mut tree = Tree::new(EPOCH);
    let bytes = vec![1u8; 30 << 20];
    tree.write(&path("/file"), 0o644, bytes).unwrap();
    let file = tempfile::tempfile().unwrap();
    file.set_len(64 << 20).unwrap();
    let error = ext4::write(&tree, &options(20 << 20), &file, 0, &Silent).unwrap_err();
    let needed = ext4::plan(&tree, Headroom::default()).unwrap();
    assert_eq!(
        error.to_string(),
        format!("the ext4 file system of 20971520 bytes is too small: it takes {needed} bytes")
    );
    let mut wrong = options(needed);
    wrong.label = "longer than sixteen".into();
    let error = ext4::write(&tree, &wrong, &file, 0, &Silent).unwrap_err();
    assert!(matches!(error, Error::Option { .. }), "{error}");
    let node = tree.get_mut(&path("/file")).unwrap();
    node.metadata
        .attributes
        .insert("system.posix_acl_access".into(), vec![1]);
    let error = ext4::plan(&tree, Headroom::default()).unwrap_err();
    assert!(
        error.to_string().starts_with("/file cannot be put in"),
        "{error}"
    );
    let mut tree = Tree::new(EPOCH);
    tree.write(&path("/lost+found/mine"), 0o644, "x").unwrap();
    assert!(ext4::plan(&tree, Headroom::default()).is_err());
}

#[test]
fn a_full_disk_and_a_file_cut_short_are_told_apart() {
    let mut tree = Tree::new(EPOCH);
    tree.write(&path("/file"), 0o644, vec![1u8; 100_000])
        .unwrap();
    let size = ext4::plan(&tree, Headroom::default()).unwrap();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let error = ext4::write(&tree, &options(size), &full, 0, &Silent).unwrap_err();
    assert!(matches!(error, Error::Full { .. }), "{error:?}");
    let folder = tempfile::tempdir().unwrap();
    let host = folder.path().join("host");
    std::fs::write(&host, [1; 5000]).unwrap();
    tree.write(&path("/host"), 0o644, Content::host_file(&host).unwrap())
        .unwrap();
    std::fs::write(&host, [1; 4000]).unwrap();
    let image = tempfile::tempfile().unwrap();
    image.set_len(size).unwrap();
    let error = ext4::write(&tree, &options(size), &image, 0, &Silent).unwrap_err();
    assert_eq!(error.to_string(), "cannot read the contents of /host");
}

/// Counts what it is told, and calls the work off after so many bytes.
struct Counter {
    counted: Arc<AtomicU64>,
    enough: u64,
}

impl Observer for Counter {
    fn stage(&self, _name: &str, total: Option<u64>, unit: Unit) -> Box<dyn Stage> {
        assert_eq!((total, unit), (Some(3_600_000), Unit::Bytes));
        Box::new(Count(self.counted.clone()))
    }
    fn note(&self, _line: &str) {}
    fn warn(&self, _line: &str) {}
    fn cancelled(&self) -> bool {
        self.counted.load(Ordering::Relaxed) > self.enough
    }
}

struct Count(Arc<AtomicU64>);

impl Stage for Count {
    fn advance(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }
    fn doing(&self, _what: &str) {}
}

#[test]
fn progress_is_told_in_bytes_and_work_can_be_called_off() {
    let mut tree = Tree::new(EPOCH);
    for (name, length) in [
        ("/a", 1),
        ("/b", 99_999),
        ("/c", 500_000),
        ("/d", 3_000_000),
    ] {
        tree.write(&path(name), 0o644, vec![1; length]).unwrap();
    }
    let size = ext4::plan(&tree, Headroom::default()).unwrap();
    let file = tempfile::tempfile().unwrap();
    file.set_len(size).unwrap();
    let counter = |enough| Counter {
        counted: Arc::default(),
        enough,
    };
    let patient = counter(u64::MAX);
    ext4::write(&tree, &options(size), &file, 0, &patient).unwrap();
    assert_eq!(patient.counted.load(Ordering::Relaxed), 3_600_000);
    let error = ext4::write(&tree, &options(size), &file, 0, &counter(1_000_000)).unwrap_err();
    assert!(matches!(error, Error::Cancelled(_)), "{error}");
}

fn files(tree: &Tree) -> impl Iterator<Item = &TreePath> {
    let files = tree
        .iter()
        .filter(|(_, node)| matches!(node.kind, Kind::File(_)));
    files.map(|(path, _)| path)
}

/// Trees of all shapes: files of many lengths, links, long and short names, deep and wide.
fn trees() -> impl Strategy<Value = Tree> {
    let name = prop_oneof!["[a-z]{1,8}", "[a-zé✓ ]{1,60}", "[x]{200}"];
    let entry = (prop::collection::vec(name, 1..6), 0u8..6, 0u32..300_000);
    prop::collection::vec(entry, 0..150).prop_map(|entries| {
        let mut tree = Tree::new(EPOCH);
        for (names, kind, number) in entries {
            let Ok(path) = TreePath::new(&names.join("/")) else {
                continue;
            };
            let Some(parent) = path.parent() else {
                continue;
            };
            if tree.make_directories(&parent).is_err() || tree.get(&path).is_some() {
                continue;
            }
            let kind = match kind {
                0 => Kind::Directory,
                1 => Kind::Symlink("t".repeat(1 + number as usize % 4000)),
                2 => match files(&tree).nth(number as usize % 7) {
                    Some(target) => Kind::HardLink(target.clone()),
                    None => continue,
                },
                3 => Kind::File(Content::from(vec![1; number as usize % 100])),
                _ => Kind::File(Content::from(vec![2; number as usize])),
            };
            let mut metadata = Metadata::new((number & 0o7777) as u16);
            if number % 5 == 0 {
                let value = vec![3; number as usize % 900];
                metadata.attributes.insert("user.a".into(), value);
            }
            // A link on the way leads to a place that takes nothing.
            let _ = tree.insert(path, Node { metadata, kind });
        }
        tree
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn every_tree_fits_its_planned_size(tree in trees()) {
        let oracle = Oracle::open();
        let folder = oracle.folder();
        let image = image(&tree, folder.path(), 0);
        assert_clean(&oracle, &image, 0);
    }
}
