//! Compressed copies: the same bytes whatever the number of cores.

use crate::{Error, Kind, Result};
use fortress_progress::{Observer, Stage};
use liblzma::stream::{Check, MtStreamBuilder};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How much is read at once.
const PIECE: usize = 1 << 20;
/// Zstandard's level: what a slow disk is written with, not what an archive is made with.
const ZSTD_LEVEL: i32 = 9;
/// xz's preset: dictionaries of 4 MiB, so that two threads stay below 150 MiB.
const XZ_PRESET: u32 = 4;
/// What xz compresses by itself, in bytes. Fixed, since else it follows the number of threads.
const XZ_BLOCK: u64 = 16 << 20;
/// Most threads of xz: each takes 60 MiB.
const XZ_THREADS: usize = 3;

/// What is known of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Digests {
    /// SHA-256 of the image.
    pub(crate) image: String,
    /// SHA-256 of the copy.
    pub(crate) copy: String,
    /// Length of the copy in bytes.
    pub(crate) length: u64,
}

/// Compresses an image, on all cores.
pub(crate) fn compress(
    file: &File,
    path: &Path,
    kind: Kind,
    out: &mut dyn Write,
    stage: &dyn Stage,
    observer: &dyn Observer,
) -> Result<Digests> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    with_threads(threads, file, path, kind, out, stage, observer)
}

fn with_threads(
    threads: usize,
    file: &File,
    path: &Path,
    kind: Kind,
    out: &mut dyn Write,
    stage: &dyn Stage,
    observer: &dyn Observer,
) -> Result<Digests> {
    let unwritable = || Error::file("write the compressed copy of", path);
    let mut hashed = Hashed::new(out);
    let image = match kind {
        Kind::Xz => {
            let stream = MtStreamBuilder::new()
                .preset(XZ_PRESET)
                .block_size(XZ_BLOCK)
                .threads(threads.min(XZ_THREADS) as u32)
                .check(Check::Crc64)
                .encoder()
                .map_err(|error| unwritable()(error.into()))?;
            let mut encoder = liblzma::write::XzEncoder::new_stream(&mut hashed, stream);
            let image = read(file, path, &mut encoder, stage, observer)?;
            encoder.finish().map_err(unwritable())?;
            image
        }
        _ => {
            let mut encoder = zstd::Encoder::new(&mut hashed, ZSTD_LEVEL).map_err(unwritable())?;
            // With one worker or more the output is the same for any number of them.
            encoder
                .multithread(threads as u32)
                .and_then(|()| encoder.include_checksum(true))
                .map_err(unwritable())?;
            let image = read(file, path, &mut encoder, stage, observer)?;
            encoder.finish().map_err(unwritable())?;
            image
        }
    };
    Ok(hashed.finish(image))
}

/// The digests of an image that is handed out as it is.
pub(crate) fn plain(file: &File, path: &Path, observer: &dyn Observer) -> Result<Digests> {
    let mut hashed = Hashed::new(io::sink());
    let image = read(
        file,
        path,
        &mut hashed,
        &fortress_progress::Silent,
        observer,
    )?;
    Ok(hashed.finish(image))
}

/// Reads an image from its first to its last byte; gives its SHA-256.
fn read(
    file: &File,
    path: &Path,
    out: &mut dyn Write,
    stage: &dyn Stage,
    observer: &dyn Observer,
) -> Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; PIECE];
    let mut at = 0;
    loop {
        if observer.cancelled() {
            return Err(Error::Cancelled);
        }
        let count = match file.read_at(&mut buffer, at) {
            Ok(0) => return Ok(hexadecimal(hasher)),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::file("read", path)(error)),
        };
        let piece = &buffer[..count];
        hasher.update(piece);
        out.write_all(piece)
            .map_err(Error::file("write the compressed copy of", path))?;
        at += count as u64;
        stage.advance(count as u64);
    }
}

/// Hashes what goes through it.
struct Hashed<W> {
    out: W,
    hasher: Sha256,
    length: u64,
}

impl<W: Write> Hashed<W> {
    fn new(out: W) -> Self {
        Self {
            out,
            hasher: Sha256::new(),
            length: 0,
        }
    }

    fn finish(self, image: String) -> Digests {
        Digests {
            image,
            copy: hexadecimal(self.hasher),
            length: self.length,
        }
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.length += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A digest as people write it.
pub(crate) fn hexadecimal(hasher: Sha256) -> String {
    let digest = hasher.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fortress_progress::Silent;

    /// Enough for several blocks, most of it dull.
    fn image() -> File {
        let mut file = tempfile::tempfile().unwrap();
        let mut state = 1_u32;
        let mut block = vec![0; 1 << 20];
        for _ in 0..36 {
            for byte in &mut block[..16 << 10] {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = (state >> 28) as u8;
            }
            file.write_all(&block).unwrap();
        }
        file
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let file = image();
        for kind in [Kind::Zstd, Kind::Xz] {
            let copies = [1, 3].map(|threads| {
                let mut out = Vec::new();
                let path = Path::new("image");
                let digests =
                    with_threads(threads, &file, path, kind, &mut out, &Silent, &Silent).unwrap();
                assert_eq!(digests.length, out.len() as u64);
                assert_eq!(digests.copy, hexadecimal(Sha256::new_with_prefix(&out)));
                (digests, out)
            });
            assert!(copies[0] == copies[1], "{kind:?}");
        }
    }
}
