//! Reading a package's file once: bounded pieces, hashed on the way.

use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::path::Path;

/// How much is read at a time.
const PIECE: usize = 256 * 1024;

/// The file of a package, read from start to end.
pub(crate) struct Source<'a> {
    file: Box<dyn Read + 'a>,
    length: u64,
    hash: Option<Sha256>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    offset: u64,
    /// Set when a member wanted more bytes than the file has.
    pub(crate) is_cut: bool,
    advanced: Box<dyn FnMut(u64) -> bool + 'a>,
}

impl<'a> Source<'a> {
    /// Opens a file. `advanced` hears of every piece read, in bytes, and says whether to go on.
    pub(crate) fn open(
        path: &Path,
        is_hashed: bool,
        advanced: impl FnMut(u64) -> bool + 'a,
    ) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok(Self::over(Box::new(file), length, is_hashed, advanced))
    }

    /// The same over any reader of `length` bytes.
    pub(crate) fn over(
        file: Box<dyn Read + 'a>,
        length: u64,
        is_hashed: bool,
        advanced: impl FnMut(u64) -> bool + 'a,
    ) -> Self {
        Self {
            file,
            length,
            hash: is_hashed.then(Sha256::new),
            buffer: vec![0; PIECE],
            start: 0,
            end: 0,
            offset: 0,
            is_cut: false,
            advanced: Box::new(advanced),
        }
    }

    /// Length of the whole file, in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// How far it has been read, in bytes.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads to the end of the file and gives the SHA-256 of all of it, if it was asked for.
    pub(crate) fn finish(mut self) -> io::Result<Option<[u8; 32]>> {
        loop {
            let length = self.fill_buf()?.len();
            if length == 0 {
                return Ok(self.hash.map(|hash| hash.finalize().into()));
            }
            self.consume(length);
        }
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut available = self.fill_buf()?;
        let length = available.read(buffer)?;
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for Source<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            let length = loop {
                match self.file.read(&mut self.buffer) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    other => break other?,
                }
            };
            if let Some(hash) = &mut self.hash {
                hash.update(&self.buffer[..length]);
            }
            if !(self.advanced)(length as u64) {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            (self.start, self.end) = (0, length);
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, amount: usize) {
        self.start += amount;
        self.offset += amount as u64;
    }
}

/// One member of the file: ends after its declared length, and an end of the file before that
/// is an error.
pub(crate) struct Member<'s, 'a> {
    source: &'s mut Source<'a>,
    left: u64,
}

impl<'s, 'a> Member<'s, 'a> {
    /// The next `length` bytes.
    pub(crate) fn new(source: &'s mut Source<'a>, length: u64) -> Self {
        Self {
            source,
            left: length,
        }
    }

    /// Passes over what was not read.
    pub(crate) fn skip(mut self) -> io::Result<()> {
        while self.left > 0 {
            let length = self.fill_buf()?.len();
            self.consume(length);
        }
        Ok(())
    }
}

impl Read for Member<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut available = self.fill_buf()?;
        let length = available.read(buffer)?;
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for Member<'_, '_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            return Ok(&[]);
        }
        if self.source.fill_buf()?.is_empty() {
            self.source.is_cut = true;
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let available = self.source.fill_buf()?;
        let length = self.left.min(available.len() as u64) as usize;
        Ok(&available[..length])
    }

    fn consume(&mut self, amount: usize) {
        self.left -= amount as u64;
        self.source.consume(amount);
    }
}
