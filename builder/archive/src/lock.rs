//! The lock: every package of a build, by its SHA-256, and the indexes that it was resolved from.
//! TOML, sorted, one table a package, so that its history can be read; it names no host.

use std::collections::BTreeMap;
use std::fmt;

use fortress_store::{Digest, Download};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::index::Index;
use crate::packages::is_path;
use crate::resolve::Resolution;
use crate::source::Source;
use crate::time::{parse_rfc3339, to_rfc3339, to_snapshot};

/// The only format there is so far.
const FORMAT: u32 = 1;
/// Longer locks are refused, in bytes; a desktop's is about 1 MiB.
const LENGTH: usize = 64 << 20;

/// Every input from the archives, and what they were chosen for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Format of the file: 1.
    format: u32,
    /// Architecture that it is for: `amd64`.
    pub architecture: String,
    /// Base that it was made from: `debian-13`.
    pub base: String,
    /// Digest of what was asked for; see [`Lock::fits`].
    pub request: Digest,
    /// The suites, sorted by source name.
    #[serde(rename = "suite", default)]
    pub suites: Vec<LockedSuite>,
    /// The packages, sorted by name.
    #[serde(rename = "package", default)]
    pub packages: Vec<LockedPackage>,
}

/// A suite as it was when the lock was made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedSuite {
    /// [`Source`] name.
    pub name: String,
    /// `trixie`, `noble-updates`.
    pub suite: String,
    /// When its index was made, in seconds since 1970.
    #[serde(with = "rfc3339")]
    pub date: i64,
    /// SHA-256 of its signed index.
    pub release_sha256: Digest,
}

/// A package, to the byte.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The lock's architecture, or `all`.
    pub architecture: String,
    /// Name of the [`Source`] that gives it.
    pub source: String,
    /// Name of its source package.
    pub source_package: String,
    /// Version of its source package.
    pub source_version: String,
    /// `admin`, `libs`; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub section: String,
    /// In bytes.
    pub size: u64,
    /// SHA-256 of the file.
    pub sha256: Digest,
    /// Its path below the archive's root.
    pub path: String,
}

/// Where a source's packages are kept for good: the distribution's snapshot service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Name of the [`Source`].
    pub source: String,
    /// Address of the archive's root, with `{timestamp}` for the time (`20260131T120000Z`).
    pub url: String,
}

/// A difference between two locks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// The package.
    pub name: String,
    /// What became of it.
    pub kind: ChangeKind,
}

/// What became of a package between two locks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It is new, in this version.
    Added(String),
    /// It is gone; this was its version.
    Removed(String),
    /// Its version changed.
    Changed {
        /// The version before.
        from: String,
        /// The version now.
        to: String,
    },
    /// The version is the same, and the file is not.
    Replaced(String),
}

/// One line: `name 1.0 -> 1.1`.
impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.kind {
            ChangeKind::Added(version) => write!(formatter, "{name} {version}, new"),
            ChangeKind::Removed(version) => write!(formatter, "{name} {version}, gone"),
            ChangeKind::Changed { from, to } => write!(formatter, "{name} {from} -> {to}"),
            ChangeKind::Replaced(version) => {
                write!(
                    formatter,
                    "{name} {version}, another file of the same version"
                )
            }
        }
    }
}

/// Times in a lock: seconds since 1970 here, RFC 3339 there.
mod rfc3339 {
    use super::{parse_rfc3339, to_rfc3339};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(time: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&to_rfc3339(*time))
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<i64, D::Error> {
        let text = String::deserialize(from)?;
        parse_rfc3339(&text).ok_or_else(|| {
            D::Error::custom(format!("{text:?} is not a time like {}", to_rfc3339(0)))
        })
    }
}

impl Lock {
    /// The lock of what was resolved. `request` is the digest of everything that the resolution
    /// depends on beside the archives themselves.
    pub fn new(index: &Index, resolution: &Resolution<'_>, base: &str, request: Digest) -> Self {
        let mut suites: Vec<LockedSuite> = index
            .suites()
            .iter()
            .map(|suite| LockedSuite {
                name: suite.source.clone(),
                suite: suite.suite.clone(),
                date: suite.date,
                release_sha256: suite.release,
            })
            .collect();
        suites.sort_unstable();
        let mut packages: Vec<LockedPackage> = resolution
            .packages
            .iter()
            .map(|stanza| LockedPackage {
                name: stanza.name().into(),
                version: stanza.version().into(),
                architecture: stanza.architecture().into(),
                source: stanza.suite().source.clone(),
                source_package: stanza.source_name().into(),
                source_version: stanza.source_version().into(),
                section: stanza.section().into(),
                size: stanza.size(),
                sha256: stanza.digest(),
                path: stanza.path().into(),
            })
            .collect();
        packages.sort_unstable();
        Self {
            format: FORMAT,
            architecture: index.architecture().into(),
            base: base.into(),
            request,
            suites,
            packages,
        }
    }

    /// Whether it was made for this request.
    pub fn fits(&self, request: &Digest) -> bool {
        self.request == *request
    }

    /// When the newest of its indexes was made, in seconds since 1970.
    pub fn newest_date(&self) -> Option<i64> {
        self.suites.iter().map(|suite| suite.date).max()
    }

