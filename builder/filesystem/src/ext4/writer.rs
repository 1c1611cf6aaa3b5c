//! Writes a file system: its structure in one pass, then the contents on all cores.

use super::declare::{Declared, File as DeclaredFile, declare};
use super::size::plan;
use super::{BLOCK, Ext4Options, Headroom, WHAT};
use crate::{Error, Result};
use fortress_progress::{Observer, Stage, Unit};
use fortress_tree::Tree;
use mkext4::{Layout, RegionSink};
use rayon::prelude::*;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

/// How much is written at once; small files that lie together go in one write.
const PIECE: u64 = 1 << 20;

/// Writes a tree as a file system at `offset` in `file`. The `size` bytes there must read as
/// zeros (a hole), and what is free in the file system stays so.
///
/// # Errors
/// When the tree does not fit, an option does not suit ext4, a content cannot be read, or
/// writing fails.
pub fn write(
    tree: &Tree,
    options: &Ext4Options,
    file: &File,
    offset: u64,
    observer: &dyn Observer,
) -> Result<()> {
    let Declared { builder, files } = declare(tree, options)?;
    let layout = builder
        .seal()
        .map_err(|error| refusal(tree, options, &error))?;
    let mut structure = Structure {
        file,
        offset,
        pending: Vec::new(),
        pending_offset: 0,
    };
    // The contents are filled in below, by several threads: the writer would take one.
    layout.writer(&mut structure).map_err(|error| match error {
        mkext4::Error::Io(source) => Error::write(WHAT, source),
        other => refusal(tree, options, &other),
    })?;
    structure
        .flush()
        .map_err(|source| Error::write(WHAT, source))?;
    let total = files.iter().map(|file| file.content.length()).sum();
    let stage = observer.stage("write the root", Some(total), Unit::Bytes);
    let copier = Copier {
        file,
        offset,
        observer,
        stage: stage.as_ref(),
    };
    pieces(&layout, &files).into_par_iter().try_for_each_init(
        || vec![0; PIECE as usize],
        |buffer, piece| copier.copy(piece, buffer),
    )
}

/// Why a tree could not be laid out: most often because it does not fit.
fn refusal(tree: &Tree, options: &Ext4Options, error: &mkext4::Error) -> Error {
    match plan(tree, Headroom::default()) {
        Ok(needed) if needed > options.size => Error::TooSmall {
            what: WHAT,
            size: options.size,
            needed,
        },
        _ => Error::Layout {
            what: WHAT,
            reason: error.to_string(),
        },
    }
}

/// Takes the file system's structure and writes it in large pieces; zeros are left to the hole
/// that the file is.
struct Structure<'a> {
    file: &'a File,
    offset: u64,
    pending: Vec<u8>,
    pending_offset: u64,
}

impl Structure<'_> {
    fn flush(&mut self) -> io::Result<()> {
        if !self.pending.is_empty() {
            let offset = self.offset + self.pending_offset;
            self.file.write_all_at(&self.pending, offset)?;
            self.pending.clear();
        }
        Ok(())
    }
}

impl RegionSink for Structure<'_> {
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let follows = self.pending_offset + self.pending.len() as u64 == offset;
        if !follows || self.pending.len() as u64 >= PIECE {
            self.flush()?;
            self.pending_offset = offset;
        }
        self.pending.extend_from_slice(bytes);
        Ok(())
    }

    fn zeros(&mut self, _offset: u64, _length: u64) -> io::Result<()> {
        Ok(())
    }
}

/// Work for one thread.
enum Piece<'a> {
    /// Files that lie one after another and together fit in a buffer, each with its place.
    Small(Vec<(u64, &'a DeclaredFile<'a>)>),
    /// A file of its own: its stretches of the file system, in order.
    Large(&'a DeclaredFile<'a>, Vec<(u64, u64)>),
}

/// Cuts the contents into pieces, in the order of their places.
fn pieces<'a>(layout: &Layout, files: &'a [DeclaredFile<'a>]) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
    let mut small: Vec<(u64, &DeclaredFile<'_>)> = Vec::new();
    let mut end = 0;
    for file in files {
        let extents = layout.extents(file.handle);
        match extents.as_slice() {
            [] => {}
            [(offset, length)] if *length <= PIECE / 2 => {
                let start = small.first().map_or(*offset, |(start, _)| *start);
                if !small.is_empty() && (*offset != end || offset + length - start > PIECE) {
                    pieces.push(Piece::Small(std::mem::take(&mut small)));
                }
                end = (offset + length).next_multiple_of(BLOCK);
                small.push((*offset, file));
            }
            _ => pieces.push(Piece::Large(file, extents)),
        }
    }
    if !small.is_empty() {
        pieces.push(Piece::Small(small));
    }
    pieces
}

/// Copies contents to their places.
struct Copier<'a> {
    file: &'a File,
    offset: u64,
    observer: &'a dyn Observer,
    stage: &'a dyn Stage,
}

impl Copier<'_> {
    fn copy(&self, piece: Piece<'_>, buffer: &mut [u8]) -> Result<()> {
        match piece {
            Piece::Small(files) => self.copy_small(&files, buffer),
            Piece::Large(file, extents) => self.copy_large(file, &extents, buffer),
        }
    }

    fn copy_small(&self, files: &[(u64, &DeclaredFile<'_>)], buffer: &mut [u8]) -> Result<()> {
        let start = files.first().map_or(0, |(start, _)| *start);
        let mut filled = 0;
        for (offset, file) in files {
            let at = (offset - start) as usize;
            buffer[filled..at].fill(0);
            filled = at + file.content.length() as usize;
            let mut reader = file.content.reader().map_err(|error| lost(file, error))?;
            reader
                .read_exact(&mut buffer[at..filled])
                .map_err(|error| lost(file, error))?;
        }
        self.write(&buffer[..filled], start)?;
        let lengths = files.iter().map(|(_, file)| file.content.length());
        self.stage.advance(lengths.sum());
        Ok(())
    }

    fn copy_large(
        &self,
        file: &DeclaredFile<'_>,
        extents: &[(u64, u64)],
        buffer: &mut [u8],
    ) -> Result<()> {
        let mut reader = file.content.reader().map_err(|error| lost(file, error))?;
        for (offset, length) in extents {
            let mut done = 0;
            while done < *length {
                let part = &mut buffer[..(length - done).min(PIECE) as usize];
                reader.read_exact(part).map_err(|error| lost(file, error))?;
                self.write(part, offset + done)?;
                self.stage.advance(part.len() as u64);
                done += part.len() as u64;
            }
        }
        Ok(())
    }

    fn write(&self, bytes: &[u8], offset: u64) -> Result<()> {
        if self.observer.cancelled() {
            return Err(Error::Cancelled(WHAT));
        }
        // Zeros stay the hole that the file is.
        if bytes.iter().any(|byte| *byte != 0) {
            self.file
                .write_all_at(bytes, self.offset + offset)
                .map_err(|source| Error::write(WHAT, source))?;
        }
        Ok(())
    }
}

fn lost(file: &DeclaredFile<'_>, source: io::Error) -> Error {
    Error::Contents {
        path: file.path.clone(),
        source,
    }
}
