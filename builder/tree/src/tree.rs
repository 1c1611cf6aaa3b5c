//! The tree itself: nodes by path, symbolic links followed within it.

use crate::{Content, Error, Kind, Metadata, Node, Result, Spool, TreePath};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

/// Most symbolic links followed in one path (Linux's own limit).
const MOST_LINKS: usize = 40;

/// A file tree. Paths given to it are taken literally unless a method says that it follows links.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tree {
    epoch: i64,
    nodes: BTreeMap<TreePath, Node>,
}

impl Tree {
    /// An empty tree: a root directory, 0755, root's. `epoch` (seconds since 1970) is the time
    /// of whatever the builder itself makes.
    pub fn new(epoch: i64) -> Self {
        let mut nodes = BTreeMap::new();
        let mut metadata = Metadata::new(0o755);
        metadata.modified = epoch;
        nodes.insert(TreePath::root(), Node::directory(metadata));
        Self { epoch, nodes }
    }

    /// The source date epoch, in seconds since 1970.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// How many nodes there are, the root included.
    pub fn count(&self) -> usize {
        self.nodes.len()
    }

    /// Every node, parents before what is in them, in one fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (&TreePath, &Node)> {
        self.nodes.iter()
    }

    /// Every node, to change. Kinds must stay: use [`Tree::insert`] to replace a node.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&TreePath, &mut Node)> {
        self.nodes.iter_mut()
    }

    /// `directory` and everything below it, literally.
    pub fn within<'a>(
        &'a self,
        directory: &'a TreePath,
    ) -> impl Iterator<Item = (&'a TreePath, &'a Node)> {
        // "/a-b" sorts between "/a" and "/a/b", hence the filter.
        self.nodes
            .range::<TreePath, _>((Bound::Included(directory), Bound::Unbounded))
            .take_while(|(path, _)| path.as_str().starts_with(directory.as_str()))
            .filter(|(path, _)| path.is_within(directory))
    }

    /// The entries of a directory, literally, by name; none if it is not there.
    pub fn entries<'a>(
        &'a self,
        directory: &'a TreePath,
    ) -> impl Iterator<Item = (&'a str, &'a Node)> {
        self.within(directory)
            .filter(|(path, _)| path.parent().as_ref() == Some(directory))
            .map(|(path, node)| (path.name(), node))
    }

    /// The node at exactly that path; a symbolic link is not followed.
    pub fn get(&self, path: &TreePath) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// The same, to change.
    pub fn get_mut(&mut self, path: &TreePath) -> Option<&mut Node> {
        self.nodes.get_mut(path)
    }

    /// Puts a node at exactly that path, in the place of what was there; a directory over a
    /// directory keeps what is in it. Its parent must be a directory.
    ///
    /// # Errors
    /// When the parent is missing or no directory, or when something other than a directory
    /// would take the place of a directory that is not empty.
    pub fn insert(&mut self, path: TreePath, mut node: Node) -> Result<()> {
        if let Some(parent) = path.parent() {
            match self.nodes.get(&parent).map(|node| &node.kind) {
                Some(Kind::Directory) => {}
                Some(other) => {
                    let found = other.name();
                    return Err(Error::Parent { path, found });
                }
                None => {
                    return Err(Error::Parent {
                        path,
                        found: "missing",
                    });
                }
            }
        }
        let has_entries = !node.is_directory() && self.entries(&path).next().is_some();
        if has_entries {
            return Err(Error::Type {
                path,
                found: "a directory with entries",
                expected: "nothing, or something that can be replaced",
            });
        }
        if node.metadata.modified == i64::MAX {
            node.metadata.modified = self.epoch;
        }
        self.nodes.insert(path, node);
        Ok(())
    }

    /// Makes a directory and those above it (0755, root's) where they are missing; links are
    /// followed. Gives the path with its links followed.
    ///
    /// # Errors
    /// When something on the way is neither a directory nor a link to one.
    pub fn make_directories(&mut self, path: &TreePath) -> Result<TreePath> {
        let real = self.resolve_missing(path)?;
        let mut at = TreePath::root();
        for name in real.components() {
            at = at.join(name)?;
            match self.nodes.get(&at).map(|node| &node.kind) {
                Some(Kind::Directory) => {}
                Some(other) => {
                    return Err(Error::Type {
                        path: at,
                        found: other.name(),
                        expected: "a directory",
                    });
                }
                None => self.insert(at.clone(), Node::directory(Metadata::new(0o755)))?,
            }
        }
        Ok(real)
    }

    /// Writes a file: links in the parents are followed, missing parents are made, and a node at
    /// the path itself (also a link) is replaced.
    ///
    /// # Errors
    /// As [`Tree::make_directories`] and [`Tree::insert`].
    pub fn write(&mut self, path: &TreePath, mode: u16, content: impl Into<Content>) -> Result<()> {
        self.place(path, Node::file(Metadata::new(mode), content.into()))
    }

    /// Makes a symbolic link, in the manner of [`Tree::write`].
    ///
    /// # Errors
    /// As [`Tree::write`].
    pub fn link(&mut self, path: &TreePath, target: impl Into<String>) -> Result<()> {
        self.place(path, Node::symlink(target))
    }

    /// Puts any node at a path, in the manner of [`Tree::write`].
    ///
    /// # Errors
    /// As [`Tree::write`].
    pub fn place(&mut self, path: &TreePath, node: Node) -> Result<()> {
        let real = match path.parent() {
            Some(parent) => self.make_directories(&parent)?.join(path.name())?,
            None => path.clone(),
        };
        self.insert(real, node)
    }

    /// Removes the node at exactly that path and everything below it; gives how many went.
    /// Hard links to a file that goes are the caller's to mind (see [`Tree::remove_where`]).
    pub fn remove(&mut self, path: &TreePath) -> usize {
        let gone: Vec<_> = self.within(path).map(|(path, _)| path.clone()).collect();
        for path in &gone {
            self.nodes.remove(path);
        }
        gone.len()
    }

    /// Removes every node that `unwanted` names (and, with a directory, what is below it).
    /// Where a file goes and a hard link to it stays, the link becomes the file. Gives how many
    /// went.
    pub fn remove_where(&mut self, mut unwanted: impl FnMut(&TreePath, &Node) -> bool) -> usize {
        let mut gone: BTreeMap<TreePath, ()> = BTreeMap::new();
        for (path, node) in &self.nodes {
            let above = path
                .parent()
                .is_some_and(|parent| gone.contains_key(&parent));
            if !path.is_root() && (above || unwanted(path, node)) {
                gone.insert(path.clone(), ());
            }
        }
        let mut heirs: BTreeMap<TreePath, TreePath> = BTreeMap::new();
        let mut moved = Vec::new();
        for (path, node) in &mut self.nodes {
            let Kind::HardLink(target) = &mut node.kind else {
                continue;
            };
            if gone.contains_key(path) || !gone.contains_key(target) {
                continue;
            }
            match heirs.get(target) {
                Some(heir) => *target = heir.clone(),
                None => {
                    heirs.insert(target.clone(), path.clone());
                    moved.push((path.clone(), target.clone()));
                }
            }
        }
        for (heir, file) in moved {
            if let Some(node) = self.nodes.get(&file).cloned() {
                self.nodes.insert(heir, node);
            }
        }
        for path in gone.keys() {
            self.nodes.remove(path);
        }
        gone.len()
    }

    /// The path with every symbolic link in it followed, the last component's too. Absolute
    /// targets start at the tree's root and `..` stops there: no link leads out.
    ///
    /// # Errors
    /// When something on the way is missing or is no directory, or after 40 links.
    pub fn resolve(&self, path: &TreePath) -> Result<TreePath> {
        let real = self.resolve_missing(path)?;
        match self.nodes.contains_key(&real) {
            true => Ok(real),
            false => Err(Error::Missing(real)),
        }
    }

    /// As [`Tree::resolve`], but what is missing at the end of the path is taken as written.
    ///
    /// # Errors
    /// When something on the way is no directory, or after 40 links.
    pub fn resolve_missing(&self, path: &TreePath) -> Result<TreePath> {
        let mut names: VecDeque<String> = path.components().map(str::to_owned).collect();
        let mut at: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(name) = names.pop_front() {
            match name.as_str() {
                "" | "." => continue,
                ".." => {
                    at.pop();
                    continue;
                }
                _ => at.push(name),
            }
            let here = TreePath::new(&at.join("/"))?;
            match self.nodes.get(&here).map(|node| &node.kind) {
                Some(Kind::Symlink(target)) => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(Error::Loop(path.clone()));
                    }
                    at.pop();
                    if target.starts_with('/') {
                        at.clear();
                    }
                    for name in target.split('/').rev() {
                        names.push_front(name.to_owned());
                    }
                }
                Some(Kind::Directory) | None => {}
                Some(other) if names.iter().any(|name| !name.is_empty() && name != ".") => {
                    return Err(Error::Type {
                        path: here,
                        found: other.name(),
                        expected: "a directory",
                    });
                }
                Some(_) => {}
            }
        }
        TreePath::new(&at.join("/"))
    }

    /// The node that a path leads to, links followed.
    pub fn find(&self, path: &TreePath) -> Option<&Node> {
        self.nodes.get(&self.resolve(path).ok()?)
    }

    /// The content of the file that a path leads to: symbolic and hard links followed.
    ///
    /// # Errors
    /// When there is none, or it is no regular file.
    pub fn content(&self, path: &TreePath) -> Result<&Content> {
        let real = self.resolve(path)?;
        let node = match self.nodes.get(&real).map(|node| &node.kind) {
            Some(Kind::HardLink(target)) => self.nodes.get(target),
            _ => self.nodes.get(&real),
        };
        match node.map(|node| &node.kind) {
            Some(Kind::File(content)) => Ok(content),
            Some(other) => Err(Error::Type {
                path: real,
                found: other.name(),
                expected: "a file",
            }),
            None => Err(Error::Missing(real)),
        }
    }

    /// The bytes of the file that a path leads to. For small files.
    ///
    /// # Errors
    /// As [`Tree::content`], and when reading fails.
    pub fn read(&self, path: &TreePath) -> Result<Vec<u8>> {
        self.content(path)?.read().map_err(|source| Error::Io {
            operation: "read",
            what: path.to_string(),
            source,
        })
    }

    /// The text of the file that a path leads to.
    ///
    /// # Errors
    /// As [`Tree::read`], and when it is not UTF-8.
    pub fn read_text(&self, path: &TreePath) -> Result<String> {
        String::from_utf8(self.read(path)?).map_err(|_| Error::NotText(path.clone()))
    }

    /// Gives the contents of a tree that was saved and loaded their spool back.
    ///
    /// # Errors
    /// The path of the first file that does not lie within the spool.
    pub fn attach_spool(&mut self, spool: &Arc<Spool>) -> Result<()> {
        for (path, node) in &mut self.nodes {
            if let Kind::File(content) = &mut node.kind
                && let Some(offset) = content.spool_offset()
            {
                *content = spool
                    .content(offset, content.length())
                    .ok_or_else(|| Error::Missing(path.clone()))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    fn merged_usr() -> Tree {
        let mut tree = Tree::new(7);
        tree.make_directories(&path("/usr/lib")).unwrap();
        tree.link(&path("/lib"), "usr/lib").unwrap();
        tree
    }

    #[test]
    fn writing_through_a_link_lands_where_it_leads() {
        let mut tree = merged_usr();
        tree.write(&path("/lib/systemd/x"), 0o644, "x").unwrap();
        assert!(tree.get(&path("/usr/lib/systemd/x")).is_some());
        assert_eq!(tree.read_text(&path("/lib/systemd/x")).unwrap(), "x");
        assert_eq!(
            tree.get(&path("/usr/lib/systemd"))
                .unwrap()
                .metadata
                .modified,
            7
        );
    }

    #[test]
    fn links_never_lead_out_of_the_tree() {
        let mut tree = merged_usr();
        tree.link(&path("/out"), "../../../../usr/lib").unwrap();
        assert_eq!(tree.resolve(&path("/out")).unwrap(), path("/usr/lib"));
        tree.link(&path("/a"), "b").unwrap();
        tree.link(&path("/b"), "a").unwrap();
        assert!(matches!(tree.resolve(&path("/a/x")), Err(Error::Loop(_))));
    }

    #[test]
    fn a_directory_with_entries_is_not_replaced() {
        let mut tree = merged_usr();
        assert!(tree.insert(path("/usr"), Node::symlink("x")).is_err());
        assert!(tree.insert(path("/no/parent"), Node::symlink("x")).is_err());
    }

    #[test]
    fn neighbours_with_a_common_prefix_stay_apart() {
        let mut tree = Tree::new(0);
        for name in ["/a/x", "/a-b/y", "/a/z"] {
            tree.write(&path(name), 0o644, "").unwrap();
        }
        let a = path("/a");
        let names: Vec<_> = tree.entries(&a).map(|(name, _)| name.to_owned()).collect();
        assert_eq!(names, ["x", "z"]);
        assert_eq!(tree.remove(&a), 3);
        assert!(tree.get(&path("/a-b/y")).is_some());
    }

    #[test]
    fn a_hard_link_inherits_a_file_that_is_removed() {
        let mut tree = Tree::new(0);
        tree.write(&path("/file"), 0o640, "bytes").unwrap();
        for name in ["/one", "/two"] {
            let mut link = Node::symlink("");
            link.kind = Kind::HardLink(path("/file"));
            tree.insert(path(name), link).unwrap();
        }
        tree.remove_where(|path, _| path.as_str() == "/file");
        assert_eq!(tree.read_text(&path("/one")).unwrap(), "bytes");
        assert_eq!(tree.read_text(&path("/two")).unwrap(), "bytes");
        assert_eq!(tree.get(&path("/one")).unwrap().metadata.mode, 0o640);
    }

    #[test]
    fn a_tree_comes_back_from_where_it_was_saved() {
        let directory = tempfile::tempdir().unwrap();
        let spool = Spool::new(directory.path()).unwrap();
        let content = spool.append(&mut &b"spooled"[..], 7).unwrap();
        let mut tree = Tree::new(3);
        tree.write(&path("/f"), 0o644, content).unwrap();
        tree.write(&path("/g"), 0o644, "memory").unwrap();
        let saved = serde_json::to_vec(&tree).unwrap();
        let mut back: Tree = serde_json::from_slice(&saved).unwrap();
        assert!(back.read(&path("/f")).is_err());
        back.attach_spool(&spool).unwrap();
        assert_eq!(back.read_text(&path("/f")).unwrap(), "spooled");
        assert_eq!(back.read_text(&path("/g")).unwrap(), "memory");
    }
}
