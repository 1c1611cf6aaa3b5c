//! What can go wrong with packages.

use fortress_tree::TreePath;

/// What can go wrong with packages. `archive` is the name that [`crate::Archive`] gave.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be opened or read, or the spool cannot be written.
    #[error("cannot {operation} package {archive}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// Which package.
        archive: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The file is not the one that was asked for.
    #[error("package {archive} has SHA-256 {got}, expected {expected}")]
    Digest {
        /// Which package.
        archive: String,
        /// What it should be, in hexadecimal.
        expected: String,
        /// What it is, in hexadecimal.
        got: String,
    },
    /// The file ends too early.
    #[error(
        "package {archive} is cut off: {part} ends at byte {offset}, and {wanted} was to follow"
    )]
    Truncated {
        /// Which package.
        archive: String,
        /// Which part of it: the file itself, or the unpacked `control.tar` or `data.tar`.
        part: &'static str,
        /// Where in that part, in bytes.
        offset: u64,
        /// What was expected there.
        wanted: &'static str,
    },
    /// The file is not a well-formed package.
    #[error("package {archive} is damaged: {part}, byte {offset}: {reason}")]
    Malformed {
        /// Which package.
        archive: String,
        /// Which part of it: the file itself, or the unpacked `control.tar` or `data.tar`.
        part: &'static str,
        /// Where in that part, in bytes.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// The package holds something that no package should hold.
    #[error("package {archive} is refused: {path:?} {reason}")]
    Refused {
        /// Which package.
        archive: String,
        /// Which of its paths.
        path: String,
        /// Why.
        reason: String,
    },
    /// The package is larger than a package may be.
    #[error("package {archive} is refused: it has {got} {what}, and at most {limit} are allowed")]
    Limit {
        /// Which package.
        archive: String,
        /// What there is too much of, with its unit.
        what: &'static str,
        /// How much was found.
        got: u64,
        /// How much is allowed.
        limit: u64,
    },
    /// Its `control` file cannot be understood.
    #[error("package {archive}: control, line {line}: {reason}")]
    Control {
        /// Which package.
        archive: String,
        /// Line, from 1; 0 for the file as a whole.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// Two packages ship different things at the same path.
    #[error(
        "{path}: {first} and {second} both ship it, {difference}, and neither replaces the other"
    )]
    Conflict {
        /// The path.
        path: TreePath,
        /// The package that came first.
        first: String,
        /// The package that came second.
        second: String,
        /// In what the two differ.
        difference: String,
    },
    /// A path of a package has no place in the tree.
    #[error("package {archive}: cannot unpack {path}")]
    Place {
        /// Which package.
        archive: String,
        /// Which of its paths.
        path: String,
        /// Why.
        #[source]
        source: fortress_tree::Error,
    },
    /// The file of reviewed scripts cannot be understood.
    #[error("reviewed scripts: {0}")]
    Reviewed(String),
    /// The observer asked to stop.
    #[error("stopped while unpacking packages")]
    Cancelled,
}

/// This crate's result.
pub type Result<T> = std::result::Result<T, Error>;
