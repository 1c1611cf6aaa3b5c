//! What can go wrong with the store.

use std::io;
use std::path::{Path, PathBuf};

use crate::{Digest, DownloadError};

/// What can go wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system said no.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried: "read", "write", "create".
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no room left: disk, quota or file size limit.
    #[error("cannot write {}: no room is left there ({source})", path.display())]
    Full {
        /// The file that was being written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Neither `XDG_CACHE_HOME` nor `HOME` names an absolute path.
    #[error("cannot tell where the store is: neither XDG_CACHE_HOME nor HOME is an absolute path")]
    NoHome,
    /// A folder that holds other things.
    #[error("cannot use {} as the store: it is not empty and holds no store", path.display())]
    NotAStore {
        /// The folder.
        path: PathBuf,
    },
    /// Written by another version of the program.
    #[error("cannot use the store {}: its format is {found:?}, and this version knows only 1", path.display())]
    Format {
        /// The store.
        path: PathBuf,
        /// What its `format` file says.
        found: String,
    },
    /// Something new is to go into a store that can only be read.
    #[error("cannot add to the store {}: it can only be read", path.display())]
    ReadOnly {
        /// The store.
        path: PathBuf,
    },
    /// Other builds use the store just now.
    #[error("cannot collect garbage in the store {}: another build is using it", path.display())]
    InUse {
        /// The store.
        path: PathBuf,
    },
    /// The source of a blob could not be read.
    #[error("cannot read what was to go into the store: {source}")]
    Source {
        /// What its reader said.
        source: io::Error,
    },
    /// Bytes given for a blob are not the expected ones.
    #[error("SHA-256 is {got}, expected {expected}")]
    Mismatch {
        /// What it should have been.
        expected: Digest,
        /// What it is.
        got: Digest,
    },
    /// More bytes than allowed.
    #[error("more than the allowed {limit} bytes")]
    TooLarge {
        /// The bound, in bytes.
        limit: u64,
    },
    /// The network may not be used, and these are not in the store.
    #[error("cannot work offline: not in the store: {}", some(missing))]
    Offline {
        /// The names of what is missing.
        missing: Vec<String>,
    },
    /// One or several downloads failed; in the order they were asked for, never empty.
    #[error("{}", several(.0))]
    Download(Vec<DownloadError>),
    /// No HTTP client can be made.
    #[error("cannot set up the HTTP client: {reason}")]
    Client {
        /// Why.
        reason: String,
    },
    /// The observer asked to stop.
    #[error("stopped on request")]
    Cancelled,
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// What to do about it, where there is something to advise.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Full { path, .. } => Some(format!(
                "make room on the file system of {}, for example with `fortress-build store gc`, \
                 or put the store elsewhere with --store",
                path.parent().unwrap_or(path).display()
            )),
            Error::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("name a folder that you may write to with --store".into())
            }
            Error::NoHome | Error::NotAStore { .. } | Error::ReadOnly { .. } => {
                Some("name a folder for the store with --store".into())
            }
            Error::Format { .. } => {
                Some("remove that folder (it is only a cache), or name another with --store".into())
            }
            Error::InUse { .. } => Some("try again when the other build has ended".into()),
            Error::Offline { .. } => {
                Some("run once without --offline, so that the store is filled".into())
            }
            Error::Download(failed) => failed.iter().find_map(DownloadError::hint),
            _ => None,
        }
    }

    /// Whether every address answered that there is no such document (404, 410, no such file).
    pub fn is_not_found(&self) -> bool {
        match self {
            Error::Download(failed) => failed.iter().all(DownloadError::is_not_found),
            _ => false,
        }
    }

    /// The file system refused `doing` on `path`.
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Error::Full { path, source },
            _ => Error::Io {
                doing,
                path,
                source,
            },
        }
    }
}

/// The first ten names, and how many more.
fn some(names: &[String]) -> String {
    let shown = names
        .iter()
        .take(10)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().saturating_sub(10) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn several(failed: &[DownloadError]) -> String {
    let Some((first, others)) = failed.split_first() else {
        return "no download failed".into();
    };
    if others.is_empty() {
        return first.to_string();
    }
    let names: Vec<String> = others.iter().map(|error| error.name.clone()).collect();
    format!("{first}; nor could these be downloaded: {}", some(&names))
}
