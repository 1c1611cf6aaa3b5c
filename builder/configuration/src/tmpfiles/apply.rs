//! Following tmpfiles.d lines in a tree.

use super::line::{Line, Owner};
use crate::Result;
use crate::glob::Glob;
use crate::place::real;
use crate::users::Accounts;
use fortress_tree::{Kind, Metadata, Node, Tree, TreePath};

/// Where sources and targets are that a line does not name.
const FACTORY: &str = "/usr/share/factory";

/// Follows lines, and says which it cannot follow.
pub(super) struct Apply<'a> {
    pub(super) tree: &'a mut Tree,
    pub(super) accounts: &'a Accounts,
    pub(super) warnings: Vec<String>,
    pub(super) changed: usize,
}

impl Apply<'_> {
    /// Follows one line.
    pub(super) fn line(&mut self, line: &Line) -> Result<()> {
        match line.kind {
            'd' | 'D' | 'v' | 'q' | 'Q' => self.directory(line),
            'f' => self.file(line),
            'w' => self.each(line, Self::overwrite),
            'p' => self.fifo(line),
            'L' => self.link(line),
            'C' => self.copy(line),
            'e' => self.each(line, |apply, line, path| {
                match apply.tree.get(path).is_some_and(Node::is_directory) {
                    true => apply.adjust(line, path),
                    false => Ok(()),
                }
            }),
            'z' => self.each(line, Self::adjust),
            'Z' => self.each(line, |apply, line, top| {
                let below: Vec<TreePath> = apply
                    .tree
                    .within(top)
                    .map(|(path, _)| path.clone())
                    .collect();
                below.iter().try_for_each(|path| apply.adjust(line, path))
            }),
            // Removal and age are a running system's.
            'x' | 'X' | 'r' | 'R' => Ok(()),
            other => {
                self.warnings
                    .push(format!("{other} {}: is not done at build time", line.path));
                Ok(())
            }
        }
    }

    fn each(
        &mut self,
        line: &Line,
        one: impl Fn(&mut Self, &Line, &TreePath) -> Result<()>,
    ) -> Result<()> {
        if !Glob::is_pattern(line.path.as_str()) {
            return match self.tree.resolve(&line.path) {
                Ok(path) => one(self, line, &path),
                Err(_) => Ok(()),
            };
        }
        let pattern = Glob::new(line.path.as_str());
        let found: Vec<TreePath> = self
            .tree
            .iter()
            .filter(|(path, _)| pattern.fits(path.as_str()))
            .map(|(path, _)| path.clone())
            .collect();
        found.iter().try_for_each(|path| one(self, line, path))
    }

    fn directory(&mut self, line: &Line) -> Result<()> {
        let path = self.tree.resolve_missing(&line.path)?;
        if self.kept(line, &path, Node::is_directory) {
            return self.adjust(line, &path);
        }
        self.make(line, path, 0o755, Kind::Directory)
    }

    fn file(&mut self, line: &Line) -> Result<()> {
        let path = self.tree.resolve_missing(&line.path)?;
        if self.kept(line, &path, |node| matches!(node.kind, Kind::File(_))) {
            if line.plus {
                self.overwrite(line, &path)?;
            }
            return self.adjust(line, &path);
        }
        let content = line.argument.clone().unwrap_or_default();
        self.make(line, path, 0o644, Kind::File(content.into()))
    }

    /// Writes into a file that is there: in place of what it has (`f+`), over its beginning
    /// (`w`) or behind its end (`w+`).
    fn overwrite(&mut self, line: &Line, path: &TreePath) -> Result<()> {
        let mut content = line.argument.clone().unwrap_or_default();
        if line.kind == 'w' {
            let old = self.tree.read(path)?;
            if line.plus {
                content.splice(..0, old);
            } else {
                content.extend(old.into_iter().skip(content.len()).collect::<Vec<u8>>());
            }
        }
        if let Some(Node {
            kind: Kind::File(old),
            ..
        }) = self.tree.get_mut(path)
        {
            *old = content.into();
            self.changed += 1;
        }
        Ok(())
    }

    fn fifo(&mut self, line: &Line) -> Result<()> {
        let path = real(self.tree, &line.path)?;
        if self.kept(line, &path, |node| matches!(node.kind, Kind::Fifo)) {
            return self.adjust(line, &path);
        }
        self.make(line, path, 0o644, Kind::Fifo)
    }

    /// Makes a link; with `?`, not one that leads nowhere.
    fn link(&mut self, line: &Line) -> Result<()> {
        let path = real(self.tree, &line.path)?;
        let target = self.argument(line, &path);
        match self.tree.get(&path).map(|node| &node.kind) {
            Some(Kind::Symlink(found)) if *found == target => return Ok(()),
            Some(Kind::Symlink(_)) if !line.plus => return Ok(()),
            Some(_) if !line.plus && !line.replace_kind => return Ok(()),
            Some(_) => {
                self.tree.remove(&path);
            }
            None => {}
        }
        self.make(line, path.clone(), 0o777, Kind::Symlink(target))?;
        if line.if_target && self.tree.find(&path).is_none() {
            self.tree.remove(&path);
            self.changed -= 1;
        }
        Ok(())
    }

    /// Copies a file, or a directory that is not there or is empty (with `+`, into what is there).
    fn copy(&mut self, line: &Line) -> Result<()> {
        let path = real(self.tree, &line.path)?;
        let source = TreePath::new(&self.argument(line, &path))?;
        let Ok(source) = self.tree.resolve(&source) else {
            return Ok(());
        };
        let is_empty = self.tree.within(&path).nth(1).is_none();
        let there = self.tree.get(&path);
        let skipped = there.is_some_and(|node| !node.is_directory() || !(is_empty || line.plus));
        if !skipped {
            let nodes: Vec<(TreePath, Node)> = self
                .tree
                .within(&source)
                .map(|(path, node)| (path.clone(), node.clone()))
                .collect();
            for (from, node) in nodes {
                let below = from
                    .as_str()
                    .strip_prefix(source.as_str())
                    .unwrap_or_default();
                let to = if below.is_empty() {
                    path.clone()
                } else {
                    path.join(below)?
                };
                if self.tree.get(&to).is_none() {
                    self.tree.place(&to, node)?;
                    self.changed += 1;
                }
            }
        }
        self.adjust(line, &path)
    }

    fn argument(&self, line: &Line, path: &TreePath) -> String {
        match &line.argument {
            Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            None => format!("{FACTORY}{path}"),
        }
    }

    /// Whether something is at the path that stays; what is of the wrong kind goes for `=`, and for a
    /// pipe for `+`, else it is told of and stays.
    fn kept(&mut self, line: &Line, path: &TreePath, right: impl Fn(&Node) -> bool) -> bool {
        match self.tree.get(path) {
            None => false,
            Some(node) if right(node) => true,
            Some(_) if line.replace_kind || line.plus && line.kind == 'p' => {
                self.tree.remove(path);
                false
            }
            Some(node) => {
                let found = node.kind.name();
                self.warnings
                    .push(format!("{} {}: {found} is there", line.kind, line.path));
                true
            }
        }
    }

    fn make(&mut self, line: &Line, path: TreePath, mode: u16, kind: Kind) -> Result<()> {
        let bits = line.mode.map_or(mode, |mode| mode.bits);
        let bits = if matches!(kind, Kind::Symlink(_)) {
            0o777
        } else {
            bits
        };
        let user = self.user(line.user.as_ref());
        let group = self.group(line.group.as_ref());
        let metadata = Metadata::new(bits).owned_by(user.unwrap_or(0), group.unwrap_or(0));
        self.tree.place(&path, Node { metadata, kind })?;
        self.changed += 1;
        Ok(())
    }

    /// Gives what is there the line's owner and mode, as far as the line names them.
    fn adjust(&mut self, line: &Line, path: &TreePath) -> Result<()> {
        let lasting = |owner: &Option<Owner>| owner.clone().filter(|owner| !owner.only_new);
        let user = self.user(lasting(&line.user).as_ref());
        let group = self.group(lasting(&line.group).as_ref());
        let Some(node) = self.tree.get_mut(path) else {
            return Ok(());
        };
        let before = (node.metadata.mode, node.metadata.user, node.metadata.group);
        let is_link = matches!(node.kind, Kind::Symlink(_));
        if let Some(mode) = line.mode.filter(|mode| !mode.only_new && !is_link) {
            node.metadata.mode = match mode.masked {
                true => masked(mode.bits, node),
                false => mode.bits,
            };
        }
        node.metadata.user = user.unwrap_or(node.metadata.user);
        node.metadata.group = group.unwrap_or(node.metadata.group);
        let after = (node.metadata.mode, node.metadata.user, node.metadata.group);
        self.changed += usize::from(before != after);
        Ok(())
    }

    fn user(&mut self, owner: Option<&Owner>) -> Option<u32> {
        self.id("user", owner, Accounts::user_id)
    }

    fn group(&mut self, owner: Option<&Owner>) -> Option<u32> {
        self.id("group", owner, Accounts::group_id)
    }

    fn id(
        &mut self,
        what: &str,
        owner: Option<&Owner>,
        find: fn(&Accounts, &str) -> Option<u32>,
    ) -> Option<u32> {
        let name = &owner?.name;
        let id = match name.as_str() {
            "root" => Some(0),
            name => find(self.accounts, name),
        };
        if id.is_none() {
            self.warnings
                .push(format!("{what} {name:?} does not exist"));
        }
        id
    }
}

/// `~`: no write, read or execute bits for anybody that nobody has; setuid and setgid bits only
/// for directories.
fn masked(bits: u16, node: &Node) -> u16 {
    let mut bits = bits;
    for mask in [0o444, 0o222, 0o111] {
        if node.metadata.mode & mask == 0 {
            bits &= !mask;
        }
    }
    match node.is_directory() {
        true => bits,
        false => bits & !0o7000,
    }
}
