//! Where there is data in an image: what is not zeros.

use crate::region::is_hole;
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

/// How many bytes of a region, from its first one on, there are until nothing but zeros follows, by
/// whole pages of [`PAGE`] bytes; of the region's own length at most.
///
/// # Errors
/// When reading fails or the region does not lie within the file.
pub fn length(file: &File, region: Region) -> Result<u64> {
    let mut buffer = vec![0; PIECE.min(region.length) as usize];
    let mut left = region.length;
    while left > 0 {
        // Pieces begin at a multiple of their length, so that pages are those of the region.
        let start = (left - 1) - (left - 1) % PIECE;
        let here = Region::new(region.offset + start, left - start);
        left = start;
        if is_hole(file, here)? {
            continue;
        }
        let piece = &mut buffer[..here.length as usize];
        file.read_exact_at(piece, here.offset)
            .map_err(|source| Error::io("read", format!("the image at {here}"), source))?;
        if let Some(page) = piece.chunks(PAGE as usize).rposition(|page| !is_zero(page)) {
            return Ok((start + (page as u64 + 1) * PAGE).min(region.length));
        }
    }
    Ok(0)
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
    fn data_ends_with_its_last_page() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(6 * PIECE).unwrap();
        let region = Region::new(PAGE, 4 * PIECE + 5);
        assert_eq!(length(&file, region).unwrap(), 0);
        // Beside the region on both sides; then within it, further and further to its end.
        for (at, expected) in [
            (PAGE - 1, 0),
            (region.end(), 0),
            (PAGE, PAGE),
            (2 * PAGE - 1, PAGE),
            (2 * PAGE, 2 * PAGE),
            (PAGE + PIECE, PIECE + PAGE),
            (PAGE + 2 * PIECE - 1, 2 * PIECE),
            (region.end() - 6, 4 * PIECE),
            (region.end() - 1, 4 * PIECE + 5),
        ] {
            file.write_all_at(&[1], at).unwrap();
            assert_eq!(length(&file, region).unwrap(), expected, "{at}");
        }
        assert!(length(&file, Region::new(6 * PIECE - 5, 6)).is_err());
        assert_eq!(length(&file, Region::new(0, 0)).unwrap(), 0);
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
