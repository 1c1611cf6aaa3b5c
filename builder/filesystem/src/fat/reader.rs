//! Reads a FAT32: every number in it is checked before it is used, loops end, and no name leads
//! out of the volume.

mod check;

pub use check::{ByteOwner, VolumeProblem, VolumeStructure, check};

use super::WHAT;
use super::format::{
    BootSector, CLUSTER_BITS, DIRECTORY, END_OF_CHAIN, ENTRY, FIRST_CLUSTER, LAST_LONG_ENTRY,
    LONG_NAME, LONGEST_DIRECTORY, SECTOR, ShortEntry, UNIT_OFFSETS, UNITS, VOLUME_LABEL, checksum,
};
use super::names::folded;
use crate::{Error, ReadAt, Result};
use std::collections::HashSet;
use std::io::{self, Write};

/// Most files and directories that a volume is believed to have.
const MOST_ENTRIES: usize = 1 << 20;
/// Longest path that is believed, and most bytes of all paths together: folders in folders would
/// otherwise take memory by the square of their number.
const LONGEST_PATH: usize = 4096;
const MOST_PATH_BYTES: usize = 128 << 20;
/// How much of a file is copied at once.
const PIECE: u64 = 1 << 20;
/// Bytes of the table that are read at once.
const TABLE_PIECE: usize = 4096;

/// A file system that was read: its names. Contents are read when they are asked for.
#[derive(Debug)]
pub struct Volume<'a> {
    source: Source<'a>,
    entries: Vec<VolumeEntry>,
    /// Of all entries' paths.
    path_bytes: usize,
    label: String,
}

/// A file or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeEntry {
    /// Path from the root: names separated by `/`, none at the start.
    pub path: String,
    /// Its short name, as it is on the disk: `BOOTX64.EFI`.
    pub short_name: String,
    /// Whether it is a directory.
    pub directory: bool,
    /// Length in bytes; 0 for a directory.
    pub length: u32,
    /// Seconds since 1970, taken as UTC.
    pub modified: i64,
    cluster: u32,
}

/// Reads the directories of the file system in the `length` bytes at `offset`.
///
/// # Errors
/// When this is no FAT32, it is damaged, or reading fails.
pub fn read(file: &dyn ReadAt, offset: u64, length: u64) -> Result<Volume<'_>> {
    let source = Source::open(file, offset, length)?;
    let mut volume = Volume {
        source,
        entries: Vec::new(),
        path_bytes: 0,
        label: String::new(),
    };
    // Directories may share clusters, each of which would be read again and again.
    let mut left = volume.source.clusters * volume.source.boot.cluster_length();
    let root = volume.source.boot.root_cluster;
    let mut visited = HashSet::from([root]);
    let mut waiting = vec![(String::new(), root)];
    while let Some((path, cluster)) = waiting.pop() {
        let bytes = volume.source.directory(cluster)?;
        left = left
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| damaged("its directories take more than there is"))?;
        let first = volume.entries.len();
        volume.read_directory(&path, &bytes)?;
        // The last is read first: so the order is that of the disk, parents first.
        for entry in volume.entries[first..].iter().rev() {
            if entry.directory {
                if !visited.insert(entry.cluster) {
                    return Err(damaged(format!("directory {} is in itself", entry.path)));
                }
                waiting.push((format!("{}/", entry.path), entry.cluster));
            }
        }
    }
    Ok(volume)
}

