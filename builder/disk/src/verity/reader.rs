//! Verifies a region against its hash tree and a root hash.

use super::format::{BLOCK, DIGEST, RootHash, Superblock, levels};
use super::writer::{BlockHasher, PIECE_BLOCKS, Piece, check_regions};
use crate::{Error, Region, Result};
use rayon::prelude::*;
use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// What a bad block belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    /// The data itself.
    Data,
    /// The hash tree, at that level; 0 is the one just above the data.
    Hashes {
        /// The level.
        level: usize,
    },
}

/// A stretch of blocks that are not what the hash tree says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadBlock {
    /// What it belongs to.
    pub area: Area,
    /// Where it lies in the file.
    pub region: Region,
}

impl fmt::Display for BadBlock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.area {
            Area::Data => write!(formatter, "data at {}", self.region),
            Area::Hashes { level } => {
                write!(formatter, "hashes of level {level} at {}", self.region)
            }
        }
    }
}

/// Reads the superblock at the start of a hash area.
///
/// # Errors
/// When there is none, or it is of another form than this crate writes.
pub fn read_superblock(image: &File, hash: Region) -> Result<Superblock> {
    let mut block = vec![0; BLOCK.min(hash.length) as usize];
    image
        .read_exact_at(&mut block, hash.offset)
        .map_err(|source| Error::io("read", "the dm-verity superblock", source))?;
    Superblock::parse(&block, hash.offset)
}

/// Compares every block of `data` and of the hash tree in `hash` with what `root_hash` promises.
/// Neighbouring bad blocks are told as one stretch; an empty list is a clean bill.
///
/// # Errors
/// When the superblock is damaged or does not fit the data, or reading fails. That there is no
/// error says nothing yet: the list does.
pub fn verify(
    image: &File,
    data: Region,
    hash: Region,
    root_hash: &RootHash,
) -> Result<Vec<BadBlock>> {
    check_regions(data, hash)?;
    let superblock = read_superblock(image, hash)?;
    if superblock.data_blocks != data.length / BLOCK {
        let reason = format!(
            "is for {} blocks of data, and there are {}",
            superblock.data_blocks,
            data.length / BLOCK
        );
        let offset = hash.offset;
        return Err(Error::Superblock { offset, reason });
    }
    let hasher = BlockHasher::new(&superblock.salt);
    let mut bad = Vec::new();
    let mut below = data;
    let mut area = Area::Data;
    let tree = levels(superblock.data_blocks, hash.offset).unwrap_or_default();
    for (level, stored) in tree.into_iter().enumerate() {
        compare_level(image, below, stored, area, &hasher, &mut bad)?;
        below = stored;
        area = Area::Hashes { level };
    }
    let mut top = Piece::new();
    top.digest(image, below, 0, &hasher)?;
    if top.digests != root_hash.0 {
        let region = below;
        bad.push(BadBlock { area, region });
    }
    Ok(bad)
}

/// Compares the digests of every block of `source` with those in `stored`.
fn compare_level(
    image: &File,
    source: Region,
    stored: Region,
    area: Area,
    hasher: &BlockHasher,
    bad: &mut Vec<BadBlock>,
) -> Result<()> {
    let pieces = source.length.div_ceil(PIECE_BLOCKS * BLOCK);
    let wrong: Vec<Vec<u64>> = (0..pieces)
        .into_par_iter()
        .map_init(
            || (Piece::new(), Vec::new()),
            |(piece, expected), index| {
                piece.digest(image, source, index, hasher)?;
                expected.resize(piece.digests.len(), 0);
                let offset = stored.offset + index * PIECE_BLOCKS * DIGEST as u64;
                image
                    .read_exact_at(expected, offset)
                    .map_err(|source| Error::io("read", "the dm-verity hash tree", source))?;
                let pairs = piece.digests.chunks(DIGEST).zip(expected.chunks(DIGEST));
                let blocks = (index * PIECE_BLOCKS..).zip(pairs);
                Ok(blocks
                    .filter(|(_, (got, expected))| got != expected)
                    .map(|(block, _)| block)
                    .collect())
            },
        )
        .collect::<Result<_>>()?;
    for block in wrong.into_iter().flatten() {
        let offset = source.offset + block * BLOCK;
        match bad.last_mut() {
            Some(last) if last.area == area && last.region.end() == offset => {
                last.region.length += BLOCK;
            }
            _ => bad.push(BadBlock {
                area,
                region: Region::new(offset, BLOCK),
            }),
        }
    }
    Ok(())
}
