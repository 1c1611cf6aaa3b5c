//! Entries of a tar archive: headers, GNU's long names, pax headers. Contents are the caller's.

use super::format::{BLOCK, has_checksum, number, padded, records};
use crate::{Error, Result};
use fortress_tree::{Metadata, TreePath};
use std::collections::BTreeMap;
use std::ops::Range;

/// Longest long name or link target, in bytes, its final NUL included (PATH_MAX).
const LONGEST_NAME: u64 = 4096;
/// Longest pax header, in bytes: room for some extended attributes of the greatest size.
const LONGEST_PAX: u64 = 192 * 1024;
/// Latest time that ext4 can hold, in seconds since 1970 (the year 2446).
const LATEST: u64 = 0x3_7fff_ffff;

/// The unpacked bytes of an archive, from start to end.
pub(crate) trait Blocks {
    /// The next `length` bytes, at most 256 KiB; none if the archive ends within them.
    fn take(&mut self, length: usize) -> Result<Option<&[u8]>>;
    /// How many bytes were taken.
    fn offset(&self) -> u64;
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EntryKind {
    /// A regular file; so many bytes follow, and padding after them.
    File(u64),
    /// A directory.
    Directory,
    /// A symbolic link and its target.
    Symlink(String),
    /// A hard link to another entry.
    HardLink(TreePath),
    /// A device: whether it is a block device, major, minor.
    Device(bool, u32, u32),
    /// A named pipe.
    Fifo,
}

/// An entry.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) path: TreePath,
    pub(crate) metadata: Metadata,
    pub(crate) kind: EntryKind,
    /// Bytes of names and attributes, for the bound on all of them.
    pub(crate) names: u64,
}

/// What long names and pax headers say of the entry that follows.
#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    user: Option<u64>,
    group: Option<u64>,
    modified: Option<u64>,
    attributes: BTreeMap<String, Vec<u8>>,
}

/// Reads entries. After an [`EntryKind::File`] the caller takes the contents.
pub(crate) struct Reader<'a> {
    archive: &'a str,
    part: &'static str,
}

// Places of fields in a header (POSIX.1-2017 pax, "ustar Header Block").
const NAME: Range<usize> = 0..100;
const MODE: Range<usize> = 100..108;
const USER: Range<usize> = 108..116;
const GROUP: Range<usize> = 116..124;
const SIZE: Range<usize> = 124..136;
const MODIFIED: Range<usize> = 136..148;
const TYPE: usize = 156;
const LINK: Range<usize> = 157..257;
const MAGIC: Range<usize> = 257..265;
const MAJOR: Range<usize> = 329..337;
const MINOR: Range<usize> = 337..345;
const PREFIX: Range<usize> = 345..500;

impl<'a> Reader<'a> {
    /// A reader of `part` (`control.tar`, `data.tar`) of a package.
    pub(crate) fn new(archive: &'a str, part: &'static str) -> Self {
        Self { archive, part }
    }

    /// The next entry; none at the end of the archive.
    pub(crate) fn next(&self, blocks: &mut impl Blocks) -> Result<Option<Entry>> {
        let mut extended = Extended::default();
        let mut is_extended = false;
        loop {
            let offset = blocks.offset();
            let Some(block) = blocks.take(BLOCK)? else {
                return Err(self.truncated(blocks.offset(), "a header or the end of the archive"));
            };
            let Ok(block) = <[u8; BLOCK]>::try_from(block) else {
                return Err(self.malformed(offset, "is no header"));
            };
            if block.iter().all(|byte| *byte == 0) {
                return match is_extended {
                    true => Err(self.malformed(offset, "a long name belongs to no entry")),
                    false => Ok(None),
                };
            }
            if !has_checksum(&block) {
                return Err(self.malformed(offset, "is no header: its checksum is wrong"));
            }
            let size = self.number(offset, &block[SIZE], "size")?;
            match block[TYPE] {
                b'L' => extended.path = Some(self.long_name(blocks, size)?),
                b'K' => extended.link = Some(self.long_name(blocks, size)?),
                b'x' => self.pax(blocks, size, &mut extended)?,
                _ => return self.entry(offset, &block, size, extended).map(Some),
            }
            is_extended = true;
        }
    }

