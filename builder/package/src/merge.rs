//! Putting unpacked packages into one tree, by dpkg's rules.

use crate::contents::{Item, Shipped};
use crate::deb::Unpacked;
use crate::relation::replaces;
use crate::{Archive, Error, Options, Package, Result};
use fortress_tree::{Content, Kind, Metadata, Node, Tree, TreePath};
use std::collections::{HashMap, HashSet};
use std::io::{BufReader, Read};

/// Merges packages into the tree; gives them back, in the order they came, with the paths that
/// they have lost to others taken out of their lists.
pub(crate) fn merge(
    archives: &[Archive],
    unpacked: Vec<Unpacked>,
    tree: &mut Tree,
    options: &Options,
) -> Result<Vec<Package>> {
    let (mut packages, contents): (Vec<Package>, Vec<_>) = unpacked
        .into_iter()
        .map(|unpacked| (unpacked.package, unpacked.contents))
        .unzip();
    check_names(archives, &packages)?;
    let mut order: Vec<usize> = (0..packages.len()).collect();
    order.sort_by_key(|index| (!packages[*index].essential, *index));
    let lost = {
        let mut merge = Merge {
            archives,
            packages: &packages,
            options,
            tree,
            owners: HashMap::new(),
            implied: HashSet::from([TreePath::root()]),
            parents: HashMap::new(),
            lost: vec![HashSet::new(); packages.len()],
        };
        // The links of a merged /usr come first, so that nothing depends on whose turn it is.
        for &package in &order {
            let items = &contents[package].items;
            for (index, item) in items.iter().enumerate() {
                let is_link = matches!(item.shipped, Shipped::Node(Kind::Symlink(_)));
                if is_link && item.path.parent().is_some_and(|parent| parent.is_root()) {
                    merge.leaf(package, items, index, &mut HashMap::new())?;
                }
            }
        }
        for &package in &order {
            let items = &contents[package].items;
            let mut linked: Linked = items
                .iter()
                .filter_map(|item| match item.shipped {
                    Shipped::HardLink(file) => Some((file, None)),
                    Shipped::Node(_) => None,
                })
                .collect();
            for (index, item) in items.iter().enumerate() {
                match &item.shipped {
                    Shipped::Node(Kind::Directory) => merge.directory(package, item)?,
                    _ => merge.leaf(package, items, index, &mut linked)?,
                }
            }
        }
        merge.lost
    };
    for (package, lost) in packages.iter_mut().zip(lost) {
        if !lost.is_empty() {
            package.paths.retain(|path| !lost.contains(path.as_str()));
        }
    }
    Ok(packages)
}

/// No package may come twice.
fn check_names(archives: &[Archive], packages: &[Package]) -> Result<()> {
    let mut names = HashSet::new();
    for (archive, package) in archives.iter().zip(packages) {
        if !names.insert((&package.name, &package.architecture)) {
            return Err(Error::Control {
                archive: archive.name.clone(),
                line: 0,
                reason: format!(
                    "package {} for {} is there twice",
                    package.name, package.architecture
                ),
            });
        }
    }
    Ok(())
}

/// A merge under way. Packages are named by their index.
struct Merge<'a> {
    archives: &'a [Archive],
    packages: &'a [Package],
    options: &'a Options,
    tree: &'a mut Tree,
    /// Whose the files and links of the tree are, and by which name they shipped them.
    owners: HashMap<TreePath, (usize, TreePath)>,
    /// Directories that are there because something lies in them; no package has shipped them.
    implied: HashSet<TreePath>,
    /// Directories as packages write them, and where they really are.
    parents: HashMap<Box<str>, TreePath>,
    /// Paths that each package ships and another package's file has taken.
    lost: Vec<HashSet<String>>,
}

/// The files of a package that it has hard links to, by index, and where they went.
type Linked = HashMap<usize, Option<TreePath>>;

