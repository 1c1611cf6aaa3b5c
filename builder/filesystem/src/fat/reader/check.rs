//! Checks a FAT32: both tables, chains, clusters that nothing uses; and says what each byte belongs
//! to.

use super::{Chain, Volume, damaged, read};
use crate::fat::format::{CLUSTER_BITS, FIRST_CLUSTER, SECTOR, TABLES};
use crate::{ReadAt, Result};
use std::ops::Range;

/// Most problems that are kept.
const MOST_PROBLEMS: usize = 100;
/// How much of the tables is compared at once.
const PIECE: usize = 64 * 1024;
/// What marks a cluster that must not be used.
const BAD_CLUSTER: u32 = 0x0fff_fff7;

/// Something that is wrong with a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeProblem {
    /// Which bytes of the volume, if it can be told.
    pub bytes: Option<Range<u64>>,
    /// What is wrong.
    pub reason: String,
}

/// What a byte of a volume belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ByteOwner {
    /// Boot sector, its copy, and what else lies before the tables.
    BootSector,
    /// A copy of the table, counted from 0.
    Table(u64),
    /// A directory; the root's path is empty.
    Directory(String),
    /// A file, and which byte of it.
    Contents {
        /// Its path.
        path: String,
        /// The byte.
        offset: u64,
    },
    /// Nothing: it is free, or what is left over behind a file's end.
    Free,
}

/// [`ByteOwner`], with paths by their numbers: there may be very many stretches.
#[derive(Debug, Clone, Copy)]
enum Owner {
    BootSector,
    Table(u64),
    Directory(usize),
    Contents { path: usize, offset: u64 },
}

/// A volume's structure.
#[derive(Debug)]
pub struct VolumeStructure {
    problems: Vec<VolumeProblem>,
    /// Sorted.
    stretches: Vec<(Range<u64>, Owner)>,
    /// Of the root, and of all entries.
    paths: Vec<String>,
}

impl VolumeStructure {
    /// What is wrong.
    pub fn problems(&self) -> &[VolumeProblem] {
        &self.problems
    }

    /// What a byte belongs to.
    pub fn owner(&self, at: u64) -> ByteOwner {
        let after = self
            .stretches
            .partition_point(|(bytes, _)| bytes.start <= at);
        let found = after.checked_sub(1).and_then(|at| self.stretches.get(at));
        let Some((bytes, owner)) = found.filter(|(bytes, _)| bytes.contains(&at)) else {
            return ByteOwner::Free;
        };
        let path = |number: usize| self.paths.get(number).cloned().unwrap_or_default();
        match *owner {
            Owner::BootSector => ByteOwner::BootSector,
            Owner::Table(copy) => ByteOwner::Table(copy),
            Owner::Directory(number) => ByteOwner::Directory(path(number)),
            Owner::Contents {
                path: number,
                offset,
            } => ByteOwner::Contents {
                path: path(number),
                offset: offset + at - bytes.start,
            },
        }
    }

    /// The bytes up to `end` that belong to nothing.
    pub fn free(&self, end: u64) -> Vec<Range<u64>> {
        let mut free = Vec::new();
        let mut at = 0;
        for (bytes, _) in &self.stretches {
            if at < bytes.start {
                free.push(at..bytes.start.min(end));
            }
            at = at.max(bytes.end);
        }
        if at < end {
            free.push(at..end);
        }
        free
    }
}

/// Reads the file system in the `length` bytes at `offset` and checks its structure.
///
/// # Errors
/// When this is no FAT32, it is so damaged that its names cannot be read, or reading fails. Whatever
/// else is wrong is among the problems.
pub fn check(source: &dyn ReadAt, offset: u64, length: u64) -> Result<VolumeStructure> {
    let volume = read(source, offset, length)?;
    let boot = &volume.source.boot;
    let table_length = u64::from(boot.sectors_per_table) * SECTOR;
    let tables_start = u64::from(boot.reserved_sectors) * SECTOR;
    let mut checking = Checking {
        volume: &volume,
        structure: VolumeStructure {
            problems: Vec::new(),
            stretches: vec![(0..tables_start, Owner::BootSector)],
            paths: vec![String::new()],
        },
        used: vec![0; (volume.source.clusters as usize).div_ceil(64)],
    };
    for copy in 0..TABLES {
        let start = tables_start + copy * table_length;
        let bytes = start..start + table_length;
        checking
            .structure
            .stretches
            .push((bytes, Owner::Table(copy)));
    }
    checking.compare_tables(tables_start, table_length)?;
    let root = volume.source.boot.root_cluster;
    checking.follow(0, root, None)?;
    for entry in &volume.entries {
        let number = checking.structure.paths.len();
        checking.structure.paths.push(entry.path.clone());
        let contents = (!entry.directory).then_some(u64::from(entry.length));
        checking.follow(number, entry.cluster, contents)?;
    }
    checking.find_lost()?;
    let mut structure = checking.structure;
    structure.stretches.sort_by_key(|(bytes, _)| bytes.start);
    Ok(structure)
}

