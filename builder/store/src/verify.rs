//! Checks all that is in the store.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use fortress_progress::{Observer, Unit};
use rayon::prelude::*;
use serde::Serialize;

use crate::collect::{Amount, digest_of};
use crate::derived::is_whole;
use crate::store::{entries, remove_any};
use crate::{Digest, Error, Hasher, Result, Store};

/// What [`Store::verify`] has found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Blobs whose content was hashed again.
    pub checked: Amount,
    /// What is not as it should be, in the order of paths.
    pub damaged: Vec<Damage>,
    /// Whether that was removed.
    pub removed: bool,
}

/// Something in the store that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// Where it is.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: Wrong,
}

/// What is wrong with a thing in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Wrong {
    /// Its content has changed.
    #[error("SHA-256 is {got}, expected {expected}")]
    Content {
        /// What its name says.
        expected: Digest,
        /// What it is.
        got: Digest,
    },
    /// The disk does not give it back.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// Files of a derived folder are missing or have other lengths.
    #[error("files are missing or have other lengths than when they were written")]
    Incomplete,
    /// Not something that the store has put there.
    #[error("it does not belong there")]
    Strange,
}

impl fmt::Display for Verified {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for damage in &self.damaged {
            writeln!(formatter, "{}: {}", damage.path.display(), damage.what)?;
        }
        let removed = if self.removed { ", removed" } else { "" };
        let damaged = self.damaged.len();
        write!(
            formatter,
            "checked: blobs {}; damaged: {damaged}{removed}",
            self.checked
        )
    }
}

impl Store {
    /// Hashes every blob again, on all cores, and looks whether derived folders are whole. With
    /// `remove`, what is damaged goes, and is downloaded or computed again when it is needed;
    /// with a damaged blob go all derived folders, which may have been made from it.
    pub fn verify(&self, remove: bool, observer: &dyn Observer) -> Result<Verified> {
        if remove {
            self.inner.must_be_writable()?;
        }
        let blobs = shelves(&self.path().join("blobs"))?;
        let total = blobs.iter().map(|(_, bytes)| bytes).sum();
        let stage = observer.stage("verify", Some(total), Unit::Bytes);
        let advance = |bytes| {
            stage.advance(bytes);
            observer.cancelled()
        };
        let mut damaged: Vec<Damage> = blobs
            .par_iter()
            .filter_map(|(path, _)| match check(path, &advance) {
                Ok(None) => None,
                Ok(Some(what)) => Some(Ok(Damage {
                    path: path.clone(),
                    what,
                })),
                Err(error) => Some(Err(error)),
            })
            .collect::<Result<_>>()?;
        drop(stage);

        let blobs_damaged = !damaged.is_empty();
        let derived = shelves(&self.path().join("derived"))?;
        for (path, _) in &derived {
            let what = match digest_of(path) {
                None => Wrong::Strange,
                Some(_) if !is_whole(path)? => Wrong::Incomplete,
                Some(_) => continue,
            };
            damaged.push(Damage {
                path: path.clone(),
                what,
            });
        }
        if remove {
            for damage in &damaged {
                remove_any(&damage.path)?;
            }
            if blobs_damaged {
                for (path, _) in &derived {
                    self.set_aside(path)?;
                }
            }
        }
        Ok(Verified {
            checked: Amount {
                count: blobs.len() as u64,
                bytes: total,
            },
            removed: remove && !damaged.is_empty(),
            damaged,
        })
    }
}

/// The entries of all folders in a folder, with their lengths; whatever else is in it, as well.
fn shelves(folder: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    for (path, metadata) in entries(folder)? {
        if !metadata.is_dir() {
            found.push((path, metadata.len()));
            continue;
        }
        for (path, metadata) in entries(&path)? {
            found.push((path, metadata.len()));
        }
    }
    Ok(found)
}

fn check(path: &Path, advance: &(dyn Fn(u64) -> bool + Sync)) -> Result<Option<Wrong>> {
    let Some(expected) = digest_of(path).filter(|_| path.is_file()) else {
        return Ok(Some(Wrong::Strange));
    };
    let hash = || -> io::Result<Option<Digest>> {
        let mut file = std::fs::File::open(path)?;
        let mut hasher = Hasher::new();
        let mut buffer = vec![0; 256 << 10];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(Some(hasher.finish())),
                Ok(read) => {
                    hasher.update(&buffer[..read]);
                    if advance(read as u64) {
                        return Ok(None);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    };
    match hash() {
        Ok(Some(got)) if got == expected => Ok(None),
        Ok(Some(got)) => Ok(Some(Wrong::Content { expected, got })),
        Ok(None) => Err(Error::Cancelled),
        Err(error) => Ok(Some(Wrong::Unreadable(error.to_string()))),
    }
}
