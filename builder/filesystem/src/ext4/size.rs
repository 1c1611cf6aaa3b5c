//! How large a file system must be.
use super::Headroom;
use crate::Result;
use fortress_tree::Tree;

/// The size in bytes that a tree takes, with headroom: a multiple of 4096, and never too small.
///
/// # Errors
/// When something in the tree has no form in ext4.
pub fn plan(tree: &Tree, headroom: Headroom) -> Result<u64> {
    let _ = (tree, headroom);
    Ok(0)
}
