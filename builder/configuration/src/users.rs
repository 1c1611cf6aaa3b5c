//! Users and groups: base-passwd's, then those of sysusers.d(5), then those that packages'
//! scripts make with adduser. Accounts have no password and cannot log in.

mod accounts;
mod allocate;
mod line;

pub(crate) use accounts::Accounts;

use crate::drop_in::{self, mistake};
use crate::specifier::{Specifiers, systemd_architecture};
use crate::{Done, Error, Identifiers, PackageData, Result, Settings};
use accounts::{Group, User};
use allocate::Allocator;
use fortress_tree::{Tree, TreePath};
use line::{GroupOf, Id, Line, Wish};
use std::collections::BTreeMap;

/// Makes `/etc/passwd`, `group`, `shadow` and `gshadow`. `present` names the packages in the
/// tree, `architecture` is Debian's name of its architecture.
///
/// # Errors
/// A line of sysusers.d that means nothing (file and line), two users that want one ID, a group
/// that is needed and that nothing makes.
pub fn run(
    tree: &mut Tree,
    present: &[&str],
    architecture: &str,
    data: &PackageData,
    identifiers: &Identifiers,
    settings: &Settings,
) -> Result<Done> {
    let specifiers = Specifiers::of(tree, &settings.hostname, systemd_architecture(architecture))?;
    let mut wanted = Wanted::default();
    for file in drop_in::files(tree, "sysusers.d")? {
        for (number, text) in drop_in::lines(&file.text) {
            let line = line::parse(text, &specifiers)
                .map_err(|reason| mistake(&file.path, number, reason))?;
            wanted.add(line, file.path.as_str());
        }
    }
    for (package, rules) in data.of(present) {
        for text in &rules.sysusers {
            let source = format!("the package data for {package}");
            let line = line::parse(text, &specifiers).map_err(|reason| Error::File {
                file: source.clone(),
                reason: format!("{text:?}: {reason}"),
            })?;
            wanted.add(line, &source);
        }
    }
    wanted.add_members();
    let allocator = Allocator::new(identifiers, &wanted.ranges);
    let mut making = Making {
        last_change: accounts::last_change(tree),
        accounts: Accounts::read(tree)?,
        tree,
        allocator,
        warnings: wanted.warnings,
    };
    for (name, id) in &wanted.groups {
        making.group(name, id, None)?;
    }
    for wish in &wanted.users {
        making.user(wish)?;
    }
    for (user, group) in &wanted.members {
        making.member(user, group);
    }
    let Making {
        accounts, warnings, ..
    } = making;
    accounts.write(tree)?;
    Ok(Done {
        summary: format!(
            "{} users, {} groups",
            accounts.users.len(),
            accounts.groups.len()
        ),
        warnings,
    })
}

/// What all lines together ask for, in the order of their first mention.
#[derive(Debug, Default)]
struct Wanted {
    users: Vec<Wish>,
    groups: Vec<(String, Id)>,
    members: Vec<(String, String)>,
    ranges: Vec<(u32, u32)>,
    warnings: Vec<String>,
}

impl Wanted {
    /// Takes a line; of two for one name the first counts.
    fn add(&mut self, line: Line, source: &str) {
        let twice = match line {
            Line::User(wish) => match self.users.iter().find(|other| other.name == wish.name) {
                Some(other) => (*other != wish).then_some(("user", wish.name)),
                None => {
                    self.users.push(wish);
                    None
                }
            },
            Line::Group { name, id } => match self.groups.iter().find(|other| other.0 == name) {
                Some(other) => (other.1 != id).then_some(("group", name)),
                None => {
                    self.groups.push((name, id));
                    None
                }
            },
            Line::Member { user, group } => {
                self.members.push((user, group));
                None
            }
            Line::Range { first, last } => {
                self.ranges.push((first, last));
                None
            }
        };
        if let Some((kind, name)) = twice {
            self.warnings.push(format!(
                "{source} asks for {kind} {name} differently; the first line counts"
            ));
        }
    }

    /// A membership asks for its user and group too.
    fn add_members(&mut self) {
        for (user, group) in self.members.clone() {
            if !self.groups.iter().any(|(name, _)| *name == group) {
                self.groups.push((group, Id::Any));
            }
            if !self.users.iter().any(|wish| wish.name == user) {
                self.users.push(Wish {
                    name: user,
                    id: Id::Any,
                    group: None,
                    description: String::new(),
                    home: None,
                    shell: None,
                    locked: false,
                });
            }
        }
    }
}

/// Accounts while they are made.
struct Making<'a> {
    tree: &'a Tree,
    accounts: Accounts,
    allocator: Allocator<'a>,
    last_change: String,
    warnings: Vec<String>,
}

