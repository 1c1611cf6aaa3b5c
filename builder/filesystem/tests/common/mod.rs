//! Trees to write, taken from a real root and from the corners of what a tree can be, and the
//! comparison of a tree with what a tool or the kernel made of it.
#![allow(dead_code)] // each test file uses a part

use fortress_tree::{Content, Kind, Metadata, Node, Tree, TreePath};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::Command;

pub(crate) const EPOCH: i64 = 1_750_000_000;

pub(crate) fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

/// Reads the real files below `root` that `folders` name into a tree, links and owners included.
pub(crate) fn load(tree: &mut Tree, root: &Path, folders: &[&str]) {
    let mut names: BTreeMap<(u64, u64), TreePath> = BTreeMap::new();
    for folder in folders {
        let mut parents = path(folder);
        let mut above = Vec::new();
        while let Some(parent) = parents.parent() {
            above.push(parent.clone());
            parents = parent;
        }
        for parent in above.into_iter().rev() {
            if tree.get(&parent).is_none() {
                let directory = Node::directory(Metadata::new(0o755));
                tree.insert(parent, directory).unwrap();
            }
        }
        let mut waiting = vec![path(folder)];
        while let Some(here) = waiting.pop() {
            let host = root.join(here.relative());
            let node = node(&host, &here, &mut names);
            let is_directory = node.is_directory();
            tree.insert(here.clone(), node).unwrap();
            if is_directory {
                for entry in fs::read_dir(&host).unwrap() {
                    let name = entry.unwrap().file_name().into_string().unwrap();
                    waiting.push(here.join(&name).unwrap());
                }
            }
        }
    }
}

fn node(host: &Path, here: &TreePath, names: &mut BTreeMap<(u64, u64), TreePath>) -> Node {
    let found = fs::symlink_metadata(host).unwrap();
    let kind = if found.is_dir() {
        Kind::Directory
    } else if found.is_symlink() {
        Kind::Symlink(fs::read_link(host).unwrap().to_str().unwrap().into())
    } else if found.is_file() {
        match names.get(&(found.dev(), found.ino())) {
            Some(first) => Kind::HardLink(first.clone()),
            None => {
                names.insert((found.dev(), found.ino()), here.clone());
                Kind::File(Content::host_file(host).unwrap())
            }
        }
    } else {
        panic!("{} is none of the kinds that packages have", host.display())
    };
    let mut metadata = Metadata::new((found.mode() & 0o7777) as u16);
    metadata.user = found.uid();
    metadata.group = found.gid();
    metadata.modified = found.mtime();
    Node { metadata, kind }
}

/// Puts a node with some metadata of its own at a path.
fn put(tree: &mut Tree, at: &str, kind: Kind, mode: u16) {
    let mut metadata = Metadata::new(mode).owned_by(1000, 70_000);
    metadata.modified = 1_700_000_001;
    tree.insert(path(at), Node { metadata, kind }).unwrap();
}

/// What a root may have besides ordinary files.
pub(crate) fn add_corners(tree: &mut Tree) {
    tree.make_directories(&path("/corners/empty")).unwrap();
    let file = |text: &str| Kind::File(Content::from(text));
    put(tree, "/corners/nothing", file(""), 0o644);
    put(tree, "/corners/setuid", file("#!/bin/sh\n"), 0o4755);
    put(tree, "/corners/sticky", Kind::Directory, 0o1777);
    put(tree, "/corners/names", file("one file, three names"), 0o640);
    // A link that sorts before its file, one after.
    let link = || Kind::HardLink(path("/corners/names"));
    put(tree, "/corners/a-link", link(), 0o777);
    put(tree, "/corners/sticky/link", link(), 0o777);
    put(tree, "/corners/ünïcödé ✓", file("utf-8"), 0o644);
    put(
        tree,
        &format!("/corners/{}", "n".repeat(255)),
        file("long"),
        0o600,
    );
    for length in [1, 59, 60, 200, 4000] {
        let target = "t/".repeat(length / 2) + &"e".repeat(length % 2);
        put(
            tree,
            &format!("/corners/link-{length}"),
            Kind::Symlink(target),
            0o777,
        );
    }
    for size in [1, 4095, 4096, 4097, 600_000, 3_000_000] {
        let bytes: Vec<u8> = (0..size)
            .map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        put(
            tree,
            &format!("/corners/size-{size}"),
            Kind::File(bytes.into()),
            0o644,
        );
    }
    let mut future = Node::file(Metadata::new(0o644), Content::from("later than the epoch"));
    future.metadata.modified = EPOCH + 1000;
    tree.insert(path("/corners/future"), future).unwrap();
    let mut deep = String::from("/corners/deep");
    while deep.len() < 3000 {
        deep.push_str("/directory-in-directory");
    }
    tree.write(&path(&format!("{deep}/file")), 0o644, "deep")
        .unwrap();
}

/// Device nodes, and extended attributes of the kinds that packages carry.
pub(crate) fn add_devices_and_attributes(tree: &mut Tree) {
    put(
        tree,
        "/corners/null",
        Kind::CharacterDevice { major: 1, minor: 3 },
        0o666,
    );
    put(
        tree,
        "/corners/far",
        Kind::BlockDevice {
            major: 259,
            minor: 700_000,
        },
        0o660,
    );
    put(tree, "/corners/fifo", Kind::Fifo, 0o600);
    let attributes = &mut tree
        .get_mut(&path("/corners/setuid"))
        .unwrap()
        .metadata
        .attributes;
    // cap_net_raw=ep, revision 2.
    let mut capability = vec![1, 0, 0, 2, 0, 0x20, 0, 0];
    capability.resize(20, 0);
    attributes.insert("security.capability".into(), capability);
    attributes.insert("user.large".into(), vec![7; 2000]);
    attributes.insert("trusted.small".into(), b"x".to_vec());
}

