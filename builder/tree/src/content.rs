//! File contents by reference: small ones in memory, others in a scratch file that many threads
//! append to, or in a file of the host.

use crate::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A scratch file for contents. Threads reserve a stretch each and write it on their own.
/// The file has no name: the system frees it when the last [`Content`] in it is dropped, also
/// when the process is killed.
#[derive(Debug)]
pub struct Spool {
    file: File,
    end: AtomicU64,
}

impl Spool {
    /// A new, empty scratch file on the file system of `directory`.
    ///
    /// # Errors
    /// When no file can be made there.
    pub fn new(directory: &Path) -> Result<Arc<Self>> {
        let file = tempfile::tempfile_in(directory).map_err(|source| Error::Io {
            operation: "make room for",
            what: format!("packages in {}", directory.display()),
            source,
        })?;
        Ok(Self::over(file, 0))
    }

    /// A spool over an open file whose first `length` bytes are in use (a kept spool).
    pub fn over(file: File, length: u64) -> Arc<Self> {
        Arc::new(Self {
            file,
            end: AtomicU64::new(length),
        })
    }

    /// Bytes in use, from the start of the file.
    pub fn length(&self) -> u64 {
        self.end.load(Ordering::Relaxed)
    }

    /// The file itself.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Copies exactly `length` bytes from `reader` into the spool.
    ///
    /// # Errors
    /// When the reader fails or ends early ([`io::ErrorKind::UnexpectedEof`]), or the disk is full.
    pub fn append(self: &Arc<Self>, reader: &mut dyn Read, length: u64) -> io::Result<Content> {
        let start = self.reserve(length);
        let mut buffer = vec![0; length.min(256 * 1024) as usize];
        let mut done = 0;
        while done < length {
            let part = &mut buffer[..(length - done).min(256 * 1024) as usize];
            reader.read_exact(part)?;
            self.file.write_all_at(part, start + done)?;
            done += part.len() as u64;
        }
        Ok(Content {
            length,
            source: Source::Spool(self.clone(), start),
        })
    }

    /// Takes a stretch of `length` bytes for the caller to fill with [`Spool::write`]; gives
    /// where it starts. Stretches of different callers never overlap.
    pub fn reserve(&self, length: u64) -> u64 {
        self.end.fetch_add(length, Ordering::Relaxed)
    }

    /// Writes into a stretch that [`Spool::reserve`] gave.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    /// The content of `length` bytes at `offset`; none if that is not within the spool.
    pub fn content(self: &Arc<Self>, offset: u64, length: u64) -> Option<Content> {
        (offset.checked_add(length)? <= self.length()).then(|| Content {
            length,
            source: Source::Spool(self.clone(), offset),
        })
    }
}

#[derive(Debug, Clone)]
enum Source {
    Memory(Arc<[u8]>),
    Spool(Arc<Spool>, u64),
    File(Arc<Path>),
}

/// The bytes of a file. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Content {
    length: u64,
    source: Source,
}

impl Content {
    /// Contents that a file of the host has (an overlay's). The length is taken now; reading
    /// fails if the file has become shorter since.
    ///
    /// # Errors
    /// When the file is not there or is not a regular file.
    pub fn host_file(path: &Path) -> Result<Self> {
        let failed = |source| Error::Io {
            operation: "read",
            what: path.display().to_string(),
            source,
        };
        let metadata = std::fs::metadata(path).map_err(failed)?;
        if !metadata.is_file() {
            return Err(failed(io::Error::other("not a regular file")));
        }
        Ok(Self {
            length: metadata.len(),
            source: Source::File(path.into()),
        })
    }

    /// Length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Where in a spool the bytes lie; none for contents elsewhere.
    pub fn spool_offset(&self) -> Option<u64> {
        match &self.source {
            Source::Spool(_, offset) => Some(*offset),
            _ => None,
        }
    }

    /// The bytes, if they are in memory.
    pub fn in_memory(&self) -> Option<&[u8]> {
        match &self.source {
            Source::Memory(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Reads the bytes from the start. Read in large pieces, or wrap it in a `BufReader`.
    ///
    /// # Errors
    /// When a host file cannot be opened.
    pub fn reader(&self) -> io::Result<ContentReader> {
        let source = match &self.source {
            Source::File(path) => Source::Spool(Spool::over(File::open(path)?, self.length), 0),
            other => other.clone(),
        };
        Ok(ContentReader {
            content: Self {
                length: self.length,
                source,
            },
            position: 0,
        })
    }

    /// All bytes. For small files only: memory is bounded.
    ///
    /// # Errors
    /// When reading fails.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        if let Some(bytes) = self.in_memory() {
            return Ok(bytes.to_vec());
        }
        let mut bytes = vec![0; self.length as usize];
        self.reader()?.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            length: bytes.len() as u64,
            source: Source::Memory(bytes.into()),
        }
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        text.as_bytes().to_vec().into()
    }
}

/// Reads a [`Content`] from the start; ends early with an error, never silently.
#[derive(Debug)]
pub struct ContentReader {
    content: Content,
    position: u64,
}

impl Read for ContentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.content.length - self.position;
        let wanted = left.min(buffer.len() as u64) as usize;
        let got = match &self.content.source {
            Source::Memory(bytes) => {
                let start = self.position as usize;
                buffer[..wanted].copy_from_slice(&bytes[start..start + wanted]);
                wanted
            }
            Source::Spool(spool, offset) => spool
                .file
                .read_at(&mut buffer[..wanted], offset + self.position)?,
            Source::File(path) => {
                return Err(io::Error::other(format!("{} is not open", path.display())));
            }
        };
        if got == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.position += got as u64;
        Ok(got)
    }
}

impl Seek for ContentReader {
    /// Goes to a place within the contents, or to their end; never beyond.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => self.content.length.checked_add_signed(offset),
        };
        self.position = position
            .filter(|position| *position <= self.content.length)
            .ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

/// How a content is kept in a saved tree: its place in the spool, or its bytes.
#[derive(Serialize, Deserialize)]
enum Kept {
    Spool(u64, u64),
    Memory(Vec<u8>),
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let kept = match &self.source {
            Source::Spool(_, offset) => Kept::Spool(*offset, self.length),
            _ => Kept::Memory(self.read().map_err(serde::ser::Error::custom)?),
        };
        kept.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Content {
    /// A content from a spool comes back without it; [`crate::Tree::attach_spool`] gives it back.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Ok(match Kept::deserialize(deserializer)? {
            Kept::Memory(bytes) => bytes.into(),
            Kept::Spool(offset, length) => Self {
                length,
                source: Source::Spool(detached(), offset),
            },
        })
    }
}

/// A spool with nothing in it: reading from it fails as a file that is too short does.
fn detached() -> Arc<Spool> {
    static EMPTY: std::sync::OnceLock<Arc<Spool>> = std::sync::OnceLock::new();
    EMPTY
        .get_or_init(|| match File::open("/dev/null") {
            Ok(file) => Spool::over(file, 0),
            Err(error) => unreachable!("/dev/null cannot be opened: {error}"),
        })
        .clone()
}