    /// The entry that a header and what came before it describe.
    fn entry(
        &self,
        offset: u64,
        block: &[u8; BLOCK],
        size: u64,
        extended: Extended,
    ) -> Result<Entry> {
        let name = extended.path.unwrap_or_else(|| header_name(block));
        let path = self.path(&name)?;
        let refuse = |reason: String| Error::Refused {
            archive: self.archive.to_owned(),
            path: path.to_string(),
            reason,
        };
        let link = extended.link.unwrap_or_else(|| text(&block[LINK]).to_vec());
        let size = extended.size.unwrap_or(size);
        let kind = match block[TYPE] {
            // An old header has no type for directories; their names end in a slash.
            0 if name.ends_with(b"/") => EntryKind::Directory,
            0 | b'0' | b'7' => EntryKind::File(size),
            b'1' => EntryKind::HardLink(self.path(&link)?),
            b'2' => EntryKind::Symlink(self.target(&link).map_err(refuse)?),
            device @ (b'3' | b'4') => EntryKind::Device(
                device == b'4',
                self.number(offset, &block[MAJOR], "major number")? as u32,
                self.number(offset, &block[MINOR], "minor number")? as u32,
            ),
            b'5' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            b'S' => return Err(refuse("is a sparse file of GNU tar".into())),
            other => {
                let kind = char::from(other).escape_default();
                return Err(refuse(format!(
                    "is of a kind that no package has ('{kind}')"
                )));
            }
        };
        if size != 0 && !matches!(kind, EntryKind::File(_)) {
            return Err(refuse("has contents but is no regular file".into()));
        }
        let mode = self.number(offset, &block[MODE], "mode")?;
        let user = match extended.user {
            Some(user) => user,
            None => self.number(offset, &block[USER], "user ID")?,
        };
        let group = match extended.group {
            Some(group) => group,
            None => self.number(offset, &block[GROUP], "group ID")?,
        };
        let modified = match extended.modified {
            Some(modified) => modified,
            None => self.number(offset, &block[MODIFIED], "time")?,
        };
        let identifier = |value: u64, what: &str| match u32::try_from(value) {
            // The highest means "none" to Linux.
            Ok(value) if value < u32::MAX => Ok(value),
            _ => Err(refuse(format!("has {what} {value}, which there cannot be"))),
        };
        if modified > LATEST {
            return Err(refuse(format!(
                "is of a time that there cannot be ({modified})"
            )));
        }
        let attributes = extended.attributes;
        let attribute_bytes: usize = attributes
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        let names = (name.len() + link.len() + attribute_bytes) as u64;
        Ok(Entry {
            metadata: Metadata {
                mode: (mode & 0o7777) as u16,
                user: identifier(user, "user ID")?,
                group: identifier(group, "group ID")?,
                modified: modified as i64,
                attributes,
            },
            path,
            kind,
            names,
        })
    }

    /// The contents of a GNU long name.
    fn long_name(&self, blocks: &mut impl Blocks, size: u64) -> Result<Vec<u8>> {
        let offset = blocks.offset();
        if size > LONGEST_NAME {
            return Err(self.malformed(offset, "a name is longer than 4096 bytes"));
        }
        let bytes = self.take(blocks, size, "a long name")?;
        Ok(text(&bytes[..size as usize]).to_vec())
    }