/// Runs a program of this machine; it must succeed.
#[track_caller]
pub(crate) fn host(command: &[&str]) -> String {
    let ran = Command::new(command[0])
        .args(&command[1..])
        .output()
        .unwrap();
    assert!(ran.status.success(), "{command:?}: {ran:?}");
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

/// A file system of an image, mounted by the kernel while this lives.
pub(crate) struct Mounted {
    folder: tempfile::TempDir,
}

impl Mounted {
    #[track_caller]
    pub(crate) fn new(image: &Path, options: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (image.to_str().unwrap(), folder.path().to_str().unwrap());
        host(&["mount", "-o", options, from, to]);
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.folder.path()).status();
    }
}

/// What is compared of a node besides kind and contents.
#[derive(Clone, Copy)]
pub(crate) struct Compared {
    pub(crate) attributes: bool,
    /// Of symbolic links, too; cpio does not restore them.
    pub(crate) link_times: bool,
    /// Of directories; what is put into them later changes them.
    pub(crate) directory_times: bool,
}

/// Compares a tree with what is in a folder, node by node, both ways.
#[track_caller]
pub(crate) fn assert_same(tree: &Tree, folder: &Path, except: &[&str], compared: Compared) {
    let mut expected = BTreeSet::new();
    let mut inodes: BTreeMap<TreePath, u64> = BTreeMap::new();
    for (path, node) in tree.iter() {
        expected.insert(path.clone());
        let (file, node) = match &node.kind {
            Kind::HardLink(target) => (target, tree.get(target).unwrap()),
            _ => (path, node),
        };
        let host = folder.join(path.relative());
        let found = fs::symlink_metadata(&host).unwrap_or_else(|error| panic!("{path}: {error}"));
        let metadata = &node.metadata;
        let owner = (found.uid(), found.gid());
        assert_eq!(owner, (metadata.user, metadata.group), "owner of {path}");
        if !found.is_symlink() {
            assert_eq!(
                found.mode() & 0o7777,
                u32::from(metadata.mode),
                "mode of {path}"
            );
        }
        let timed = compared.link_times || !found.is_symlink();
        if timed && (compared.directory_times || !found.is_dir()) {
            assert_eq!(
                found.mtime(),
                metadata.modified.min(EPOCH),
                "time of {path}"
            );
        }
        if compared.attributes {
            assert_eq!(
                attributes(&host),
                metadata.attributes,
                "attributes of {path}"
            );
        }
        let device = |major, minor| rustix::fs::makedev(major, minor);
        match &node.kind {
            Kind::Directory => assert!(found.is_dir(), "{path}"),
            Kind::File(content) => {
                assert!(found.is_file(), "{path}");
                let ino = *inodes.entry(file.clone()).or_insert(found.ino());
                assert_eq!(ino, found.ino(), "{path} is another file than {file}");
                assert_eq!(found.len(), content.length(), "length of {path}");
                assert!(same_bytes(content, &host), "contents of {path}");
            }
            Kind::Symlink(target) => {
                assert_eq!(
                    fs::read_link(&host).unwrap().to_str(),
                    Some(target.as_str())
                );
            }
            Kind::CharacterDevice { major, minor } => {
                assert!(found.file_type().is_char_device(), "{path}");
                assert_eq!(found.rdev(), device(*major, *minor), "{path}");
            }
            Kind::BlockDevice { major, minor } => {
                assert!(found.file_type().is_block_device(), "{path}");
                assert_eq!(found.rdev(), device(*major, *minor), "{path}");
            }
            Kind::Fifo => assert!(found.file_type().is_fifo(), "{path}"),
            Kind::HardLink(_) => panic!("{path} links to a link"),
        }
    }
    assert_eq!(paths_in(folder, except), expected);
}

/// Every path below a folder, itself included.
pub(crate) fn paths_in(folder: &Path, except: &[&str]) -> BTreeSet<TreePath> {
    let mut paths = BTreeSet::new();
    let mut waiting = vec![TreePath::root()];
    while let Some(here) = waiting.pop() {
        let host = folder.join(here.relative());
        if fs::symlink_metadata(&host).unwrap().is_dir() {
            for entry in fs::read_dir(&host).unwrap() {
                let below = here
                    .join(entry.unwrap().file_name().to_str().unwrap())
                    .unwrap();
                if !except.contains(&below.as_str()) {
                    waiting.push(below);
                }
            }
        }
        paths.insert(here);
    }
    paths
}

pub(crate) fn same_bytes(content: &Content, host: &Path) -> bool {
    let mut file = fs::File::open(host).unwrap();
    let mut reader = content.reader().unwrap();
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut remaining = content.length();
    while remaining > 0 {
        let length = remaining.min(1 << 20) as usize;
        reader.read_exact(&mut left[..length]).unwrap();
        file.read_exact(&mut right[..length]).unwrap();
        if left[..length] != right[..length] {
            return false;
        }
        remaining -= length as u64;
    }
    true
}

fn attributes(host: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0; 4096];
    let length = rustix::fs::llistxattr(host, &mut names).unwrap();
    names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let name = String::from_utf8(name.to_vec()).unwrap();
            let mut value = vec![0; 8192];
            let length = rustix::fs::lgetxattr(host, name.as_str(), &mut value).unwrap();
            value.truncate(length);
            (name, value)
        })
        .collect()
}
