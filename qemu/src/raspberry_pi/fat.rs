//! FAT12, FAT16 and FAT32, as the firmware reads them: files by their paths, nothing written.
//!
//! Foreign bytes: every number is checked before it is used, loops end, and only what was asked for
//! is read. The builder's own writer and reader have no part in this: what they would agree on
//! wrongly, this is to find.

use super::refusal::{Refusal, Result};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;

const SECTOR: u64 = 512;
const ENTRY: usize = 32;
/// Fewest clusters of a FAT16 and of a FAT32.
const FEWEST_16: u64 = 4085;
const FEWEST_32: u64 = 65525;
/// Most bytes in a directory: 65536 entries.
const LONGEST_DIRECTORY: u64 = 65536 * ENTRY as u64;
/// How much of a file is copied at once, in bytes.
const PIECE: u64 = 1 << 20;
/// Bytes of the table that are read at once.
const WINDOW: u64 = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Twelve,
    Sixteen,
    ThirtyTwo,
}

/// A file or folder of the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    cluster: u32,
    /// Length in bytes; of a folder 0.
    pub(super) length: u64,
    folder: bool,
}

/// A volume.
#[derive(Debug)]
pub(super) struct Volume<'a> {
    file: &'a File,
    offset: u64,
    place: String,
    width: Width,
    table: u64,
    table_length: u64,
    data: u64,
    cluster_length: u64,
    clusters: u64,
    root: Root,
}

#[derive(Debug)]
enum Root {
    /// FAT12 and FAT16 have it in a place of its own: offset and length in bytes.
    Fixed(u64, u64),
    Cluster(u32),
}

impl<'a> Volume<'a> {
    /// Opens the volume in the `length` bytes at `offset`; `place` names it in refusals. None when
    /// there is no FAT at all.
    pub(super) fn open(
        file: &'a File,
        offset: u64,
        length: u64,
        place: &str,
    ) -> Result<Option<Self>> {
        let damaged = |why: String| Refusal::FileSystem {
            place: place.to_owned(),
            why,
        };
        let mut sector = [0; SECTOR as usize];
        if length < SECTOR {
            return Ok(None);
        }
        file.read_exact_at(&mut sector, offset)
            .map_err(|error| damaged(format!("its first sector cannot be read: {error}")))?;
        let short = |at: usize| u64::from(u16::from_le_bytes([sector[at], sector[at + 1]]));
        let long = |at: usize| short(at) | short(at + 2) << 16;
        if sector[510..] != [0x55, 0xaa] || !matches!(sector[0], 0xeb | 0xe9) {
            return Ok(None);
        }
        if short(11) != SECTOR {
            return Err(damaged(format!("it has sectors of {} bytes", short(11))));
        }
        let cluster = u64::from(sector[13]);
        let (reserved, tables, root_entries) = (short(14), u64::from(sector[16]), short(17));
        if !cluster.is_power_of_two() || reserved == 0 || !matches!(tables, 1 | 2) {
            return Err(damaged("its boot sector makes no sense".to_owned()));
        }
        let sectors = if short(19) != 0 { short(19) } else { long(32) };
        let table = if short(22) != 0 { short(22) } else { long(36) };
        let root_sectors = (root_entries * ENTRY as u64).div_ceil(SECTOR);
        let data = reserved + tables * table + root_sectors;
        if sectors * SECTOR > length {
            return Err(damaged("it is longer than its place".to_owned()));
        }
        let clusters = sectors.saturating_sub(data) / cluster;
        let (width, bits) = match clusters {
            0 => return Err(damaged("it has no clusters".to_owned())),
            1..FEWEST_16 => (Width::Twelve, 12),
            FEWEST_16..FEWEST_32 => (Width::Sixteen, 16),
            _ => (Width::ThirtyTwo, 32),
        };
        if (clusters + 2) * bits > table * SECTOR * 8 {
            return Err(damaged(
                "its tables are too short for its clusters".to_owned(),
            ));
        }
        let root = match width {
            Width::ThirtyTwo if root_entries == 0 => Root::Cluster(long(44) as u32),
            Width::Twelve | Width::Sixteen if root_entries > 0 => {
                Root::Fixed((data - root_sectors) * SECTOR, root_entries * ENTRY as u64)
            }
            _ => {
                return Err(damaged(
                    "its number of clusters and its form contradict each other".to_owned(),
                ));
            }
        };
        Ok(Some(Self {
            file,
            offset,
            place: place.to_owned(),
            width,
            table: reserved * SECTOR,
            table_length: table * SECTOR,
            data: data * SECTOR,
            cluster_length: cluster * SECTOR,
            clusters,
            root,
        }))
    }

