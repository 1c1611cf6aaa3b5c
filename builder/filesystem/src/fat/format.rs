//! The on-disk form of FAT32.

/// Bytes in a sector.
pub(super) const SECTOR: u64 = 512;
/// Bytes in a directory entry.
pub(super) const ENTRY: usize = 32;
/// Fewest clusters of a FAT32: one with fewer is taken for a FAT16.
pub(super) const FEWEST_CLUSTERS: u64 = 65525;
/// Most clusters of a FAT32.
pub(super) const MOST_CLUSTERS: u64 = 0x0fff_fff4;
/// The number of the first cluster.
pub(super) const FIRST_CLUSTER: u32 = 2;
/// Table entries from this one up end a chain.
pub(super) const END_OF_CHAIN: u32 = 0x0fff_fff8;
/// The bits of a table entry that count.
pub(super) const CLUSTER_BITS: u32 = 0x0fff_ffff;
/// Most bytes in a directory.
pub(super) const LONGEST_DIRECTORY: u64 = 65536 * ENTRY as u64;
/// Where the copy of the boot sector is, and FSInfo after either.
pub(super) const BACKUP_SECTOR: u64 = 6;
pub(super) const INFO_SECTOR: u64 = 1;
/// Copies of the table.
pub(super) const TABLES: u64 = 2;

/// Attributes of directory entries.
pub(super) const VOLUME_LABEL: u8 = 0x08;
pub(super) const DIRECTORY: u8 = 0x10;
pub(super) const ARCHIVE: u8 = 0x20;
pub(super) const LONG_NAME: u8 = 0x0f;
/// The bit in a long name entry's number that says it is the name's end.
pub(super) const LAST_LONG_ENTRY: u8 = 0x40;
/// UTF-16 units in a long name entry, and where they are.
pub(super) const UNITS: usize = 13;
pub(super) const UNIT_OFFSETS: [usize; UNITS] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];

/// What the boot sector says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BootSector {
    pub(super) sectors_per_cluster: u8,
    pub(super) reserved_sectors: u16,
    /// Sectors on the disk before the volume.
    pub(super) hidden_sectors: u32,
    pub(super) sectors: u32,
    pub(super) sectors_per_table: u32,
    pub(super) root_cluster: u32,
    pub(super) volume_id: u32,
    pub(super) label: [u8; 11],
}

impl BootSector {
    pub(super) fn to_bytes(&self) -> [u8; SECTOR as usize] {
        let mut bytes = [0; SECTOR as usize];
        bytes[0..3].copy_from_slice(&[0xeb, 0x58, 0x90]); // jump to the code below
        bytes[3..11].copy_from_slice(b"MSWIN4.1"); // what the specification advises
        bytes[11..13].copy_from_slice(&(SECTOR as u16).to_le_bytes());
        bytes[13] = self.sectors_per_cluster;
        bytes[14..16].copy_from_slice(&self.reserved_sectors.to_le_bytes());
        bytes[16] = TABLES as u8;
        bytes[21] = 0xf8; // a fixed disk
        bytes[24..26].copy_from_slice(&63u16.to_le_bytes()); // sectors in a track
        bytes[26..28].copy_from_slice(&255u16.to_le_bytes()); // heads
        bytes[28..32].copy_from_slice(&self.hidden_sectors.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.sectors.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.sectors_per_table.to_le_bytes());
        bytes[44..48].copy_from_slice(&self.root_cluster.to_le_bytes());
        bytes[48..50].copy_from_slice(&(INFO_SECTOR as u16).to_le_bytes());
        bytes[50..52].copy_from_slice(&(BACKUP_SECTOR as u16).to_le_bytes());
        bytes[64] = 0x80; // the first hard disk
        bytes[66] = 0x29; // the next three fields are there
        bytes[67..71].copy_from_slice(&self.volume_id.to_le_bytes());
        bytes[71..82].copy_from_slice(&self.label);
        bytes[82..90].copy_from_slice(b"FAT32   ");
        bytes[90..94].copy_from_slice(&[0xcd, 0x18, 0xeb, 0xfe]); // try the next disk, or stop
        bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
        bytes
    }