    /// The lock as a file.
    pub fn to_toml(&self) -> String {
        let mut text = String::from(
            "# What this image is made from. Made by `fortress-build lock`, renewed by `--update`;\n\
             # keep it under version control, and change it by no other means.\n",
        );
        // Strings, numbers and tables of them: there is nothing that TOML cannot say.
        text.push_str(&toml::to_string(self).unwrap_or_default());
        text
    }

    /// Reads a lock.
    ///
    /// # Errors
    /// [`Error::Lock`], when it is of another format or not sound.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        if text.len() > LENGTH {
            return Err(Error::Lock(format!("it is longer than {LENGTH} bytes")));
        }
        let unsound = |error: toml::de::Error| Error::Lock(error.to_string().trim_end().to_owned());
        let Format { format } = toml::from_str(text).map_err(unsound)?;
        if format != FORMAT {
            return Err(Error::Lock(format!(
                "it is of format {format}, and this version reads format {FORMAT}"
            )));
        }
        let lock: Self = toml::from_str(text).map_err(unsound)?;
        for package in &lock.packages {
            if !is_path(&package.path) {
                return Err(Error::Lock(format!(
                    "{} has a path that is none in an archive: {:?}",
                    package.name, package.path
                )));
            }
            if !lock.suites.iter().any(|suite| suite.name == package.source) {
                return Err(Error::Lock(format!(
                    "{} is from {}, of which it has no suite",
                    package.name, package.source
                )));
            }
        }
        match lock
            .packages
            .windows(2)
            .find(|pair| pair[0].name >= pair[1].name)
        {
            Some([before, after]) => Err(Error::Lock(format!(
                "its packages are not sorted, each once: {} stands before {}",
                before.name, after.name
            ))),
            _ => Ok(lock),
        }
    }

    /// What to fetch, in the order of the packages: from the mirrors of its source, then from
    /// the snapshot service, as of the date of its suite.
    ///
    /// # Errors
    /// [`Error::UnknownSource`], when the lock names a source that is not given.
    pub fn downloads(
        &self,
        sources: &[Source],
        snapshots: &[Snapshot],
    ) -> Result<Vec<Download>, Error> {
        let dates: BTreeMap<&str, i64> = self
            .suites
            .iter()
            .map(|suite| (suite.name.as_str(), suite.date))
            .collect();
        let download = |package: &LockedPackage| {
            let source = sources.iter().find(|source| source.name == package.source);
            let source = source.ok_or_else(|| Error::UnknownSource {
                package: package.name.clone(),
                source_name: package.source.clone(),
                known: sources
                    .iter()
                    .map(|source| source.name.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            })?;
            let mut urls: Vec<String> = source
                .mirrors
                .iter()
                .map(|mirror| format!("{mirror}/{}", package.path))
                .collect();
            if let Some(date) = dates.get(package.source.as_str()) {
                let kept = snapshots
                    .iter()
                    .filter(|snapshot| snapshot.source == package.source);
                for snapshot in kept {
                    // Snapshots are taken some hours after an index is made, and a service
                    // answers with the last one before the time that is asked for.
                    for time in [date + 86_400, *date] {
                        let root = snapshot.url.replace("{timestamp}", &to_snapshot(time));
                        urls.push(format!("{}/{}", root.trim_end_matches('/'), package.path));
                    }
                }
            }
            Ok(Download {
                name: format!(
                    "{} {} {}",
                    package.name, package.version, package.architecture
                ),
                urls,
                digest: package.sha256,
                length: Some(package.size),
            })
        };
        self.packages.iter().map(download).collect()
    }

    /// What changed since an older lock, sorted by name.
    pub fn compare(&self, old: &Self) -> Vec<Change> {
        let by_name = |lock: &'_ Self| -> BTreeMap<String, LockedPackage> {
            let packages = lock.packages.iter();
            packages
                .map(|package| (package.name.clone(), package.clone()))
                .collect()
        };
        let (old, new) = (by_name(old), by_name(self));
        let mut changes: Vec<Change> = new
            .values()
            .filter_map(|package| {
                let kind = match old.get(&package.name) {
                    None => ChangeKind::Added(package.version.clone()),
                    Some(before) if before.version != package.version => ChangeKind::Changed {
                        from: before.version.clone(),
                        to: package.version.clone(),
                    },
                    Some(before) if before.sha256 != package.sha256 => {
                        ChangeKind::Replaced(package.version.clone())
                    }
                    Some(_) => return None,
                };
                Some(Change {
                    name: package.name.clone(),
                    kind,
                })
            })
            .collect();
        let gone = old
            .values()
            .filter(|package| !new.contains_key(&package.name));
        changes.extend(gone.map(|package| Change {
            name: package.name.clone(),
            kind: ChangeKind::Removed(package.version.clone()),
        }));
        changes.sort_unstable();
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn never_panics(
            text in "\\PC*",
            lines in proptest::collection::vec("(format|date|size|path|source) = (1|\"[a-z0-9/.:-]{0,20}\")", 0..9),
        ) {
            let _ = Lock::from_toml(&text);
            let table = format!("format = 1\n[[package]]\n{}\n[[suite]]\n{}", lines.join("\n"), lines.join("\n"));
            let _ = Lock::from_toml(&table);
        }
    }
}
