//! A tree as it is after its first boot: `/var` filled by systemd-tmpfiles.

use fortress_tests::Oracle;
use fortress_tree::{Kind, Metadata, Node, Tree, TreePath};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::Path;

/// All that systemd-tmpfiles reads and copies.
const READ: [&str; 5] = [
    "/etc/group",
    "/etc/passwd",
    "/etc/tmpfiles.d",
    "/usr/lib/tmpfiles.d",
    "/usr/share/factory",
];

/// Fills `/var`; what leads from there into the read-only system is taken along.
pub(crate) fn booted(mut tree: Tree, oracle: &Oracle) -> Tree {
    let folder = oracle.folder();
    lay(&tree, folder.path());
    let root = format!("--root={}", oracle.inside(folder.path()));
    let tool = [
        "systemd-tmpfiles",
        "--create",
        "--boot",
        "--prefix=/var",
        &root,
    ];
    let made = oracle.run_with_proc(&tool);
    // 65 and 73: lines that it could not read or make, and those of other programs are such.
    assert!([0, 65, 73].contains(&made.status), "{made:?}");
    let filled = Tree::load(folder.path(), tree.epoch()).unwrap();
    let var = TreePath::new("/var").unwrap();
    for (path, node) in filled.within(&var).skip(1) {
        let mut node = node.clone();
        if let Kind::File(content) = &mut node.kind {
            // The folder does not stay.
            *content = content.read().unwrap().into();
        }
        let is_link = matches!(node.kind, Kind::Symlink(_));
        tree.insert(path.clone(), node).unwrap();
        // What is in /run is not there yet.
        if is_link
            && let Ok(target) = tree.resolve(path)
            && target.is_within(&TreePath::new("/usr/lib").unwrap())
        {
            graft(&mut tree, path, &target);
        }
    }
    tree
}

/// Puts what a link leads to in the link's place.
fn graft(tree: &mut Tree, path: &TreePath, from: &TreePath) {
    let nodes: Vec<(TreePath, Node)> = tree
        .within(from)
        .map(|(path, node)| (path.clone(), node.clone()))
        .collect();
    assert!(
        !nodes.is_empty(),
        "{path} leads to {from}, which is not there"
    );
    for (old, node) in nodes {
        let new = format!("{path}{}", &old.as_str()[from.as_str().len()..]);
        tree.insert(TreePath::new(&new).unwrap(), node).unwrap();
    }
}

/// Lays out on this machine what systemd-tmpfiles needs of the tree.
fn lay(tree: &Tree, folder: &Path) {
    fs::create_dir(folder.join("var")).unwrap();
    let wanted = READ.map(|path| TreePath::new(path).unwrap());
    for (path, node) in tree.iter() {
        let host = folder.join(path.relative());
        let is_above = wanted.iter().any(|wanted| wanted.is_within(path));
        if path.is_root() || !(is_above || wanted.iter().any(|wanted| path.is_within(wanted))) {
            continue;
        }
        let Metadata {
            mode, user, group, ..
        } = &node.metadata;
        match &node.kind {
            Kind::Directory => fs::create_dir(&host).unwrap(),
            Kind::Symlink(target) => {
                symlink(target, &host).unwrap();
                lchown(&host, Some(*user), Some(*group)).unwrap();
                continue;
            }
            Kind::File(_) | Kind::HardLink(_) => {
                fs::write(&host, tree.read(path).unwrap()).unwrap()
            }
            other => panic!("{path}: {other:?}"),
        }
        chown(&host, Some(*user), Some(*group)).unwrap();
        fs::set_permissions(&host, fs::Permissions::from_mode(u32::from(*mode))).unwrap();
    }
}
