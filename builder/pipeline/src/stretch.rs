//! A file that lies within an image, in one piece.

use fortress_disk::Region;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

/// A region of an image, as a file of its own that cannot grow.
#[derive(Debug)]
pub(crate) struct Stretch<'a> {
    image: &'a File,
    region: Region,
    position: u64,
}

impl<'a> Stretch<'a> {
    pub(crate) fn new(image: &'a File, region: Region) -> Self {
        Self {
            image,
            region,
            position: 0,
        }
    }

    pub(crate) fn region(&self) -> Region {
        self.region
    }

    /// How many of so many bytes lie within it, from the position on.
    fn within(&self, length: usize) -> usize {
        let left = self.region.length.saturating_sub(self.position);
        usize::try_from(left).map_or(length, |left| length.min(left))
    }
}

impl Read for Stretch<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.within(buffer.len());
        let at = self.region.offset + self.position;
        let length = self.image.read_at(&mut buffer[..length], at)?;
        self.position += length as u64;
        Ok(length)
    }
}

impl Write for Stretch<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.within(bytes.len());
        let at = self.region.offset + self.position;
        let length = self.image.write_at(&bytes[..length], at)?;
        self.position += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Stretch<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.region.length.checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_the_stretch() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"0123456789", 0).unwrap();
        let mut stretch = Stretch::new(&file, Region::new(3, 4));
        let mut text = String::new();
        stretch.read_to_string(&mut text).unwrap();
        assert_eq!(text, "3456");
        stretch.seek(SeekFrom::End(-1)).unwrap();
        assert_eq!(
            stretch.write_all(b"ab").unwrap_err().kind(),
            io::ErrorKind::WriteZero
        );
        stretch.seek(SeekFrom::Start(9)).unwrap();
        assert_eq!(stretch.read(&mut [0]).unwrap(), 0);
        assert!(stretch.seek(SeekFrom::Current(-10)).is_err());
        let mut all = [0; 10];
        file.read_exact_at(&mut all, 0).unwrap();
        assert_eq!(&all, b"012345a789");
    }
}
