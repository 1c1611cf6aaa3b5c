//! Garbage collection: what is not needed any more goes, least recently used first.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use serde::Serialize;

use crate::store::{age, entries, remove_any, size_of};
use crate::{Digest, Error, Result, Store};

/// What [`Store::gc`] may remove. With neither bound it removes only left-overs of killed builds.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Blobs, and derived folders with these keys, that stay whatever else is said.
    pub keep: BTreeSet<Digest>,
    /// Remove what was not used for longer than this.
    pub unused_for: Option<Duration>,
    /// Then remove what was used least recently, derived folders before blobs, until blobs and
    /// derived folders take no more than so many bytes.
    pub at_most: Option<u64>,
    /// Remove nothing, only report.
    pub pretend: bool,
}

/// So many things of so many bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// How many.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Amount {
    fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

/// What [`Store::gc`] has removed, or would have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// Blobs.
    pub blobs: Amount,
    /// Derived folders.
    pub derived: Amount,
    /// Named documents.
    pub documents: Amount,
    /// What killed builds and cut-off downloads left.
    pub leftovers: Amount,
    /// Blobs and derived folders that stay.
    pub kept: Amount,
    /// Nothing was removed: the policy asked only for what would be.
    pub pretended: bool,
}

impl fmt::Display for Amount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = self.bytes as f64 / f64::from(1 << 20);
        write!(formatter, "{} ({mebibytes:.1} MiB)", self.count)
    }
}

impl fmt::Display for Collected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = if self.pretended {
            "would be removed"
        } else {
            "removed"
        };
        write!(
            formatter,
            "{done}: blobs {}, derived folders {}, documents {}, left-overs {}; kept: {}",
            self.blobs, self.derived, self.documents, self.leftovers, self.kept
        )
    }
}

/// A thing that may be removed. The order of the fields is the order of removal.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    kind: Kind,
    used: SystemTime,
    path: PathBuf,
    bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Derived,
    Blob,
}

impl Store {
    /// Removes what the policy allows to. Refuses while another build uses the store: what that
    /// one has found there must not vanish under its hands.
    pub fn gc(&mut self, policy: &Policy) -> Result<Collected> {
        self.inner.must_be_writable()?;
        if let Some(lock) = &self.inner.lock
            && flock(lock, FlockOperation::NonBlockingLockExclusive).is_err()
        {
            // The failed wish has cost us our share of the lock.
            self.inner.share()?;
            return Err(Error::InUse {
                path: self.path().into(),
            });
        }
        let collected = self.collect(policy);
        self.inner.share()?;
        collected
    }

    fn collect(&self, policy: &Policy) -> Result<Collected> {
        let mut collected = Collected {
            pretended: policy.pretend,
            ..Collected::default()
        };
        if policy.pretend {
            for name in ["temporary", "scratch", "partial"] {
                for (path, _) in entries(&self.path().join(name))? {
                    collected.leftovers.add(size_of(&path)?);
                }
            }
        } else {
            let (count, bytes) = self.inner.clean_up(None)?;
            collected.leftovers = Amount { count, bytes };
        }
        if let Some(limit) = policy.unused_for {
            for (path, metadata) in entries(&self.path().join("documents"))? {
                if age(&metadata) > limit {
                    collected.documents.add(metadata.len());
                    self.remove(&path, policy)?;
                }
            }
        }

        let (mut candidates, kept) = self.candidates(policy)?;
        collected.kept = kept;
        candidates.sort();
        let mut total = candidates
            .iter()
            .fold(kept.bytes, |sum, candidate| sum + candidate.bytes);
        for candidate in candidates {
            let unused = candidate.used.elapsed().unwrap_or_default();
            let goes = policy.unused_for.is_some_and(|limit| unused > limit)
                || policy.at_most.is_some_and(|limit| total > limit);
            if !goes {
                collected.kept.add(candidate.bytes);
                continue;
            }
            total -= candidate.bytes;
            self.remove(&candidate.path, policy)?;
            match candidate.kind {
                Kind::Derived => collected.derived.add(candidate.bytes),
                Kind::Blob => collected.blobs.add(candidate.bytes),
            }
        }
        Ok(collected)
    }

    fn remove(&self, path: &Path, policy: &Policy) -> Result<()> {
        if policy.pretend {
            return Ok(());
        }
        if path.is_dir() {
            self.set_aside(path)
        } else {
            remove_any(path)
        }
    }

    /// All that may be removed, and the amount of what must not.
    fn candidates(&self, policy: &Policy) -> Result<(Vec<Candidate>, Amount)> {
        let mut found = Vec::new();
        let mut kept = Amount::default();
        for (name, kind) in [("derived", Kind::Derived), ("blobs", Kind::Blob)] {
            for (shelf, _) in entries(&self.path().join(name))? {
                for (path, metadata) in entries(&shelf)? {
                    let bytes = size_of(&path)?;
                    if digest_of(&path).is_some_and(|digest| policy.keep.contains(&digest)) {
                        kept.add(bytes);
                        continue;
                    }
                    found.push(Candidate {
                        kind,
                        used: used(&metadata),
                        path,
                        bytes,
                    });
                }
            }
        }
        Ok((found, kept))
    }
}

/// The digest that a file or folder of the store is named by.
pub(crate) fn digest_of(path: &Path) -> Option<Digest> {
    path.file_name()?.to_str()?.parse().ok()
}

fn used(metadata: &fs::Metadata) -> SystemTime {
    metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH)
}
