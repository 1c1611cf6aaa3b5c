//! Where there is data in an image: what is not zeros.

use crate::{Error, Region, Result};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// What is looked at as one: a page is data, or all of it is zeros. In bytes.
pub const PAGE: u64 = 4096;
/// How much is read at once.
const PIECE: u64 = 1 << 20;

/// The stretches of an image that are not zeros, in their order, by whole pages of [`PAGE`] bytes
/// (the last may end with the image). They follow from its bytes alone, and not from where a file
/// system happened to leave holes.
///
/// # Errors
/// When the file cannot be read.
pub fn regions(file: &File) -> Result<Vec<Region>> {
    let failed = |source| Error::io("read", "the image", source);
    let length = file.metadata().map_err(failed)?.len();
    let mut regions: Vec<Region> = Vec::new();
    let mut buffer = vec![0; PIECE as usize];
    let mut at = 0;
    while at < length {
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(data) => data - data % PAGE,
            Err(Errno::NXIO) => break,
            // A file system that knows no holes.
            Err(_) => at,
        };
        at = start.max(at);
        let piece = &mut buffer[..(length - at).min(PIECE) as usize];
        file.read_exact_at(piece, at).map_err(failed)?;
        for (index, page) in piece.chunks(PAGE as usize).enumerate() {
            if is_zero(page) {
                continue;
            }
            let offset = at + index as u64 * PAGE;
            match regions.last_mut() {
                Some(last) if last.end() == offset => last.length += page.len() as u64,
                _ => regions.push(Region::new(offset, page.len() as u64)),
            }
        }
        at += piece.len() as u64;
    }
    Ok(regions)
}

/// Whether all bytes are zero.
pub fn is_zero(bytes: &[u8]) -> bool {
    // Pieces of 16 are compared faster than single bytes.
    let (words, tail) = bytes.as_chunks();
    words.iter().all(|word| *word == [0; 16]) && tail.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_no_data_whether_or_not_they_are_a_hole() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(10 * PAGE + 7).unwrap();
        file.write_all_at(&[0; 8192], 0).unwrap();
        file.write_all_at(b"x", 2 * PAGE + 5).unwrap();
        file.write_all_at(b"y", 3 * PAGE).unwrap();
        file.write_all_at(b"z", 10 * PAGE + 6).unwrap();
        assert_eq!(
            regions(&file).unwrap(),
            [Region::new(2 * PAGE, 2 * PAGE), Region::new(10 * PAGE, 7),]
        );
    }

    #[test]
    fn nothing_has_no_data() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(regions(&file).unwrap(), []);
        file.set_len(1 << 40).unwrap();
        assert_eq!(regions(&file).unwrap(), []);
    }

    #[test]
    fn one_byte_makes_it_not_zero() {
        for length in [1, 15, 16, 17, 4096] {
            let mut bytes = vec![0; length];
            assert!(is_zero(&bytes));
            bytes[length - 1] = 1;
            assert!(!is_zero(&bytes));
        }
    }
}
