//! SHA-256 of stretches of an image, side by side; holes are not read.

use crate::region::is_hole;
use crate::{Error, Region, Result};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// How much is read at once.
const PIECE: u64 = 1 << 20;

/// The SHA-256 of each region, in their order. One region takes one thread (SHA-256 goes in
/// sequence); several go side by side.
///
/// # Errors
/// When reading fails or a region does not lie within the file.
pub fn regions(file: &File, regions: &[Region]) -> Result<Vec<[u8; 32]>> {
    regions
        .par_iter()
        .with_max_len(1)
        .map(|region| one(file, *region))
        .collect()
}

/// The SHA-256 of the whole file.
///
/// # Errors
/// When reading fails.
pub fn whole(file: &File) -> Result<[u8; 32]> {
    let metadata = file
        .metadata()
        .map_err(|source| Error::io("examine", "the image", source))?;
    one(file, Region::new(0, metadata.len()))
}

fn one(file: &File, region: Region) -> Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; PIECE as usize];
    let mut zeros = true;
    let mut at = region.offset;
    while at < region.end() {
        let length = (region.end() - at).min(PIECE);
        let piece = &mut buffer[..length as usize];
        if !is_hole(file, Region::new(at, length))? {
            file.read_exact_at(piece, at)
                .map_err(|source| Error::io("read", format!("the image at byte {at}"), source))?;
            zeros = false;
        } else if !zeros {
            buffer.fill(0);
            zeros = true;
        }
        hasher.update(&buffer[..length as usize]);
        at += length;
    }
    Ok(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_zeros() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(9 << 20).unwrap();
        file.write_all_at(b"data", 3 << 20).unwrap();
        let mut expected = vec![0; 9 << 20];
        expected[3 << 20..(3 << 20) + 4].copy_from_slice(b"data");
        let parts = [
            Region::new(0, 9 << 20),
            Region::new((3 << 20) + 1, 5_000_001),
            Region::new(5, 0),
        ];
        let digests = regions(&file, &parts).unwrap();
        for (part, digest) in parts.iter().zip(&digests) {
            let bytes = &expected[part.offset as usize..part.end() as usize];
            assert_eq!(digest[..], Sha256::digest(bytes)[..]);
        }
        assert_eq!(whole(&file).unwrap(), digests[0]);
    }

    #[test]
    fn past_the_end_is_an_error() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        assert!(regions(&file, &[Region::new(4000, 97)]).is_err());
    }
}
