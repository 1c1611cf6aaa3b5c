//! The compressions that members of a package may have (deb(5)), with bounded memory.

use liblzma::stream::{Action, CONCATENATED, IGNORE_CHECK, Status, Stream};
use std::io::{self, BufRead, Read};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Memory that any number of decoders may take each, in bytes: a dictionary of 8 MiB, which is
/// what dpkg-deb compresses with (xz -6, zstd -19), and what is around it.
const COMMON_MEMORY: u64 = 12 << 20;
/// Memory that one decoder at a time may take, in bytes: enough for xz -9.
const LARGE_MEMORY: u64 = 80 << 20;
/// Largest zstd window, as a power of two, that any number of decoders may have each.
const COMMON_WINDOW: u32 = 23;
/// Largest zstd window, as a power of two, that one decoder at a time may have.
const LARGE_WINDOW: u32 = 26;

/// A compression, as the end of a member's name tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// `control.tar`, `data.tar`.
    None,
    /// `.xz`.
    Xz,
    /// `.zst`.
    Zstd,
    /// `.gz`.
    Gzip,
}

impl Compression {
    /// By what follows `.tar` in the member's name; none if packages may have it no more.
    pub(crate) fn of(suffix: &str) -> Option<Self> {
        match suffix {
            "" => Some(Self::None),
            ".xz" => Some(Self::Xz),
            ".zst" => Some(Self::Zstd),
            ".gz" => Some(Self::Gzip),
            _ => None,
        }
    }
}

/// Lets one decoder at a time have a large dictionary, so that memory stays bounded on machines
/// with many cores.
#[derive(Debug, Default)]
pub(crate) struct LargeMemory(Mutex<()>);

impl LargeMemory {
    fn take(&self) -> MutexGuard<'_, ()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads what is compressed in `input`. With `is_authentic` the stream's own checksums are not
/// computed, because the SHA-256 of the file vouches for more.
pub(crate) fn reader<'a>(
    compression: Compression,
    mut input: impl BufRead + 'a,
    is_authentic: bool,
    large: &'a LargeMemory,
) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match compression {
        Compression::None => Box::new(input),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        Compression::Xz => {
            let flags = match is_authentic {
                true => CONCATENATED | IGNORE_CHECK,
                false => CONCATENATED,
            };
            Box::new(Xz {
                input,
                stream: Stream::new_stream_decoder(COMMON_MEMORY, flags).map_err(corrupt)?,
                large,
                permit: None,
                is_done: false,
            })
        }
        Compression::Zstd => {
            let is_common = has_common_window(input.fill_buf()?);
            let permit = (!is_common).then(|| large.take());
            let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
            decoder.window_log_max(match is_common {
                true => COMMON_WINDOW,
                false => LARGE_WINDOW,
            })?;
            Box::new(Permitted {
                reader: decoder,
                _permit: permit,
            })
        }
    })
}

/// A reader that holds the permit for a large dictionary.
struct Permitted<'a, R> {
    reader: R,
    _permit: Option<MutexGuard<'a, ()>>,
}

impl<R: Read> Read for Permitted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

/// Whether a zstd frame that begins so has a window that any number of decoders may have
/// (RFC 8878, 3.1.1.1).
fn has_common_window(frame: &[u8]) -> bool {
    let [0x28, 0xb5, 0x2f, 0xfd, descriptor, window, ..] = frame else {
        return false;
    };
    let is_single_segment = descriptor & 0x20 != 0;
    let content_size_flag = descriptor >> 6;
    if is_single_segment {
        // The window is the content, whose size is below 65,792 bytes with these flags.
        return content_size_flag < 2;
    }
    let exponent = u32::from(window >> 3) + 10;
    let base = 1u64 << exponent;
    base + (base / 8) * u64::from(window & 7) <= 1 << COMMON_WINDOW
}

/// An xz decoder: any number of streams and blocks.
struct Xz<'a, R> {
    input: R,
    stream: Stream,
    large: &'a LargeMemory,
    permit: Option<MutexGuard<'a, ()>>,
    is_done: bool,
}

impl<R: BufRead> Read for Xz<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_done || buffer.is_empty() {
            return Ok(0);
        }
        let mut written = 0;
        while written < buffer.len() {
            let input = self.input.fill_buf()?;
            let is_last = input.is_empty();
            let action = match is_last {
                true => Action::Finish,
                false => Action::Run,
            };
            let (read_before, written_before) = (self.stream.total_in(), self.stream.total_out());
            let status = self.stream.process(input, &mut buffer[written..], action);
            let consumed = (self.stream.total_in() - read_before) as usize;
            let produced = (self.stream.total_out() - written_before) as usize;
            self.input.consume(consumed);
            written += produced;
            match status {
                Ok(Status::StreamEnd) => {
                    self.is_done = true;
                    break;
                }
                Ok(_) if is_last && produced == 0 => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Ok(_) => {}
                Err(liblzma::stream::Error::MemLimit) if self.permit.is_none() => {
                    self.permit = Some(self.large.take());
                    self.stream.set_memlimit(LARGE_MEMORY).map_err(corrupt)?;
                }
                // The decoder could do nothing: with no input left that is the early end.
                Err(liblzma::stream::Error::Program) if is_last => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Err(error) => return Err(corrupt(error)),
            }
        }
        Ok(written)
    }
}

/// What liblzma says, for people.
fn corrupt(error: liblzma::stream::Error) -> io::Error {
    use liblzma::stream::Error;
    let reason = match error {
        Error::Data => "the xz data is corrupt",
        Error::Format => "it is not xz data",
        Error::MemLimit => "unpacking it takes more than 80 MiB of memory",
        Error::Mem => return io::ErrorKind::OutOfMemory.into(),
        Error::Options => "it uses an xz filter or option that is not supported",
        _ => "the xz data cannot be decoded",
    };
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
