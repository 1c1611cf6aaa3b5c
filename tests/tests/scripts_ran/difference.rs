//! What differs between two trees, path by path.

use fortress_tree::{Kind, Node, Tree, TreePath};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// How a path differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Aspect {
    /// Only in our tree.
    OnlyOurs,
    /// Only where the scripts ran.
    OnlyTheirs,
    /// Directory, file, link, device.
    Type,
    /// The names that are one file.
    HardLinks,
    /// Where a symbolic link leads.
    Target,
    /// Permissions, setuid, setgid, sticky.
    Mode,
    /// User, by name.
    Owner,
    /// Group, by name.
    Group,
    /// What a file says.
    Content,
    /// Extended attributes: capabilities, access control lists.
    Attributes,
}

/// One path, and how it differs.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) path: String,
    pub(crate) aspect: Aspect,
    pub(crate) ours: Vec<u8>,
    pub(crate) theirs: Vec<u8>,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let both = self.ours.iter().zip(&self.theirs);
        let same = both.take_while(|(one, other)| one == other).count();
        let line = self.ours[..same].iter().rposition(|byte| *byte == b'\n');
        let start = line.map_or(0, |line| line + 1);
        let show = |bytes: &[u8]| {
            let end = bytes.len().min(start + 200);
            String::from_utf8_lossy(&bytes[start..end]).into_owned()
        };
        let (ours, theirs) = (show(&self.ours), show(&self.theirs));
        write!(
            formatter,
            "{:?} {}: {ours:?} | {theirs:?}",
            self.aspect, self.path
        )
    }
}

/// A tree with what its numbers mean.
struct Side<'a> {
    tree: &'a Tree,
    users: BTreeMap<u32, String>,
    groups: BTreeMap<u32, String>,
    /// Names of files that have several, with all of them.
    links: BTreeMap<&'a TreePath, BTreeSet<&'a TreePath>>,
}

/// All differences but times.
pub(crate) fn between(ours: &Tree, theirs: &Tree) -> Vec<Difference> {
    let paths: BTreeSet<&TreePath> = ours
        .iter()
        .chain(theirs.iter())
        .map(|(path, _)| path)
        .collect();
    let (ours, theirs) = (Side::new(ours), Side::new(theirs));
    let mut found = Vec::new();
    for path in paths {
        let mut add = |aspect, ours: Vec<u8>, theirs: Vec<u8>| {
            if ours != theirs {
                found.push(Difference {
                    path: path.to_string(),
                    aspect,
                    ours,
                    theirs,
                });
            }
        };
        match (ours.tree.get(path), theirs.tree.get(path)) {
            (Some(one), Some(other)) => compare(path, (&ours, one), (&theirs, other), &mut add),
            (Some(node), None) => add(Aspect::OnlyOurs, describe(node), Vec::new()),
            (None, Some(node)) => add(Aspect::OnlyTheirs, Vec::new(), describe(node)),
            (None, None) => {}
        }
    }
    found
}

fn compare(
    path: &TreePath,
    (ours, one): (&Side<'_>, &Node),
    (theirs, other): (&Side<'_>, &Node),
    add: &mut dyn FnMut(Aspect, Vec<u8>, Vec<u8>),
) {
    if is_file(one) && is_file(other) {
        let (one, other) = (
            ours.tree.read(path).unwrap(),
            theirs.tree.read(path).unwrap(),
        );
        add(Aspect::Content, one, other);
        add(Aspect::HardLinks, ours.names(path), theirs.names(path));
    } else if one.kind.name() != other.kind.name() {
        add(Aspect::Type, describe(one), describe(other));
        return;
    }
    if let (Kind::Symlink(one), Kind::Symlink(other)) = (&one.kind, &other.kind) {
        add(Aspect::Target, one.clone().into(), other.clone().into());
    }
    let (one, other) = (ours.file(one), theirs.file(other));
    let (one, other) = (&one.metadata, &other.metadata);
    let name = |names: &BTreeMap<u32, String>, id: u32| {
        let name = names.get(&id).cloned();
        name.unwrap_or_else(|| id.to_string()).into_bytes()
    };
    if !matches!(
        theirs.tree.get(path).map(|node| &node.kind),
        Some(Kind::Symlink(_))
    ) {
        let show = |mode: u16| format!("{mode:o}").into_bytes();
        add(Aspect::Mode, show(one.mode), show(other.mode));
    }
    let users = (name(&ours.users, one.user), name(&theirs.users, other.user));
    add(Aspect::Owner, users.0, users.1);
    let groups = (
        name(&ours.groups, one.group),
        name(&theirs.groups, other.group),
    );
    add(Aspect::Group, groups.0, groups.1);
    let show = |attributes| format!("{attributes:?}").into_bytes();
    add(
        Aspect::Attributes,
        show(&one.attributes),
        show(&other.attributes),
    );
}

impl<'a> Side<'a> {
    fn new(tree: &'a Tree) -> Self {
        let mut links: BTreeMap<&TreePath, BTreeSet<&TreePath>> = BTreeMap::new();
        for (path, node) in tree.iter() {
            if let Kind::HardLink(target) = &node.kind {
                links.entry(target).or_default().extend([path, target]);
            }
        }
        let groups: Vec<_> = links.into_values().collect();
        let links = groups
            .iter()
            .flat_map(|group| group.iter().map(|path| (*path, group.clone())))
            .collect();
        Self {
            tree,
            users: names(tree, "/etc/passwd"),
            groups: names(tree, "/etc/group"),
            links,
        }
    }

    /// The other names of a file.
    fn names(&self, path: &TreePath) -> Vec<u8> {
        let names = self.links.get(path);
        names.map_or_else(Vec::new, |names| format!("{names:?}").into_bytes())
    }

    /// The node that a hard link is a name of.
    fn file(&self, node: &'a Node) -> &'a Node {
        match &node.kind {
            Kind::HardLink(target) => self.tree.get(target).unwrap(),
            _ => node,
        }
    }
}

/// Names by number, of an account file.
fn names(tree: &Tree, path: &str) -> BTreeMap<u32, String> {
    let text = tree.read_text(&TreePath::new(path).unwrap()).unwrap();
    text.lines()
        .map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            (fields[2].parse().unwrap(), fields[0].to_owned())
        })
        .collect()
}

fn is_file(node: &Node) -> bool {
    matches!(node.kind, Kind::File(_) | Kind::HardLink(_))
}

fn describe(node: &Node) -> Vec<u8> {
    match &node.kind {
        Kind::Symlink(target) => format!("a link to {target}").into_bytes(),
        kind => kind.name().into(),
    }
}
