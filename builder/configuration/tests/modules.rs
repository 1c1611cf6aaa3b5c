//! Module data against Debian's own depmod and modprobe, on Debian's own kernel.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by them")]

#[path = "host/mod.rs"]
mod host;

use fortress_configuration::modules::{self, FactsCache, ModuleFacts, ModuleIndex, NoCache};
use fortress_tests::Oracle;
use fortress_tree::{Content, Tree, TreePath};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Mutex;

/// What depmod makes, but for `modules.symbols`, whose lines it leaves in no order.
const MADE: [&str; 10] = [
    "dep",
    "dep.bin",
    "alias",
    "alias.bin",
    "softdep",
    "weakdep",
    "symbols.bin",
    "builtin.bin",
    "builtin.alias.bin",
    "devname",
];

fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

fn folder(release: &str) -> TreePath {
    path("/usr/lib/modules").join(release).unwrap()
}

/// The oracle root's kernel: its release, and a tree with its modules as depmod left them.
fn kernel(oracle: &Oracle) -> (String, Tree) {
    let tree = host::load(oracle.root(), &["/usr/lib/modules"]);
    let releases = modules::releases(&tree);
    assert_eq!(releases.len(), 1, "the oracle root has one kernel");
    (releases[0].clone(), tree)
}

/// Asserts that all files in `ours` and `theirs` are the same.
fn compare(ours: &Tree, theirs: &Tree, release: &str) {
    let read = |tree: &Tree, name: &str| {
        let path = folder(release).join(&format!("modules.{name}")).unwrap();
        tree.read(&path).unwrap()
    };
    for name in MADE {
        let (ours, theirs) = (read(ours, name), read(theirs, name));
        if !name.ends_with(".bin") {
            let lines = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let (ours, theirs) = (lines(&ours), lines(&theirs));
            for (ours, theirs) in ours.lines().zip(theirs.lines()) {
                assert_eq!(ours, theirs, "modules.{name}");
            }
        }
        assert!(ours == theirs, "modules.{name} differs");
    }
    let sorted = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(
        sorted(read(ours, "symbols")),
        sorted(read(theirs, "symbols"))
    );
}

#[test]
fn every_file_is_what_depmod_makes() {
    let oracle = Oracle::open();
    let (release, theirs) = kernel(&oracle);
    let mut tree = theirs.clone();
    for name in MADE.into_iter().chain(["symbols"]) {
        let made = folder(&release).join(&format!("modules.{name}")).unwrap();
        assert_eq!(tree.remove(&made), 1, "{name}");
    }
    let index = modules::index(&tree, &release, &NoCache).unwrap();
    assert!(index.count() > 1000);
    modules::write(&mut tree, &index).unwrap();
    compare(&tree, &theirs, &release);

    let kept: ModuleIndex = serde_json::from_slice(&serde_json::to_vec(&index).unwrap()).unwrap();
    assert_eq!(kept, index);
}

/// Keeps facts by path, and counts how often it is asked in vain.
#[derive(Default)]
struct Kept {
    facts: Mutex<BTreeMap<TreePath, ModuleFacts>>,
    missed: Mutex<usize>,
}

impl FactsCache for Kept {
    fn get(&self, path: &TreePath, _content: &Content) -> Option<ModuleFacts> {
        let found = self.facts.lock().unwrap().get(path).cloned();
        *self.missed.lock().unwrap() += usize::from(found.is_none());
        found
    }
    fn keep(&self, path: &TreePath, _content: &Content, facts: &ModuleFacts) {
        self.facts
            .lock()
            .unwrap()
            .insert(path.clone(), facts.clone());
    }
}

/// A tree with the modules that `keep` wants, and what belongs to them.
fn part(whole: &Tree, release: &str, keep: impl Fn(&str) -> bool) -> Tree {
    let mut part = whole.clone();
    let modules = folder(release).join("kernel").unwrap();
    part.remove_where(|path, node| {
        path.is_within(&modules) && !node.is_directory() && !keep(path.as_str())
    });
    part
}

