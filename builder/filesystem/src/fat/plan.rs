//! What a tree becomes in FAT: directories with their entries, files, and where their clusters
//! are.

use super::WHAT;
use super::format::{ENTRY, LONGEST_DIRECTORY, UNITS};
use super::names::{ShortName, folded, refuse, short_names};
use crate::{Error, Result};
use fortress_tree::{Content, Kind, Node, Tree, TreePath};
use std::collections::HashMap;

/// Most bytes in a file.
const LONGEST_FILE: u64 = u32::MAX as u64;

/// A file or directory of the volume.
pub(super) struct Item<'a> {
    pub(super) path: &'a TreePath,
    pub(super) short_name: ShortName,
    pub(super) modified: i64,
    pub(super) kind: ItemKind<'a>,
}

pub(super) enum ItemKind<'a> {
    File(&'a Content),
    /// The directory with that index.
    Directory(usize),
}

/// A directory of the volume.
pub(super) struct Directory<'a> {
    /// The index of the one that holds it; the root's is its own.
    pub(super) parent: usize,
    pub(super) modified: i64,
    /// What is in it, by name.
    pub(super) items: Vec<Item<'a>>,
    /// Bytes that its entries take.
    pub(super) length: u64,
}

/// A directory of the tree, while what is in it is gathered.
struct Found<'a> {
    parent: usize,
    node: &'a Node,
    entries: Vec<(&'a TreePath, &'a Node)>,
}

/// The directories of a tree, the root first and parents before what is in them.
pub(super) fn directories(tree: &Tree, labelled: bool) -> Result<Vec<Directory<'_>>> {
    let mut indexes: HashMap<&TreePath, usize> = HashMap::new();
    let mut found: Vec<Found<'_>> = Vec::new();
    for (path, node) in tree.iter() {
        let parent = path
            .parent()
            .and_then(|parent| indexes.get(&parent).copied());
        if let (Some(parent), false) = (parent, path.is_root()) {
            found[parent].entries.push((path, node));
        }
        if node.is_directory() {
            indexes.insert(path, found.len());
            found.push(Found {
                parent: parent.unwrap_or(0),
                node,
                entries: Vec::new(),
            });
        }
    }
    let mut directories = Vec::with_capacity(found.len());
    for (index, directory) in found.into_iter().enumerate() {
        let Found {
            parent,
            node,
            entries,
        } = directory;
        let items = items(tree, &entries, &indexes)?;
        // The volume's label in the root, "." and ".." elsewhere.
        let own = if index > 0 { 2 } else { usize::from(labelled) };
        let count: usize = items.iter().map(entry_count).sum::<usize>() + own;
        let length = (count * ENTRY) as u64;
        if length > LONGEST_DIRECTORY {
            let path = entries.first().and_then(|(path, _)| path.parent());
            return Err(unsuitable(
                &path.unwrap_or(TreePath::root()),
                "a directory holds at most 65,536 entries, and long names take several",
            ));
        }
        directories.push(Directory {
            parent,
            modified: node.metadata.modified,
            items,
            length,
        });
    }
    Ok(directories)
}

/// How many entries of its directory an item takes.
pub(super) fn entry_count(item: &Item<'_>) -> usize {
    match item.short_name.whole {
        true => 1,
        false => 1 + item.path.name().encode_utf16().count().div_ceil(UNITS),
    }
}

fn items<'a>(
    tree: &'a Tree,
    entries: &[(&'a TreePath, &'a Node)],
    indexes: &HashMap<&TreePath, usize>,
) -> Result<Vec<Item<'a>>> {
    let mut seen: HashMap<String, &TreePath> = HashMap::new();
    for (path, _) in entries {
        if let Some(reason) = refuse(path.name()) {
            return Err(unsuitable(path, &reason));
        }
        if let Some(other) = seen.insert(folded(path.name()), path) {
            let reason = format!("its name is that of {other} but for upper and lower case");
            return Err(unsuitable(path, &reason));
        }
    }
    let names: Vec<&str> = entries.iter().map(|(path, _)| path.name()).collect();
    let short_names = short_names(&names);
    let mut items = Vec::with_capacity(entries.len());
    for ((path, node), short_name) in entries.iter().zip(short_names) {
        let (metadata, kind) = match &node.kind {
            Kind::Directory => {
                let index = indexes.get(path).copied().unwrap_or(0);
                (&node.metadata, ItemKind::Directory(index))
            }
            Kind::File(content) => (&node.metadata, ItemKind::File(content)),
            // FAT has one name to a file: another name is a copy.
            Kind::HardLink(target) => match tree.get(target) {
                Some(Node {
                    metadata,
                    kind: Kind::File(content),
                }) => (metadata, ItemKind::File(content)),
                _ => return Err(unsuitable(path, "it is a hard link to nothing")),
            },
            other => {
                let reason = format!("it is {}, and FAT has files and directories", other.name());
                return Err(unsuitable(path, &reason));
            }
        };
        if let ItemKind::File(content) = &kind
            && content.length() > LONGEST_FILE
        {
            return Err(unsuitable(path, "it has 4 GiB or more"));
        }
        let short_name =
            short_name.ok_or_else(|| unsuitable(path, "too many names begin as its does"))?;
        items.push(Item {
            path,
            short_name,
            modified: metadata.modified,
            kind,
        });
    }
    Ok(items)
}

/// The clusters that everything takes, when a cluster has so many bytes.
pub(super) fn clusters_needed(directories: &[Directory<'_>], cluster_length: u64) -> u64 {
    let mut clusters = 0;
    for directory in directories {
        clusters += directory.length.div_ceil(cluster_length).max(1);
        for item in &directory.items {
            if let ItemKind::File(content) = item.kind {
                clusters += content.length().div_ceil(cluster_length);
            }
        }
    }
    clusters
}

fn unsuitable(path: &TreePath, reason: &str) -> Error {
    Error::Unsuitable {
        path: path.clone(),
        what: WHAT,
        reason: reason.into(),
    }
}