impl Volume<'_> {
    /// Every file and directory but the root; a directory's entries in their order on the disk.
    pub fn entries(&self) -> &[VolumeEntry] {
        &self.entries
    }

    /// The volume's label; empty if it has none.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The volume's ID.
    pub fn volume_id(&self) -> u32 {
        self.source.boot.volume_id
    }

    /// Sectors of 512 bytes in a cluster.
    pub fn sectors_per_cluster(&self) -> u8 {
        self.source.boot.sectors_per_cluster
    }

    /// Copies a file's contents to `out` and gives their length. As FAT has it, letters of
    /// either case are the same, and a leading `/` is no matter.
    ///
    /// # Errors
    /// When there is no such file, its clusters are damaged, or reading or writing fails.
    pub fn copy(&self, path: &str, out: &mut dyn Write) -> Result<u64> {
        let entry = self.file(path)?;
        let mut left = u64::from(entry.length);
        let mut chain = Chain::new(&self.source, entry.cluster);
        let mut buffer = Vec::new();
        while left > 0 {
            let run = chain.next_run(left.min(PIECE))?.ok_or_else(|| cut(entry))?;
            buffer.resize(run.length.min(left) as usize, 0);
            self.source.read(&mut buffer, run.offset)?;
            out.write_all(&buffer).map_err(|source| Error::Io {
                operation: "copy a file out of",
                what: WHAT,
                source,
            })?;
            left -= buffer.len() as u64;
        }
        Ok(entry.length.into())
    }

    /// Where a file's contents lie: offset from the volume's start and length of each stretch, in
    /// their order. What [`super::write`] has written is one stretch.
    ///
    /// # Errors
    /// When there is no such file, or its clusters are damaged.
    pub fn stretches(&self, path: &str) -> Result<Vec<(u64, u64)>> {
        let entry = self.file(path)?;
        let mut left = u64::from(entry.length);
        let mut chain = Chain::new(&self.source, entry.cluster);
        let mut stretches: Vec<(u64, u64)> = Vec::new();
        while left > 0 {
            let run = chain.next_run(left)?.ok_or_else(|| cut(entry))?;
            let length = run.length.min(left);
            left -= length;
            match stretches.last_mut() {
                Some((offset, before)) if *offset + *before == run.offset => *before += length,
                _ => stretches.push((run.offset, length)),
            }
        }
        Ok(stretches)
    }

    fn file(&self, path: &str) -> Result<&VolumeEntry> {
        let wanted = folded(path.trim_start_matches('/'));
        let found = self
            .entries
            .iter()
            .find(|entry| folded(&entry.path) == wanted);
        found
            .filter(|entry| !entry.directory)
            .ok_or_else(|| Error::Missing {
                path: path.into(),
                what: WHAT,
            })
    }

    fn read_directory(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        let mut long = LongName::default();
        for entry in bytes.as_chunks::<ENTRY>().0 {
            match entry[0] {
                0 => break,
                0xe5 => {
                    long = LongName::default();
                    continue;
                }
                _ => {}
            }
            if entry[11] & LONG_NAME == LONG_NAME {
                long.push(entry);
                continue;
            }
            let short = ShortEntry::parse(entry);
            let long_name = std::mem::take(&mut long).finish(&short.name)?;
            if short.attributes & VOLUME_LABEL != 0 {
                if path.is_empty() {
                    self.label = latin(&short.name).trim_end().to_owned();
                }
                continue;
            }
            if short.name.starts_with(b".          ") || short.name.starts_with(b"..         ") {
                continue;
            }
            let short_name = spelled(&short.name);
            let name = long_name.unwrap_or_else(|| short_name.clone());
            if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
                return Err(damaged(format!("{path} has an entry named {name:?}")));
            }
            if self.entries.len() == MOST_ENTRIES {
                return Err(damaged(format!("it has over {MOST_ENTRIES} entries")));
            }
            let path = format!("{path}{name}");
            self.path_bytes += path.len();
            if path.len() > LONGEST_PATH || self.path_bytes > MOST_PATH_BYTES {
                return Err(damaged("its directories lie too deep in each other"));
            }
            let directory = short.attributes & DIRECTORY != 0;
            self.entries.push(VolumeEntry {
                path,
                short_name,
                directory,
                length: if directory { 0 } else { short.length },
                modified: short.time.to_unix(),
                cluster: short.cluster,
            });
        }
        Ok(())
    }
}

fn damaged(reason: impl Into<String>) -> Error {
    let reason = reason.into();
    Error::Damaged { what: WHAT, reason }
}

