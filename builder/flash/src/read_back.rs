//! Reads a disk back and compares it with the image.

use crate::buffer::{Buffer, PIECE};
use crate::medium::Medium;
use crate::pieces::Piece;
use crate::write::{Ends, Trouble};
use fortress_disk::Region;
use fortress_disk::data::is_zero;

/// Compares a disk with an image that passes.
pub(crate) struct Comparison<'a> {
    medium: &'a dyn Medium,
    /// What was written so far.
    body: Region,
    buffer: Buffer,
    /// Bytes that were read.
    pub(crate) read: u64,
}

impl<'a> Comparison<'a> {
    pub(crate) fn new(medium: &'a dyn Medium, ends: &Ends) -> Self {
        Self {
            medium,
            body: ends.body(),
            buffer: Buffer::new(),
            read: 0,
        }
    }

    /// Compares the next piece, which begins at `at`; gives where it differs first, if it does. The
    /// image's ends are not looked at.
    pub(crate) fn piece(&mut self, piece: &Piece, at: u64) -> Result<Option<u64>, Trouble> {
        let start = at.max(self.body.offset);
        let end = (at + piece.length()).min(self.body.end());
        if start >= end {
            return Ok(None);
        }
        match piece {
            Piece::Data(loan) => {
                let wanted = &loan.bytes()[(start - at) as usize..(end - at) as usize];
                let medium = self.medium;
                let length = wanted.len();
                let read = &mut self.buffer.bytes_mut()[..length];
                let outcome = medium.read(read, start);
                outcome.map_err(Trouble::new("read back from", start))?;
                self.read += length as u64;
                // Comparing all at once is quicker than byte by byte.
                let differs = *read != *wanted;
                let first = || read.iter().zip(wanted).position(|(a, b)| a != b);
                Ok(differs
                    .then(first)
                    .flatten()
                    .map(|place| start + place as u64))
            }
            Piece::Zeros(_) => self.zeros(start, end),
        }
    }

    fn zeros(&mut self, start: u64, end: u64) -> Result<Option<u64>, Trouble> {
        let mut at = start;
        loop {
            // Whole pages, so that they can be read directly.
            let data = self.medium.data_from(at, end);
            at = (data - data % 4096).max(at);
            if data >= end {
                return Ok(None);
            }
            let length = (end - at).min(PIECE as u64) as usize;
            let read = &mut self.buffer.bytes_mut()[..length];
            let outcome = self.medium.read(read, at);
            outcome.map_err(Trouble::new("read back from", at))?;
            self.read += length as u64;
            if !is_zero(read) {
                let place = read.iter().position(|byte| *byte != 0);
                return Ok(place.map(|place| at + place as u64));
            }
            at += length as u64;
            if at >= end {
                return Ok(None);
            }
        }
    }
}
