//! Directories: their entries, and whether every inode is where its names say.

use super::checksum::crc32c;
use super::format::{BLOCK, INDEXED, Inode, InodeKind, JOURNAL, ROOT, long, short};
use super::{MOST_NAME_BYTES, MOST_NAMES, Reader, damaged};
use crate::Result;

/// Bytes of a block's last entry, which has no name but a checksum.
const TAIL: usize = 12;
/// The first inode that is not reserved.
const FIRST: u32 = 11;

impl Reader<'_> {
    /// Reads a directory's blocks.
    pub(super) fn directory(&mut self, number: u32, inode: &Inode, blocks: &[u64]) -> Result<()> {
        let mut bytes = vec![0; BLOCK];
        let indexed = inode.flags & INDEXED != 0;
        let mut depth = 0;
        for (logical, block) in blocks.iter().enumerate() {
            if !self.read(*block, &mut bytes)? {
                continue;
            }
            let empty_node = long(&bytes, 0) == 0 && usize::from(short(&bytes, 4)) == BLOCK;
            if indexed && logical == 0 {
                depth = bytes[0x1e];
                self.index_checksum(number, inode, *block, &bytes, 0x20);
                self.entries(number, *block, &bytes[..24], logical)?;
            } else if indexed && depth > 0 && empty_node && bytes[BLOCK - TAIL + 7] != 0xde {
                self.index_checksum(number, inode, *block, &bytes, 8);
            } else {
                let sum = crc32c(inode.seed, &bytes[..BLOCK - TAIL]);
                let tail = &bytes[BLOCK - TAIL..];
                let is_tail = long(tail, 0) == 0 && short(tail, 4) == 12 && tail[7] == 0xde;
                if !is_tail || long(tail, 8) != sum {
                    let reason = format!("a checksum of directory inode {number} is wrong");
                    self.problem(Some(*block), reason);
                }
                self.entries(number, *block, &bytes[..BLOCK - TAIL], logical)?;
            }
        }
        Ok(())
    }

    /// Checks the checksum of an index whose entries begin at `at`.
    fn index_checksum(&mut self, number: u32, inode: &Inode, block: u64, bytes: &[u8], at: usize) {
        let (limit, count) = (
            usize::from(short(bytes, at)),
            usize::from(short(bytes, at + 2)),
        );
        let tail = at + limit * 8;
        let covered = bytes.get(..at + count * 8).filter(|_| count <= limit);
        let right = covered.is_some_and(|covered| {
            let sum = crc32c(inode.seed, covered);
            let sum = crc32c(sum, bytes.get(tail..tail + 4).unwrap_or_default());
            tail + 8 <= bytes.len() && crc32c(sum, &[0; 4]) == long(bytes, tail + 4)
        });
        if !right {
            let reason = format!("the index of directory inode {number} is damaged");
            self.problem(Some(block), reason);
        }
    }

    /// Reads the entries of a block, or of the start of an index.
    fn entries(&mut self, number: u32, block: u64, bytes: &[u8], logical: usize) -> Result<()> {
        let mut at = 0;
        let mut index = 0;
        while at < bytes.len() {
            let entry = &bytes[at..];
            let mut length = usize::from(short(entry, 4));
            // The second entry of an index reaches to the block's end.
            if bytes.len() == 24 && at == 12 {
                length = 12;
            }
            let name_length = usize::from(*entry.get(6).unwrap_or(&0));
            let fits = length >= 8 + name_length.next_multiple_of(4)
                && length.is_multiple_of(4)
                && length <= entry.len();
            if !fits {
                let reason = format!("an entry of directory inode {number} is damaged");
                self.problem(Some(block), reason);
                return Ok(());
            }
            let inode = long(entry, 0);
            let name = &entry[8..8 + name_length];
            if inode != 0 {
                let dots = logical == 0 && index < 2;
                self.entry(number, block, inode, name, entry[7], dots.then_some(index))?;
            }
            at += length;
            index += 1;
        }
        Ok(())
    }

    /// Takes an entry in; `dots` is 0 for `.` and 1 for `..`, where these have to be.
    fn entry(
        &mut self,
        directory: u32,
        block: u64,
        inode: u32,
        name: &[u8],
        kind: u8,
        dots: Option<usize>,
    ) -> Result<()> {
        let shown = String::from_utf8_lossy(name).into_owned();
        let wrong = |what: &str| format!("{shown:?} in directory inode {directory} {what}");
        match (dots, name) {
            (Some(0), b".") if inode == directory => return self.named(inode, None),
            (Some(1), b"..") => return self.named(inode, None),
            (Some(_), _) => self.problem(Some(block), wrong("stands where . and .. belong")),
            (None, b"" | b"." | b"..") => {
                self.problem(Some(block), wrong("is no name"));
                return Ok(());
            }
            _ => {}
        }
        if name.contains(&b'/') || name.contains(&0) {
            self.problem(Some(block), wrong("is no name"));
            return Ok(());
        }
        let Some(known) = self.structure.inodes.get(&inode) else {
            if self.structure.complete {
                self.problem(Some(block), wrong("leads to an inode that is not in use"));
            }
            return Ok(());
        };
        let twice = known.kind == InodeKind::Directory && known.place.is_some();
        let reserved = inode < FIRST;
        if known.entry_type != kind {
            self.problem(Some(block), wrong("is of another kind than its inode"));
        }
        if twice || reserved {
            self.problem(Some(block), wrong("leads to what is elsewhere"));
            return Ok(());
        }
        self.names += 1;
        self.name_bytes += name.len();
        if self.names > MOST_NAMES || self.name_bytes > MOST_NAME_BYTES {
            return Err(damaged("it has too many names"));
        }
        self.named(inode, Some((directory, name)))
    }

    /// Counts a name, and keeps it if it is the first.
    fn named(&mut self, inode: u32, place: Option<(u32, &[u8])>) -> Result<()> {
        if let Some(known) = self.structure.inodes.get_mut(&inode) {
            known.names = known.names.saturating_add(1);
            if let (None, Some((directory, name))) = (&known.place, place) {
                known.place = Some((directory, name.into()));
            }
        }
        Ok(())
    }

    /// Compares how many names inodes have with how many they say they have.
    pub(super) fn compare_names(&mut self) {
        let mut problems = Vec::new();
        for (number, known) in &self.structure.inodes {
            if *number == JOURNAL {
                continue;
            }
            let is_directory = known.kind == InodeKind::Directory;
            let path = || self.structure.path(*number);
            if *number != ROOT && known.place.is_none() {
                problems.push(format!("inode {number} is in use and no name leads to it"));
            } else if is_directory && path().starts_with("inode ") {
                problems.push(format!("directory inode {number} is in itself"));
            } else if u32::from(known.links) != known.names
                // Directories with very many others in them say 1.
                && !(is_directory && known.links == 1)
            {
                problems.push(format!(
                    "{} says that it has {} names, and it has {}",
                    path(),
                    known.links,
                    known.names
                ));
            }
        }
        if !self.structure.inodes.contains_key(&ROOT) {
            problems.push("there is no root directory".into());
        }
        for problem in problems {
            self.problem(None, problem);
        }
    }
}
