//! A window over an unpacked archive as it comes out of the decoder. Files are written to the
//! spool straight from it: small ones many at a time, together with the headers between them.

use crate::ar;
use crate::tar::{BLOCK, Blocks};
use crate::{Error, Result};
use fortress_tree::{Content, Spool};
use std::io::{self, Read};
use std::sync::Arc;

/// Size of a window's buffer, in bytes: small enough to stay in a processor's cache, large
/// enough to make few writes.
pub(crate) const BUFFER: usize = 512 * 1024;
/// Files over this size, in bytes, are written piece by piece.
const LARGEST_BATCHED: u64 = 96 * 1024;

/// The part of an archive that is in memory, and the reader that the rest comes from.
pub(crate) struct Window<'a> {
    archive: &'a str,
    part: &'static str,
    reader: Box<dyn Read + 'a>,
    buffer: &'a mut [u8],
    start: usize,
    end: usize,
    /// Place in the archive of the buffer's start, in bytes.
    base: u64,
    /// Most bytes that may come out of the reader.
    limit: u64,
    spool: &'a Arc<Spool>,
    /// Files in the buffer that are not in the spool yet: which, where they start, their length.
    batch: Vec<(usize, usize, usize)>,
    /// Files in the spool: which, and where.
    kept: Vec<(usize, Content)>,
}

impl<'a> Window<'a> {
    /// A window at the start of what `reader` gives. `buffer` has [`BUFFER`] bytes; at most
    /// `limit` bytes are read.
    pub(crate) fn new(
        archive: &'a str,
        part: &'static str,
        reader: Box<dyn Read + 'a>,
        buffer: &'a mut [u8],
        limit: u64,
        spool: &'a Arc<Spool>,
    ) -> Self {
        Self {
            archive,
            part,
            reader,
            buffer,
            start: 0,
            end: 0,
            base: 0,
            limit,
            spool,
            batch: Vec::new(),
            kept: Vec::new(),
        }
    }

    /// Takes the file `index`, `length` bytes and padding, into the spool.
    pub(crate) fn keep(&mut self, index: usize, length: u64) -> Result<()> {
        if length == 0 {
            return Ok(());
        }
        if length > self.limit {
            return Err(self.too_large(length));
        }
        let padding = length.next_multiple_of(BLOCK as u64) - length;
        if length <= LARGEST_BATCHED {
            let whole = (length + padding) as usize;
            if !self.fill(whole)? {
                return Err(self.truncated("the rest of a file"));
            }
            self.batch.push((index, self.start, length as usize));
            self.start += whole;
            return Ok(());
        }
        self.write_batch()?;
        let offset = self.spool.reserve(length);
        let mut done = 0;
        while done < length {
            if self.start == self.end {
                self.fill(1)?;
            }
            let piece = (length - done).min((self.end - self.start) as u64) as usize;
            if piece == 0 {
                return Err(self.truncated("the rest of a file"));
            }
            let bytes = &self.buffer[self.start..self.start + piece];
            let written = self.spool.write(bytes, offset + done);
            written.map_err(|source| self.spool_failed(source))?;
            self.start += piece;
            done += piece as u64;
        }
        self.remember(index, offset, length)?;
        match self.take(padding as usize)? {
            Some(_) => Ok(()),
            None => Err(self.truncated("the padding of a file")),
        }
    }

    /// The next `length` bytes, in memory; their padding is passed over.
    pub(crate) fn read(&mut self, length: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length as usize);
        let whole = length.next_multiple_of(BLOCK as u64);
        let mut done = 0;
        while done < whole {
            let piece = (whole - done).min(BUFFER as u64 / 2);
            match self.take(piece as usize)? {
                Some(part) => bytes.extend_from_slice(part),
                None => return Err(self.truncated("the rest of a file")),
            }
            done += piece;
        }
        bytes.truncate(length as usize);
        Ok(bytes)
    }

    /// Reads to the end, so that all of the compressed data is checked, and gives where the
    /// contents of the files that were kept are.
    pub(crate) fn finish(mut self) -> Result<Vec<(usize, Content)>> {
        self.write_batch()?;
        loop {
            self.start = self.end;
            if !self.fill(1)? {
                return Ok(self.kept);
            }
        }
    }

    /// Makes sure that `length` bytes are in the buffer; false if the archive ends before that.
    fn fill(&mut self, length: usize) -> Result<bool> {
        if self.end - self.start >= length {
            return Ok(true);
        }
        self.write_batch()?;
        self.buffer.copy_within(self.start..self.end, 0);
        self.base += self.start as u64;
        self.end -= self.start;
        self.start = 0;
        while self.end < self.buffer.len() {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(more) => self.end += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.read_failed(error)),
            }
            let total = self.base + self.end as u64;
            if total > self.limit {
                return Err(self.too_large(total));
            }
        }
        Ok(self.end >= length)
    }

    /// Writes the files that wait in the buffer to the spool, in one piece.
    fn write_batch(&mut self) -> Result<()> {
        let (Some(&(_, start, _)), Some(&(_, last, length))) =
            (self.batch.first(), self.batch.last())
        else {
            return Ok(());
        };
        let bytes = &self.buffer[start..last + length];
        let offset = self.spool.reserve(bytes.len() as u64);
        let written = self.spool.write(bytes, offset);
        written.map_err(|source| self.spool_failed(source))?;
        for (index, at, length) in std::mem::take(&mut self.batch) {
            self.remember(index, offset + (at - start) as u64, length as u64)?;
        }
        Ok(())
    }

    fn remember(&mut self, index: usize, offset: u64, length: u64) -> Result<()> {
        match self.spool.content(offset, length) {
            Some(content) => self.kept.push((index, content)),
            None => {
                let source = io::Error::other("it is shorter than what was written to it");
                return Err(self.spool_failed(source));
            }
        }
        Ok(())
    }

    fn read_failed(&self, source: io::Error) -> Error {
        let archive = self.archive.to_owned();
        match source.kind() {
            io::ErrorKind::ConnectionAborted => Error::Cancelled,
            io::ErrorKind::UnexpectedEof => self.truncated("the rest of the compressed data"),
            _ if source.raw_os_error().is_some() => Error::Io {
                operation: "read",
                archive,
                source,
            },
            _ => Error::Malformed {
                archive,
                part: self.part,
                offset: self.base + self.end as u64,
                reason: source.to_string(),
            },
        }
    }

    fn spool_failed(&self, source: io::Error) -> Error {
        Error::Io {
            operation: "write the contents of",
            archive: self.archive.to_owned(),
            source,
        }
    }

    fn truncated(&self, wanted: &'static str) -> Error {
        Error::Truncated {
            archive: self.archive.to_owned(),
            part: self.part,
            offset: self.base + self.end as u64,
            wanted,
        }
    }

    fn too_large(&self, got: u64) -> Error {
        Error::Limit {
            archive: self.archive.to_owned(),
            what: match self.part {
                ar::CONTROL => "bytes of unpacked control files",
                _ => "bytes of unpacked files",
            },
            got,
            limit: self.limit,
        }
    }
}

impl Blocks for Window<'_> {
    fn take(&mut self, length: usize) -> Result<Option<&[u8]>> {
        if length > BUFFER || !self.fill(length)? {
            return Ok(None);
        }
        self.start += length;
        Ok(Some(&self.buffer[self.start - length..self.start]))
    }

    fn offset(&self) -> u64 {
        self.base + self.start as u64
    }
}
