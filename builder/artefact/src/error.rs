//! What can go wrong.

use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong when artefacts are made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {operation} {}", path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The image is not as long as its manifest says.
    #[error("{} has {found} bytes, and its manifest says {expected}", path.display())]
    Length {
        /// The image.
        path: PathBuf,
        /// Its length.
        found: u64,
        /// What the manifest says.
        expected: u64,
    },
    /// An entry for Raspberry Pi Imager's list, of an image for another board.
    #[error(
        "an entry for Raspberry Pi Imager's list is of no use: the image is for the board {board}"
    )]
    Board {
        /// The image's board.
        board: String,
    },
    /// Where the image's data is could not be found out.
    #[error(transparent)]
    Disk(#[from] fortress_disk::Error),
    /// Somebody asked for the work to stop.
    #[error("interrupted")]
    Cancelled,
}

impl Error {
    pub(crate) fn file(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File {
            operation,
            path,
            source,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    Some("make room on that disk, or choose another folder".into())
                }
                _ => None,
            },
            Self::Board { .. } => Some("leave `os-list` out".into()),
            Self::Length { .. } => Some("build the image anew".into()),
            _ => None,
        }
    }
}

/// This crate's result.
pub type Result<T> = std::result::Result<T, Error>;
