//! ext4, read-only by its use: blocks of 4096 bytes (as dm-verity's), as many inodes as the tree
//! needs, the smallest journal. Made by the `mkext4` crate; contents are copied on all cores.

mod declare;
mod reader;
mod size;
mod writer;

pub use reader::{BlockOwner, Problem, Structure, read};
pub use size::plan;
pub use writer::write;

use uuid::Uuid;

const WHAT: &str = "the ext4 file system";
/// Bytes in a block.
const BLOCK: u64 = 4096;

/// Room beyond what the tree takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Headroom {
    /// In percent of what the tree takes.
    pub percent: u32,
    /// In bytes, on top.
    pub bytes: u64,
}

/// What a file system depends on besides the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ext4Options {
    /// Size in bytes, as [`plan`] gives it, or larger; a multiple of 4096.
    pub size: u64,
    /// UUID of the file system.
    pub uuid: Uuid,
    /// Seed of the directories' hashes.
    pub hash_seed: Uuid,
    /// Label, at most 16 bytes.
    pub label: String,
    /// Seconds since 1970: when the file system was made; no node's time is later.
    pub epoch: i64,
}
