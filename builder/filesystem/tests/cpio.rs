//! cpio archives judged by GNU cpio.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that panics has failed"
)]

mod common;

use common::{Compared, EPOCH, add_corners, add_devices_and_attributes, path};
use fortress_filesystem::{Error, cpio};
use fortress_tests::Oracle;
use fortress_tree::{Content, Kind, Node, Tree};
use std::fs::File;
use std::path::Path;

fn archive(tree: &Tree) -> Vec<u8> {
    let mut bytes = Vec::new();
    cpio::write(tree, EPOCH, &mut bytes).unwrap();
    bytes
}

/// Unpacks archives that follow each other in one file, one after another, as the kernel does.
fn unpack(oracle: &Oracle, archives: &[Vec<u8>]) -> tempfile::TempDir {
    let folder = oracle.folder();
    std::fs::write(folder.path().join("archives"), archives.concat()).unwrap();
    let root = folder.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let root = oracle.inside(&root);
    let each = format!("cd {root} && cpio -idmu --no-absolute-filenames --quiet");
    let each = vec![each; archives.len()].join(" && ");
    let command = format!("set -e; exec < {root}/../archives; {each}");
    oracle.run(&["sh", "-c", &command]).success();
    folder
}

/// The tree without what cpio has no form for, nor GNU cpio a file name.
fn sample(oracle: &Oracle) -> Tree {
    let mut tree = Tree::new(EPOCH);
    common::load(&mut tree, oracle.root(), &["/etc", "/usr/lib/systemd"]);
    add_corners(&mut tree);
    add_devices_and_attributes(&mut tree);
    for (_, node) in tree.iter_mut() {
        node.metadata.attributes.clear();
    }
    tree
}

#[track_caller]
fn assert_same(tree: &Tree, folder: &Path) {
    let compared = Compared {
        attributes: false,
        link_times: false,
        directory_times: false,
    };
    common::assert_same(tree, &folder.join("root"), &[], compared);
}

#[test]
fn every_node_comes_out_as_it_went_in() {
    let oracle = Oracle::open();
    let tree = sample(&oracle);
    let bytes = archive(&tree);
    assert_eq!(bytes.len() % 512, 0);
    let folder = unpack(&oracle, std::slice::from_ref(&bytes));
    assert_same(&tree, folder.path());
    assert!(bytes == archive(&tree), "the same tree gave other bytes");
    let listed = oracle.run(&[
        "sh",
        "-c",
        &format!(
            "cpio -itv --quiet < {}",
            oracle.inside(&folder.path().join("archives"))
        ),
    ]);
    let listed = listed.success();
    assert_eq!(listed.lines().count(), tree.count());
    let line = |name: &str| {
        let name = format!(" {name}");
        listed
            .lines()
            .find(|line| line.ends_with(&name))
            .unwrap()
            .to_owned()
    };
    assert!(line("corners/null").starts_with("crw-rw-rw-   1 1000     70000      1,   3"));
    assert!(line("corners/setuid").starts_with("-rwsr-xr-x   1 1000     70000"));
    assert!(line("corners/names").starts_with("-rw-r-----   3 "));
    assert!(line("corners/empty").contains("Jun 15  2025"));
}

#[test]
fn archives_may_follow_each_other() {
    let oracle = Oracle::open();
    let tree = sample(&oracle);
    let mut second = Tree::new(EPOCH);
    second.write(&path("/init"), 0o755, "#!/bin/sh\n").unwrap();
    let folder = unpack(&oracle, &[archive(&tree), archive(&second)]);
    let mut both = tree.clone();
    both.write(&path("/init"), 0o755, "#!/bin/sh\n").unwrap();
    assert_same(&both, folder.path());
}

#[test]
fn contents_are_with_the_last_name_of_a_file() {
    let mut tree = Tree::new(EPOCH);
    tree.write(&path("/m"), 0o644, "contents").unwrap();
    for name in ["/a", "/z"] {
        let mut link = Node::symlink("");
        link.kind = Kind::HardLink(path("/m"));
        tree.insert(path(name), link).unwrap();
    }
    let bytes = archive(&tree);
    let text = String::from_utf8(bytes).unwrap();
    let at = |needle: &str| text.find(needle).unwrap();
    assert!(at("\0contents") > at("z\0"), "{text:?}");
    let headers: Vec<&str> = text
        .match_indices("070701")
        .map(|(at, _)| &text[at..at + 110])
        .collect();
    let field = |header: &str, index: usize| header[6 + 8 * index..14 + 8 * index].to_owned();
    let inodes: Vec<_> = headers.iter().map(|header| field(header, 0)).collect();
    // The root, three names of one file, the trailer.
    assert_eq!(
        inodes,
        ["00000001", "00000002", "00000002", "00000002", "00000000"]
    );
    let lengths: Vec<_> = headers.iter().map(|header| field(header, 6)).collect();
    assert_eq!(lengths[1..4], ["00000000", "00000000", "00000008"]);
}

#[test]
fn an_empty_tree_is_an_archive_too() {
    let oracle = Oracle::open();
    let tree = Tree::new(EPOCH);
    let folder = unpack(&oracle, &[archive(&tree)]);
    assert_same(&tree, folder.path());
}

#[test]
fn what_has_no_form_and_a_full_disk_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let host = folder.path().join("large");
    File::create(&host).unwrap().set_len(4 << 30).unwrap();
    let mut tree = Tree::new(EPOCH);
    tree.write(&path("/large"), 0o644, Content::host_file(&host).unwrap())
        .unwrap();
    let error = cpio::write(&tree, EPOCH, &mut std::io::sink()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/large cannot be put in the cpio archive: it has 4 GiB or more"
    );
    let mut full = File::options().write(true).open("/dev/full").unwrap();
    let error = cpio::write(&Tree::new(EPOCH), EPOCH, &mut full).unwrap_err();
    assert!(matches!(error, Error::Full { .. }), "{error:?}");
}