    /// Where it is, in words.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// What it is, in words.
    pub(super) fn kind(&self) -> &'static str {
        match self.width {
            Width::Twelve => "FAT12",
            Width::Sixteen => "FAT16",
            Width::ThirtyTwo => "FAT32",
        }
    }

    /// A file by its path: names separated by `/`, letters of either case the same.
    pub(super) fn find(&self, path: &str) -> Result<Option<Entry>> {
        let mut names = path.split('/').filter(|name| !name.is_empty()).peekable();
        let mut folder = None;
        while let Some(name) = names.next() {
            let Some(entry) = self.find_in(folder, name)? else {
                return Ok(None);
            };
            match (names.peek().is_some(), entry.folder) {
                (false, false) => return Ok(Some(entry)),
                (true, true) => folder = Some(entry.cluster),
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Copies a file.
    pub(super) fn copy(&self, entry: Entry, out: &mut dyn Write) -> Result<()> {
        let mut left = entry.length;
        let mut chain = Chain::new(self, entry.cluster);
        let mut buffer = Vec::new();
        while left > 0 {
            let (offset, length) = chain
                .next_run(left.min(PIECE))?
                .ok_or_else(|| self.damaged("a file has fewer clusters than bytes"))?;
            buffer.resize(length.min(left) as usize, 0);
            self.read(&mut buffer, offset)?;
            out.write_all(&buffer)
                .map_err(Refusal::file("copy a file of", self.place()))?;
            left -= buffer.len() as u64;
        }
        Ok(())
    }

    fn find_in(&self, folder: Option<u32>, wanted: &str) -> Result<Option<Entry>> {
        let bytes = self.folder(folder)?;
        let mut long: Vec<u16> = Vec::new();
        for entry in bytes.chunks_exact(ENTRY) {
            match (entry[0], entry[11] & 0x3f) {
                (0, _) => break,
                (0xe5, _) => {
                    long.clear();
                    continue;
                }
                // A piece of a long name; the last of them comes first.
                (number, 0x0f) => {
                    if number & 0x40 != 0 {
                        long.clear();
                    }
                    let pieces = entry[1..11].iter().chain(&entry[14..26]);
                    let pieces: Vec<u8> = pieces.chain(&entry[28..32]).copied().collect();
                    let units = pieces.chunks_exact(2);
                    let units = units.map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
                    if long.len() < 260 {
                        long.splice(0..0, units);
                    }
                    continue;
                }
                // A label.
                (_, attributes) if attributes & 0x08 != 0 => {
                    long.clear();
                    continue;
                }
                _ => {}
            }
            let end = long.iter().position(|unit| *unit == 0);
            long.truncate(end.unwrap_or(long.len()));
            let long_name = String::from_utf16_lossy(&std::mem::take(&mut long));
            let fits = wanted.eq_ignore_ascii_case(&short_name(entry))
                || !long_name.is_empty() && wanted.to_lowercase() == long_name.to_lowercase();
            if fits {
                let number = |at: usize| u32::from(u16::from_le_bytes([entry[at], entry[at + 1]]));
                let high = match self.width {
                    Width::ThirtyTwo => number(20),
                    _ => 0,
                };
                let folder = entry[11] & 0x10 != 0;
                return Ok(Some(Entry {
                    cluster: high << 16 | number(26),
                    length: match folder {
                        true => 0,
                        false => u64::from(number(30) << 16 | number(28)),
                    },
                    folder,
                }));
            }
        }
        Ok(None)
    }

    /// The bytes of a folder; none stands for the root.
    fn folder(&self, cluster: Option<u32>) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let first = match (cluster, &self.root) {
            (None, Root::Fixed(offset, length)) => {
                bytes.resize(*length as usize, 0);
                self.read(&mut bytes, *offset)?;
                return Ok(bytes);
            }
            (None, Root::Cluster(cluster)) => *cluster,
            (Some(cluster), _) => cluster,
        };
        let mut chain = Chain::new(self, first);
        while let Some((offset, length)) = chain.next_run(PIECE)? {
            let start = bytes.len();
            if start as u64 + length > LONGEST_DIRECTORY + self.cluster_length {
                return Err(self.damaged("a folder is larger than FAT allows"));
            }
            bytes.resize(start + length as usize, 0);
            self.read(&mut bytes[start..], offset)?;
        }
        Ok(bytes)
    }

    fn read(&self, buffer: &mut [u8], at: u64) -> Result<()> {
        self.file
            .read_exact_at(buffer, self.offset + at)
            .map_err(|error| self.damaged(&format!("byte {at} cannot be read: {error}")))
    }

    fn damaged(&self, why: &str) -> Refusal {
        Refusal::FileSystem {
            place: self.place.clone(),
            why: why.to_owned(),
        }
    }
}

/// A short name with its dot.
fn short_name(entry: &[u8]) -> String {
    let latin = |bytes: &[u8]| {
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        text.trim_end().to_owned()
    };
    let (stem, extension) = (latin(&entry[..8]), latin(&entry[8..11]));
    match extension.is_empty() {
        true => stem,
        false => format!("{stem}.{extension}"),
    }
}

/// A chain of clusters.
struct Chain<'a> {
    volume: &'a Volume<'a>,
    next: Option<u32>,
    /// Clusters passed: more than there are means a loop.
    passed: u64,
    window: Vec<u8>,
    window_start: u64,
}

