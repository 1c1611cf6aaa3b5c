//! How large a file system must be.

use super::declare::{declare, inodes};
use super::{BLOCK, Ext4Options, Headroom, WHAT};
use crate::{Error, Result};
use fortress_tree::{Kind, Tree};
use mkext4::RegionSink;
use std::io;
use uuid::Uuid;

/// The smallest file system that has room for a journal, in blocks.
const SMALLEST: u64 = 4096;
/// Blocks, and inodes at the most, in a block group.
const GROUP: u64 = 32768;
/// Sizes are multiples of so many blocks, so that what is added when one does not do is not
/// block by block.
const STEP: u64 = 16;

/// The size in bytes that a tree takes, with headroom: a multiple of 4096, and never too small.
/// It is found by laying the tree out, so it is tight too.
///
/// # Errors
/// When something in the tree has no form in ext4.
pub fn plan(tree: &Tree, headroom: Headroom) -> Result<u64> {
    let most = upper_bound(tree);
    let mut tight = most;
    // What is free in a larger file system is not quite what can be taken away: fewer groups
    // take less themselves. Twice is enough to see that too.
    for _ in 0..2 {
        let free = match lay_out(tree, tight) {
            Ok(free) => free,
            Err(_) if tight != most => break,
            Err(error) => return Err(error),
        };
        let smaller = (tight - free.min(tight))
            .max(SMALLEST)
            .next_multiple_of(STEP);
        if smaller >= tight {
            break;
        }
        tight = smaller;
    }
    let more = (tight * BLOCK)
        .saturating_mul(u64::from(headroom.percent))
        .div_ceil(100)
        .saturating_add(headroom.bytes);
    let mut blocks = tight
        .saturating_add(more.div_ceil(BLOCK))
        .next_multiple_of(STEP);
    let mut step = STEP;
    loop {
        match lay_out(tree, blocks) {
            Ok(_) => return Ok(blocks * BLOCK),
            Err(error) if blocks >= most.saturating_mul(2) => return Err(error),
            Err(_) => {
                blocks += step;
                step *= 2;
            }
        }
    }
}

/// Blocks in which a tree fits for certain.
fn upper_bound(tree: &Tree) -> u64 {
    let mut blocks = 0;
    for (path, node) in tree.iter() {
        // An entry in its directory: at most 264 bytes, and as many may stay empty in a block.
        blocks += u64::from(!path.is_root()) * path.name().len() as u64 + 16;
        let content = match &node.kind {
            Kind::File(content) => content.length(),
            Kind::Symlink(target) => target.len() as u64,
            // Its first block, and the root of an index.
            Kind::Directory => 2 * BLOCK,
            _ => 0,
        };
        // Whole blocks, and those of extents: 340 to a block, of 128 MiB or interrupted by a
        // group's own blocks.
        blocks += content.next_multiple_of(BLOCK) + content / 1024;
        blocks += u64::from(!node.metadata.attributes.is_empty()) * BLOCK;
    }
    let inodes = u64::from(inodes(tree));
    let contents = blocks.div_ceil(BLOCK) * 9 / 8;
    let tables = inodes.div_ceil(16);
    let journal = 1024;
    let needed = contents + tables + journal + 256;
    // A group's own blocks: bitmaps, a copy of superblock and descriptors, rounding.
    let groups = needed.div_ceil(GROUP - 512).max(inodes.div_ceil(GROUP));
    (needed + groups * 128)
        .max(groups.saturating_sub(1) * GROUP + 1024)
        .max(SMALLEST)
        .next_multiple_of(STEP)
}

/// Lays a tree out in a file system of so many blocks, and gives how many stay free.
fn lay_out(tree: &Tree, blocks: u64) -> Result<u64> {
    let options = Ext4Options {
        size: blocks * BLOCK,
        uuid: Uuid::nil(),
        hash_seed: Uuid::nil(),
        label: String::new(),
        epoch: 0,
    };
    let refused = |error: mkext4::Error| Error::Layout {
        what: WHAT,
        reason: error.to_string(),
    };
    let layout = declare(tree, &options)?.builder.seal().map_err(refused)?;
    let mut probe = FreeBlocks(0);
    layout.writer(&mut probe).map_err(refused)?;
    Ok(probe.0)
}

/// Keeps nothing but the number of free blocks, which is in the superblock.
struct FreeBlocks(u64);

impl RegionSink for FreeBlocks {
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        // The superblock begins at byte 1024; s_free_blocks_count_lo is at 0x0c in it.
        if offset == 0
            && let Some(free) = bytes.get(1024 + 0x0c..).and_then(|rest| rest.first_chunk())
        {
            self.0 = u32::from_le_bytes(*free).into();
        }
        Ok(())
    }

    fn zeros(&mut self, _offset: u64, _length: u64) -> io::Result<()> {
        Ok(())
    }
}
