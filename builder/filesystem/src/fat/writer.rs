//! Writes a tree: boot sectors, tables, then directories and files, each in one piece.

use super::format::{
    ARCHIVE, BACKUP_SECTOR, BootSector, CLUSTER_BITS, DIRECTORY, END_OF_CHAIN, FIRST_CLUSTER,
    INFO_SECTOR, SECTOR, ShortEntry, TABLES, Time, VOLUME_LABEL, info_sector, long_entries,
};
use super::plan::{Directory, Item, ItemKind, clusters_needed, directories};
use super::{FatKind, FatOptions, WHAT, geometry};
use crate::{Error, Result};
use fortress_tree::{Content, Tree, TreePath};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

/// How much is written at once.
const PIECE: u64 = 1 << 20;
/// What planned sizes are multiples of.
const STEP: u64 = 1 << 20;
/// The name of a volume without a label, in its boot sector.
const NO_LABEL: [u8; 11] = *b"NO NAME    ";

/// The smallest size in bytes that does for a tree: a multiple of 1 MiB, at least what FAT32
/// takes itself (about 33 MiB with clusters of one sector, 257 MiB with those of eight).
///
/// # Errors
/// When something in the tree has no form in FAT.
pub fn plan(tree: &Tree, sectors_per_cluster: Option<u8>) -> Result<u64> {
    check_cluster(sectors_per_cluster)?;
    Ok(smallest(&directories(tree, true)?, sectors_per_cluster))
}

fn smallest(directories: &[Directory<'_>], sectors_per_cluster: Option<u8>) -> u64 {
    let sizes = geometry::candidates(sectors_per_cluster)
        .into_iter()
        .map(|cluster| {
            let clusters = clusters_needed(directories, u64::from(cluster) * SECTOR);
            let size = geometry::smallest(clusters, cluster) * SECTOR;
            size.next_multiple_of(STEP)
        });
    sizes.min().unwrap_or(u64::MAX)
}

/// Writes a tree as a file system at `offset` in `file`. The `size` bytes there must read as
/// zeros (a hole), and what is free stays so. Owners and modes have no place in FAT; a hard link
/// becomes a copy.
///
/// # Errors
/// When the tree does not fit or something in it has no form in FAT (links, devices, names that
/// differ in case alone), an option does not suit, a content cannot be read, or writing fails.
pub fn write(tree: &Tree, options: &FatOptions, file: &File, offset: u64) -> Result<()> {
    let FatKind::Fat32 = options.kind;
    check_cluster(options.sectors_per_cluster)?;
    if !options.size.is_multiple_of(SECTOR) {
        return Err(refused(format!("a size of {} bytes", options.size)));
    }
    let label = label(&options.label)?;
    let directories = directories(tree, label.is_some())?;
    let chosen = geometry::choose(options.size / SECTOR, options.sectors_per_cluster);
    let too_small = || Error::TooSmall {
        what: WHAT,
        size: options.size,
        needed: smallest(&directories, options.sectors_per_cluster),
    };
    let mut boot = chosen.ok_or_else(too_small)?;
    boot.hidden_sectors = u32::try_from(offset / SECTOR).unwrap_or(0);
    boot.volume_id = options.volume_id;
    boot.label = label.unwrap_or(NO_LABEL);
    let places = places(&directories, &boot);
    let used = u64::from(places.end - FIRST_CLUSTER);
    if clusters_needed(&directories, boot.cluster_length()) > boot.clusters() {
        return Err(too_small());
    }
    let volume = VolumeWriter { file, offset };
    let free = (boot.clusters() - used) as u32;
    let info = info_sector(free, places.end);
    for sector in [0, BACKUP_SECTOR] {
        volume.write(&boot.to_bytes(), sector * SECTOR)?;
        volume.write(&info, (sector + INFO_SECTOR) * SECTOR)?;
    }
    volume.write_tables(&boot, &places)?;
    for (index, directory) in directories.iter().enumerate() {
        let writer = DirectoryWriter {
            places: &places,
            epoch: options.epoch,
            label,
        };
        let bytes = writer.entries(index, directory);
        volume.write(&bytes, boot.cluster_offset(places.directories[index].first))?;
        for (item, run) in directory.items.iter().zip(&places.files[index]) {
            if let ItemKind::File(content) = item.kind {
                volume.copy(item.path, content, boot.cluster_offset(run.first))?;
            }
        }
    }
    Ok(())
}

fn check_cluster(sectors_per_cluster: Option<u8>) -> Result<()> {
    match sectors_per_cluster {
        Some(cluster) if !cluster.is_power_of_two() || cluster > 64 => {
            Err(refused(format!("clusters of {cluster} sectors")))
        }
        _ => Ok(()),
    }
}

fn refused(reason: String) -> Error {
    Error::Option { what: WHAT, reason }
}

/// A label as it is on the disk; none if it is empty.
fn label(text: &str) -> Result<Option<[u8; 11]>> {
    let suits = |byte: u8| {
        byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"$%'-_@~`!(){}^#& ".contains(&byte)
    };
    if text.len() > 11 || !text.bytes().all(suits) || text.starts_with(' ') {
        return Err(refused(format!(
            "the label {text:?}: it takes up to 11 upper-case letters, digits and signs"
        )));
    }
    let mut label = [b' '; 11];
    label[..text.len()].copy_from_slice(text.as_bytes());
    Ok((!text.is_empty()).then_some(label))
}

/// Clusters that follow each other.
#[derive(Debug, Clone, Copy)]
struct Run {
    first: u32,
    count: u32,
}

/// Where everything is.
struct Places {
    directories: Vec<Run>,
    /// By directory and item; a directory's run among them is empty.
    files: Vec<Vec<Run>>,
    /// The first cluster that is free.
    end: u32,
}

/// Gives every directory its clusters, the root's first, then every file.
fn places(directories: &[Directory<'_>], boot: &BootSector) -> Places {
    let mut end = FIRST_CLUSTER;
    let mut take = |length: u64| {
        let first = end;
        // That they are too many is seen by the caller, from the sum.
        let count = u32::try_from(length.div_ceil(boot.cluster_length())).unwrap_or(u32::MAX);
        end = end.saturating_add(count);
        Run { first, count }
    };
    let places = directories
        .iter()
        .map(|directory| take(directory.length.max(1)))
        .collect();
    let files = directories
        .iter()
        .map(|directory| {
            let lengths = directory.items.iter().map(|item| match item.kind {
                ItemKind::File(content) => content.length(),
                ItemKind::Directory(_) => 0,
            });
            lengths.map(&mut take).collect()
        })
        .collect();
    Places {
        directories: places,
        files,
        end,
    }
}

/// Writes at places of the volume.
struct VolumeWriter<'a> {
    file: &'a File,
    offset: u64,
}

impl VolumeWriter<'_> {
    fn write(&self, bytes: &[u8], at: u64) -> Result<()> {
        self.file
            .write_all_at(bytes, self.offset + at)
            .map_err(|source| Error::write(WHAT, source))
    }

    /// Writes both tables, as far as clusters are in use.
    fn write_tables(&self, boot: &BootSector, places: &Places) -> Result<()> {
        let mut entries = Vec::with_capacity(PIECE as usize);
        entries.extend_from_slice(&0x0fff_fff8u32.to_le_bytes()); // the medium
        entries.extend_from_slice(&CLUSTER_BITS.to_le_bytes()); // cleanly unmounted
        let mut written = 0;
        for run in places
            .directories
            .iter()
            .chain(places.files.iter().flatten())
        {
            for next in 1..=run.count {
                let value = match next == run.count {
                    true => END_OF_CHAIN | 7,
                    false => run.first + next,
                };
                entries.extend_from_slice(&value.to_le_bytes());
                if entries.len() as u64 >= PIECE {
                    self.write_table_part(boot, &entries, &mut written)?;
                    entries.clear();
                }
            }
        }
        self.write_table_part(boot, &entries, &mut written)
    }

    fn write_table_part(&self, boot: &BootSector, part: &[u8], written: &mut u64) -> Result<()> {
        for table in 0..TABLES {
            let sector =
                u64::from(boot.reserved_sectors) + table * u64::from(boot.sectors_per_table);
            self.write(part, sector * SECTOR + *written)?;
        }
        *written += part.len() as u64;
        Ok(())
    }

    fn copy(&self, path: &TreePath, content: &Content, at: u64) -> Result<()> {
        let lost = |source| Error::Contents {
            path: path.clone(),
            source,
        };
        let mut reader = content.reader().map_err(lost)?;
        let mut buffer = vec![0; content.length().min(PIECE) as usize];
        let mut done = 0;
        while done < content.length() {
            let part = &mut buffer[..(content.length() - done).min(PIECE) as usize];
            reader.read_exact(part).map_err(lost)?;
            // Zeros stay the hole that the file is.
            if part.iter().any(|byte| *byte != 0) {
                self.write(part, at + done)?;
            }
            done += part.len() as u64;
        }
        Ok(())
    }
}

