//! Writes an image to a disk: everything but its two ends, which make it bootable.

use crate::buffer::Buffer;
use crate::medium::Medium;
use crate::source::MOST_ZEROS;
use fortress_disk::Region;
use fortress_disk::data::is_zero;
use std::io;

/// The first MiB: partition table, and whatever a boot ROM or BIOS may look for.
pub(crate) const END: u64 = 1 << 20;
/// In what steps zeros are told from data, in bytes.
const UNIT: u64 = 256 << 10;
/// What is written at the very last: MBR and header of the partition table.
const FIRST: usize = 4096;

/// What went wrong with a disk, and where.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) operation: &'static str,
    pub(crate) offset: u64,
    pub(crate) source: io::Error,
}

impl Trouble {
    pub(crate) fn new(operation: &'static str, offset: u64) -> impl FnOnce(io::Error) -> Self {
        move |source| Self {
            operation,
            offset,
            source,
        }
    }
}

/// The two ends of an image, kept back until all else is right: without them nothing takes a disk for
/// bootable.
#[derive(Debug)]
pub(crate) struct Ends {
    head: Vec<u8>,
    tail: Vec<u8>,
    /// Where the tail begins.
    tail_start: u64,
}

impl Ends {
    pub(crate) fn new(length: u64) -> Self {
        let head = END.min(length);
        let tail_start = length.saturating_sub(END);
        let tail_start = (tail_start - tail_start % UNIT).max(head);
        Self {
            head: vec![0; head as usize],
            tail: vec![0; (length - tail_start) as usize],
            tail_start,
        }
    }

    /// What is between them.
    pub(crate) fn body(&self) -> Region {
        let head = self.head.len() as u64;
        Region::new(head, self.tail_start - head)
    }

    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    pub(crate) fn tail(&self) -> &[u8] {
        &self.tail
    }

    /// Makes a disk unbootable: the image's ends, and the end of the disk, where an older partition
    /// table may have its backup.
    pub(crate) fn erase(&self, medium: &dyn Medium) -> Result<(), Trouble> {
        let length = self.tail_start + self.tail.len() as u64;
        let last = medium.size().saturating_sub(END).max(length);
        for (operation, start, end) in [
            ("erase the start of", 0, self.head.len() as u64),
            ("erase the end of", self.tail_start, length),
            ("erase the end of", last, medium.size()),
        ] {
            let zeros = vec![0; (end - start) as usize];
            let written = medium.write(&zeros, start);
            written.map_err(Trouble::new(operation, start))?;
        }
        medium.sync().map_err(Trouble::new("erase the start of", 0))
    }

    /// Makes a disk unbootable by its start alone.
    pub(crate) fn erase_head(&self, medium: &dyn Medium) -> Result<(), Trouble> {
        let zeros = vec![0; self.head.len()];
        medium
            .write(&zeros, 0)
            .and_then(|()| medium.sync())
            .map_err(Trouble::new("erase the start of", 0))
    }

    /// Makes a disk bootable: the first sectors come last, when all else is on it.
    pub(crate) fn write(&self, medium: &dyn Medium) -> Result<(), Trouble> {
        let (first, rest) = self.head.split_at(FIRST.min(self.head.len()));
        let write = |bytes: &[u8], offset: u64| {
            let written = medium.write(bytes, offset);
            written.map_err(Trouble::new("write to", offset))
        };
        let sync = || medium.sync().map_err(Trouble::new("write to", 0));
        write(&self.tail, self.tail_start)?;
        write(rest, first.len() as u64)?;
        sync()?;
        write(first, 0)?;
        sync()
    }

    /// Reads both ends back; where they differ first, if they do.
    pub(crate) fn compare(&self, medium: &dyn Medium) -> Result<Option<u64>, Trouble> {
        let mut buffer = Buffer::new();
        for (wanted, offset) in [(&self.head, 0), (&self.tail, self.tail_start)] {
            let read = &mut buffer.bytes_mut()[..wanted.len()];
            let outcome = medium.read(read, offset);
            outcome.map_err(Trouble::new("read back from", offset))?;
            let differs = read.iter().zip(wanted).position(|(a, b)| a != b);
            if let Some(at) = differs {
                return Ok(Some(offset + at as u64));
            }
        }
        Ok(None)
    }
}

/// Writes what is between the ends, and keeps the ends.
pub(crate) struct Writer<'a> {
    medium: &'a dyn Medium,
    pub(crate) ends: &'a mut Ends,
    /// Zeros that were not yet made.
    zeros: Region,
    /// Bytes that were written.
    pub(crate) written: u64,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(medium: &'a dyn Medium, ends: &'a mut Ends) -> Self {
        Self {
            medium,
            ends,
            zeros: Region::new(0, 0),
            written: 0,
        }
    }

    /// Takes bytes at a multiple of [`UNIT`].
    pub(crate) fn data(&mut self, bytes: &[u8], offset: u64) -> Result<(), Trouble> {
        let body = self.ends.body();
        // Where the data begins that was not written yet.
        let mut begin = None;
        let mut at = offset;
        for unit in bytes.chunks(UNIT as usize) {
            let inside = body.offset <= at && at < body.end();
            if inside && !is_zero(unit) {
                begin.get_or_insert(at);
            } else {
                self.run(bytes, offset, begin.take(), at)?;
                if inside {
                    self.zeros(at, unit.len() as u64)?;
                } else if at < body.offset {
                    let at = at as usize;
                    self.ends.head[at..at + unit.len()].copy_from_slice(unit);
                } else {
                    let at = (at - body.end()) as usize;
                    self.ends.tail[at..at + unit.len()].copy_from_slice(unit);
                }
            }
            at += unit.len() as u64;
        }
        self.run(bytes, offset, begin, at)
    }

    /// Takes zeros; they are made together with those that follow.
    pub(crate) fn zeros(&mut self, offset: u64, length: u64) -> Result<(), Trouble> {
        let body = self.ends.body();
        let start = offset.max(body.offset);
        let end = (offset + length).min(body.end());
        if start >= end {
            return Ok(());
        }
        if self.zeros.length > 0 && self.zeros.end() == start {
            self.zeros.length += end - start;
        } else {
            self.make_zeros()?;
            self.zeros = Region::new(start, end - start);
        }
        match self.zeros.length >= MOST_ZEROS {
            true => self.make_zeros(),
            false => Ok(()),
        }
    }

    /// Ends: all zeros are made, and all of it is on the disk.
    pub(crate) fn finish(&mut self) -> Result<(), Trouble> {
        self.make_zeros()?;
        let end = self.ends.body().end();
        self.medium.sync().map_err(Trouble::new("write to", end))
    }

    fn run(
        &mut self,
        bytes: &[u8],
        offset: u64,
        begin: Option<u64>,
        end: u64,
    ) -> Result<(), Trouble> {
        let Some(begin) = begin else {
            return Ok(());
        };
        self.make_zeros()?;
        let bytes = &bytes[(begin - offset) as usize..(end - offset) as usize];
        let outcome = self.medium.write(bytes, begin);
        outcome.map_err(Trouble::new("write to", begin))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn make_zeros(&mut self) -> Result<(), Trouble> {
        let zeros = std::mem::replace(&mut self.zeros, Region::new(0, 0));
        let mut at = zeros.offset;
        while at < zeros.end() {
            let length = (zeros.end() - at).min(MOST_ZEROS);
            let made = self.medium.zero(at, length);
            self.written += made.map_err(Trouble::new("write zeros to", at))?;
            at += length;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
