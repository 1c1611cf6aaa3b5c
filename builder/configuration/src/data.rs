//! What the scripts of single packages do, as data.

use crate::{Error, Identifiers, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is known of Debian's and Ubuntu's packages.
const KNOWN: &str = include_str!("../data/packages.toml");
/// The IDs that are fixed for known system users.
const IDENTIFIERS: &str = include_str!("../data/identifiers.toml");

/// What the scripts of packages would have done, by package name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PackageData {
    /// Rules by package name.
    pub packages: BTreeMap<String, PackageRules>,
}

/// What the scripts of one package would have done on a fresh system. Rules of a package that
/// is not in the tree do nothing; paths are absolute, `@multiarch@` in them is the tree's
/// multiarch name (`x86_64-linux-gnu`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PackageRules {
    /// Users and groups, as lines of sysusers.d(5).
    pub sysusers: Vec<String>,
    /// Directories that are made where they are missing.
    pub directories: Vec<DirectoryRule>,
    /// Files copied within the tree, unless something is there.
    pub copies: Vec<CopyRule>,
    /// Files written, unless something is there.
    pub files: Vec<FileRule>,
    /// Symbolic links made, unless something is there.
    pub links: Vec<LinkRule>,
    /// Owners and modes that need a user to exist, as dpkg-statoverride keeps them.
    pub owners: Vec<OwnerRule>,
    /// Alternatives, as `update-alternatives --install` registers them.
    pub alternatives: Vec<AlternativeRule>,
    /// Diversions, as `dpkg-divert --add` registers them.
    pub diversions: Vec<DiversionRule>,
    /// Services added to `/etc/nsswitch.conf`.
    pub name_services: Vec<NameServiceRule>,
}

/// A directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryRule {
    /// Where.
    pub path: String,
    /// Octal permission bits.
    #[serde(default = "directory_mode")]
    pub mode: String,
    /// Owner's name.
    #[serde(default = "root")]
    pub user: String,
    /// Group's name.
    #[serde(default = "root")]
    pub group: String,
}

/// A copy of a file that is in the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CopyRule {
    /// Which file; nothing is done when it is missing.
    pub from: String,
    /// Where to.
    pub to: String,
    /// Octal permission bits; none keeps the file's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Lines that begin so are left out of the copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without: Option<String>,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRule {
    /// Where.
    pub path: String,
    /// Octal permission bits.
    #[serde(default = "file_mode")]
    pub mode: String,
    /// Owner's name.
    #[serde(default = "root")]
    pub user: String,
    /// Group's name.
    #[serde(default = "root")]
    pub group: String,
    /// What is in it.
    #[serde(default)]
    pub text: String,
}

/// A symbolic link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkRule {
    /// Where.
    pub path: String,
    /// Its target as written.
    pub target: String,
    /// A path without which the link is not made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<String>,
}

/// An owner and a mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnerRule {
    /// Which path; nothing is done when it is missing.
    pub path: String,
    /// Owner's name.
    pub user: String,
    /// Group's name.
    pub group: String,
    /// Octal permission bits.
    pub mode: String,
    /// Whether the script registers it with dpkg-statoverride.
    #[serde(default)]
    pub override_database: bool,
}

/// One choice of an alternative.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlternativeRule {
    /// The generic link (`/usr/bin/awk`).
    pub link: String,
    /// The alternative's name below `/etc/alternatives`.
    pub name: String,
    /// What it would lead to.
    pub path: String,
    /// The highest wins.
    pub priority: i64,
    /// Links that go with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slaves: Vec<SlaveRule>,
}

/// A link that goes with an alternative; made only when what it leads to is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlaveRule {
    /// The generic link.
    pub link: String,
    /// Its name below `/etc/alternatives`.
    pub name: String,
    /// What it would lead to.
    pub path: String,
}

/// A diversion: what other packages ship at `path` goes to `to`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiversionRule {
    /// The path that is diverted.
    pub path: String,
    /// Where to.
    pub to: String,
}

/// A service in a line of `/etc/nsswitch.conf`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NameServiceRule {
    /// The line's database (`hosts`).
    pub database: String,
    /// What is added (`resolve [!UNAVAIL=return]`).
    pub service: String,
    /// Before which service, if that is there; the end of the line otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
}

fn root() -> String {
    "root".into()
}

fn directory_mode() -> String {
    "755".into()
}

fn file_mode() -> String {
    "644".into()
}

impl PackageData {
    /// What is known of Debian's and Ubuntu's packages.
    ///
    /// # Errors
    /// When the data that this program was built with does not parse: never, as tests see to.
    pub fn known() -> Result<Self> {
        Self::from_toml("the built-in package data", KNOWN)
    }

    /// Reads rules as TOML: a table for each package.
    ///
    /// # Errors
    /// What is wrong, with line and column; `name` says of what.
    pub fn from_toml(name: &str, text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error| unusable(name, &error))
    }

    /// These rules with others; where both name a package, the others' rules replace these.
    #[must_use]
    pub fn with(mut self, others: &Self) -> Self {
        for (name, rules) in &others.packages {
            self.packages.insert(name.clone(), rules.clone());
        }
        self
    }

    /// The rules of those packages, by name.
    pub fn of<'a>(&'a self, present: &[&str]) -> Vec<(&'a str, &'a PackageRules)> {
        let mut names: Vec<_> = present.to_vec();
        names.sort_unstable();
        names.dedup();
        names
            .into_iter()
            .filter_map(|name| self.packages.get_key_value(name))
            .map(|(name, rules)| (name.as_str(), rules))
            .collect()
    }
}

impl Identifiers {
    /// The IDs that are fixed for known system users and groups.
    ///
    /// # Errors
    /// When the data that this program was built with does not parse: never, as tests see to.
    pub fn known() -> Result<Self> {
        toml::from_str(IDENTIFIERS).map_err(|error| unusable("the built-in table of IDs", &error))
    }

    /// These IDs with others, which win.
    #[must_use]
    pub fn with(mut self, others: &Self) -> Self {
        self.users.extend(others.users.clone());
        self.groups.extend(others.groups.clone());
        self
    }
}

fn unusable(name: &str, error: &toml::de::Error) -> Error {
    Error::File {
        file: name.into(),
        reason: error.to_string().trim_end().replace('\n', "\n  "),
    }
}

/// Octal permission bits of a rule.
///
/// # Errors
/// When they are not octal or over 7777.
pub(crate) fn mode(text: &str, path: &str) -> Result<u16> {
    match u16::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o7777 => Ok(mode),
        _ => Err(Error::File {
            file: format!("the package data for {path}"),
            reason: format!("mode {text:?} is not up to four octal digits"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_data_is_sound() {
        let data = PackageData::known().unwrap();
        for (name, rules) in &data.packages {
            assert_ne!(rules, &PackageRules::default(), "{name} has no rule");
            for rule in &rules.directories {
                mode(&rule.mode, &rule.path).unwrap();
            }
            for rule in &rules.files {
                mode(&rule.mode, &rule.path).unwrap();
            }
            for rule in &rules.owners {
                mode(&rule.mode, &rule.path).unwrap();
            }
        }
        let identifiers = Identifiers::known().unwrap();
        for table in [&identifiers.users, &identifiers.groups] {
            let mut taken: Vec<_> = table.values().collect();
            taken.sort_unstable();
            taken.dedup();
            assert_eq!(taken.len(), table.len(), "an ID is given twice");
            assert!(table.values().all(|id| (100..1000).contains(id)));
        }
    }
}