fn cut(entry: &VolumeEntry) -> Error {
    damaged(format!("{} has fewer clusters than bytes", entry.path))
}

/// A short name's bytes as text.
fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// A short name with its dot.
fn spelled(name: &[u8; 11]) -> String {
    let (stem, extension) = (latin(&name[..8]), latin(&name[8..]));
    match extension.trim_end() {
        "" => stem.trim_end().to_owned(),
        extension => format!("{}.{extension}", stem.trim_end()),
    }
}

/// A long name while its entries are read: its end comes first.
#[derive(Debug, Default)]
struct LongName {
    units: Vec<u16>,
    checksum: u8,
    /// The number of the entry that must follow; 0 when the name is whole.
    next: u8,
    broken: bool,
}

impl LongName {
    fn push(&mut self, entry: &[u8; ENTRY]) {
        let number = entry[0] & !LAST_LONG_ENTRY;
        if entry[0] & LAST_LONG_ENTRY != 0 {
            *self = Self {
                checksum: entry[13],
                next: number,
                ..Self::default()
            };
        }
        self.broken |= number == 0 || number != self.next || entry[13] != self.checksum;
        self.next = number.saturating_sub(1);
        let mut piece = [0; UNITS];
        for (unit, offset) in piece.iter_mut().zip(UNIT_OFFSETS) {
            *unit = u16::from_le_bytes([entry[offset], entry[offset + 1]]);
        }
        if self.units.len() < 256 {
            self.units.splice(0..0, piece);
        }
    }

    /// The name, if there was one before the short name.
    fn finish(self, short_name: &[u8; 11]) -> Result<Option<String>> {
        if self.units.is_empty() && !self.broken {
            return Ok(None);
        }
        let end = self.units.iter().position(|unit| *unit == 0);
        let units = &self.units[..end.unwrap_or(self.units.len())];
        let name = String::from_utf16(units).ok();
        match name.filter(|_| !self.broken && self.next == 0) {
            Some(name) if self.checksum == checksum(short_name) => Ok(Some(name)),
            _ => Err(damaged(format!(
                "the long name of {} is not whole",
                spelled(short_name)
            ))),
        }
    }
}

/// The volume's bytes.
#[derive(Debug)]
struct Source<'a> {
    file: &'a dyn ReadAt,
    offset: u64,
    boot: BootSector,
    clusters: u64,
}

impl<'a> Source<'a> {
    fn open(file: &'a dyn ReadAt, offset: u64, length: u64) -> Result<Self> {
        let mut sector = [0; SECTOR as usize];
        file.read_exact_at(&mut sector, offset)
            .map_err(unreadable)?;
        let boot = BootSector::parse(&sector)
            .ok_or_else(|| damaged("its boot sector is not that of a FAT32"))?;
        let clusters = boot.clusters();
        let table_entries = u64::from(boot.sectors_per_table) * SECTOR / 4;
        if u64::from(boot.sectors) * SECTOR > length {
            return Err(damaged("it is longer than its partition"));
        }
        if clusters + u64::from(FIRST_CLUSTER) > table_entries {
            return Err(damaged("its tables are too short for its clusters"));
        }
        Ok(Self {
            file,
            offset,
            boot,
            clusters,
        })
    }

    fn read(&self, buffer: &mut [u8], at: u64) -> Result<()> {
        self.file
            .read_exact_at(buffer, self.offset + at)
            .map_err(unreadable)
    }

    /// The bytes of a directory.
    fn directory(&self, cluster: u32) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut chain = Chain::new(self, cluster);
        while let Some(run) = chain.next_run(PIECE)? {
            let start = bytes.len();
            if start as u64 + run.length > LONGEST_DIRECTORY + self.boot.cluster_length() {
                return Err(damaged("a directory is larger than FAT allows"));
            }
            bytes.resize(start + run.length as usize, 0);
            self.read(&mut bytes[start..], run.offset)?;
        }
        Ok(bytes)
    }
}

fn unreadable(source: io::Error) -> Error {
    Error::Io {
        operation: "read",
        what: WHAT,
        source,
    }
}

