//! Makes the hash tree of a region, on all cores, in bounded memory.

use super::format::{BLOCK, DIGEST, PER_BLOCK, RootHash, Superblock, levels};
use crate::region::is_hole;
use crate::{Error, Region, Result};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::os::unix::fs::FileExt;
use uuid::Uuid;

/// Blocks that a thread hashes at once; their digests fill whole hash blocks.
pub(crate) const PIECE_BLOCKS: u64 = PER_BLOCK;

/// What a hash tree depends on besides the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerityOptions {
    /// What every hashed block is preceded by.
    pub salt: [u8; 32],
    /// UUID of the hash area.
    pub uuid: Uuid,
}

/// Bytes that the hash area takes for so many bytes of data: the superblock and the tree.
pub fn hash_length(data_length: u64) -> u64 {
    let tree = levels(data_length.div_ceil(BLOCK), 0).unwrap_or_default();
    BLOCK + tree.iter().map(|level| level.length).sum::<u64>()
}

/// Writes the superblock and the hash tree of `data` into the start of `hash`, both regions of
/// `image`, and gives the root hash. Holes in the data are not read.
///
/// # Errors
/// When the data is empty or not whole blocks, the hash region is too short or overlaps the
/// data, or the file cannot be read or written.
pub fn format(
    image: &File,
    data: Region,
    hash: Region,
    options: &VerityOptions,
) -> Result<RootHash> {
    check_regions(data, hash)?;
    let data_blocks = data.length / BLOCK;
    let superblock = Superblock {
        uuid: options.uuid,
        data_blocks,
        salt: options.salt.to_vec(),
    };
    image
        .write_all_at(&superblock.to_block(), hash.offset)
        .map_err(|source| Error::io("write", "the dm-verity superblock", source))?;
    let hasher = BlockHasher::new(&options.salt);
    let mut below = data;
    for level in levels(data_blocks, hash.offset).unwrap_or_default() {
        write_level(image, below, level, &hasher)?;
        below = level;
    }
    let mut top = vec![0; BLOCK as usize];
    read(image, &mut top, below.offset)?;
    Ok(RootHash(hasher.hash(&top)))
}

/// Refuses regions that no tree can be made for.
pub(crate) fn check_regions(data: Region, hash: Region) -> Result<()> {
    let refused = |what, region, reason| Error::Region {
        what,
        region,
        reason,
    };
    if data.length == 0 || !data.length.is_multiple_of(BLOCK) {
        let reason = format!("not whole blocks of {BLOCK} bytes, or empty");
        return Err(refused("the data for dm-verity", data, reason));
    }
    let needed = hash_length(data.length);
    if hash.length < needed {
        let reason = format!("too short: {needed} bytes are needed");
        return Err(refused("the dm-verity hash area", hash, reason));
    }
    if data.offset < hash.end() && hash.offset < data.end() {
        let reason = format!("not clear of its data at {data}");
        return Err(refused("the dm-verity hash area", hash, reason));
    }
    Ok(())
}

/// Writes the digests of every block of `source` into `level`.
fn write_level(image: &File, source: Region, level: Region, hasher: &BlockHasher) -> Result<()> {
    let pieces = source.length.div_ceil(PIECE_BLOCKS * BLOCK);
    (0..pieces)
        .into_par_iter()
        .try_for_each_init(Piece::new, |piece, index| {
            piece.digest(image, source, index, hasher)?;
            // What is left of the last hash block is zeros.
            let filled = piece.digests.len().next_multiple_of(BLOCK as usize);
            piece.digests.resize(filled, 0);
            let offset = level.offset + index * PIECE_BLOCKS * DIGEST as u64;
            image
                .write_all_at(&piece.digests, offset)
                .map_err(|source| Error::io("write", "the dm-verity hash tree", source))
        })
}

/// A thread's buffers.
pub(crate) struct Piece {
    blocks: Vec<u8>,
    /// The digests of the blocks that were hashed last.
    pub(crate) digests: Vec<u8>,
}

impl Piece {
    pub(crate) fn new() -> Self {
        Self {
            blocks: vec![0; (PIECE_BLOCKS * BLOCK) as usize],
            digests: Vec::with_capacity(PIECE_BLOCKS as usize * DIGEST),
        }
    }

    /// Hashes the blocks of the piece with that index in `source`.
    pub(crate) fn digest(
        &mut self,
        image: &File,
        source: Region,
        index: u64,
        hasher: &BlockHasher,
    ) -> Result<()> {
        let start = index * PIECE_BLOCKS * BLOCK;
        let length = (source.length - start).min(PIECE_BLOCKS * BLOCK);
        let here = Region::new(source.offset + start, length);
        self.digests.clear();
        if is_hole(image, here)? {
            for _ in 0..length / BLOCK {
                self.digests.extend_from_slice(&hasher.zeros);
            }
            return Ok(());
        }
        let blocks = &mut self.blocks[..length as usize];
        read(image, blocks, here.offset)?;
        for block in blocks.chunks_exact(BLOCK as usize) {
            let digest = match is_zeros(block) {
                true => hasher.zeros,
                false => hasher.hash(block),
            };
            self.digests.extend_from_slice(&digest);
        }
        Ok(())
    }
}

fn read(image: &File, buffer: &mut [u8], offset: u64) -> Result<()> {
    image
        .read_exact_at(buffer, offset)
        .map_err(|source| Error::io("read", format!("the image at byte {offset}"), source))
}

/// Whether a block is all zeros; most that are not show it in their first bytes.
pub(super) fn is_zeros(block: &[u8]) -> bool {
    block.iter().all(|byte| *byte == 0)
}

/// Hashes blocks behind a salt.
#[derive(Debug)]
pub(crate) struct BlockHasher {
    salted: Sha256,
    /// The digest of a block of zeros.
    pub(super) zeros: [u8; DIGEST],
}

impl BlockHasher {
    pub(crate) fn new(salt: &[u8]) -> Self {
        let mut hasher = Self {
            salted: Sha256::new_with_prefix(salt),
            zeros: [0; DIGEST],
        };
        hasher.zeros = hasher.hash(&[0; BLOCK as usize]);
        hasher
    }

    pub(crate) fn hash(&self, block: &[u8]) -> [u8; DIGEST] {
        self.salted.clone().chain_update(block).finalize().into()
    }
}