impl Merge<'_> {
    /// A directory: made, or there already, possibly behind a link.
    fn directory(&mut self, package: usize, item: &Item) -> Result<()> {
        let real = self.directory_at(package, &item.path)?;
        if self.implied.remove(&real)
            && let Some(node) = self.tree.get_mut(&real)
        {
            node.metadata = item.metadata.clone();
        }
        Ok(())
    }

    /// Where a directory really is; it is made if it is missing.
    fn directory_at(&mut self, package: usize, path: &TreePath) -> Result<TreePath> {
        if let Some(real) = self.parents.get(path.as_str()) {
            return Ok(real.clone());
        }
        let real = match self.tree.get(path) {
            Some(node) if node.is_directory() => path.clone(),
            _ => {
                let real = self.tree.resolve_missing(path);
                let real = real.map_err(|source| self.misplaced(package, path, source))?;
                self.make(package, path, &real)?;
                real
            }
        };
        self.parents.insert(path.as_str().into(), real.clone());
        Ok(real)
    }

    /// Makes a directory whose links are followed already, and those above it.
    fn make(&mut self, package: usize, path: &TreePath, real: &TreePath) -> Result<()> {
        match self.tree.get(real) {
            Some(node) if node.is_directory() => return Ok(()),
            Some(node) => {
                let difference = format!("as a directory and as {}", node.kind.name());
                return Err(self.conflict(package, real, difference));
            }
            None => {}
        }
        if let Some(parent) = real.parent() {
            self.make(package, path, &parent)?;
        }
        self.implied.insert(real.clone());
        self.tree
            .insert(real.clone(), Node::directory(Metadata::new(0o755)))
            .map_err(|source| self.misplaced(package, path, source))
    }

    /// Anything but a directory.
    fn leaf(
        &mut self,
        package: usize,
        items: &[Item],
        index: usize,
        linked: &mut Linked,
    ) -> Result<()> {
        let item = &items[index];
        let mut path = &item.path;
        let mut real = self.real(package, path)?;
        if let Some(diversion) = self.options.diversions.iter().find(|diversion| {
            (diversion.path == *path || diversion.path == real)
                && diversion.package != self.packages[package].name
        }) {
            path = &diversion.to;
            real = self.real(package, path)?;
        }
        let node = self.node(package, items, index, linked);
        if let Some(existing) = self.tree.get(&real) {
            match (existing.is_directory(), &node.kind) {
                // As dpkg does it: a link does not take the place of a directory.
                (true, Kind::Symlink(_)) => return Ok(()),
                (true, kind) => {
                    let difference = format!("as a directory and as {}", kind.name());
                    return Err(self.conflict(package, &real, difference));
                }
                (false, _) if !self.takes_over(package, &item.path, &real, &node)? => {
                    return Ok(());
                }
                (false, _) => {}
            }
        }
        let inserted = self.tree.insert(real.clone(), node);
        inserted.map_err(|source| self.misplaced(package, path, source))?;
        let file = match item.shipped {
            Shipped::HardLink(file) => file,
            Shipped::Node(_) => index,
        };
        if let Some(place @ None) = linked.get_mut(&file) {
            *place = Some(real.clone());
        }
        self.owners.insert(real, (package, item.path.clone()));
        Ok(())
    }

    /// Where a path's last component really lies; directories above it are made if missing.
    fn real(&mut self, package: usize, path: &TreePath) -> Result<TreePath> {
        let Some(parent) = path.parent() else {
            return Ok(path.clone());
        };
        let directory = self.directory_at(package, &parent)?;
        if directory == parent {
            return Ok(path.clone());
        }
        let real = directory.join(path.name());
        real.map_err(|source| self.misplaced(package, path, source))
    }

    /// The node that an item becomes. A hard link whose file went to another package's is a
    /// file of its own.
    fn node(&self, package: usize, items: &[Item], index: usize, linked: &Linked) -> Node {
        let file = match &items[index].shipped {
            Shipped::HardLink(file) => *file,
            Shipped::Node(_) => index,
        };
        let is_own = |path: &&TreePath| {
            let owner = self.owners.get(*path);
            owner.is_some_and(|(owner, _)| *owner == package)
        };
        let first = linked.get(&file).and_then(Option::as_ref).filter(is_own);
        let kind = match (first, &items[file].shipped) {
            (Some(path), _) => Kind::HardLink(path.clone()),
            (None, Shipped::Node(kind)) => kind.clone(),
            // Hard links lead to files, never to other links: see `Contents::read`.
            (None, Shipped::HardLink(_)) => Kind::HardLink(items[file].path.clone()),
        };
        Node {
            metadata: items[file].metadata.clone(),
            kind,
        }
    }

    /// Whether `package`'s node takes the place of the one that is at `real`. If it does, that
    /// one is gone.
    fn takes_over(
        &mut self,
        package: usize,
        shipped: &TreePath,
        real: &TreePath,
        node: &Node,
    ) -> Result<bool> {
        let Some((owner, owner_shipped)) = self.owners.get(real).cloned() else {
            // It was in the tree before; the tree's maker gave way to packages.
            return Ok(true);
        };
        if owner == package && owner_shipped == *shipped {
            return Ok(false);
        }
        let Some(difference) = self.difference(package, real, node)? else {
            return Ok(false);
        };
        let (old, new) = (&self.packages[owner], &self.packages[package]);
        if owner != package && replaces(new, old) {
            self.lost[owner].insert(owner_shipped.to_string());
            // Hard links to the file stay, as files.
            self.tree.remove_where(|path, _| path == real);
            self.parents.clear();
            return Ok(true);
        }
        if owner != package && replaces(old, new) {
            self.lost[package].insert(shipped.to_string());
            return Ok(false);
        }
        Err(self.conflict(package, real, difference))
    }

    /// In what the node at `real` differs from `node`; none if they are the same but for time.
    fn difference(&self, package: usize, real: &TreePath, node: &Node) -> Result<Option<String>> {
        let Some(existing) = self.tree.get(real) else {
            return Ok(None);
        };
        let (existing, node) = (self.linked(existing), self.linked(node));
        let (old, new) = match (&existing.kind, &node.kind) {
            (Kind::Symlink(old), Kind::Symlink(new)) if old == new => return Ok(None),
            (Kind::Symlink(old), Kind::Symlink(new)) => {
                return Ok(Some(format!("as links to {old} and to {new}")));
            }
            (Kind::File(old), Kind::File(new)) => (old, new),
            (old, new) => {
                return Ok(Some(format!("as {} and as {}", old.name(), new.name())));
            }
        };
        let (of_old, of_new) = (&existing.metadata, &node.metadata);
        if (of_old.mode, of_old.user, of_old.group, &of_old.attributes)
            != (of_new.mode, of_new.user, of_new.group, &of_new.attributes)
        {
            return Ok(Some("with different owners, modes or attributes".into()));
        }
        let is_same = is_same(old, new).map_err(|source| Error::Io {
            operation: "compare the contents of",
            archive: self.archives[package].name.clone(),
            source,
        })?;
        Ok((!is_same).then(|| "with different contents".to_owned()))
    }

    /// The file that a hard link is another name of.
    fn linked<'n>(&'n self, node: &'n Node) -> &'n Node {
        match &node.kind {
            Kind::HardLink(file) => self.tree.get(file).unwrap_or(node),
            _ => node,
        }
    }

    fn misplaced(&self, package: usize, path: &TreePath, source: fortress_tree::Error) -> Error {
        Error::Place {
            archive: self.archives[package].name.clone(),
            path: path.to_string(),
            source,
        }
    }

    fn conflict(&self, package: usize, path: &TreePath, difference: String) -> Error {
        let first = match self.owners.get(path) {
            Some((owner, _)) => self.archives[*owner].name.clone(),
            None => "another package".to_owned(),
        };
        Error::Conflict {
            path: path.clone(),
            first,
            second: self.archives[package].name.clone(),
            difference,
        }
    }
}

/// Whether two contents have the same bytes.
fn is_same(one: &Content, other: &Content) -> std::io::Result<bool> {
    if one.length() != other.length() {
        return Ok(false);
    }
    let mut one = BufReader::with_capacity(64 * 1024, one.reader()?);
    let mut other = BufReader::with_capacity(64 * 1024, other.reader()?);
    let (mut left, mut right) = ([0; 8192], [0; 8192]);
    loop {
        let length = one.read(&mut left)?;
        other.read_exact(&mut right[..length])?;
        if left[..length] != right[..length] {
            return Ok(false);
        }
        if length == 0 {
            return Ok(true);
        }
    }
}
