//! Copying single files from the root's tree, with the links that lead to them and the libraries
//! that they load.

use crate::{Error, Result};
use fortress_configuration::libraries::{Dynamic, dynamic};
use fortress_tree::{Kind, Metadata, Node, Tree, TreePath};
use std::collections::BTreeSet;

/// Copies from one tree into a new one.
pub(super) struct Copier<'a> {
    root: &'a Tree,
    copy: Tree,
    /// Folders that the dynamic loader searches, as the base has them.
    search: Vec<TreePath>,
    examined: BTreeSet<TreePath>,
}

impl<'a> Copier<'a> {
    pub(super) fn new(root: &'a Tree) -> Self {
        let mut search = Vec::new();
        for folder in [
            "/usr/lib/x86_64-linux-gnu",
            "/usr/lib/aarch64-linux-gnu",
            "/usr/lib64",
            "/usr/lib",
        ] {
            if let Ok(path) = TreePath::new(folder)
                && root.find(&path).is_some_and(Node::is_directory)
            {
                search.push(path);
            }
        }
        Self {
            root,
            copy: Tree::new(root.epoch()),
            search,
            examined: BTreeSet::new(),
        }
    }

    pub(super) fn finish(self) -> Tree {
        self.copy
    }

    /// Makes a directory, by the links that lead to it in the root.
    pub(super) fn directory(&mut self, path: &TreePath) -> Result<()> {
        self.links(path)?;
        self.copy.make_directories(path)?;
        Ok(())
    }

    /// Copies a program or library with all that it loads.
    pub(super) fn program(&mut self, path: &TreePath) -> Result<()> {
        let mut wanted = vec![path.clone()];
        while let Some(path) = wanted.pop() {
            let real = self.file(&path)?;
            if !self.examined.insert(real.clone()) {
                continue;
            }
            let bytes = self.root.read(&real)?;
            let Some(dynamic) = dynamic(&bytes) else {
                continue;
            };
            if let Some(interpreter) = &dynamic.interpreter {
                wanted.push(TreePath::new(interpreter)?);
            }
            for library in &dynamic.needed {
                let found = self.find(library, &real, &dynamic);
                wanted.push(found.ok_or_else(|| Error::Library {
                    library: library.clone(),
                    needed_by: real.clone(),
                })?);
            }
        }
        Ok(())
    }

    /// Copies a library that is loaded by name.
    pub(super) fn library(&mut self, name: &str) -> Result<()> {
        let folder = self.search.iter().map(|folder| folder.join(name));
        let found = folder.flatten().find(|path| self.root.find(path).is_some());
        match found {
            Some(path) => self.program(&path),
            None => Err(Error::Library {
                library: name.to_owned(),
                needed_by: TreePath::new("/usr/lib/systemd/systemd")?,
            }),
        }
    }

    /// Copies a file that some bases do not have.
    pub(super) fn file_if_there(&mut self, path: &TreePath) -> Result<()> {
        match self.root.find(path) {
            Some(_) => self.file(path).map(drop),
            None => Ok(()),
        }
    }

    /// Where the loader finds a library: in the run path of who needs it, then where it always
    /// looks (ld.so(8)). A library beside the one that needs it was loaded before it, by a
    /// program whose run path names their folder.
    fn find(&self, library: &str, needed_by: &TreePath, dynamic: &Dynamic) -> Option<TreePath> {
        let origin = needed_by.parent()?;
        let own = dynamic
            .run_path
            .iter()
            .filter_map(|folder| TreePath::new(&folder.replace("$ORIGIN", origin.as_str())).ok());
        own.chain(std::iter::once(origin.clone()))
            .chain(self.search.iter().cloned())
            .filter_map(|folder| folder.join(library).ok())
            .find(|path| self.root.find(path).is_some())
    }

    /// Copies one file and the links that lead to it; gives where it really is.
    fn file(&mut self, path: &TreePath) -> Result<TreePath> {
        let real = self.root.resolve(path)?;
        self.links(path)?;
        if self.copy.get(&real).is_none() {
            let metadata = self.root.get(&real).map_or(0o644, |node| match node.kind {
                // A hard link's mode is its file's.
                Kind::HardLink(ref file) => {
                    self.root.get(file).map_or(0o644, |file| file.metadata.mode)
                }
                _ => node.metadata.mode,
            });
            let content = self.root.content(&real)?.clone();
            // Nobody but root is there to gain by a setuid bit.
            self.copy
                .place(&real, Node::file(Metadata::new(metadata & 0o755), content))?;
        }
        Ok(real)
    }

    /// Copies every symbolic link on the way to a path.
    fn links(&mut self, path: &TreePath) -> Result<()> {
        let mut at = TreePath::root();
        let mut rest: Vec<String> = path.components().map(str::to_owned).collect();
        rest.reverse();
        let mut steps = 0;
        while let Some(name) = rest.pop() {
            if name == ".." {
                at = at.parent().unwrap_or_else(TreePath::root);
                continue;
            }
            let here = at.join(&name)?;
            match self.root.get(&here).map(|node| &node.kind) {
                Some(Kind::Symlink(target)) => {
                    steps += 1;
                    if steps > 40 {
                        return Err(fortress_tree::Error::Loop(path.clone()).into());
                    }
                    if self.copy.get(&here).is_none() {
                        self.copy.make_directories(&at)?;
                        self.copy.insert(here, Node::symlink(target.clone()))?;
                    }
                    if target.starts_with('/') {
                        at = TreePath::root();
                    }
                    let names = target
                        .split('/')
                        .rev()
                        .filter(|name| !matches!(*name, "" | "."));
                    rest.extend(names.map(str::to_owned));
                }
                _ => at = here,
            }
        }
        Ok(())
    }
}
