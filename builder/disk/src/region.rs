//! Stretches of a file, and where there is data in them.

use crate::{Error, Result};
use rustix::fs::{SeekFrom, seek};
use std::fmt;
use std::fs::File;

/// A stretch of a file, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region {
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
}

impl Region {
    /// The region of `length` bytes at `offset`.
    pub const fn new(offset: u64, length: u64) -> Self {
        Self { offset, length }
    }

    /// The byte after its last.
    pub const fn end(&self) -> u64 {
        self.offset.saturating_add(self.length)
    }
}

impl fmt::Display for Region {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "bytes {} to {}", self.offset, self.end())
    }
}

/// Whether a region is a hole of a sparse file, and so reads as zeros. A file system that knows
/// no holes says that all is data; then so does this.
pub(crate) fn is_hole(file: &File, region: Region) -> Result<bool> {
    match seek(file, SeekFrom::Data(region.offset)) {
        Ok(data) => Ok(data >= region.end()),
        Err(rustix::io::Errno::NXIO) => {
            // No data until the end of the file, if the region lies within the file at all.
            let metadata = file
                .metadata()
                .map_err(|source| Error::io("examine", "the image", source))?;
            Ok(region.end() <= metadata.len())
        }
        Err(_) => Ok(false),
    }
}
