//! Verifies a region against its hash tree and a root hash.

use super::format::{BLOCK, DIGEST, PER_BLOCK, RootHash, Superblock, levels};
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
/// Neighbouring bad blocks are told as one stretch; an empty list is a clean bill. Where a block of
/// hashes is bad and all that it is for is good, it alone is told.
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
    check_superblock(&superblock, data, hash)?;
    let hasher = BlockHasher::new(&superblock.salt);
    let mut bad = Vec::new();
    let mut below = data;
    let mut area = Area::Data;
    let tree = levels(superblock.data_blocks, hash.offset).unwrap_or_default();
    for (level, stored) in tree.iter().enumerate() {
        compare_level(image, below, *stored, area, &hasher, &mut bad)?;
        below = *stored;
        area = Area::Hashes { level };
    }
    let mut top = Piece::new();
    top.digest(image, below, 0, &hasher)?;
    if top.digests != root_hash.0 {
        let region = below;
        bad.push(BadBlock { area, region });
    }
    let mut piece = Piece::new();
    clear(
        &mut bad,
        data,
        &tree,
        root_hash,
        &hasher,
        &mut |place| match place {
            Place::Digests(region) => {
                piece.digest(image, region, 0, &hasher)?;
                Ok(piece.digests.clone())
            }
            Place::Stored(region) => {
                let mut digest = vec![0; region.length as usize];
                image
                    .read_exact_at(&mut digest, region.offset)
                    .map_err(|source| Error::io("read", "the dm-verity hash tree", source))?;
                Ok(digest)
            }
        },
    )?;
    Ok(bad)
}

/// Refuses a superblock that is for other data.
pub(super) fn check_superblock(superblock: &Superblock, data: Region, hash: Region) -> Result<()> {
    if superblock.data_blocks != data.length / BLOCK {
        let reason = format!(
            "is for {} blocks of data, and there are {}",
            superblock.data_blocks,
            data.length / BLOCK
        );
        let offset = hash.offset;
        return Err(Error::Superblock { offset, reason });
    }
    Ok(())
}

/// What is asked for when bad blocks are cleared.
pub(super) enum Place {
    /// The digests of the blocks there, made anew.
    Digests(Region),
    /// The bytes there.
    Stored(Region),
}

/// Most blocks of hashes for which it is looked whether they alone are bad.
const MOST_CLEARED: u64 = 4096;

/// Clears blocks that seem bad only because the block that holds their hashes is: if the digests of
/// what is below it, put together, are what the level above it wants, that is so.
pub(super) fn clear(
    bad: &mut Vec<BadBlock>,
    data: Region,
    tree: &[Region],
    root_hash: &RootHash,
    hasher: &BlockHasher,
    read: &mut dyn FnMut(Place) -> Result<Vec<u8>>,
) -> Result<()> {
    let suspects: Vec<(usize, u64)> = bad
        .iter()
        .filter_map(|bad| match bad.area {
            Area::Data => None,
            Area::Hashes { level } => Some((level, bad.region)),
        })
        .flat_map(|(level, region)| {
            let blocks = (0..region.length / BLOCK).take(MOST_CLEARED as usize);
            blocks.map(move |block| (level, region.offset + block * BLOCK))
        })
        .take(MOST_CLEARED as usize)
        .collect();
    for (level, offset) in suspects {
        let Some(own) = tree.get(level) else { continue };
        let below = match level.checked_sub(1) {
            Some(below) => tree.get(below).copied().unwrap_or(data),
            None => data,
        };
        let index = (offset - own.offset) / BLOCK;
        let start = index * PER_BLOCK * BLOCK;
        let length = below.length.saturating_sub(start).min(PER_BLOCK * BLOCK);
        let covered = Region::new(below.offset + start, length);
        let mut block = read(Place::Digests(covered))?;
        block.resize(BLOCK as usize, 0);
        let wanted = match tree.get(level + 1) {
            None => root_hash.0.to_vec(),
            Some(above) => read(Place::Stored(Region::new(
                above.offset + index * DIGEST as u64,
                DIGEST as u64,
            )))?,
        };
        if hasher.hash(&block)[..] == wanted[..] {
            let area = match level.checked_sub(1) {
                Some(level) => Area::Hashes { level },
                None => Area::Data,
            };
            remove(bad, area, covered);
        }
    }
    Ok(())
}

/// Takes a region out of the bad blocks of an area.
fn remove(bad: &mut Vec<BadBlock>, area: Area, region: Region) {
    let mut left = Vec::with_capacity(bad.len());
    for one in bad.drain(..) {
        let overlaps = one.region.offset < region.end() && region.offset < one.region.end();
        if one.area != area || !overlaps {
            left.push(one);
            continue;
        }
        for (start, end) in [
            (one.region.offset, region.offset),
            (region.end(), one.region.end()),
        ] {
            if start < end {
                let region = Region::new(start, end - start);
                left.push(BadBlock { area, region });
            }
        }
    }
    *bad = left;
}

/// Adds a bad block, to the last stretch if it follows it.
pub(super) fn add(bad: &mut Vec<BadBlock>, area: Area, offset: u64) {
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
        add(bad, area, source.offset + block * BLOCK);
    }
    Ok(())
}