/// A stretch of the volume.
struct Stretch {
    offset: u64,
    length: u64,
}

/// A chain of clusters, followed from its first.
struct Chain<'a> {
    source: &'a Source<'a>,
    next: u32,
    /// Clusters passed: more than there are means a loop.
    passed: u64,
    /// A part of the table, and the entry that it begins with.
    table: Vec<u8>,
    table_start: u64,
}

impl<'a> Chain<'a> {
    fn new(source: &'a Source<'a>, first: u32) -> Self {
        Self {
            source,
            next: first,
            passed: 0,
            table: Vec::new(),
            table_start: 0,
        }
    }

    /// Clusters that lie one after another, of `longest` bytes together or one cluster; none
    /// after the last. A chain that begins with 0 has none.
    fn next_run(&mut self, longest: u64) -> Result<Option<Stretch>> {
        if self.next == 0 && self.passed == 0 || self.next >= END_OF_CHAIN {
            return Ok(None);
        }
        let cluster_length = self.source.boot.cluster_length();
        let first = self.next;
        let mut count = 0;
        loop {
            let cluster = self.next;
            let index = u64::from(cluster).wrapping_sub(FIRST_CLUSTER.into());
            if index >= self.source.clusters {
                return Err(damaged(format!("a chain leads to cluster {cluster}")));
            }
            self.passed += 1;
            if self.passed > self.source.clusters {
                return Err(damaged("a chain of clusters is a loop"));
            }
            count += 1;
            self.next = self.table_entry(cluster)?;
            if self.next != cluster + 1 || (count + 1) * cluster_length > longest {
                break;
            }
        }
        Ok(Some(Stretch {
            offset: self.source.boot.cluster_offset(first),
            length: count * cluster_length,
        }))
    }

    fn table_entry(&mut self, cluster: u32) -> Result<u32> {
        let at = u64::from(cluster) * 4;
        let start = at - at % TABLE_PIECE as u64;
        if self.table.is_empty() || self.table_start != start {
            let boot = &self.source.boot;
            let table_length = u64::from(boot.sectors_per_table) * SECTOR;
            let length = (table_length - start).min(TABLE_PIECE as u64);
            self.table.resize(length as usize, 0);
            let offset = u64::from(boot.reserved_sectors) * SECTOR + start;
            self.source.read(&mut self.table, offset)?;
            self.table_start = start;
        }
        let entry = self.table.get((at - start) as usize..);
        let entry = entry.and_then(|rest| rest.first_chunk());
        entry
            .map(|entry| u32::from_le_bytes(*entry) & CLUSTER_BITS)
            .ok_or_else(|| damaged("its tables are too short"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fat::{FatKind, FatOptions, write};
    use fortress_tree::Tree;

    /// Every directory's path is kept, so depth costs memory by its square.
    #[test]
    fn directories_in_directories_have_an_end() {
        let size = 34 << 20;
        let options = FatOptions {
            kind: FatKind::Fat32,
            size,
            sectors_per_cluster: None,
            volume_id: 7,
            label: "TEST".into(),
            epoch: 1_700_000_000,
        };
        let file = tempfile::tempfile().unwrap();
        file.set_len(size).unwrap();
        write(&Tree::new(0), &options, &file, 0).unwrap();
        let mut volume = read(&file, 0, size).unwrap();
        let mut entry = [0; ENTRY];
        entry[..11].copy_from_slice(b"D          ");
        entry[11] = DIRECTORY;
        let mut read = |depth| volume.read_directory(&"d/".repeat(depth), &entry);
        read(LONGEST_PATH / 2 - 1).unwrap();
        let error = read(LONGEST_PATH / 2).unwrap_err();
        assert!(error.to_string().contains("too deep"), "{error}");
        // Many are as bad as deep ones.
        let all = (0..).find(|_| read(LONGEST_PATH / 2 - 1).is_err());
        assert_eq!(all, Some(MOST_PATH_BYTES / (LONGEST_PATH - 1) - 2));
    }
}
