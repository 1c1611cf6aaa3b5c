//! Nodes: what a tree has at a path.

use crate::{Content, TreePath};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who owns a node, what may be done with it, when it was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The twelve permission bits: setuid, setgid, sticky, and three times rwx.
    pub mode: u16,
    /// Owner's user ID.
    pub user: u32,
    /// Group ID.
    pub group: u32,
    /// Modification time, in seconds since 1970-01-01 UTC; the writers clamp it to the source
    /// date epoch.
    pub modified: i64,
    /// Extended attributes by full name (`security.capability`).
    pub attributes: BTreeMap<String, Vec<u8>>,
}

impl Metadata {
    /// Metadata of a node of root's that the builder makes: its time is the tree's epoch, set
    /// by [`crate::Tree::insert`].
    pub fn new(mode: u16) -> Self {
        Self {
            mode,
            user: 0,
            group: 0,
            modified: i64::MAX,
            attributes: BTreeMap::new(),
        }
    }

    /// The same with another owner.
    pub fn owned_by(mut self, user: u32, group: u32) -> Self {
        self.user = user;
        self.group = group;
        self
    }
}

/// What a node is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Kind {
    /// A directory; its entries are the nodes whose paths lie one below its own.
    Directory,
    /// A regular file.
    File(Content),
    /// A symbolic link, with its target as written.
    Symlink(String),
    /// Another name of the regular file at that path, which is never itself a hard link.
    HardLink(TreePath),
    /// A character device.
    CharacterDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

impl Kind {
    /// The kind in words, for messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Directory => "a directory",
            Self::File(_) => "a file",
            Self::Symlink(_) => "a symbolic link",
            Self::HardLink(_) => "a hard link",
            Self::CharacterDevice { .. } => "a character device",
            Self::BlockDevice { .. } => "a block device",
            Self::Fifo => "a named pipe",
        }
    }
}

/// A node: what it is, whose it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Node {
    /// Owner, mode, time, attributes. A hard link's metadata is its file's; its own is not used.
    pub metadata: Metadata,
    /// What it is.
    pub kind: Kind,
}

impl Node {
    /// A directory.
    pub fn directory(metadata: Metadata) -> Self {
        Self {
            metadata,
            kind: Kind::Directory,
        }
    }

    /// A regular file.
    pub fn file(metadata: Metadata, content: Content) -> Self {
        Self {
            metadata,
            kind: Kind::File(content),
        }
    }

    /// A symbolic link of root's.
    pub fn symlink(target: impl Into<String>) -> Self {
        Self {
            metadata: Metadata::new(0o777),
            kind: Kind::Symlink(target.into()),
        }
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory)
    }
}
