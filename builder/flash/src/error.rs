//! What keeps an image from getting onto a disk.

use crate::place::Refusal;
use fortress_verification::Verdict;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// What keeps an image from getting onto a disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The image cannot be opened or read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// What the system tells of its disks cannot be read.
    #[error("cannot tell which disks there are: {} cannot be read", path.display())]
    System {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The image, or what was read back from the disk, is not what the owner signed.
    #[error("{what} is not what you signed{state}")]
    NotVerified {
        /// What was looked at: the image, or the disk.
        what: String,
        /// What is wrong with it.
        verdict: Box<Verdict>,
        /// How the disk was left.
        state: State,
    },
    /// A compressed image that cannot be unpacked, or is not as long as its manifest says.
    #[error("{} is damaged: {reason}{state}", path.display())]
    Damaged {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        reason: String,
        /// How the disk was left.
        state: State,
    },
    /// The verification could not be done.
    #[error(transparent)]
    Verification(#[from] fortress_verification::Error),
    /// The disk must not be written to.
    #[error("cannot write to {place}: {refusal}")]
    Refused {
        /// Which one.
        place: String,
        /// Why not.
        refusal: Box<Refusal>,
    },
    /// The disk cannot be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file system on the disk cannot be unmounted.
    #[error("cannot unmount {}", path.display())]
    Unmount {
        /// Where it is mounted.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The disk failed, was unplugged, or is full.
    #[error("cannot {operation} {place} at byte {offset}{state}")]
    Disk {
        /// What was tried.
        operation: &'static str,
        /// With which disk.
        place: String,
        /// Where on it.
        offset: u64,
        /// How it was left.
        state: State,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The disk gives other bytes than were written.
    #[error("{place} does not keep what is written to it: it differs at byte {offset}{state}")]
    Differs {
        /// Which disk.
        place: String,
        /// Where it differs first.
        offset: u64,
        /// How it was left.
        state: State,
    },
    /// The work was called off.
    #[error("stopped{state}")]
    Cancelled {
        /// How the disk was left.
        state: State,
    },
}

/// How a disk was left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nothing was written to it.
    Untouched,
    /// Its start was erased or not yet written: no firmware takes it for bootable.
    NotBootable {
        /// Which disk.
        place: String,
    },
    /// It failed while its start was erased or written; what is there cannot be told.
    Unknown {
        /// Which disk.
        place: String,
    },
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untouched => write!(formatter, "; nothing was written"),
            Self::NotBootable { place } => write!(
                formatter,
                "; {place} is not bootable now: its first MiB is erased, and what it held is lost"
            ),
            Self::Unknown { place } => write!(
                formatter,
                "; the start of {place} may be half written: do not start a machine from it"
            ),
        }
    }
}

impl Error {
    /// The exit code that goes with it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotVerified { verdict, .. } => verdict.outcome.exit_code(),
            Self::Damaged { .. } => 21,
            Self::Refused { refusal, .. } if matches!(**refusal, Refusal::NeedsName { .. }) => 2,
            Self::Cancelled { .. } => 130,
            Self::Verification(fortress_verification::Error::Cancelled) => 130,
            _ => 1,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Refused { refusal, .. } => refusal.hint(),
            Self::Open { path, source } => match source.kind() {
                io::ErrorKind::PermissionDenied if path.starts_with("/dev") => Some(format!(
                    "this gives you the right, until it is unplugged: sudo setfacl -m u:{}:rw {}",
                    user(),
                    path.display()
                )),
                io::ErrorKind::ResourceBusy => {
                    Some("something uses it: close what does, and try again".into())
                }
                _ => None,
            },
            Self::Unmount { path, source } => match source.kind() {
                io::ErrorKind::PermissionDenied => {
                    Some(format!("unmount it: sudo umount {}", path.display()))
                }
                _ => Some("programs may have files open there, or stand in a folder of it".into()),
            },
            Self::Disk { source, .. } => Some(match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "make room there, or take another place".into()
                }
                _ => "if it was unplugged, plug it in and begin again; if not, it may be worn out"
                    .into(),
            }),
            Self::Differs { .. } => Some(
                "it is worn out, or not as large as it pretends to be: take another one".into(),
            ),
            Self::NotVerified { state, .. } | Self::Damaged { state, .. }
                if *state == State::Untouched =>
            {
                Some("'fortress-build verify' tells all that is wrong".into())
            }
            _ => None,
        }
    }
}

/// Who the right is given to: the user's number, which is right whatever the environment says.
fn user() -> u32 {
    rustix::process::getuid().as_raw()
}

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