struct Checking<'a> {
    volume: &'a Volume<'a>,
    structure: VolumeStructure,
    /// A bit for each cluster that something uses.
    used: Vec<u64>,
}

impl Checking<'_> {
    fn problem(&mut self, bytes: Option<Range<u64>>, reason: impl Into<String>) {
        if self.structure.problems.len() < MOST_PROBLEMS {
            let reason = reason.into();
            let problem = VolumeProblem { bytes, reason };
            self.structure.problems.push(problem);
        }
    }

    fn compare_tables(&mut self, start: u64, length: u64) -> Result<()> {
        let mut at = 0;
        let (mut first, mut other) = (vec![0; PIECE], vec![0; PIECE]);
        while at < length {
            let piece = (length - at).min(PIECE as u64) as usize;
            let (first, other) = (&mut first[..piece], &mut other[..piece]);
            self.volume.source.read(first, start + at)?;
            for copy in 1..TABLES {
                let place = start + copy * length + at;
                self.volume.source.read(other, place)?;
                let differs = first.iter().zip(other.iter()).position(|(a, b)| a != b);
                if let Some(differs) = differs {
                    // Which of them is wrong cannot be told.
                    for byte in [start + at, place].map(|byte| byte + differs as u64) {
                        let reason = "the two copies of the table differ";
                        self.problem(Some(byte..byte + 1), reason);
                    }
                }
            }
            at += piece as u64;
        }
        Ok(())
    }

    /// How a path is shown, by its number.
    fn shown(&self, number: usize) -> &str {
        match self.structure.paths.get(number).map(String::as_str) {
            None | Some("") => "the root directory",
            Some(path) => path,
        }
    }

    /// Follows a file's or directory's chain; a file's length is given.
    fn follow(&mut self, path: usize, first: u32, contents: Option<u64>) -> Result<()> {
        let source = &self.volume.source;
        let cluster_length = source.boot.cluster_length();
        let data = source.boot.data_sector() * SECTOR;
        let mut chain = Chain::new(source, first);
        let mut passed = 0;
        while let Some(run) = chain.next_run(u64::MAX)? {
            for index in 0..run.length / cluster_length {
                let cluster = (run.offset - data) / cluster_length + index;
                let Some(word) = self.used.get_mut((cluster / 64) as usize) else {
                    return Err(damaged(format!("{} leads outside", self.shown(path))));
                };
                let was = *word >> (cluster % 64) & 1 == 1;
                *word |= 1 << (cluster % 64);
                if was {
                    let start = run.offset + index * cluster_length;
                    let reason = format!("{} takes what another file takes", self.shown(path));
                    self.problem(Some(start..start + cluster_length), reason);
                    return Ok(());
                }
            }
            let (end, owner) = match contents {
                None => (run.length, Owner::Directory(path)),
                Some(length) => (
                    length.saturating_sub(passed).min(run.length),
                    Owner::Contents {
                        path,
                        offset: passed,
                    },
                ),
            };
            let bytes = run.offset..run.offset + end;
            self.structure.stretches.push((bytes, owner));
            passed += run.length;
        }
        if let Some(length) = contents
            && passed != length.next_multiple_of(cluster_length)
        {
            let shown = self.shown(path);
            let reason = format!("{shown} has {length} bytes, and clusters for {passed}");
            self.problem(None, reason);
        }
        Ok(())
    }

    /// Looks for clusters that the table says are in use and nothing uses.
    fn find_lost(&mut self) -> Result<()> {
        let mut chain = Chain::new(&self.volume.source, FIRST_CLUSTER);
        let boot = &self.volume.source.boot;
        for index in 0..self.volume.source.clusters {
            let cluster = FIRST_CLUSTER + index as u32;
            let entry = chain.table_entry(cluster)? & CLUSTER_BITS;
            let used = self.used[(index / 64) as usize] >> (index % 64) & 1 == 1;
            if entry != 0 && entry != BAD_CLUSTER && !used {
                let start = boot.cluster_offset(cluster);
                let bytes = start..start + boot.cluster_length();
                self.problem(Some(bytes), "it is marked as used and belongs to nothing");
            }
        }
        Ok(())
    }
}
