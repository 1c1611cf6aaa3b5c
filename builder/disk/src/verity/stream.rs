//! Verifies data that passes once, in its order, before its hash tree.

use super::format::{BLOCK, DIGEST, RootHash, Superblock, levels};
use super::reader::{Area, BadBlock, Place, add, check_superblock, clear};
use super::writer::{BlockHasher, check_regions, is_zeros};
use crate::{Error, Region, Result};
use rayon::prelude::*;
use std::borrow::Cow;

/// Blocks that a thread hashes at once.
const BLOCKS: usize = 64;

/// The digests of data that has passed: 32 bytes for each block of 4096.
#[derive(Debug)]
pub struct PassedData {
    salt: Vec<u8>,
    hasher: BlockHasher,
    digests: Vec<u8>,
}

impl PassedData {
    /// For data whose blocks are hashed behind that salt.
    pub fn new(salt: &[u8]) -> Self {
        Self {
            salt: salt.to_vec(),
            hasher: BlockHasher::new(salt),
            digests: Vec::new(),
        }
    }

    /// Takes the next blocks, and hashes them on all cores. Of a block that is cut off the rest
    /// counts as zeros.
    pub fn push(&mut self, bytes: &[u8]) {
        let first = self.digests.len();
        let count = bytes.len().div_ceil(BLOCK as usize);
        self.digests.resize(first + count * DIGEST, 0);
        let pieces = self.digests[first..].par_chunks_mut(BLOCKS * DIGEST);
        pieces
            .zip(bytes.par_chunks(BLOCKS * BLOCK as usize))
            .for_each(|(digests, bytes)| {
                let blocks = bytes.chunks(BLOCK as usize);
                for (digest, block) in digests.chunks_exact_mut(DIGEST).zip(blocks) {
                    digest.copy_from_slice(&self.hasher.digest(block));
                }
            });
    }

    /// Compares the data that has passed, which lay at `data`, with the hash tree that lay at `hash`
    /// and is given whole, and with the root hash. As [`super::verify`] does.
    ///
    /// # Errors
    /// When the superblock is damaged, of another salt, or does not fit the data.
    pub fn compare(
        &self,
        data: Region,
        hash: Region,
        tree: &[u8],
        root_hash: &RootHash,
    ) -> Result<Vec<BadBlock>> {
        check_regions(data, hash)?;
        let superblock = Superblock::parse(tree, hash.offset)?;
        check_superblock(&superblock, data, hash)?;
        let offset = hash.offset;
        let refused = |reason: String| Error::Superblock { offset, reason };
        if superblock.salt != self.salt {
            return Err(refused("has another salt than it should have".into()));
        }
        let blocks = self.digests.len() as u64 / DIGEST as u64;
        if blocks != superblock.data_blocks || (tree.len() as u64) < hash.length {
            return Err(refused(format!(
                "is for {} blocks of data, and {blocks} have passed",
                superblock.data_blocks
            )));
        }
        let bytes = |region: Region| -> &[u8] {
            let start = region.offset.saturating_sub(hash.offset) as usize;
            tree.get(start..start.saturating_add(region.length as usize))
                .unwrap_or_default()
        };
        let regions = levels(superblock.data_blocks, hash.offset).unwrap_or_default();
        let mut bad = Vec::new();
        let mut below = data;
        let mut area = Area::Data;
        let mut digests = Cow::Borrowed(&self.digests[..]);
        for (level, stored) in regions.iter().enumerate() {
            let pairs = digests.chunks(DIGEST).zip(bytes(*stored).chunks(DIGEST));
            for (block, (got, expected)) in (0..).zip(pairs) {
                if got != expected {
                    add(&mut bad, area, below.offset + block * BLOCK);
                }
            }
            digests = Cow::Owned(self.digests_of(bytes(*stored)));
            below = *stored;
            area = Area::Hashes { level };
        }
        if *digests != root_hash.0 {
            bad.push(BadBlock {
                area,
                region: below,
            });
        }
        let read = &mut |place: Place| {
            Ok(match place {
                Place::Stored(region) => bytes(region).to_vec(),
                Place::Digests(region)
                    if region.offset >= data.offset && region.end() <= data.end() =>
                {
                    let first = ((region.offset - data.offset) / BLOCK) as usize * DIGEST;
                    let length = (region.length / BLOCK) as usize * DIGEST;
                    self.digests[first..first + length].to_vec()
                }
                Place::Digests(region) => self.digests_of(bytes(region)),
            })
        };
        clear(&mut bad, data, &regions, root_hash, &self.hasher, read)?;
        Ok(bad)
    }

    fn digests_of(&self, bytes: &[u8]) -> Vec<u8> {
        let blocks = bytes.chunks(BLOCK as usize);
        blocks.flat_map(|block| self.hasher.digest(block)).collect()
    }
}

impl BlockHasher {
    /// The digest of a block, or of the start of one whose rest is zeros.
    fn digest(&self, block: &[u8]) -> [u8; DIGEST] {
        if is_zeros(block) {
            return self.zeros;
        }
        let padding = [0; BLOCK as usize];
        match block.len() {
            length if length == BLOCK as usize => self.hash(block),
            length => self.hash(&[block, &padding[length..]].concat()),
        }
    }
}