impl Making<'_> {
    /// Makes a group unless it is there, and gives its ID. `like` is its user's, if it is one's own.
    fn group(&mut self, name: &str, id: &Id, like: Option<u32>) -> Result<u32> {
        if let Some(found) = self.accounts.group(name) {
            return Ok(found.id);
        }
        let holder = |id: u32| self.accounts.groups.iter().find(|group| group.id == id);
        let wanted = match id {
            Id::Fixed(id) => Some(*id),
            Id::OwnerOf(path) => self
                .owner(path)?
                .map(|(_, group)| group)
                .filter(|id| holder(*id).is_none()),
            Id::Any => None,
        };
        let fixed = wanted.or_else(|| self.allocator.fixed_group(name));
        if let Some(id) = fixed
            && let Some(other) = holder(id)
        {
            return Err(taken("group", name, id, &other.name));
        }
        let id = match fixed.or(like.filter(|id| holder(*id).is_none())) {
            Some(id) => id,
            None => self.derive("group", name)?,
        };
        self.accounts.groups.push(Group {
            name: name.to_owned(),
            id,
            members: Vec::new(),
            password: "!*".into(),
        });
        Ok(id)
    }

    /// Makes a user and its group, unless they are there.
    fn user(&mut self, wish: &Wish) -> Result<()> {
        let name = &wish.name;
        if self.accounts.user(name).is_some() {
            return Ok(());
        }
        let holder = |id: u32| self.accounts.users.iter().find(|user| user.id == id);
        let wanted = match &wish.id {
            Id::Fixed(id) => Some(*id),
            Id::OwnerOf(path) => self
                .owner(path)?
                .map(|(user, _)| user)
                .filter(|id| holder(*id).is_none()),
            Id::Any => self.allocator.fixed_user(name),
        };
        if let Some(id) = wanted
            && let Some(other) = holder(id)
        {
            return Err(taken("user", name, id, &other.name));
        }
        let given = match &wish.group {
            Some(GroupOf::Id(id)) => match self.accounts.groups.iter().any(|group| group.id == *id)
            {
                true => Some(*id),
                false => return Err(no_group(name, &id.to_string())),
            },
            Some(GroupOf::Name(group)) => match self.accounts.group(group) {
                Some(found) => Some(found.id),
                None => return Err(no_group(name, group)),
            },
            None => self.accounts.group(name).map(|group| group.id),
        };
        let own = given.filter(|id| wish.group.is_none() && holder(*id).is_none());
        let id = match wanted.or(own) {
            Some(id) => id,
            None => self.derive("user", name)?,
        };
        let group = match given {
            Some(group) => group,
            None => self.group(name, &Id::Any, Some(id))?,
        };
        let days = &self.last_change;
        let expiry = if wish.locked { "1" } else { "" };
        self.accounts.users.push(User {
            name: name.clone(),
            id,
            group,
            description: wish.description.clone(),
            home: wish.home.clone().unwrap_or_else(|| home_of(id).into()),
            shell: wish
                .shell
                .clone()
                .unwrap_or_else(|| shell_of(self.tree, id).into()),
            shadow: format!("!*:{days}:::::{expiry}:"),
        });
        Ok(())
    }

    fn member(&mut self, user: &str, group: &str) {
        let found = self
            .accounts
            .groups
            .iter_mut()
            .find(|found| found.name == group);
        if let Some(found) = found
            && !found.members.iter().any(|member| member == user)
        {
            found.members.push(user.to_owned());
            found.members.sort_unstable();
        }
    }

    /// Owner and group of a path, if it is there and they are system accounts.
    fn owner(&self, path: &str) -> Result<Option<(u32, u32)>> {
        let node = self.tree.find(&TreePath::new(path)?);
        let ids = node.map(|node| (node.metadata.user, node.metadata.group));
        Ok(ids.filter(|(user, group)| {
            self.allocator.contains(*user) && self.allocator.contains(*group)
        }))
    }

    fn derive(&mut self, kind: &str, name: &str) -> Result<u32> {
        let id = self.allocator.derived(name, &self.accounts)?;
        self.warnings.push(format!(
            "{kind} {name} has no fixed ID; its name gives it {id}"
        ));
        Ok(id)
    }
}

fn taken(what: &'static str, name: &str, id: u32, other: &str) -> Error {
    Error::Conflict {
        what,
        name: name.to_owned(),
        wanted: format!("given ID {id}"),
        reason: format!("{what} {other:?} has it"),
    }
}

fn no_group(user: &str, group: &str) -> Error {
    Error::Conflict {
        what: "user",
        name: user.to_owned(),
        wanted: format!("put into group {group}"),
        reason: "nothing makes that group".into(),
    }
}

fn home_of(id: u32) -> &'static str {
    if id == 0 { "/root" } else { "/" }
}

fn shell_of(tree: &Tree, id: u32) -> &'static str {
    let bash = TreePath::new("/bin/bash").is_ok_and(|path| tree.find(&path).is_some());
    match (id, bash) {
        (0, true) => "/bin/bash",
        (0, false) => "/bin/sh",
        _ => "/usr/sbin/nologin",
    }
}

/// Names of owners by ID, for whoever writes them as text.
pub(crate) fn names(accounts: &Accounts) -> (BTreeMap<u32, String>, BTreeMap<u32, String>) {
    let users = accounts
        .users
        .iter()
        .rev()
        .map(|user| (user.id, user.name.clone()));
    let groups = accounts
        .groups
        .iter()
        .rev()
        .map(|group| (group.id, group.name.clone()));
    (users.collect(), groups.collect())
}
