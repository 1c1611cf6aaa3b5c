//! What can go wrong with an initrd.

use fortress_tree::TreePath;

/// What can go wrong with an initrd.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something that the initrd needs is not in the root.
    #[error(transparent)]
    Tree(#[from] fortress_tree::Error),
    /// The kernel's modules.
    #[error(transparent)]
    Configuration(#[from] fortress_configuration::Error),
    /// The archive could not be written.
    #[error(transparent)]
    Filesystem(#[from] fortress_filesystem::Error),
    /// A library is not in the root.
    #[error("the initrd needs library {library} (for {needed_by}), and no package has it")]
    Library {
        /// Its name.
        library: String,
        /// What loads it.
        needed_by: TreePath,
    },
    /// It could not be compressed.
    #[error("cannot compress the initrd")]
    Compress {
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
}

/// The result of working on an initrd.
pub type Result<T> = std::result::Result<T, Error>;
