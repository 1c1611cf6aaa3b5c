//! What can go wrong with what boots.

use crate::device_tree;
use fortress_tree::TreePath;

/// What can go wrong with an initrd, or with a Raspberry Pi's boot files.
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
    /// A kernel could not be compressed.
    #[error("cannot compress the kernel with gzip")]
    Gzip {
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A device tree.
    #[error("cannot use device tree {name}: {reason}")]
    DeviceTree {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: device_tree::Error,
    },
    /// Two device trees whose difference no overlay can say.
    #[error(
        "cannot make overlay {overlay}, which turns {from} into {to}: {}",
        reasons.join("; ")
    )]
    Overlay {
        /// The overlay.
        overlay: String,
        /// The device tree that the firmware takes.
        from: String,
        /// The device tree that it is to become.
        to: String,
        /// What cannot be said, each with its node.
        reasons: Vec<String>,
    },
    /// A kernel that the Raspberry Pi's firmware cannot start.
    #[error("a Raspberry Pi cannot start the kernel: {reason}")]
    Kernel {
        /// Why not.
        reason: &'static str,
    },
    /// A line of a text for the firmware that is too long for it.
    #[error("{file}: the firmware takes {limit} bytes, and this has {length}: {text}")]
    Text {
        /// The file.
        file: &'static str,
        /// The most that it may have, in bytes.
        limit: usize,
        /// What it has, in bytes.
        length: usize,
        /// How it begins.
        text: String,
    },
}

/// The result of working on what boots.
pub type Result<T> = std::result::Result<T, Error>;
