//! Where paths of rules and settings lie in a tree.

use crate::Result;
use fortress_tree::{Kind, Tree, TreePath};

/// The path with links in its parents followed, the last component left as it is.
pub(crate) fn real(tree: &Tree, path: &TreePath) -> Result<TreePath> {
    match path.parent() {
        Some(parent) => Ok(tree.resolve_missing(&parent)?.join(path.name())?),
        None => Ok(path.clone()),
    }
}

/// Whether anything is at the path, be it a link that leads nowhere.
pub(crate) fn is_there(tree: &Tree, path: &TreePath) -> bool {
    real(tree, path).is_ok_and(|path| tree.get(&path).is_some())
}

/// The path of the node that holds the metadata of what a path leads to: links followed, a hard
/// link's file in its place.
pub(crate) fn holder(tree: &Tree, path: &TreePath) -> Option<TreePath> {
    let path = tree.resolve(path).ok()?;
    match tree.get(&path).map(|node| &node.kind) {
        Some(Kind::HardLink(target)) => Some(target.clone()),
        Some(_) => Some(path),
        None => None,
    }
}

/// A rule's path in a tree of that architecture (Debian's name).
pub(crate) fn of_rule(path: &str, architecture: &str) -> Result<TreePath> {
    Ok(TreePath::new(
        &path.replace("@multiarch@", multiarch(architecture)),
    )?)
}

/// Debian's multiarch name of an architecture; the name itself for those it does not know.
pub(crate) fn multiarch(architecture: &str) -> &str {
    match architecture {
        "amd64" => "x86_64-linux-gnu",
        "arm64" => "aarch64-linux-gnu",
        "armhf" => "arm-linux-gnueabihf",
        "armel" => "arm-linux-gnueabi",
        "i386" => "i386-linux-gnu",
        "ppc64el" => "powerpc64le-linux-gnu",
        "riscv64" => "riscv64-linux-gnu",
        "s390x" => "s390x-linux-gnu",
        "loong64" => "loongarch64-linux-gnu",
        other => other,
    }
}