    /// A pax header for one entry.
    fn pax(&self, blocks: &mut impl Blocks, size: u64, extended: &mut Extended) -> Result<()> {
        let offset = blocks.offset();
        if size > LONGEST_PAX {
            return Err(self.malformed(offset, "a pax header is larger than 192 KiB"));
        }
        let bytes = self.take(blocks, size, "a pax header")?;
        let Some(records) = records(&bytes[..size as usize]) else {
            return Err(self.malformed(offset, "a pax header has a record that is not well formed"));
        };
        for (keyword, value) in records {
            let number = || {
                // Times may have a fraction, which no package's files need.
                let text = std::str::from_utf8(value).ok()?;
                let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
                let is_number = whole.bytes().all(|byte| byte.is_ascii_digit());
                is_number.then(|| whole.parse::<u64>().ok()).flatten()
            };
            let number = || {
                number().ok_or_else(|| {
                    let reason = format!("pax keyword {keyword} has a value that is no number");
                    self.malformed(offset, &reason)
                })
            };
            match keyword {
                "path" => extended.path = Some(value.to_vec()),
                "linkpath" => extended.link = Some(value.to_vec()),
                "size" => extended.size = Some(number()?),
                "uid" => extended.user = Some(number()?),
                "gid" => extended.group = Some(number()?),
                "mtime" => extended.modified = Some(number()?),
                // Names of owners are the host's; the rest says nothing that a tree keeps.
                "uname" | "gname" | "atime" | "ctime" | "comment" => {}
                other => match other.strip_prefix("SCHILY.xattr.") {
                    Some(name) if !name.is_empty() && name.len() <= 255 => {
                        extended.attributes.insert(name.to_owned(), value.to_vec());
                    }
                    _ => {
                        let reason = format!("pax keyword {other:?} is not understood");
                        return Err(self.malformed(offset, &reason));
                    }
                },
            }
        }
        Ok(())
    }

    /// A path as the archive has it: relative, with or without `./`.
    fn path(&self, name: &[u8]) -> Result<TreePath> {
        let shown = String::from_utf8_lossy(name);
        let refuse = |reason: &str| Error::Refused {
            archive: self.archive.to_owned(),
            path: shown.chars().take(200).collect(),
            reason: reason.to_owned(),
        };
        let Ok(name) = std::str::from_utf8(name) else {
            return Err(refuse("is not UTF-8"));
        };
        if name.starts_with('/') {
            return Err(refuse("is an absolute path"));
        }
        if name.is_empty() {
            return Err(refuse("is an empty name"));
        }
        if name.contains('\n') {
            return Err(refuse("contains a newline"));
        }
        TreePath::new(name).map_err(|error| match error {
            fortress_tree::Error::Path { reason, .. } => refuse(reason),
            other => refuse(&other.to_string()),
        })
    }

    /// The target of a symbolic link.
    fn target(&self, link: &[u8]) -> std::result::Result<String, String> {
        match std::str::from_utf8(link) {
            Err(_) => Err("is a symbolic link to a name that is not UTF-8".into()),
            Ok("") => Err("is a symbolic link to nothing".into()),
            Ok(target) if target.len() >= LONGEST_NAME as usize => {
                Err("is a symbolic link to a path over 4095 bytes".into())
            }
            Ok(target) if target.contains(['\0', '\n']) => {
                Err("is a symbolic link to a name with a newline or NUL in it".into())
            }
            Ok(target) => Ok(target.to_owned()),
        }
    }

    /// `size` bytes and their padding.
    fn take<'b>(
        &self,
        blocks: &'b mut impl Blocks,
        size: u64,
        wanted: &'static str,
    ) -> Result<&'b [u8]> {
        let offset = blocks.offset();
        let length = padded(size).unwrap_or(u64::MAX) as usize;
        match blocks.take(length)? {
            Some(bytes) => Ok(bytes),
            None => Err(self.truncated(offset, wanted)),
        }
    }

    fn number(&self, offset: u64, field: &[u8], what: &str) -> Result<u64> {
        number(field).ok_or_else(|| {
            self.malformed(offset, &format!("the {what} in a header is not a number"))
        })
    }

    fn truncated(&self, offset: u64, wanted: &'static str) -> Error {
        Error::Truncated {
            archive: self.archive.to_owned(),
            part: self.part,
            offset,
            wanted,
        }
    }

    fn malformed(&self, offset: u64, reason: &str) -> Error {
        Error::Malformed {
            archive: self.archive.to_owned(),
            part: self.part,
            offset,
            reason: reason.to_owned(),
        }
    }
}

/// The bytes of a field up to its first NUL.
fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0);
    &field[..end.unwrap_or(field.len())]
}

/// The name in a header. POSIX's ustar has a prefix; GNU's form has other things there.
fn header_name(block: &[u8; BLOCK]) -> Vec<u8> {
    let (name, prefix) = (text(&block[NAME]), text(&block[PREFIX]));
    match &block[MAGIC] == b"ustar\x0000" && !prefix.is_empty() {
        true => [prefix, b"/", name].concat(),
        false => name.to_vec(),
    }
}
