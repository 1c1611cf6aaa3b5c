//! Buffers that a disk can be read into and written from directly.

/// Places on disks and in memory have to be multiples of this, in bytes.
pub(crate) const ALIGNMENT: usize = 4096;
/// How much goes in one buffer, in bytes.
pub(crate) const PIECE: usize = 4 << 20;

/// A buffer of [`PIECE`] bytes at a multiple of [`ALIGNMENT`] in memory.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    pub(crate) fn new() -> Self {
        let bytes = vec![0; PIECE + ALIGNMENT];
        // Where memory cannot be aligned, writing takes the way that does not need it.
        let start = bytes.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self { bytes, start }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.start + PIECE]
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + PIECE]
    }
}

/// Whether a stretch can be read or written directly.
pub(crate) fn is_aligned(bytes: &[u8], offset: u64) -> bool {
    (bytes.as_ptr() as usize).is_multiple_of(ALIGNMENT)
        && bytes.len().is_multiple_of(ALIGNMENT)
        && offset.is_multiple_of(ALIGNMENT as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned() {
        for _ in 0..8 {
            let mut buffer = Buffer::new();
            assert!(is_aligned(buffer.bytes(), 1 << 20));
            assert_eq!(buffer.bytes_mut().len(), PIECE);
            assert!(!is_aligned(&buffer.bytes()[1..], 0));
            assert!(!is_aligned(&buffer.bytes()[..512], 0));
            assert!(!is_aligned(buffer.bytes(), 512));
        }
    }
}
