//! The outer shell of a package: an ar archive (deb(5), ar(5)).

use crate::source::{Member, Source};
use crate::{Error, Result};
use std::io::Read;

/// What the file begins with.
const MAGIC: &[u8; 8] = b"!<arch>\n";
/// Length of a member's header.
const HEADER: usize = 60;
/// What ends a member's header.
const HEADER_END: &[u8; 2] = b"`\n";
/// The parts of a package in messages: the file itself, and its two unpacked archives.
pub(crate) const PART: &str = "the file";
pub(crate) const CONTROL: &str = "control.tar";
pub(crate) const DATA: &str = "data.tar";

/// The fields of a member's header that matter here; the others are times and owners.
pub(crate) struct MemberHeader {
    /// Name, without the `/` and blanks that may follow it.
    pub(crate) name: String,
    /// Length of what follows, in bytes.
    pub(crate) size: u64,
}

/// Reads a package's file member by member.
pub(crate) struct Reader<'s, 'a> {
    archive: &'s str,
    source: &'s mut Source<'a>,
}

impl<'s, 'a> Reader<'s, 'a> {
    /// Checks the file's magic number.
    pub(crate) fn new(archive: &'s str, source: &'s mut Source<'a>) -> Result<Self> {
        let mut reader = Self { archive, source };
        let mut magic = [0; MAGIC.len()];
        reader.read(&mut magic, "the magic number of a package")?;
        if magic != *MAGIC {
            return Err(reader.malformed(0, "does not begin as a Debian package does"));
        }
        Ok(reader)
    }

    /// The header of the next member; none at the end of the file.
    pub(crate) fn next(&mut self) -> Result<Option<MemberHeader>> {
        let offset = self.source.offset();
        if offset == self.source.length() {
            return Ok(None);
        }
        let mut header = [0; HEADER];
        self.read(&mut header, "a member's header")?;
        if header[58..] != *HEADER_END {
            return Err(self.malformed(offset, "is not the header of a member"));
        }
        let Ok(name) = std::str::from_utf8(&header[..16]) else {
            return Err(self.malformed(offset, "the member's name is not text"));
        };
        let name = name.trim_end_matches(' ');
        let name = name.strip_suffix('/').unwrap_or(name).to_owned();
        let size = std::str::from_utf8(&header[48..58])
            .map(|digits| digits.trim_end_matches(' '))
            .ok()
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse::<u64>().ok());
        let Some(size) = size else {
            return Err(self.malformed(offset, "the member's size is not a number"));
        };
        if size > self.source.length().saturating_sub(self.source.offset()) {
            return Err(Error::Truncated {
                archive: self.archive.to_owned(),
                part: PART,
                offset: self.source.length(),
                wanted: match name.split('.').next() {
                    Some("data") => "the rest of data.tar",
                    Some("control") => "the rest of control.tar",
                    _ => "the rest of a member",
                },
            });
        }
        Ok(Some(MemberHeader { name, size }))
    }

    /// The bytes of the member whose header was read last. Read it or skip it, then call
    /// [`Reader::end`].
    pub(crate) fn member(&mut self, header: &MemberHeader) -> Member<'_, 'a> {
        Member::new(self.source, header.size)
    }

    /// Passes over the byte that pads members to an even length.
    pub(crate) fn end(&mut self, header: &MemberHeader) -> Result<()> {
        if header.size % 2 == 1 && self.source.offset() < self.source.length() {
            self.read(&mut [0], "padding")?;
        }
        Ok(())
    }

    /// Whether a member wanted more bytes than the file has.
    pub(crate) fn cut_at(&self) -> Option<u64> {
        self.source.is_cut.then(|| self.source.offset())
    }

    fn read(&mut self, bytes: &mut [u8], wanted: &'static str) -> Result<()> {
        let offset = self.source.offset();
        self.source.read_exact(bytes).map_err(|source| {
            let archive = self.archive.to_owned();
            match source.kind() {
                std::io::ErrorKind::UnexpectedEof => Error::Truncated {
                    archive,
                    part: PART,
                    offset: offset.max(self.source.offset()),
                    wanted,
                },
                std::io::ErrorKind::ConnectionAborted => Error::Cancelled,
                _ => Error::Io {
                    operation: "read",
                    archive,
                    source,
                },
            }
        })
    }

    fn malformed(&self, offset: u64, reason: &str) -> Error {
        Error::Malformed {
            archive: self.archive.to_owned(),
            part: PART,
            offset,
            reason: reason.to_owned(),
        }
    }
}
