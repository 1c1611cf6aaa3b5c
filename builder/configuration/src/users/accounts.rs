//! The account files: passwd(5), group(5), shadow(5) and gshadow(5), kept in agreement.

use crate::{Error, Result};
use fortress_tree::{Metadata, Node, Tree, TreePath};
use std::collections::BTreeMap;

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";
const SHADOW: &str = "/etc/shadow";
const GSHADOW: &str = "/etc/gshadow";
const MASTER: [&str; 2] = [
    "/usr/share/base-passwd/passwd.master",
    "/usr/share/base-passwd/group.master",
];
const SECONDS_A_DAY: i64 = 86_400;

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) id: u32,
    pub(crate) group: u32,
    pub(crate) description: String,
    pub(crate) home: String,
    pub(crate) shell: String,
    /// The fields of its shadow line after the name.
    pub(crate) shadow: String,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) id: u32,
    pub(crate) members: Vec<String>,
    /// Its password, as in gshadow.
    pub(crate) password: String,
}

/// All users and groups, in the order of their files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Accounts {
    pub(crate) users: Vec<User>,
    pub(crate) groups: Vec<Group>,
}

impl Accounts {
    /// Those of the tree's `/etc`, or else base-passwd's.
    pub(crate) fn read(tree: &Tree) -> Result<Self> {
        let day = last_change(tree);
        let shadow = passwords(tree, SHADOW)?;
        let gshadow = passwords(tree, GSHADOW)?;
        let mut accounts = Self::default();
        for (path, fields) in records(tree, [PASSWD, MASTER[0]], 7)? {
            let [name, password, id, group, description, home, shell] = &fields[..] else {
                continue;
            };
            let password = if password == "x" { "*" } else { password };
            accounts.users.push(User {
                name: name.clone(),
                id: number(&path, id)?,
                group: number(&path, group)?,
                description: description.clone(),
                home: home.clone(),
                shell: shell.clone(),
                shadow: match shadow.get(name) {
                    Some(kept) => kept.clone(),
                    None => format!("{password}:{day}:0:99999:7:::"),
                },
            });
        }
        for (path, fields) in records(tree, [GROUP, MASTER[1]], 4)? {
            let [name, password, id, members] = &fields[..] else {
                continue;
            };
            let kept = gshadow.get(name).and_then(|rest| rest.split(':').next());
            let password = if password == "x" { "*" } else { password };
            accounts.groups.push(Group {
                name: name.clone(),
                id: number(&path, id)?,
                members: members
                    .split(',')
                    .filter(|name| !name.is_empty())
                    .map(str::to_owned)
                    .collect(),
                password: kept.unwrap_or(password).to_owned(),
            });
        }
        Ok(accounts)
    }

    /// Writes all four files, readable as Debian's are.
    pub(crate) fn write(&self, tree: &mut Tree) -> Result<()> {
        let mut texts = [const { String::new() }; 4];
        let [passwd, group, shadow, gshadow] = &mut texts;
        for User {
            name,
            id,
            group,
            description,
            home,
            shell,
            shadow: rest,
        } in &self.users
        {
            passwd.push_str(&format!(
                "{name}:x:{id}:{group}:{description}:{home}:{shell}\n"
            ));
            shadow.push_str(&format!("{name}:{rest}\n"));
        }
        for Group {
            name,
            id,
            members,
            password,
        } in &self.groups
        {
            let members = members.join(",");
            group.push_str(&format!("{name}:x:{id}:{members}\n"));
            gshadow.push_str(&format!("{name}:{password}::{members}\n"));
        }
        let readers = self.group("shadow").map_or(0, |group| group.id);
        let [passwd, group, shadow, gshadow] = texts;
        let files = [
            (PASSWD, passwd, 0o644, 0),
            (GROUP, group, 0o644, 0),
            (SHADOW, shadow, 0o640, readers),
            (GSHADOW, gshadow, 0o640, readers),
        ];
        for (path, text, mode, owner) in files {
            let metadata = Metadata::new(mode).owned_by(0, owner);
            tree.place(&TreePath::new(path)?, Node::file(metadata, text.into()))?;
        }
        Ok(())
    }

    /// The user of that name.
    pub(crate) fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    /// The group of that name.
    pub(crate) fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// A user's ID by name or number.
    pub(crate) fn user_id(&self, user: &str) -> Option<u32> {
        user.parse()
            .ok()
            .or_else(|| self.user(user).map(|user| user.id))
    }

    /// A group's ID by name or number.
    pub(crate) fn group_id(&self, group: &str) -> Option<u32> {
        group
            .parse()
            .ok()
            .or_else(|| self.group(group).map(|group| group.id))
    }
}

/// The day of the tree's epoch, for shadow's last change; empty for day 0, which would ask for
/// a new password at once.
pub(super) fn last_change(tree: &Tree) -> String {
    match tree.epoch() / SECONDS_A_DAY {
        day @ 1.. => day.to_string(),
        _ => String::new(),
    }
}

/// The records of the first of `paths` that is there.
fn records(tree: &Tree, paths: [&str; 2], width: usize) -> Result<Vec<(TreePath, Vec<String>)>> {
    for path in paths {
        let path = TreePath::new(path)?;
        if tree.find(&path).is_none() {
            continue;
        }
        let text = tree.read_text(&path)?;
        let mut records = Vec::new();
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let fields: Vec<String> = line.split(':').map(str::to_owned).collect();
            if fields.len() != width || fields[0].is_empty() {
                return Err(Error::Line {
                    file: path,
                    line: index + 1,
                    reason: format!("has {} fields, expected {width}", fields.len()),
                });
            }
            records.push((path.clone(), fields));
        }
        return Ok(records);
    }
    Ok(Vec::new())
}

/// What follows the name in each line of a shadow file.
fn passwords(tree: &Tree, path: &str) -> Result<BTreeMap<String, String>> {
    let path = TreePath::new(path)?;
    if tree.find(&path).is_none() {
        return Ok(BTreeMap::new());
    }
    let text = tree.read_text(&path)?;
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    Ok(pairs
        .map(|(name, rest)| (name.to_owned(), rest.to_owned()))
        .collect())
}

fn number(path: &TreePath, text: &str) -> Result<u32> {
    text.parse().map_err(|_| Error::File {
        file: path.to_string(),
        reason: format!("{text:?} is no ID"),
    })
}
