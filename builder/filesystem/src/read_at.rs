//! Where file systems are read from.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes that can be read at any place: a file, a device, or what was kept of a stream.
pub trait ReadAt: Sync + fmt::Debug {
    /// Fills the buffer with what is at `offset`.
    ///
    /// # Errors
    /// When reading fails or the end comes first. [`io::ErrorKind::WouldBlock`] says that the bytes
    /// were not kept, and may be there when it is asked again: a checker then goes on with what
    /// does not need them, and says that it is not done.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, offset)
    }
}

impl ReadAt for [u8] {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).ok();
        let end = start.and_then(|start| start.checked_add(buffer.len()));
        let bytes = start.zip(end).and_then(|(start, end)| self.get(start..end));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}
