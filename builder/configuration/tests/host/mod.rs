//! Parts of a root on this machine as a tree.

use fortress_tree::{Content, Kind, Metadata, Node, Tree, TreePath};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Takes what is at each of `paths` in `root`, directories with all that is below them.
pub(crate) fn load(root: &Path, paths: &[&str]) -> Tree {
    let mut tree = Tree::new(1_700_000_000);
    for path in paths {
        take(&mut tree, root, path.trim_start_matches('/'));
    }
    tree
}

fn take(tree: &mut Tree, root: &Path, path: &str) {
    let host = root.join(path);
    let found = std::fs::symlink_metadata(&host).unwrap();
    let metadata = Metadata::new((found.mode() & 0o7777) as u16).owned_by(found.uid(), found.gid());
    let node = if found.is_symlink() {
        Node::symlink(std::fs::read_link(&host).unwrap().to_str().unwrap())
    } else if found.is_dir() {
        Node::directory(metadata)
    } else if found.is_file() {
        Node::file(metadata, Content::host_file(&host).unwrap())
    } else {
        return;
    };
    tree.place(&TreePath::new(path).unwrap(), node).unwrap();
    if found.is_dir() {
        let mut names: Vec<_> = std::fs::read_dir(&host)
            .unwrap()
            .map(|it| it.unwrap().file_name())
            .collect();
        names.sort();
        for name in names {
            take(tree, root, &format!("{path}/{}", name.to_str().unwrap()));
        }
    }
}

/// Writes a tree below `root`, owners apart.
#[allow(dead_code, reason = "not every test that loads a tree stores one")]
pub(crate) fn store(tree: &Tree, root: &Path) {
    for (path, node) in tree.iter().filter(|(path, _)| !path.is_root()) {
        let host = root.join(path.relative());
        match &node.kind {
            Kind::Directory => std::fs::create_dir(&host).unwrap(),
            Kind::Symlink(target) => std::os::unix::fs::symlink(target, &host).unwrap(),
            Kind::File(content) => std::fs::write(&host, content.read().unwrap()).unwrap(),
            other => panic!("{path} is {}", other.name()),
        }
    }
}
