//! Reads a partition table: both copies, compared, every number checked before it is used.

use super::format::{ENTRY, Entry, Header, SECTOR};
use super::layout::{DiskLayout, PartitionEntry, Placement};
use crate::{Error, Result};
use std::fs::File;
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
    let mbr = sector(file, 0, "protective MBR")?;
    if mbr[510..] != [0x55, 0xaa] || mbr[450] != 0xee {
        return Err(refused("protective MBR", "is missing"));
    }
    let sectors = length / SECTOR;
    let primary = Header::parse(&sector(file, 1, "first copy")?, "first copy")?;
    if primary.this_sector != 1 || primary.other_sector >= sectors {
        return Err(refused("first copy", "points beyond the disk"));
    }
    let other = sector(file, primary.other_sector, "second copy")?;
    let backup = Header::parse(&other, "second copy")?;
    let mirrored = Header {
        this_sector: backup.other_sector,
        other_sector: backup.this_sector,
        entries_sector: primary.entries_sector,
        ..backup.clone()
    };
    if mirrored != primary {
        return Err(refused("second copy", "differs from the first"));
    }
    let entries = read_entries(file, &primary, sectors, "first copy")?;
    read_entries(file, &backup, sectors, "second copy")?;
    Ok(DiskLayout {
        length,
        guid: primary.disk_guid,
        partitions: placements(entries, &primary, sectors)?,
    })
}

fn refused(copy: &'static str, reason: impl Into<String>) -> Error {
    let reason = reason.into();
    Error::Table { copy, reason }
}

fn sector(file: &File, number: u64, copy: &'static str) -> Result<[u8; SECTOR as usize]> {
    let mut bytes = [0; SECTOR as usize];
    file.read_exact_at(&mut bytes, number * SECTOR)
        .map_err(|source| Error::io("read", format!("the partition table ({copy})"), source))?;
    Ok(bytes)
}

fn read_entries(
    file: &File,
    header: &Header,
    sectors: u64,
    copy: &'static str,
) -> Result<Vec<Entry>> {
    if header.entries > MOST_ENTRIES || header.entries_sector >= sectors {
        return Err(refused(copy, "is too large, or lies beyond the disk"));
    }
    let mut bytes = vec![0; header.entries as usize * ENTRY];
    file.read_exact_at(&mut bytes, header.entries_sector * SECTOR)
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
