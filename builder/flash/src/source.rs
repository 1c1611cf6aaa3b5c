//! The bytes of an image in their order, as they are or unpacked on the way.

use crate::buffer::PIECE;
use fortress_verification::Form;
use liblzma::read::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};
use rustix::fs::{SeekFrom, seek};
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Most zeros that are given at once, in bytes: in between somebody may want to stop.
pub(crate) const MOST_ZEROS: u64 = 64 << 20;
/// Largest window that zstd may ask for: 64 MiB.
const LARGEST_WINDOW: u32 = 26;
/// Most memory that xz may take, in bytes.
const XZ_MEMORY: u64 = 80 << 20;

/// The next bytes of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// So many, which are in the buffer.
    Data(usize),
    /// So many zeros: a hole.
    Zeros(u64),
}

/// Why there are no next bytes.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The file cannot be read.
    Read(io::Error),
    /// It cannot be unpacked, or is not as long as it should be.
    Damaged(String),
}

/// An image as it passes.
pub(crate) struct Source<'a> {
    from: From<'a>,
    at: u64,
    length: u64,
    /// Of how much there is to read, in bytes, so much was read.
    work: u64,
    worked: Arc<AtomicU64>,
}

enum From<'a> {
    File(&'a File),
    Decoder(Box<dyn Read + Send + 'a>),
}

/// How much of the work is done; for another thread to look at.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    work: u64,
    worked: Arc<AtomicU64>,
}

impl Done {
    /// From 0 to 1.
    pub(crate) fn part(&self) -> f64 {
        self.worked.load(Ordering::Relaxed) as f64 / self.work.max(1) as f64
    }
}

impl<'a> Source<'a> {
    /// The image in a file, `length` bytes long when it is unpacked.
    pub(crate) fn new(mut file: &'a File, form: Form, length: u64) -> io::Result<Self> {
        let worked = Arc::new(AtomicU64::new(0));
        file.rewind()?;
        let counted = Counted {
            file,
            worked: Arc::clone(&worked),
        };
        let counted = BufReader::with_capacity(1 << 18, counted);
        let from = match form {
            Form::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(counted)?;
                decoder.window_log_max(LARGEST_WINDOW)?;
                From::Decoder(Box::new(decoder))
            }
            Form::Xz => {
                let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)
                    .map_err(io::Error::other)?;
                From::Decoder(Box::new(XzDecoder::new_stream(counted, stream)))
            }
            _ => From::File(file),
        };
        let work = match from {
            From::File(_) => data_length(file, length),
            From::Decoder(_) => file.metadata()?.len(),
        };
        Ok(Self {
            from,
            at: 0,
            length,
            work,
            worked,
        })
    }

    pub(crate) fn done(&self) -> Done {
        Done {
            work: self.work,
            worked: Arc::clone(&self.worked),
        }
    }

    /// Gives the next bytes; none at the end. All data begins at a multiple of the buffer's length,
    /// which is [`PIECE`].
    pub(crate) fn next(&mut self, buffer: &mut [u8]) -> Result<Option<Next>, Failed> {
        let left = self.length - self.at;
        let length = left.min(PIECE as u64) as usize;
        let next = match &mut self.from {
            From::File(_) if left == 0 => return Ok(None),
            From::File(file) => {
                let hole_end = match data_from(file, self.at, self.length) {
                    data if data < self.length => data - data % PIECE as u64,
                    end => end,
                };
                if hole_end > self.at {
                    let zeros = (hole_end - self.at).min(MOST_ZEROS);
                    self.at += zeros;
                    return Ok(Some(Next::Zeros(zeros)));
                }
                let piece = &mut buffer[..length];
                file.read_exact_at(piece, self.at)
                    .map_err(|error| match error.kind() {
                        ErrorKind::UnexpectedEof => Failed::Damaged("it is cut off".into()),
                        _ => Failed::Read(error),
                    })?;
                let data = data_length_between(file, self.at, self.at + length as u64);
                self.worked.fetch_add(data, Ordering::Relaxed);
                Next::Data(length)
            }
            From::Decoder(decoder) => {
                let filled = fill(decoder.as_mut(), &mut buffer[..length])?;
                if left == 0 {
                    // Whether it ends here.
                    return match fill(decoder.as_mut(), &mut buffer[..1])? {
                        0 => Ok(None),
                        _ => Err(Failed::Damaged(
                            "it is longer than its manifest says".into(),
                        )),
                    };
                }
                if filled < length {
                    return Err(Failed::Damaged("it is cut off".into()));
                }
                Next::Data(length)
            }
        };
        self.at += length as u64;
        Ok(Some(next))
    }
}