#[test]
fn facts_that_are_kept_are_not_read_again() {
    let oracle = Oracle::open();
    let (release, whole) = kernel(&oracle);
    let tree = part(&whole, &release, |path| path.contains("/fs/"));
    let cache = Kept::default();
    let first = modules::index(&tree, &release, &cache).unwrap();
    assert_eq!(*cache.missed.lock().unwrap(), first.count());
    let second = modules::index(&tree, &release, &cache).unwrap();
    assert_eq!(*cache.missed.lock().unwrap(), first.count());
    assert_eq!(first, second);
}

#[test]
fn gzip_is_read_too() {
    // Debian's own depmod is built without it.
    let oracle = Oracle::open();
    let module = sample(&oracle);
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(&module).unwrap();
    let packed = ModuleFacts::read(&path("/x.ko.gz"), &writer.finish().unwrap().into()).unwrap();
    assert_eq!(
        packed,
        ModuleFacts::read(&path("/x.ko"), &module.into()).unwrap()
    );
}

#[test]
fn every_compression_and_updates_are_as_depmod_has_them() {
    let oracle = Oracle::open();
    let (release, whole) = kernel(&oracle);
    let mut tree = part(&whole, &release, |path| path.contains("/drivers/md/"));
    let files: Vec<TreePath> = (tree.within(&folder(&release)))
        .filter(|(path, _)| path.as_str().ends_with(".ko.xz"))
        .map(|(path, _)| path.clone())
        .collect();
    assert!(files.len() > 20);
    for (number, file) in files.iter().enumerate() {
        let bytes = modules::decompress(file, tree.content(file).unwrap()).unwrap();
        let plain = file.as_str().strip_suffix(".xz").unwrap();
        // A second, older copy that loses against the one in updates/.
        if number == 0 {
            let update = plain.replace("/kernel/drivers/md/", "/updates/dkms/");
            tree.write(&path(&update), 0o644, bytes.clone()).unwrap();
        }
        let (suffix, packed) = match number % 3 {
            0 => ("", bytes),
            1 => (".zst", zstd::bulk::compress(&bytes, 1).unwrap()),
            _ => continue,
        };
        tree.remove(file);
        tree.write(&path(&format!("{plain}{suffix}")), 0o644, packed)
            .unwrap();
    }
    let index = modules::index(&tree, &release, &NoCache).unwrap();
    modules::write(&mut tree, &index).unwrap();

    let root = oracle.folder();
    host::store(&tree, root.path());
    std::os::unix::fs::symlink("usr/lib", root.path().join("lib")).unwrap();
    let inside = oracle.inside(root.path());
    oracle.run(&["depmod", "-b", &inside, &release]).success();
    let theirs = host::load(root.path(), &["/usr/lib/modules"]);
    compare(&tree, &theirs, &release);
    let dependencies = folder(&release).join("modules.dep").unwrap();
    let dependencies = tree.read_text(&dependencies).unwrap();
    assert!(dependencies.starts_with("updates/dkms/") || dependencies.contains("\nupdates/dkms/"));
}

/// What modprobe would load for a name: files in order; `builtin NAME` for what is built in.
fn modprobe(oracle: &Oracle, release: &str, name: &str) -> Vec<String> {
    let shown = oracle
        .run(&["modprobe", "-S", release, "--show-depends", name])
        .success();
    let lines = shown.lines().map(|line| {
        let line = line.trim().strip_prefix("insmod ").unwrap_or(line.trim());
        line.replace("/lib/modules/", "/usr/lib/modules/")
            .replace("/usr/usr/", "/usr/")
    });
    lines.collect()
}

