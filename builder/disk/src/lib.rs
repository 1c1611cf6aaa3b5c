//! Disk images: a sparse file with a partition table, dm-verity hash trees, digests.
//!
//! ```
//! use fortress_disk::gpt::{self, LayoutOptions, PartitionEntry, partition_types};
//! use fortress_disk::ImageFile;
//! use uuid::Uuid;
//!
//! let folder = tempfile::tempdir()?;
//! let esp = PartitionEntry {
//!     kind: partition_types::ESP,
//!     guid: Uuid::from_u128(7),
//!     name: "esp".into(),
//!     length: 64 << 20,
//!     attributes: 0,
//! };
//! let layout = gpt::layout(vec![esp], &LayoutOptions::new(Uuid::from_u128(9)))?;
//! let image = ImageFile::create(&folder.path().join("host.raw"), layout.length)?;
//! gpt::write(image.file(), &layout)?;
//! image.finish()?; // only now is there a host.raw
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod data;
pub mod digest;
pub mod gpt;
mod image;
mod partial;
mod region;
pub mod verity;

pub use image::ImageFile;
pub use partial::PartialFile;
pub use region::Region;

use std::io;

/// What can go wrong with a disk image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be made, read or written.
    #[error("cannot {operation} {what}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// With what.
        what: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// No room is left where the image is written.
    #[error("cannot {operation} {what}: no room is left on its disk")]
    Full {
        /// What was tried.
        operation: &'static str,
        /// With what.
        what: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A region whose length does not suit what is to be in it.
    #[error("{what} at {region} is {reason}")]
    Region {
        /// What is to be there.
        what: &'static str,
        /// Where.
        region: Region,
        /// What is wrong with it.
        reason: String,
    },
    /// A partition that cannot be described in a partition table.
    #[error("partition {name:?} {reason}")]
    Partition {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A partition table that is damaged, or that contradicts itself.
    #[error("the partition table ({copy}) {reason}")]
    Table {
        /// Which part of it.
        copy: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A dm-verity superblock that is damaged or of another form than ours.
    #[error("the dm-verity superblock at byte {offset} {reason}")]
    Superblock {
        /// Where it lies in the file.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A text that is no root hash.
    #[error("{0:?} is no root hash: it takes 64 hexadecimal digits")]
    RootHash(String),
}

impl Error {
    /// The error for a failed operation on a file; a full disk is told apart.
    pub(crate) fn io(operation: &'static str, what: impl Into<String>, source: io::Error) -> Self {
        let what = what.into();
        match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::Full {
                operation,
                what,
                source,
            },
            _ => Self::Io {
                operation,
                what,
                source,
            },
        }
    }
}

/// This crate's result.
pub type Result<T> = std::result::Result<T, Error>;
