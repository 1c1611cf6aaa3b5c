//! What keeps a verification from coming to a verdict.

use std::io;
use std::path::{Path, PathBuf};

/// What keeps a verification from coming to a verdict. What is wrong with an image is none of
/// these, but a [`crate::Finding`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The image cannot be read.
    #[error("cannot read the image")]
    Image(#[source] io::Error),
    /// Keys that nothing can be verified with.
    #[error("cannot verify without the owner's public key: {0}")]
    Keys(String),
    /// The work was called off.
    #[error("cancelled")]
    Cancelled,
}

/// This crate's result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn read(path: &Path, source: io::Error) -> Self {
        Self::Read {
            path: path.to_owned(),
            source,
        }
    }
}
