//! Real packages, unpacked by us and by dpkg and tar: the same to the last bit of metadata.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test a panic is the verdict"
)]

use fortress_package::{Archive, Options, Package, unpack};
use fortress_progress::Silent;
use fortress_tests::Oracle;
use fortress_tree::{Kind, Spool, Tree, TreePath};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

/// The packages that the oracle root was made from, those that come first there first.
fn archives(oracle: &Oracle) -> Vec<Archive> {
    let mut archives: Vec<Archive> = std::fs::read_dir(oracle.packages())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .map(|path| Archive {
            name: path.file_name().unwrap().to_str().unwrap().to_owned(),
            path,
            sha256: None,
        })
        .collect();
    archives.sort_by_key(|archive| {
        (
            !archive.name.starts_with("base-files_"),
            archive.name.clone(),
        )
    });
    assert!(archives.len() > 100, "the oracle root has no packages");
    archives
}

fn unpacked(archives: &[Archive]) -> (Tree, Vec<Package>) {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::new(folder.path()).unwrap();
    let mut tree = Tree::new(0);
    let packages = unpack(archives, &mut tree, &spool, &Options::default(), &Silent).unwrap();
    (tree, packages)
}

/// Listing and times of a tree. Which of a file's names is the file, and which are hard links,
/// is up to the reader of a folder, so hard links go by the first name.
fn lines(tree: &Tree) -> Vec<String> {
    let mut first: BTreeMap<&TreePath, &TreePath> = BTreeMap::new();
    for (path, node) in tree.iter() {
        if let Kind::HardLink(file) = &node.kind {
            let name = first.entry(file).or_insert_with(|| path.min(file));
            *name = path.min(name);
        }
    }
    let listing = tree.listing().unwrap();
    listing
        .lines()
        .zip(tree.iter())
        .map(|(line, (path, node))| {
            let file = match &node.kind {
                Kind::HardLink(file) => file,
                _ => path,
            };
            let time = tree.get(file).unwrap().metadata.modified;
            let names = match first.get(file) {
                Some(name) => format!(" one file with {name}"),
                None => String::new(),
            };
            let time = match node.kind {
                // tar touches directories after it has set their times.
                Kind::Directory => String::new(),
                _ => format!(" at {time}"),
            };
            let line = match (&node.kind, first.get(file)) {
                (Kind::File(_) | Kind::HardLink(_), Some(_)) => {
                    let content = tree.content(path).unwrap().read().unwrap();
                    let what = line.split(' ').take(3).collect::<Vec<_>>().join(" ");
                    format!("{what} {} bytes, {}", content.len(), checksum(&content))
                }
                _ => line.to_owned(),
            };
            format!("{line}{time}{names}")
        })
        .collect()
}

/// The same but for the root, which is the folder that was unpacked into.
fn without_root(tree: &Tree) -> Vec<String> {
    lines(tree).split_off(1)
}

/// FNV-1a, for contents that are compared with themselves.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

#[track_caller]
fn assert_same(ours: &[String], theirs: &[String], what: &str) {
    let (a, b): (Vec<_>, Vec<_>) = (
        ours.iter()
            .filter(|line| !theirs.contains(line))
            .take(10)
            .collect(),
        theirs
            .iter()
            .filter(|line| !ours.contains(line))
            .take(10)
            .collect(),
    );
    assert!(ours == theirs, "{what}: ours {a:#?}, theirs {b:#?}");
}

#[test]
fn every_package_alone_is_as_dpkg_deb_and_tar_unpack_it() {
    let oracle = Oracle::open();
    let archives = archives(&oracle);
    let folder = oracle.folder();
    // Control information goes beside each package's tree.
    let script = r#"
        set -e
        for deb in /var/cache/apt/archives/*.deb; do
            to=$1/${deb##*/}; mkdir "$to" "$to/root"
            dpkg-deb --fsys-tarfile "$deb" |
                tar -x -v -p --quoting-style=literal --numeric-owner --xattrs --xattrs-include='*' -C "$to/root" > "$to/names"
            dpkg-deb -e "$deb" "$to/control"
            dpkg-deb -f "$deb" Package Version Architecture Essential > "$to/fields"
        done"#;
    let to = oracle.inside(folder.path());
    oracle.run(&["sh", "-c", script, "sh", &to]).success();
    archives.par_iter().for_each(|archive| {
        let theirs = folder.path().join(&archive.name);
        let (tree, packages) = unpacked(std::slice::from_ref(archive));
        let [package] = &packages[..] else {
            panic!("one package came in, {} came out", packages.len());
        };
        let loaded = Tree::load(&theirs.join("root"), 0).unwrap();
        assert_same(&without_root(&tree), &without_root(&loaded), &archive.name);
        same_control(package, &theirs);
        let names = std::fs::read_to_string(theirs.join("names")).unwrap();
        let names: Vec<_> = names
            .lines()
            .map(|name| name.trim_matches(['.', '/']))
            .collect();
        let paths: Vec<_> = package
            .paths
            .iter()
            .map(|path| path.trim_matches(['.', '/']))
            .collect();
        assert!(paths == names, "{}: {paths:?}", archive.name);
    });
}

