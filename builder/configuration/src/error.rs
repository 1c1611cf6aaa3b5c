//! What can go wrong while a tree is configured.

use fortress_tree::TreePath;

/// Why a tree cannot be configured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The tree refused something.
    #[error(transparent)]
    Tree(#[from] fortress_tree::Error),
    /// A line of a configuration file in the tree that means nothing.
    #[error("{file}, line {line}: {reason}")]
    Line {
        /// The file in the tree.
        file: TreePath,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A file in the tree (or a package's data) that cannot be used.
    #[error("cannot use {file}: {reason}")]
    File {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A setting of the recipe that does not fit the tree.
    #[error("{setting} = {value:?}: {reason}")]
    Setting {
        /// Which setting.
        setting: &'static str,
        /// Its value.
        value: String,
        /// Why it cannot be so, and what would do.
        reason: String,
    },
    /// Two things want one name or number.
    #[error("{what} {name:?} cannot be {wanted}: {reason}")]
    Conflict {
        /// "user", "group", "alternative", …
        what: &'static str,
        /// Which one.
        name: String,
        /// What was asked for.
        wanted: String,
        /// What stands against it.
        reason: String,
    },
    /// Contents of the tree could not be read.
    #[error("cannot read {what}")]
    Io {
        /// What was read.
        what: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// Whoever watches asked to stop.
    #[error("stopped on request")]
    Cancelled,
}

/// This crate's result.
pub type Result<T> = std::result::Result<T, Error>;
