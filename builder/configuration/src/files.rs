//! Files, directories and links that the scripts of single packages make.

use crate::data::{PackageRules, mode};
use crate::place::{is_there, of_rule};
use crate::users::Accounts;
use crate::{Done, Error, PackageData, Result};
use fortress_tree::{Metadata, Node, Tree, TreePath};

/// Makes what the packages in the tree would have made, where nothing is yet. Users must be
/// there before.
///
/// # Errors
/// A rule with an owner or a mode that means nothing; a tree that refuses.
pub fn run(
    tree: &mut Tree,
    present: &[&str],
    architecture: &str,
    data: &PackageData,
) -> Result<Done> {
    let accounts = Accounts::read(tree)?;
    let mut making = Making {
        tree,
        accounts,
        architecture,
        made: 0,
    };
    for (_, rules) in data.of(present) {
        making.all(rules)?;
    }
    Ok(Done::new(format!("{} made", making.made)))
}

struct Making<'a> {
    tree: &'a mut Tree,
    accounts: Accounts,
    architecture: &'a str,
    made: usize,
}

impl Making<'_> {
    fn all(&mut self, rules: &PackageRules) -> Result<()> {
        for rule in &rules.directories {
            let metadata = self.metadata(&rule.path, &rule.mode, &rule.user, &rule.group)?;
            self.put(&rule.path, Node::directory(metadata))?;
        }
        for rule in &rules.copies {
            let from = of_rule(&rule.from, self.architecture)?;
            let Some(holder) = crate::place::holder(self.tree, &from) else {
                continue;
            };
            let Some(mut node) = self.tree.get(&holder).cloned() else {
                continue;
            };
            if let Some(beginning) = &rule.without {
                let text = self.tree.read_text(&from)?;
                let kept = text.lines().filter(|line| !line.starts_with(beginning));
                let text: String = kept.flat_map(|line| [line, "\n"]).collect();
                node = Node::file(Metadata::new(0o644), text.into());
            }
            if let Some(bits) = &rule.mode {
                node.metadata.mode = mode(bits, &rule.to)?;
            }
            self.put(&rule.to, node)?;
        }
        for rule in &rules.files {
            let metadata = self.metadata(&rule.path, &rule.mode, &rule.user, &rule.group)?;
            self.put(&rule.path, Node::file(metadata, rule.text.as_str().into()))?;
        }
        for rule in &rules.links {
            let needed = match &rule.needs {
                Some(path) => is_there(self.tree, &of_rule(path, self.architecture)?),
                None => true,
            };
            if needed {
                self.put(&rule.path, Node::symlink(&rule.target))?;
            }
        }
        Ok(())
    }

    fn put(&mut self, path: &str, node: Node) -> Result<()> {
        let path = of_rule(path, self.architecture)?;
        if !is_there(self.tree, &path) {
            self.tree.place(&path, node)?;
            self.made += 1;
        }
        Ok(())
    }

    fn metadata(&self, path: &str, bits: &str, user: &str, group: &str) -> Result<Metadata> {
        let (user, group) = owner(&self.accounts, path, user, group)?;
        Ok(Metadata::new(mode(bits, path)?).owned_by(user, group))
    }
}

/// The IDs of a rule's owner.
pub(crate) fn owner(
    accounts: &Accounts,
    path: &str,
    user: &str,
    group: &str,
) -> Result<(u32, u32)> {
    let missing = |what: &str, name: &str| Error::File {
        file: format!("the package data for {path}"),
        reason: format!("{what} {name:?} does not exist"),
    };
    // A root without base-passwd has no account files until users are made; root is 0 all the same.
    let user = match user {
        "root" => 0,
        user => accounts
            .user_id(user)
            .ok_or_else(|| missing("user", user))?,
    };
    let group = match group {
        "root" => 0,
        group => accounts
            .group_id(group)
            .ok_or_else(|| missing("group", group))?,
    };
    Ok((user, group))
}

/// Reads an absolute path of a rule.
pub(crate) fn read_if_there(tree: &Tree, path: &str) -> Result<Option<String>> {
    let path = TreePath::new(path)?;
    match tree.find(&path) {
        Some(_) => Ok(Some(tree.read_text(&path)?)),
        None => Ok(None),
    }
}