/// Fills a buffer, unless the end comes first.
fn fill(decoder: &mut dyn Read, buffer: &mut [u8]) -> Result<usize, Failed> {
    let mut filled = 0;
    while filled < buffer.len() {
        match decoder.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Errors of the system have a number, those of the decoders have none.
            Err(error) if error.raw_os_error().is_some() => return Err(Failed::Read(error)),
            Err(error) => return Err(Failed::Damaged(format!("it cannot be unpacked: {error}"))),
        }
    }
    Ok(filled)
}

/// Where the next data of a file is; `end` if all up to there is a hole.
pub(crate) fn data_from(file: &File, at: u64, end: u64) -> u64 {
    match seek(file, SeekFrom::Data(at)) {
        Ok(data) => data.clamp(at, end),
        Err(rustix::io::Errno::NXIO) => end,
        // Where holes are not known all is data.
        Err(_) => at,
    }
}

fn data_length(file: &File, length: u64) -> u64 {
    data_length_between(file, 0, length)
}

/// How much of a stretch of a file is no hole.
fn data_length_between(file: &File, start: u64, end: u64) -> u64 {
    let (mut at, mut total) = (data_from(file, start, end), 0);
    while at < end {
        let hole = match seek(file, SeekFrom::Hole(at)) {
            Ok(hole) if hole > at => hole.min(end),
            _ => end,
        };
        total += hole - at;
        at = data_from(file, hole, end);
    }
    total
}

/// A file that counts what is read of it.
struct Counted<'a> {
    file: &'a File,
    worked: Arc<AtomicU64>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        self.worked.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const LENGTH: u64 = 3 * PIECE as u64 + 12_345;

    /// Data at both ends and in the middle of the second piece.
    fn sample() -> (File, Vec<u8>) {
        let file = tempfile::tempfile().unwrap();
        file.set_len(LENGTH).unwrap();
        let mut bytes = vec![0; LENGTH as usize];
        for at in [0, PIECE + 70_000, LENGTH as usize - 5] {
            bytes[at..at + 5].copy_from_slice(b"hello");
            file.write_all_at(b"hello", at as u64).unwrap();
        }
        (file, bytes)
    }

    fn all(file: &File, form: Form, length: u64) -> Result<(Vec<u8>, u64), Failed> {
        let mut source = Source::new(file, form, length).unwrap();
        let done = source.done();
        let (mut bytes, mut zeros) = (Vec::new(), 0);
        let mut buffer = vec![0xaa; PIECE];
        while let Some(next) = source.next(&mut buffer)? {
            match next {
                Next::Data(length) => bytes.extend_from_slice(&buffer[..length]),
                Next::Zeros(length) => {
                    zeros += length;
                    bytes.resize(bytes.len() + length as usize, 0);
                }
            }
        }
        assert_eq!(done.part(), 1.0);
        Ok((bytes, zeros))
    }

    #[test]
    fn a_sparse_image_comes_as_it_is_and_its_holes_are_not_read() {
        let (file, bytes) = sample();
        let (read, zeros) = all(&file, Form::Image, LENGTH).unwrap();
        assert!(read == bytes);
        assert_eq!(zeros, PIECE as u64, "the third piece is a hole");
        let empty = tempfile::tempfile().unwrap();
        empty.set_len(LENGTH).unwrap();
        let mut source = Source::new(&empty, Form::Image, LENGTH).unwrap();
        let mut buffer = vec![0; PIECE];
        let next = source.next(&mut buffer).unwrap();
        assert!(matches!(next, Some(Next::Zeros(_))), "{next:?}");
        // A large hole comes in parts.
        let large = 2 * MOST_ZEROS + 5;
        empty.set_len(large).unwrap();
        let mut source = Source::new(&empty, Form::Image, large).unwrap();
        for length in [MOST_ZEROS, MOST_ZEROS, 5] {
            let next = source.next(&mut buffer).unwrap();
            assert_eq!(next, Some(Next::Zeros(length)));
        }
        assert_eq!(source.next(&mut buffer).unwrap(), None);
    }

    fn written(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn compressed_images_are_unpacked() {
        let (_, bytes) = sample();
        let zstd = zstd::encode_all(&bytes[..], 1).unwrap();
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
        encoder.write_all(&bytes).unwrap();
        let xz = encoder.finish().unwrap();
        for (form, packed) in [(Form::Zstd, zstd), (Form::Xz, xz)] {
            let file = written(&packed);
            assert!(all(&file, form, LENGTH).unwrap().0 == bytes);
            let reason = |file: &File, length| match all(file, form, length) {
                Err(Failed::Damaged(reason)) => reason,
                other => panic!("{other:?}"),
            };
            assert!(reason(&file, LENGTH - 1).contains("longer"));
            assert!(reason(&file, LENGTH + 1).contains("cut off"));
            let cut = written(&packed[..packed.len() / 2]);
            reason(&cut, LENGTH);
            let mut flipped = packed.clone();
            flipped[packed.len() / 2] ^= 0xff;
            reason(&written(&flipped), LENGTH);
        }
    }
}
