//! Why a Raspberry Pi would not start from an image.

use std::path::PathBuf;

/// Why a Raspberry Pi's firmware would not start from an image, or why this project's reading of it
/// does not go on where the real one might guess.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The image, or a file that is made from it, cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// There is no partition table that the firmware knows.
    #[error("the firmware finds no partition table: {0}")]
    Table(String),
    /// A partition cannot be started from.
    #[error("the firmware cannot start from partition {number}: {why}")]
    Partition {
        /// Its number, from 1.
        number: u32,
        /// Why not.
        why: String,
    },
    /// A FAT is damaged.
    #[error("the FAT of {place} is damaged: {why}")]
    FileSystem {
        /// Where it is: a partition, or `boot.img`.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file is missing.
    #[error("{place} has no file {file:?}, which {needed_by}")]
    Missing {
        /// The file.
        file: String,
        /// Where it should be.
        place: String,
        /// What asks for it: `config.txt names as kernel`.
        needed_by: String,
    },
    /// A file is larger than the firmware reads.
    #[error("{file:?} of {place} has {length} bytes, and {what} reads at most {limit}")]
    TooLarge {
        /// The file.
        file: String,
        /// Where it is.
        place: String,
        /// Its length in bytes.
        length: u64,
        /// Who reads it.
        what: &'static str,
        /// The largest that is read, in bytes.
        limit: u64,
    },
    /// A configuration file says what the firmware does not take, or takes in another sense.
    #[error("line {line} of {file:?} of {place} {why}")]
    Line {
        /// The file.
        file: String,
        /// Where it is.
        place: String,
        /// The line's number, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// What the configuration comes to cannot be started.
    #[error("{file:?} of {place} {why}")]
    Content {
        /// The file.
        file: String,
        /// Where it is.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// The board's device tree is damaged.
    #[error("the board's device tree cannot be read: {0}")]
    DeviceTree(&'static str),
    /// `boot.sig` does not vouch for `boot.img`.
    #[error("the board takes only what its owner signed, and {0}")]
    Signature(String),
}

impl Refusal {
    pub(super) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }
}

/// The result of reading an image as the firmware does.
pub(super) type Result<T> = std::result::Result<T, Refusal>;
