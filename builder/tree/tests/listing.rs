//! Trees as text, and trees read from folders.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

use fortress_tree::{Kind, Metadata, Node, Tree, TreePath};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

#[test]
fn a_line_tells_everything_but_time() {
    let mut tree = Tree::new(7);
    tree.write(&path("/a b\\\n"), 0o4755, "abc").unwrap();
    let mut node = Node::symlink("");
    node.kind = Kind::HardLink(path("/a b\\\n"));
    tree.insert(path("/other"), node).unwrap();
    tree.link(&path("/to"), "../x y").unwrap();
    let mut metadata = Metadata::new(0o640).owned_by(3, 4);
    let value = vec![0, 255, 10];
    metadata.attributes.insert("user.x".into(), value);
    for (name, kind) in [
        ("/b", Kind::BlockDevice { major: 8, minor: 1 }),
        ("/c", Kind::CharacterDevice { major: 1, minor: 3 }),
        ("/p", Kind::Fifo),
    ] {
        let metadata = metadata.clone();
        tree.insert(path(name), Node { metadata, kind }).unwrap();
    }
    // The digest is that of sha256sum.
    assert_eq!(
        tree.listing().unwrap(),
        "/ 0755 0:0 directory\n\
         /a\\040b\\134\\u{a} 4755 0:0 file 3 \
         ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n\
         /b 0640 3:4 block 8:1 user.x=00ff0a\n\
         /c 0640 3:4 character 1:3 user.x=00ff0a\n\
         /other 4755 0:0 hardlink /a\\040b\\134\\u{a}\n\
         /p 0640 3:4 fifo user.x=00ff0a\n\
         /to 0777 0:0 link ../x\\040y\n"
    );
}

#[test]
fn a_folder_is_read_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::create_dir(root.join("d")).unwrap();
    std::fs::write(root.join("d/file"), "bytes").unwrap();
    std::fs::set_permissions(root.join("d/file"), PermissionsExt::from_mode(0o604)).unwrap();
    std::fs::hard_link(root.join("d/file"), root.join("z")).unwrap();
    symlink("nowhere", root.join("link")).unwrap();
    let tree = Tree::load(root, 0).unwrap();
    assert_eq!(tree.count(), 5);
    let file = tree.get(&path("/d/file")).unwrap();
    let host = std::fs::metadata(root.join("d/file")).unwrap();
    let expected = (0o604, host.uid(), host.gid(), host.mtime());
    let metadata = &file.metadata;
    let got = (
        metadata.mode,
        metadata.user,
        metadata.group,
        metadata.modified,
    );
    assert_eq!(got, expected);
    assert_eq!(tree.read_text(&path("/z")).unwrap(), "bytes");
    let kind = |name| &tree.get(&path(name)).unwrap().kind;
    assert!(matches!(kind("/z"), Kind::HardLink(file) if *file == path("/d/file")));
    assert!(matches!(kind("/link"), Kind::Symlink(target) if target == "nowhere"));
    assert!(Tree::load(&root.join("nothing"), 0).is_err());
}
