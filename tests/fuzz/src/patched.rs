//! Images that are sound but for a few bytes: most of what is in a file system is never looked at
//! again once one number at its beginning makes no sense.

use fortress_filesystem::ReadAt;
use std::io;
use std::ops::Range;

/// A sound image, and the stretches of it in which bytes are changed.
#[derive(Debug)]
pub struct Base {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Where structure lies.
    pub structure: Vec<Range<usize>>,
}

/// An image with some bytes changed.
#[derive(Debug)]
pub struct Patched<'a> {
    base: &'a Base,
    changes: Vec<(usize, Vec<u8>)>,
}

impl Base {
    /// Takes an input as a list of changes: where in the structure (3 bytes), how many bytes (1 byte),
    /// the bytes.
    pub fn with<'a>(&'a self, mut input: &[u8]) -> Patched<'a> {
        let room: usize = self.structure.iter().map(ExactSizeIterator::len).sum();
        let mut changes = Vec::new();
        while let Some((head, rest)) = input.split_first_chunk::<4>() {
            let mut place = u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize % room;
            let count = usize::from(head[3] % 64).min(rest.len());
            let stretch = self.structure.iter().find(|stretch| {
                let within = place < stretch.len();
                if !within {
                    place -= stretch.len();
                }
                within
            });
            let start = stretch.map_or(0, |stretch| stretch.start) + place;
            let count_within = count.min(self.bytes.len() - start);
            changes.push((start, rest[..count_within].to_vec()));
            input = &rest[count..];
        }
        Patched {
            base: self,
            changes,
        }
    }
}

impl Patched<'_> {
    /// How long it is, in bytes.
    pub fn length(&self) -> u64 {
        self.base.bytes.len() as u64
    }

    /// Changes more bytes.
    pub fn change(&mut self, at: usize, bytes: &[u8]) {
        self.changes.push((at, bytes.to_vec()));
    }

    /// Some of its bytes.
    pub fn bytes(&self, range: Range<usize>) -> Vec<u8> {
        let mut bytes = vec![0; range.len()];
        let read = self.read_exact_at(&mut bytes, range.start as u64);
        read.expect("it lies within the image");
        bytes
    }
}

impl ReadAt for Patched<'_> {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.base.bytes.as_slice().read_exact_at(buffer, offset)?;
        let offset = offset as usize;
        for (at, bytes) in &self.changes {
            let start = (*at).max(offset);
            let end = (at + bytes.len()).min(offset + buffer.len());
            if start < end {
                buffer[start - offset..end - offset].copy_from_slice(&bytes[start - at..end - at]);
            }
        }
        Ok(())
    }
}