#[test]
fn closures_have_what_modprobe_loads() {
    let oracle = Oracle::open();
    let (release, tree) = kernel(&oracle);
    let index = modules::index(&tree, &release, &NoCache).unwrap();
    let names = [
        "dm-verity",
        "dm_crypt",
        "ext4",
        "btrfs",
        "vfat",
        "fs-erofs",
        "virtio_blk",
        "virtio-net",
        "nf_tables",
        "nft-chain-1-nat",
        "wireguard",
        "overlay",
        "xfs",
        "mlx5_core",
        "nvme",
        "virtio:d00000002v00001AF4",
        "bcachefs",
        "squashfs",
        "nfsd",
        "net-pf-16-proto-16-family-wireguard",
    ];
    for name in names {
        let closure = index.closure(&[name.to_owned()]).unwrap();
        let files: Vec<&str> = closure.files.iter().map(TreePath::as_str).collect();
        let theirs = modprobe(&oracle, &release, name);
        assert!(!theirs.is_empty(), "{name}");
        for file in theirs {
            match file.strip_prefix("builtin ") {
                Some(module) => assert!(closure.builtin.iter().any(|it| it == module), "{name}"),
                None => assert!(
                    files.contains(&file.trim_end()),
                    "{name}: {file} in {files:?}"
                ),
            }
        }
        // Each stands after what it cannot do without.
        for (place, file) in files.iter().enumerate() {
            let module = file.rsplit('/').next().unwrap().split('.').next().unwrap();
            for need in modprobe_needs(&tree, &release, module) {
                let before = files.iter().position(|file| *file == need);
                assert!(
                    before.is_some_and(|before| before < place),
                    "{name}: {need} for {file}"
                );
            }
        }
    }
    let together = index
        .closure(&["ext4".into(), "dm-verity".into(), "ext4".into()])
        .unwrap();
    let mut unique = together.files.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), together.files.len());
    let firmware = index.closure(&["jr3_pci".into()]).unwrap().firmware;
    assert_eq!(firmware, ["comedi/jr3pci.idm"]);
}

/// What `modules.dep` says that a module needs.
fn modprobe_needs(tree: &Tree, release: &str, module: &str) -> Vec<String> {
    let dependencies = folder(release).join("modules.dep").unwrap();
    let text = tree.read_text(&dependencies).unwrap();
    let line = text.lines().find(|line| {
        let file = line.split(':').next().unwrap();
        file.rsplit('/').next().unwrap().split('.').next() == Some(module)
    });
    let needs = line.unwrap().split_once(':').unwrap().1.split_whitespace();
    needs
        .map(|file| format!("{}/{file}", folder(release)))
        .collect()
}

#[test]
fn what_is_not_there_is_refused_with_its_neighbours() {
    let oracle = Oracle::open();
    let (release, tree) = kernel(&oracle);
    let tree = part(&tree, &release, |path| path.contains("/drivers/md/"));
    let index = modules::index(&tree, &release, &NoCache).unwrap();
    let error = index.closure(&["dm-verty".into()]).unwrap_err().to_string();
    for part in ["\"dm-verty\"", &release, "dm_verity"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_damaged_module_is_named() {
    let mut tree = Tree::new(0);
    let file = folder("6.1").join("kernel/x.ko.xz").unwrap();
    for bytes in [&b"not xz"[..], b"", b"\xfd7zXZ\0"] {
        tree.write(&file, 0o644, bytes.to_vec()).unwrap();
        let error = modules::index(&tree, "6.1", &NoCache)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("/usr/lib/modules/6.1/kernel/x.ko.xz"),
            "{error}"
        );
    }
}

/// A small real module, decompressed.
fn sample(oracle: &Oracle) -> Vec<u8> {
    let (release, tree) = kernel(oracle);
    let file = folder(&release).join("kernel/fs/fat/vfat.ko.xz").unwrap();
    modules::decompress(&file, tree.content(&file).unwrap()).unwrap()
}

#[test]
fn damaged_modules_never_panic() {
    let oracle = Oracle::open();
    let module = sample(&oracle);
    let file = path("/x.ko");
    let facts = ModuleFacts::read(&file, &module.clone().into()).unwrap();
    assert!(!facts.needs.is_empty() && !facts.aliases.is_empty());
    let change = (any::<prop::sample::Index>(), any::<u8>());
    let changes = prop::collection::vec(change, 1..20);
    // Headers and tables are what can mislead: the first 64 bytes and the last 10,000.
    let strategy = (changes, any::<prop::sample::Index>(), any::<bool>());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(400));
    let ran = runner.run(&strategy, |(changes, cut, head)| {
        let mut bytes = module.clone();
        for (at, byte) in changes {
            let at = match head {
                true => at.index(64),
                false => bytes.len() - 1 - at.index(10_000),
            };
            bytes[at] = byte;
        }
        if cut.index(4) == 0 {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = ModuleFacts::read(&file, &bytes.into());
        Ok(())
    });
    ran.unwrap();
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for suffix in ["", ".xz", ".zst", ".gz"] {
            let _ = ModuleFacts::read(&path(&format!("/x.ko{suffix}")), &bytes.clone().into());
        }
    }
}
