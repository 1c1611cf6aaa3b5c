//! What an image is written to, as far as writing it goes.

use std::io;

/// A disk that is open for writing.
pub(crate) trait Medium: Sync {
    /// What it is called in messages.
    fn name(&self) -> &str;
    /// Its size in bytes.
    fn size(&self) -> u64;
    /// Writes all bytes at a place.
    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes a stretch read as zeros; gives how many bytes had to be written for that.
    fn zero(&self, offset: u64, length: u64) -> io::Result<u64>;
    /// Waits until all that was written is on the disk.
    fn sync(&self) -> io::Result<()>;
    /// Fills a buffer with what is on the disk, not with what is remembered of it.
    fn read(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;
    /// Where the next data is; `end` if all up to there reads as zeros without reading it.
    fn data_from(&self, at: u64, end: u64) -> u64;
    /// Whether it is still there.
    fn is_there(&self) -> bool;
}
