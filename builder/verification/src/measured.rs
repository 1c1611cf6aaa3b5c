//! What the bytes of an image are: digests, stretches that are not zeros, blocks that the root hash
//! does not cover. Each byte is read once, on all cores.

use crate::parts::{Cover, Parts};
use crate::{Error, Result};
use fortress_disk::Region;
use fortress_disk::data::is_zero;
use fortress_disk::verity::{self, BadBlock};
use fortress_progress::{Observer, Stage, Unit};
use rayon::prelude::*;
use rustix::fs::{SeekFrom, seek};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// How much is read at once.
const PIECE: u64 = 256 << 10;
/// In what steps stretches that are not zeros are told.
pub(crate) const STEP: usize = 4096;
/// Most of these stretches that are kept.
const MOST_STRETCHES: usize = 4096;

/// What a part was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// The SHA-256 of its data, and where it is not zeros behind that.
    Digest([u8; 32], Vec<Region>),
    /// Where it is not zeros.
    Filled(Vec<Region>),
    /// The root.
    Root,
}

/// What of root and hash tree is wrong, or why that cannot be told.
pub(crate) type Verity = std::result::Result<Vec<BadBlock>, String>;

/// What an image was found to be.
#[derive(Debug)]
pub(crate) struct Measured {
    /// In the order of the parts; none for parts that are beyond the end.
    pub(crate) parts: Vec<Option<Found>>,
    /// What is wrong with the root; none if it is not there.
    pub(crate) verity: Option<Verity>,
}

/// Measures an image that can be read at any place; what lies beyond `length` is not there.
pub(crate) fn measure(
    file: &File,
    length: u64,
    parts: &Parts,
    observer: &dyn Observer,
) -> Result<Measured> {
    let total = parts.list.iter().map(|part| part.region.length).sum();
    let stage = observer.stage("verify", Some(total), Unit::Bytes);
    let work = Work {
        file,
        length,
        observer,
        stage: stage.as_ref(),
    };
    // SHA-256 goes in sequence, so the longest part goes first, beside the root's many blocks.
    let (found, verity) = rayon::join(
        || {
            parts
                .list
                .par_iter()
                .with_max_len(1)
                .map(|part| work.part(part.region, part.cover))
                .collect::<Result<Vec<_>>>()
        },
        || work.root(parts),
    );
    Ok(Measured {
        parts: found?,
        verity: verity?,
    })
}

struct Work<'a> {
    file: &'a File,
    length: u64,
    observer: &'a dyn Observer,
    stage: &'a dyn Stage,
}

impl Found {
    /// Whether it is what it should be, by its digest.
    pub(crate) fn is(&self, cover: Cover) -> bool {
        match (cover, self) {
            (Cover::Digest(wanted, _), Self::Digest(found, filled)) => {
                wanted == *found && filled.is_empty()
            }
            _ => false,
        }
    }
}

impl Work<'_> {
    fn part(&self, region: Region, cover: Cover) -> Result<Option<Found>> {
        if region.end() > self.length {
            return Ok(None);
        }
        let found = match cover {
            Cover::Root => return Ok(Some(Found::Root)),
            Cover::Digest(_, length) => {
                let data = Region::new(region.offset, length);
                let behind = Region::new(data.end(), region.length - length);
                let (digest, filled) = rayon::join(|| self.digest(data), || self.filled(behind));
                Found::Digest(digest?, filled?)
            }
            Cover::Zeros => Found::Filled(self.filled(region)?),
        };
        Ok(Some(found))
    }

    fn root(&self, parts: &Parts) -> Result<Option<Verity>> {
        let (Some(root), Some(tree)) = (parts.root(), parts.tree) else {
            return Ok(None);
        };
        let Some(root_hash) = &parts.root_hash else {
            return Ok(None);
        };
        if root.region.end() > self.length || tree.end() > self.length {
            return Ok(None);
        }
        match verity::read_superblock(self.file, tree) {
            // Another salt would make every block look wrong.
            Ok(superblock) if superblock.salt != parts.salt => {
                let reason = "the dm-verity superblock has another salt than the manifest says";
                return Ok(Some(Err(reason.into())));
            }
            _ => {}
        }
        let judged = verity::verify(self.file, root.region, tree, root_hash);
        self.stage.advance(root.region.length);
        match judged {
            Ok(bad) => Ok(Some(Ok(bad))),
            Err(fortress_disk::Error::Io { source, .. }) => Err(unreadable(source)),
            Err(error) => Ok(Some(Err(error.to_string()))),
        }
    }

    fn digest(&self, region: Region) -> Result<[u8; 32]> {
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; PIECE as usize];
        let mut zeros = true;
        let mut at = region.offset;
        while at < region.end() {
            let length = (region.end() - at).min(PIECE);
            if self.data_from(at, at + length)?.is_some() {
                self.read(&mut buffer[..length as usize], at)?;
                zeros = false;
            } else if !zeros {
                buffer.fill(0);
                zeros = true;
            }
            hasher.update(&buffer[..length as usize]);
            self.passed(length)?;
            at += length;
        }
        Ok(hasher.finalize().into())
    }

    fn filled(&self, region: Region) -> Result<Vec<Region>> {
        let mut stretches = Vec::new();
        let mut buffer = vec![0; PIECE as usize];
        let mut at = region.offset;
        while at < region.end() {
            let Some(data) = self.data_from(at, region.end())? else {
                break;
            };
            let start = data - (data - region.offset) % STEP as u64;
            let length = (region.end() - start).min(PIECE);
            let piece = &mut buffer[..length as usize];
            self.read(piece, start)?;
            add_filled(&mut stretches, piece, start);
            self.passed(0)?;
            at = start + length;
        }
        self.stage.advance(region.length);
        Ok(stretches)
    }

    /// Where the next data is before `end`; none if all up to there is a hole.
    fn data_from(&self, at: u64, end: u64) -> Result<Option<u64>> {
        match seek(self.file, SeekFrom::Data(at)) {
            Ok(data) if data < end => Ok(Some(data.max(at))),
            Ok(_) | Err(rustix::io::Errno::NXIO) => Ok(None),
            // Where holes are not known all is data: block devices, some file systems.
            Err(_) => Ok(Some(at)),
        }
    }

    fn read(&self, buffer: &mut [u8], at: u64) -> Result<()> {
        self.file.read_exact_at(buffer, at).map_err(unreadable)
    }

    fn passed(&self, length: u64) -> Result<()> {
        self.stage.advance(length);
        match self.observer.cancelled() {
            true => Err(Error::Cancelled),
            false => Ok(()),
        }
    }
}

/// Adds what of a piece at `start` is not zeros, in steps of [`STEP`].
pub(crate) fn add_filled(stretches: &mut Vec<Region>, piece: &[u8], start: u64) {
    for (step, at) in piece.chunks(STEP).zip((start..).step_by(STEP)) {
        if is_zero(step) {
            continue;
        }
        let length = step.len() as u64;
        let room = stretches.len() < MOST_STRETCHES;
        match stretches.last_mut() {
            Some(last) if last.end() == at => last.length += length,
            _ if room => stretches.push(Region::new(at, length)),
            _ => {}
        }
    }
}

pub(crate) fn unreadable(source: std::io::Error) -> Error {
    Error::Image(source)
}