    /// Reads a boot sector; none if it is not that of a FAT32 with sectors of 512 bytes and two
    /// tables. That its numbers fit the volume is for the caller to check.
    pub(super) fn parse(bytes: &[u8; SECTOR as usize]) -> Option<Self> {
        let short = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let long = |at: usize| u32::from(short(at)) | u32::from(short(at + 2)) << 16;
        let ours = bytes[510..512] == [0x55, 0xaa]
            && u64::from(short(11)) == SECTOR
            && u64::from(bytes[16]) == TABLES
            && bytes[13].is_power_of_two()
            && [17, 19, 22].map(short) == [0; 3] // FAT12 and FAT16 have these
            && short(42) == 0; // version
        let mut label = [0; 11];
        label.copy_from_slice(&bytes[71..82]);
        ours.then(|| Self {
            sectors_per_cluster: bytes[13],
            reserved_sectors: short(14),
            hidden_sectors: long(28),
            sectors: long(32),
            sectors_per_table: long(36),
            root_cluster: long(44),
            volume_id: long(67),
            label,
        })
    }

    /// The sector at which clusters begin.
    pub(super) fn data_sector(&self) -> u64 {
        u64::from(self.reserved_sectors) + TABLES * u64::from(self.sectors_per_table)
    }

    /// How many clusters there are.
    pub(super) fn clusters(&self) -> u64 {
        u64::from(self.sectors).saturating_sub(self.data_sector())
            / u64::from(self.sectors_per_cluster)
    }

    /// Bytes in a cluster.
    pub(super) fn cluster_length(&self) -> u64 {
        u64::from(self.sectors_per_cluster) * SECTOR
    }

    /// The byte of the volume at which a cluster begins.
    pub(super) fn cluster_offset(&self, cluster: u32) -> u64 {
        let index = u64::from(cluster.saturating_sub(FIRST_CLUSTER));
        self.data_sector() * SECTOR + index * self.cluster_length()
    }
}

/// The sector that says how many clusters are free, and where to look for them.
pub(super) fn info_sector(free: u32, next: u32) -> [u8; SECTOR as usize] {
    let mut bytes = [0; SECTOR as usize];
    bytes[0..4].copy_from_slice(b"RRaA");
    bytes[484..488].copy_from_slice(b"rrAa");
    bytes[488..492].copy_from_slice(&free.to_le_bytes());
    bytes[492..496].copy_from_slice(&next.to_le_bytes());
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    bytes
}

/// A date and a time of day, as FAT keeps them: to two seconds, from 1980 to 2107.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time {
    pub(super) date: u16,
    pub(super) time: u16,
}

impl Time {
    /// 1980-01-01 and 2107-12-31, in seconds since 1970.
    const FIRST: i64 = 315_532_800;
    const LAST: i64 = 4_354_819_198;

    /// The nearest time to `seconds` since 1970, in UTC.
    pub(super) fn from_unix(seconds: i64) -> Self {
        let seconds = seconds.clamp(Self::FIRST, Self::LAST);
        let (mut day, second) = (seconds / 86400, seconds % 86400);
        let mut year = 1970;
        while day >= days_in_year(year) {
            day -= days_in_year(year);
            year += 1;
        }
        let mut month = 1;
        while day >= days_in_month(year, month) {
            day -= days_in_month(year, month);
            month += 1;
        }
        Self {
            date: ((year - 1980) << 9 | month << 5 | (day + 1)) as u16,
            time: ((second / 3600) << 11 | (second / 60 % 60) << 5 | (second % 60 / 2)) as u16,
        }
    }

