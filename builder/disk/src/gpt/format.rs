//! The on-disk form of a GUID partition table.

use crate::{Error, Result};
use uuid::Uuid;

/// Bytes in a logical sector.
pub const SECTOR: u64 = 512;
/// Sectors that the table takes at either end of the disk: header and entries, and at the start
/// the protective MBR before them.
pub(crate) const FIRST_USABLE: u64 = 34;
pub(crate) const BACKUP_SECTORS: u64 = 33;
/// Entries in a table of ours.
pub(crate) const ENTRIES: usize = 128;
/// UTF-16 units in a partition's name.
pub(crate) const LONGEST_NAME: usize = 36;
/// Bytes in an entry.
pub(crate) const ENTRY: usize = 128;

/// Attribute bits of a partition.
#[derive(Debug)]
pub struct Attributes;

impl Attributes {
    /// The firmware needs it: tools must not remove it.
    pub const REQUIRED: u64 = 1;
    /// systemd enlarges its file system to the partition.
    pub const GROW_FILE_SYSTEM: u64 = 1 << 59;
    /// systemd uses it read-only.
    pub const READ_ONLY: u64 = 1 << 60;
    /// systemd does not use it on its own.
    pub const NO_AUTO: u64 = 1 << 63;
}

/// A header as it is on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) this_sector: u64,
    pub(crate) other_sector: u64,
    pub(crate) first_usable: u64,
    pub(crate) last_usable: u64,
    pub(crate) disk_guid: Uuid,
    pub(crate) entries_sector: u64,
    pub(crate) entries: u32,
    pub(crate) entries_checksum: u32,
}

impl Header {
    /// Reads a header and checks its checksum.
    pub(crate) fn parse(sector: &[u8; SECTOR as usize], copy: &'static str) -> Result<Self> {
        let refused = |reason: String| Error::Table { copy, reason };
        if &sector[0..8] != b"EFI PART" {
            return Err(refused("is missing: there is no signature".into()));
        }
        let length = number(sector, 12) as usize;
        if number(sector, 8) != 0x1_0000 || !(92..=SECTOR as usize).contains(&length) {
            return Err(refused("is of an unknown revision".into()));
        }
        let mut hashed = *sector;
        hashed[16..20].fill(0);
        let checksum = crc32fast::hash(&hashed[..length]);
        if checksum != number(sector, 16) {
            return Err(refused("is damaged: the header's checksum is wrong".into()));
        }
        if number(sector, 84) as usize != ENTRY {
            return Err(refused("has entries of an unknown size".into()));
        }
        let mut guid = [0; 16];
        guid.copy_from_slice(&sector[56..72]);
        Ok(Self {
            this_sector: long_number(sector, 24),
            other_sector: long_number(sector, 32),
            first_usable: long_number(sector, 40),
            last_usable: long_number(sector, 48),
            disk_guid: Uuid::from_bytes_le(guid),
            entries_sector: long_number(sector, 72),
            entries: number(sector, 80),
            entries_checksum: number(sector, 88),
        })
    }
}

impl Header {
    /// Whether this is the other copy of that header.
    pub(crate) fn mirrors(&self, other: &Self) -> bool {
        let mirrored = Self {
            this_sector: self.other_sector,
            other_sector: self.this_sector,
            entries_sector: other.entries_sector,
            ..self.clone()
        };
        mirrored == *other
    }
}

/// An entry as it is on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: Uuid,
    pub(crate) guid: Uuid,
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) attributes: u64,
    pub(crate) name: String,
}

impl Entry {
    /// Reads an entry; none if it is not in use.
    pub(crate) fn parse(bytes: &[u8; ENTRY]) -> Option<Self> {
        let guid = |at: usize| {
            let mut guid = [0; 16];
            guid.copy_from_slice(&bytes[at..at + 16]);
            Uuid::from_bytes_le(guid)
        };
        if guid(0).is_nil() {
            return None;
        }
        let units = bytes[56..]
            .chunks_exact(2)
            .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
            .take_while(|unit| *unit != 0);
        Some(Self {
            kind: guid(0),
            guid: guid(16),
            first: long_number(bytes, 32),
            last: long_number(bytes, 40),
            attributes: long_number(bytes, 48),
            name: char::decode_utf16(units)
                .map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect(),
        })
    }
}

/// The 32-bit number at `at`, which lies within `bytes` by the callers' types.
pub(crate) fn number(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

fn long_number(bytes: &[u8], at: usize) -> u64 {
    u64::from(number(bytes, at)) | u64::from(number(bytes, at + 4)) << 32
}
