//! The root file tree in memory: owner, mode, extended attributes and times of every node;
//! file contents by reference, so that memory does not grow with the size of an image.
//!
//! ```
//! use fortress_tree::{Tree, TreePath};
//! let mut tree = Tree::new(0);
//! let path = TreePath::new("/etc/hostname")?;
//! tree.write(&path, 0o644, "fortress\n")?;
//! assert_eq!(tree.read_text(&path)?, "fortress\n");
//! # Ok::<(), fortress_tree::Error>(())
//! ```

mod content;
mod listing;
mod load;
mod node;
pub mod overlay;
mod path;
mod tree;

pub use content::{Content, ContentReader, Spool};
pub use node::{Kind, Metadata, Node};
pub use path::TreePath;
pub use tree::Tree;

/// What can go wrong with a tree.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A path that does not name a place inside the tree.
    #[error("path {path:?} {reason}")]
    Path {
        /// The path as given.
        path: String,
        /// Why it is refused.
        reason: &'static str,
    },
    /// A node whose parent is missing or is no directory.
    #[error("{path}: its parent is {found}, not a directory")]
    Parent {
        /// The node's path.
        path: TreePath,
        /// What stands in the parent's place.
        found: &'static str,
    },
    /// Nothing is there.
    #[error("{0}: no such path in the tree")]
    Missing(TreePath),
    /// Something else is there than is needed.
    #[error("{path}: is {found}, expected {expected}")]
    Type {
        /// The node's path.
        path: TreePath,
        /// What it is.
        found: &'static str,
        /// What was asked for.
        expected: &'static str,
    },
    /// Symbolic links that lead in a circle or too far (more than 40 links).
    #[error("{0}: too many symbolic links")]
    Loop(TreePath),
    /// A text was asked for and the bytes are not UTF-8.
    #[error("{0}: is not UTF-8 text")]
    NotText(TreePath),
    /// Something in an overlay that cannot be laid over a tree.
    #[error("overlay {path} is refused: {reason}", path = path.display())]
    Overlay {
        /// Where it is on the host.
        path: std::path::PathBuf,
        /// Why.
        reason: String,
    },
    /// Contents could not be read or kept.
    #[error("cannot {operation} the contents of {what}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// Of which file.
        what: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
}

/// This crate's result.
pub type Result<T> = std::result::Result<T, Error>;
