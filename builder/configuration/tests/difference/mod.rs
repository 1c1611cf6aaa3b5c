//! What differs between two trees, path by path.

use fortress_tree::{Kind, Node, Tree, TreePath};
use std::collections::BTreeSet;
use std::fmt;

/// Not part of a root file system.
const ELSEWHERE: [&str; 6] = ["/var", "/run", "/tmp", "/dev", "/proc", "/sys"];

/// One path, and how it differs.
#[derive(Debug)]
pub(crate) struct Difference {
    /// Which path.
    pub(crate) path: String,
    /// "only ours", "only theirs", "kind", "target", "mode", "owner", "content".
    pub(crate) aspect: &'static str,
    ours: String,
    theirs: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            aspect,
            ours,
            theirs,
        } = self;
        write!(formatter, "{aspect} {path}: {ours} | {theirs}")
    }
}

/// All differences in kind, owner, mode, link target, and in contents of `/etc` and of what the
/// builder made.
pub(crate) fn between(ours: &Tree, theirs: &Tree) -> Vec<Difference> {
    let paths: BTreeSet<&TreePath> = ours
        .iter()
        .chain(theirs.iter())
        .map(|(path, _)| path)
        .collect();
    let is_elsewhere = |path: &str| {
        ELSEWHERE.iter().any(|place| {
            path.strip_prefix(place)
                .is_some_and(|rest| rest.starts_with('/'))
        })
    };
    let mut found = Vec::new();
    for path in paths {
        if is_elsewhere(path.as_str()) {
            continue;
        }
        let mut add = |aspect, ours: String, theirs: String| {
            found.push(Difference {
                path: path.to_string(),
                aspect,
                ours,
                theirs,
            });
        };
        match (ours.get(path), theirs.get(path)) {
            (Some(node), None) => add("only ours", describe(node), String::new()),
            (None, Some(node)) => add("only theirs", String::new(), describe(node)),
            (Some(one), Some(other)) => compare(ours, theirs, path, one, other, &mut add),
            (None, None) => {}
        }
    }
    found
}

fn compare(
    ours: &Tree,
    theirs: &Tree,
    path: &TreePath,
    one: &Node,
    other: &Node,
    add: &mut dyn FnMut(&'static str, String, String),
) {
    let is_file = |node: &Node| matches!(node.kind, Kind::File(_) | Kind::HardLink(_));
    if is_file(one) && is_file(other) {
        let made_here = ours.content(path).unwrap().spool_offset().is_none();
        if made_here || path.as_str().starts_with("/etc/") {
            let (one, other) = (ours.read(path).unwrap(), theirs.read(path).unwrap());
            if one != other {
                let show = |bytes: &[u8]| {
                    String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned()
                };
                add("content", show(&one), show(&other));
            }
        }
    } else if one.kind.name() != other.kind.name() {
        add("kind", describe(one), describe(other));
        return;
    }
    if let (Kind::Symlink(one), Kind::Symlink(other)) = (&one.kind, &other.kind) {
        if one != other {
            add("target", one.clone(), other.clone());
        }
        return;
    }
    if matches!(one.kind, Kind::HardLink(_)) || matches!(other.kind, Kind::HardLink(_)) {
        return;
    }
    let (one, other) = (&one.metadata, &other.metadata);
    if one.mode != other.mode {
        add(
            "mode",
            format!("{:o}", one.mode),
            format!("{:o}", other.mode),
        );
    }
    if (one.user, one.group) != (other.user, other.group) {
        let show = |user: u32, group: u32| format!("{user}:{group}");
        add(
            "owner",
            show(one.user, one.group),
            show(other.user, other.group),
        );
    }
}

fn describe(node: &Node) -> String {
    match &node.kind {
        Kind::Symlink(target) => format!("-> {target}"),
        kind => kind.name().to_owned(),
    }
}