impl<'a> Chain<'a> {
    fn new(volume: &'a Volume<'a>, first: u32) -> Self {
        Self {
            volume,
            next: (first != 0).then_some(first),
            passed: 0,
            window: Vec::new(),
            window_start: 0,
        }
    }

    /// Offset and length of clusters that lie one after another, of `longest` bytes together or one
    /// cluster; none after the last.
    fn next_run(&mut self, longest: u64) -> Result<Option<(u64, u64)>> {
        let Some(first) = self.next else {
            return Ok(None);
        };
        let length = self.volume.cluster_length;
        let mut count = 0;
        let mut cluster = first;
        loop {
            let index = u64::from(cluster).checked_sub(2);
            if index.is_none_or(|index| index >= self.volume.clusters) {
                let why = format!("a chain leads to cluster {cluster}");
                return Err(self.volume.damaged(&why));
            }
            self.passed += 1;
            if self.passed > self.volume.clusters {
                return Err(self.volume.damaged("a chain of clusters is a loop"));
            }
            count += 1;
            self.next = self.follow(cluster)?;
            match self.next {
                Some(next) if next == cluster + 1 && (count + 1) * length <= longest => {
                    cluster = next;
                }
                _ => break,
            }
        }
        let index = u64::from(first) - 2;
        Ok(Some((self.volume.data + index * length, count * length)))
    }

    /// The cluster after a cluster.
    fn follow(&mut self, cluster: u32) -> Result<Option<u32>> {
        let number = u64::from(cluster);
        let next = match self.volume.width {
            Width::Twelve => {
                let low = u32::from(self.byte(number * 3 / 2)?);
                let high = u32::from(self.byte(number * 3 / 2 + 1)?);
                let both = low | high << 8;
                if cluster.is_multiple_of(2) {
                    both & 0xfff
                } else {
                    both >> 4
                }
            }
            Width::Sixteen => {
                u32::from(self.byte(number * 2)?) | u32::from(self.byte(number * 2 + 1)?) << 8
            }
            Width::ThirtyTwo => {
                let mut next = 0;
                for at in 0..4 {
                    next |= u32::from(self.byte(number * 4 + at)?) << (8 * at);
                }
                next & 0x0fff_ffff
            }
        };
        let end = match self.volume.width {
            Width::Twelve => 0xff8,
            Width::Sixteen => 0xfff8,
            Width::ThirtyTwo => 0x0fff_fff8,
        };
        Ok((next < end).then_some(next))
    }

    fn byte(&mut self, at: u64) -> Result<u8> {
        let start = at - at % WINDOW;
        if self.window.is_empty() || self.window_start != start {
            let length = self.volume.table_length.saturating_sub(start).min(WINDOW);
            self.window.resize(length as usize, 0);
            self.volume
                .read(&mut self.window, self.volume.table + start)?;
            self.window_start = start;
        }
        let byte = self.window.get((at - start) as usize);
        byte.copied()
            .ok_or_else(|| self.volume.damaged("its tables are too short"))
    }
}