    /// Seconds since 1970, taken as UTC; a date that does not exist gives one that is near.
    pub(super) fn to_unix(self) -> i64 {
        let (date, time) = (i64::from(self.date), i64::from(self.time));
        let (year, month) = (1980 + (date >> 9), date >> 5 & 15);
        let days: i64 = (1970..year).map(days_in_year).sum::<i64>()
            + (1..month)
                .map(|month| days_in_month(year, month))
                .sum::<i64>()
            + (date & 31)
            - 1;
        days * 86400 + (time >> 11) * 3600 + (time >> 5 & 63) * 60 + (time & 31) * 2
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_year(year: i64) -> i64 {
    365 + i64::from(is_leap(year))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A directory entry with a short name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShortEntry {
    pub(super) name: [u8; 11],
    pub(super) attributes: u8,
    pub(super) time: Time,
    pub(super) cluster: u32,
    pub(super) length: u32,
}

impl ShortEntry {
    pub(super) fn to_bytes(&self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        let (date, time) = (self.time.date.to_le_bytes(), self.time.time.to_le_bytes());
        let cluster = self.cluster.to_le_bytes();
        bytes[0..11].copy_from_slice(&self.name);
        bytes[11] = self.attributes;
        bytes[14..16].copy_from_slice(&time); // created
        bytes[16..18].copy_from_slice(&date);
        bytes[18..20].copy_from_slice(&date); // read
        bytes[20..22].copy_from_slice(&cluster[2..]);
        bytes[22..24].copy_from_slice(&time); // written
        bytes[24..26].copy_from_slice(&date);
        bytes[26..28].copy_from_slice(&cluster[..2]);
        bytes[28..32].copy_from_slice(&self.length.to_le_bytes());
        bytes
    }

    pub(super) fn parse(bytes: &[u8; ENTRY]) -> Self {
        let short = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let mut name = [0; 11];
        name.copy_from_slice(&bytes[..11]);
        Self {
            name,
            attributes: bytes[11],
            time: Time {
                date: short(24),
                time: short(22),
            },
            cluster: u32::from(short(26)) | u32::from(short(20)) << 16,
            length: u32::from(short(28)) | u32::from(short(30)) << 16,
        }
    }
}

/// What ties long name entries to the short one that they precede.
pub(super) fn checksum(short_name: &[u8; 11]) -> u8 {
    short_name
        .iter()
        .fold(0, |sum: u8, byte| sum.rotate_right(1).wrapping_add(*byte))
}

/// The entries of a long name, in their order on the disk: the name's end first.
pub(super) fn long_entries(name: &str, short_name: &[u8; 11]) -> Vec<[u8; ENTRY]> {
    let mut units: Vec<u16> = name.encode_utf16().collect();
    if !units.len().is_multiple_of(UNITS) {
        units.push(0);
        units.resize(units.len().next_multiple_of(UNITS), 0xffff);
    }
    let count = units.len() / UNITS;
    let pieces = units.chunks_exact(UNITS).enumerate().rev();
    pieces
        .map(|(index, piece)| {
            let mut bytes = [0; ENTRY];
            let last = u8::from(index + 1 == count) * LAST_LONG_ENTRY;
            bytes[0] = (index + 1) as u8 | last;
            bytes[11] = LONG_NAME;
            bytes[13] = checksum(short_name);
            for (offset, unit) in UNIT_OFFSETS.into_iter().zip(piece) {
                bytes[offset..offset + 2].copy_from_slice(&unit.to_le_bytes());
            }
            bytes
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_to_two_seconds() {
        for (seconds, date, time) in [
            (0, 0x0021, 0), // 1980-01-01 at the earliest
            (951_827_696, 20 << 9 | 2 << 5 | 29, 12 << 11 | 34 << 5 | 28), // 2000-02-29 12:34:56
            (i64::MAX, 127 << 9 | 12 << 5 | 31, 23 << 11 | 59 << 5 | 29),
        ] {
            assert_eq!(Time::from_unix(seconds), Time { date, time });
        }
        for seconds in (315_532_800..4_354_819_198).step_by(9_999_998) {
            assert_eq!(Time::from_unix(seconds).to_unix(), seconds);
        }
    }
}
