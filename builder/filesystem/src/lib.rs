//! File system writers: a [`Tree`] becomes an ext4 or FAT32 file system inside a disk image, or
//! a cpio archive.
//!
//! ```
//! use fortress_filesystem::ext4::{self, Ext4Options, Headroom};
//! use fortress_progress::Silent;
//! use fortress_tree::{Tree, TreePath};
//! use uuid::Uuid;
//!
//! let mut tree = Tree::new(1_700_000_000);
//! tree.write(&TreePath::new("/etc/hostname")?, 0o644, "fortress\n")?;
//! let size = ext4::plan(&tree, Headroom::default())?;
//! let image = tempfile::tempfile()?;
//! image.set_len(size)?;
//! let options = Ext4Options {
//!     size,
//!     uuid: Uuid::from_u128(1),
//!     hash_seed: Uuid::from_u128(2),
//!     label: "root".into(),
//!     epoch: 1_700_000_000,
//! };
//! ext4::write(&tree, &options, &image, 0, &Silent)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Tree`]: fortress_tree::Tree

pub mod cpio;
pub mod ext4;
pub mod fat;
mod read_at;

pub use read_at::ReadAt;

use fortress_tree::TreePath;
use std::io;

/// What can go wrong with a file system.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file's contents could not be read from where they are kept.
    #[error("cannot read the contents of {path}")]
    Contents {
        /// The file.
        path: TreePath,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The image could not be read or written.
    #[error("cannot {operation} {what}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// With what.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// No room is left where the image is written.
    #[error("cannot write {what}: no room is left on the disk of the image")]
    Full {
        /// What was being written.
        what: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file system is too small for the tree, or for its own kind.
    #[error("{what} of {size} bytes is too small: it takes {needed} bytes")]
    TooSmall {
        /// The file system.
        what: &'static str,
        /// The size asked for, in bytes.
        size: u64,
        /// The smallest size that does, in bytes.
        needed: u64,
    },
    /// An option that does not suit the file system.
    #[error("{what} cannot have {reason}")]
    Option {
        /// The file system.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A file system that cannot be laid out.
    #[error("{what} cannot be laid out: {reason}")]
    Layout {
        /// The file system.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// Something in the tree that the file system has no form for.
    #[error("{path} cannot be put in {what}: {reason}")]
    Unsuitable {
        /// The node.
        path: TreePath,
        /// The file system.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// A file system that is damaged.
    #[error("{what} is damaged: {reason}")]
    Damaged {
        /// The file system.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing is there, or something else than a file.
    #[error("{path} is no file of {what}")]
    Missing {
        /// What was asked for.
        path: String,
        /// The file system.
        what: &'static str,
    },
    /// The work was called off.
    #[error("stopped while writing {0}")]
    Cancelled(&'static str),
}

impl Error {
    /// The error for a failed write; a full disk is told apart.
    pub(crate) fn write(what: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::Full { what, source },
            _ => Self::Io {
                operation: "write",
                what,
                source,
            },
        }
    }
}

/// This crate's result.
pub type Result<T> = std::result::Result<T, Error>;
