//! Reads a partition table: both copies, compared, every number checked before it is used.

use super::format::{ENTRY, Entry, Header, SECTOR};
use super::layout::{DiskLayout, PartitionEntry, Placement};
use crate::{Error, Result};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Most entries that a table is believed to have.
const MOST_ENTRIES: u32 = 1024;

/// Reads a disk's partition table. Both copies must be whole and say the same; partitions must
/// lie within the disk and apart from each other.
///
/// # Errors
/// What is damaged, missing or contradictory, or that reading fails.
pub fn read(file: &File) -> Result<DiskLayout> {
    let length = file
        .metadata()
        .map_err(|source| Error::io("examine", "the image", source))?
        .len();
    let Copies {
        protective_mbr,
        first,
        second,
    } = examine(
        &mut |buffer, offset| file.read_exact_at(buffer, offset),
        length,
    );
    protective_mbr?;
    let (first, second) = (first?, second?);
    match first == second {
        true => Ok(first),
        false => Err(refused("second copy", "differs from the first")),
    }
}

/// What each part of a partition table says by itself.
#[derive(Debug)]
pub struct Copies {
    /// Whether there is a protective MBR.
    pub protective_mbr: Result<()>,
    /// The copy at the disk's start.
    pub first: Result<DiskLayout>,
    /// The copy that the first one says is the second; if there is no first one, that in the last
    /// sector.
    pub second: Result<DiskLayout>,
}

/// Reads both copies of the partition table of a disk of `length` bytes, each by itself. `read` fills
/// a buffer with what is at an offset.
pub fn examine(read: &mut dyn FnMut(&mut [u8], u64) -> io::Result<()>, length: u64) -> Copies {
    let protective_mbr = sector(read, 0, "protective MBR").and_then(|mbr| {
        match mbr[510..] == [0x55, 0xaa] && mbr[450] == 0xee {
            true => Ok(()),
            false => Err(refused("protective MBR", "is missing")),
        }
    });
    let sectors = length / SECTOR;
    let first = copy(read, 1, length, "first copy");
    let last = sectors.saturating_sub(1);
    let second_sector = first
        .as_ref()
        .map_or(last, |(header, _)| header.other_sector);
    let second = copy(read, second_sector, length, "second copy");
    let points_back = |second: (Header, DiskLayout)| match &first {
        Ok((header, _)) if !second.0.mirrors(header) => {
            Err(refused("second copy", "differs from the first"))
        }
        _ => Ok(second.1),
    };
    let second = second.and_then(points_back);
    Copies {
        protective_mbr,
        first: first.map(|(_, layout)| layout),
        second,
    }
}

/// Reads the copy whose header is in a sector.
fn copy(
    read: &mut dyn FnMut(&mut [u8], u64) -> io::Result<()>,
    number: u64,
    length: u64,
    name: &'static str,
) -> Result<(Header, DiskLayout)> {
    let sectors = length / SECTOR;
    if number >= sectors {
        return Err(refused(name, "is missing: it would lie beyond the disk"));
    }
    let header = Header::parse(&sector(read, number, name)?, name)?;
    if header.this_sector != number || header.other_sector >= sectors {
        return Err(refused(name, "points beyond the disk"));
    }
    let entries = read_entries(read, &header, sectors, name)?;
    let layout = DiskLayout {
        length,
        guid: header.disk_guid,
        partitions: placements(entries, &header, sectors)?,
    };
    Ok((header, layout))
}

fn refused(copy: &'static str, reason: impl Into<String>) -> Error {
    let reason = reason.into();
    Error::Table { copy, reason }
}

fn sector(
    read: &mut dyn FnMut(&mut [u8], u64) -> io::Result<()>,
    number: u64,
    copy: &'static str,
) -> Result<[u8; SECTOR as usize]> {
    let mut bytes = [0; SECTOR as usize];
    read(&mut bytes, number * SECTOR)
        .map_err(|source| Error::io("read", format!("the partition table ({copy})"), source))?;
    Ok(bytes)
}

fn read_entries(
    read: &mut dyn FnMut(&mut [u8], u64) -> io::Result<()>,
    header: &Header,
    sectors: u64,
    copy: &'static str,
) -> Result<Vec<Entry>> {
    if header.entries > MOST_ENTRIES || header.entries_sector >= sectors {
        return Err(refused(copy, "is too large, or lies beyond the disk"));
    }
    let mut bytes = vec![0; header.entries as usize * ENTRY];
    read(&mut bytes, header.entries_sector * SECTOR)
        .map_err(|source| Error::io("read", format!("the partition table ({copy})"), source))?;
    if crc32fast::hash(&bytes) != header.entries_checksum {
        return Err(refused(copy, "is damaged: the entries' checksum is wrong"));
    }
    let (entries, _) = bytes.as_chunks::<ENTRY>();
    Ok(entries.iter().filter_map(Entry::parse).collect())
}

fn placements(entries: Vec<Entry>, header: &Header, sectors: u64) -> Result<Vec<Placement>> {
    let mut placements = Vec::with_capacity(entries.len());
    for entry in entries {
        let within = header.first_usable <= entry.first
            && entry.first <= entry.last
            && entry.last <= header.last_usable
            && entry.last < sectors;
        if !within {
            return Err(Error::Partition {
                name: entry.name,
                reason: format!(
                    "lies at sectors {} to {}, outside what is usable ({} to {})",
                    entry.first, entry.last, header.first_usable, header.last_usable
                ),
            });
        }
        placements.push(Placement {
            offset: entry.first * SECTOR,
            entry: PartitionEntry {
                kind: entry.kind,
                guid: entry.guid,
                name: entry.name,
                length: (entry.last - entry.first + 1) * SECTOR,
                attributes: entry.attributes,
            },
        });
    }
    let mut order: Vec<&Placement> = placements.iter().collect();
    order.sort_by_key(|placement| placement.offset);
    for pair in order.windows(2) {
        if pair[0].region().end() > pair[1].offset {
            return Err(Error::Partition {
                name: pair[1].entry.name.clone(),
                reason: format!("overlaps partition {:?}", pair[0].entry.name),
            });
        }
    }
    Ok(placements)
}
