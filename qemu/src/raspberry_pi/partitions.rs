//! The partition table as the firmware reads it: the first copy of a GPT, or an MBR.

use super::refusal::{Refusal, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;

const SECTOR: u64 = 512;
/// Most entries that a GPT is believed to have: as many as UEFI asks room for.
const MOST_ENTRIES: u32 = 128;
/// Bytes in a GPT entry (UEFI specification 2.10, section 5.3.3).
const ENTRY: usize = 128;

/// Partition types, as their bytes are on the disk.
const ESP: [u8; 16] = [
    0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b,
];
const BASIC_DATA: [u8; 16] = [
    0xa2, 0xa0, 0xd0, 0xeb, 0xe5, 0xb9, 0x33, 0x44, 0x87, 0xc0, 0x68, 0xb6, 0xb7, 0x26, 0x99, 0xc7,
];

/// A partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Partition {
    /// Its number, from 1.
    pub(super) number: u32,
    /// Where it begins, in bytes.
    pub(super) offset: u64,
    /// How long it is, in bytes.
    pub(super) length: u64,
    /// Whether its type is one in which the firmware looks for a FAT.
    pub(super) readable: bool,
}

/// The partitions of an image, and in a word what table they are from.
pub(super) fn read(file: &File) -> Result<(&'static str, Vec<Partition>)> {
    let length = file
        .metadata()
        .map_err(|error| Refusal::Table(error.to_string()))?
        .len();
    let mut mbr = [0; SECTOR as usize];
    read_at(file, &mut mbr, 0)?;
    if mbr[510..] != [0x55, 0xaa] {
        return Err(Refusal::Table(
            "the first sector does not end in 55 AA".into(),
        ));
    }
    let records: Vec<&[u8]> = mbr[446..510].chunks_exact(16).collect();
    let protective = records.iter().any(|record| record[4] == 0xee);
    let (kind, partitions) = if protective {
        ("GPT", gpt(file)?)
    } else {
        let partitions = records.iter().zip(1..).map(|(record, number)| Partition {
            number,
            offset: u64::from(number_at(record, 8)) * SECTOR,
            length: u64::from(number_at(record, 12)) * SECTOR,
            // FAT12, FAT16 and FAT32 by their numbers, and the EFI system partition.
            readable: matches!(record[4], 0x01 | 0x04 | 0x06 | 0x0b | 0x0c | 0x0e | 0xef),
        });
        let partitions = partitions.filter(|own| own.length > 0).collect();
        ("MBR", partitions)
    };
    for partition in &partitions {
        let end = partition.offset.checked_add(partition.length);
        if end.is_none_or(|end| end > length) {
            return Err(Refusal::Partition {
                number: partition.number,
                why: format!("it does not end within the image of {length} bytes"),
            });
        }
    }
    Ok((kind, partitions))
}

fn gpt(file: &File) -> Result<Vec<Partition>> {
    let refused = |why: &str| Refusal::Table(format!("the GPT's first copy {why}"));
    let mut header = [0; SECTOR as usize];
    read_at(file, &mut header, SECTOR)?;
    if &header[..8] != b"EFI PART" {
        return Err(refused("is missing"));
    }
    let length = number_at(&header, 12) as usize;
    if !(92..=header.len()).contains(&length) {
        return Err(refused("has a header of an unknown length"));
    }
    let checksum = number_at(&header, 16);
    let mut hashed = header;
    hashed[16..20].fill(0);
    if crc32fast::hash(&hashed[..length]) != checksum {
        return Err(refused("is damaged: its header's checksum is wrong"));
    }
    let count = number_at(&header, 80);
    if count > MOST_ENTRIES || number_at(&header, 84) as usize != ENTRY {
        return Err(refused(
            "has more entries than fit, or entries of an unknown size",
        ));
    }
    let mut entries = vec![0; count as usize * ENTRY];
    let offset = long_at(&header, 72).checked_mul(SECTOR);
    read_at(
        file,
        &mut entries,
        offset.ok_or_else(|| refused("points beyond the disk"))?,
    )?;
    if crc32fast::hash(&entries) != number_at(&header, 88) {
        return Err(refused("is damaged: its entries' checksum is wrong"));
    }
    let mut partitions = Vec::new();
    for (entry, number) in entries.chunks_exact(ENTRY).zip(1..) {
        let kind = &entry[..16];
        if kind == [0; 16] {
            continue;
        }
        let (first, last) = (long_at(entry, 32), long_at(entry, 40));
        let place = first
            .checked_mul(SECTOR)
            .zip(last.checked_add(1).and_then(|end| end.checked_mul(SECTOR)))
            .filter(|(start, end)| start < end);
        let (start, end) = place.ok_or_else(|| Refusal::Partition {
            number,
            why: format!("it goes from sector {first} to sector {last}"),
        })?;
        partitions.push(Partition {
            number,
            offset: start,
            length: end - start,
            readable: kind == ESP || kind == BASIC_DATA,
        });
    }
    Ok(partitions)
}

fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> Result<()> {
    file.read_exact_at(buffer, offset).map_err(|error| {
        Refusal::Table(format!(
            "the image cannot be read at byte {offset}: {error}"
        ))
    })
}

/// The 32-bit number at `at`, which callers know to lie within.
fn number_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

fn long_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(number_at(bytes, at)) | u64::from(number_at(bytes, at + 4)) << 32
}
