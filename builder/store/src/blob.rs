//! Blobs: files of the store, named by the digest of their content.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::{Digest, Error, Hasher, Result};

/// A blob that is in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// SHA-256 of its content.
    pub digest: Digest,
    /// Its length in bytes.
    pub length: u64,
    path: PathBuf,
}

impl Blob {
    pub(crate) fn new(digest: Digest, length: u64, path: PathBuf) -> Self {
        Self {
            digest,
            length,
            path,
        }
    }

    /// Where its file is. The file is read-only and is never changed.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it for reading.
    pub fn open(&self) -> Result<File> {
        File::open(&self.path).map_err(|source| Error::io("open", &self.path, source))
    }

    /// Reads it whole, and checks it once more: for documents that are small.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader()?
            .read_to_end(&mut bytes)
            .map_err(|source| Error::io("read", &self.path, source))?;
        Ok(bytes)
    }

    /// Opens it for reading from its begin to its end, where its content is checked once more:
    /// instead of the end, the reader of a damaged blob meets [`io::ErrorKind::InvalidData`].
    pub fn reader(&self) -> Result<BlobReader> {
        Ok(BlobReader {
            file: self.open()?,
            expected: self.digest,
            hasher: Hasher::new(),
        })
    }
}

/// Reads a blob and checks its content when it comes to the end.
#[derive(Debug)]
pub struct BlobReader {
    file: File,
    expected: Digest,
    hasher: Hasher,
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        if length == 0 && !buffer.is_empty() {
            let got = self.hasher.clone().finish();
            if got != self.expected {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!(
                        "the blob in the store is damaged: SHA-256 is {got}, expected {}; \
                         `fortress-build store verify --remove` removes such blobs",
                        self.expected
                    ),
                ));
            }
        }
        self.hasher.update(&buffer[..length]);
        Ok(length)
    }
}