/// Our control information against what dpkg-deb says.
#[track_caller]
fn same_control(package: &Package, theirs: &Path) {
    let mut fields = String::new();
    for name in ["Package", "Version", "Architecture", "Essential"] {
        if let Some(value) = package.control.get(name) {
            fields += &format!("{name}: {value}\n");
        }
    }
    assert_eq!(
        fields,
        std::fs::read_to_string(theirs.join("fields")).unwrap()
    );
    assert_eq!(package.essential, fields.contains("Essential: yes"));
    let mut members = BTreeMap::new();
    for entry in std::fs::read_dir(theirs.join("control")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        members.insert(name, std::fs::read(path).unwrap());
    }
    let control = members.remove("control").unwrap();
    assert_eq!(
        package.control.text().as_bytes(),
        control,
        "{}",
        package.name
    );
    assert_eq!(package.members, members, "{}", package.name);
}

#[test]
fn all_packages_together_are_as_tar_lays_them_over_one_another() {
    let oracle = Oracle::open();
    let mut archives = archives(&oracle);
    let folder = oracle.folder();
    // Only the latest version of a package: the oracle's cache may hold others.
    archives.dedup_by_key(|archive| archive.name.split('_').next().map(str::to_owned));
    let (tree, packages) = unpacked(&archives);
    // In the same order: essential packages first.
    let mut order: Vec<usize> = (0..archives.len()).collect();
    order.sort_by_key(|index| !packages[*index].essential);
    let names: Vec<&str> = order
        .iter()
        .map(|index| archives[*index].name.as_str())
        .collect();
    let script = r#"
        set -e
        to=$1; shift
        for deb; do
            dpkg-deb --fsys-tarfile "/var/cache/apt/archives/$deb" |
                tar -x -p --numeric-owner --xattrs --xattrs-include='*' \
                    --keep-directory-symlink --no-overwrite-dir -C "$to"
        done"#;
    let to = oracle.inside(folder.path());
    let mut command = vec!["sh", "-c", script, "sh", &to];
    command.extend(names);
    oracle.run(&command).success();
    let theirs = Tree::load(folder.path(), 0).unwrap();
    assert_same(&without_root(&tree), &without_root(&theirs), "all packages");
}

#[test]
fn lists_are_those_that_dpkg_wrote() {
    let oracle = Oracle::open();
    let (_, packages) = unpacked(&archives(&oracle));
    let info = oracle.root().join("var/lib/dpkg/info");
    let mut compared = 0;
    for package in &packages {
        // dpkg writes of all lists in its own order of directories, and has others for what it
        // diverts; what is in them is the same.
        let list = info.join(format!("{}.list", package.info_name()));
        let Ok(list) = std::fs::read_to_string(&list) else {
            panic!("dpkg has no {}", list.display());
        };
        let mut theirs: Vec<&str> = list.lines().collect();
        let mut ours: Vec<&str> = package.paths.iter().map(String::as_str).collect();
        theirs.sort_unstable();
        ours.sort_unstable();
        assert_eq!(ours, theirs, "{}", package.name);
        for name in ["md5sums", "conffiles", "triggers", "shlibs", "postinst"] {
            let file = info.join(format!("{}.{name}", package.info_name()));
            if let (Ok(theirs), Some(ours)) = (std::fs::read(&file), package.members.get(name)) {
                assert_eq!(*ours, theirs, "{}", file.display());
                compared += 1;
            }
        }
    }
    assert!(
        compared > 300,
        "only {compared} files of dpkg's were compared"
    );
}