/// Fills directories.
struct DirectoryWriter<'a> {
    places: &'a Places,
    epoch: i64,
    label: Option<[u8; 11]>,
}

impl DirectoryWriter<'_> {
    fn entries(&self, index: usize, directory: &Directory<'_>) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(directory.length as usize);
        let own = |name: &[u8; 11], attributes, cluster| ShortEntry {
            name: *name,
            attributes,
            time: self.time(directory.modified),
            cluster,
            length: 0,
        };
        if index > 0 {
            // To the root, ".." leads by cluster 0.
            let parent = match directory.parent {
                0 => 0,
                parent => self.places.directories[parent].first,
            };
            let this = self.places.directories[index].first;
            bytes.extend(own(b".          ", DIRECTORY, this).to_bytes());
            bytes.extend(own(b"..         ", DIRECTORY, parent).to_bytes());
        } else if let Some(label) = &self.label {
            bytes.extend(own(label, VOLUME_LABEL, 0).to_bytes());
        }
        for (item, run) in directory.items.iter().zip(&self.places.files[index]) {
            self.item(item, *run, &mut bytes);
        }
        bytes
    }

    fn item(&self, item: &Item<'_>, run: Run, bytes: &mut Vec<u8>) {
        if !item.short_name.whole {
            let entries = long_entries(item.path.name(), &item.short_name.bytes);
            bytes.extend(entries.concat());
        }
        let (attributes, cluster, length) = match item.kind {
            ItemKind::Directory(index) => (DIRECTORY, self.places.directories[index].first, 0),
            ItemKind::File(_) if run.count == 0 => (ARCHIVE, 0, 0),
            // No longer than 4 GiB less one, as the plan saw.
            ItemKind::File(content) => (ARCHIVE, run.first, content.length() as u32),
        };
        let entry = ShortEntry {
            name: item.short_name.bytes,
            attributes,
            time: self.time(item.modified),
            cluster,
            length,
        };
        bytes.extend(entry.to_bytes());
    }

    fn time(&self, modified: i64) -> Time {
        Time::from_unix(modified.min(self.epoch))
    }
}
