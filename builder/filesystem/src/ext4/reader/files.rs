//! Inodes, and the blocks of files.

use super::checksum::crc32c;
use super::format::{BLOCK, EXTENTS, ExtentNode, INDEXED, Inode, InodeKind, JOURNAL, ROOT, long};
use super::{Known, Owner, Reader};
use crate::Result;

/// A file system counts sectors of 512 bytes in an inode, eight to a block.
const SECTORS_PER_BLOCK: u64 = 8;
/// An inode's flag that says that it counts blocks.
const COUNTS_BLOCKS: u32 = 0x4_0000;
/// The first inode that is not reserved.
const FIRST: u32 = 11;

impl Reader<'_> {
    /// Reads an inode that is in use; `block` is where it lies.
    pub(super) fn inode(&mut self, number: u32, bytes: &[u8], block: u64) -> Result<()> {
        // Reserved inodes are marked as used, and most of them are empty.
        if number < FIRST && number != ROOT && bytes.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        let inode = Inode::parse(bytes, number, self.superblock.seed);
        if !inode.checksum_is_right {
            self.problem(
                Some(block),
                format!("the checksum of inode {number} is wrong"),
            );
        }
        let kind = match inode.kind() {
            Some(kind) => kind,
            None if number < FIRST && number != ROOT && inode.mode == 0 => return Ok(()),
            None => {
                let reason = format!("inode {number} is of no known kind");
                self.problem(Some(block), reason);
                return Ok(());
            }
        };
        let known = Known {
            kind,
            entry_type: inode.entry_type(),
            links: inode.links,
            names: 0,
            length: inode.length,
            place: None,
        };
        self.structure.inodes.insert(number, known);
        let complete = std::mem::replace(&mut self.structure.complete, true);
        let mut blocks = Vec::new();
        let mut taken = self.attributes(number, &inode, block)?;
        // Short links are in the inode, and devices have no contents.
        let has_blocks = match kind {
            InodeKind::File | InodeKind::Directory => true,
            InodeKind::Link => inode.flags & EXTENTS != 0,
            InodeKind::Special => false,
        };
        if has_blocks && inode.flags & EXTENTS == 0 {
            let reason = format!("inode {number} lists its blocks in a form not known here");
            self.problem(Some(block), reason);
        } else if has_blocks {
            let directory = kind == InodeKind::Directory;
            taken += self.extents(number, &inode, block, directory.then_some(&mut blocks))?;
        }
        let unit = match inode.flags & COUNTS_BLOCKS {
            0 => SECTORS_PER_BLOCK,
            _ => 1,
        };
        if self.structure.complete && inode.sectors != taken * unit {
            let reason = format!("inode {number} counts its blocks wrong");
            self.problem(Some(block), reason);
        }
        self.structure.complete &= complete;
        if kind == InodeKind::Directory {
            if inode.length != blocks.len() as u64 * BLOCK as u64 && self.structure.complete {
                let reason = format!("directory inode {number} is not as long as its blocks");
                self.problem(Some(block), reason);
            }
            self.directories.push((number, inode, blocks));
        } else if inode.flags & INDEXED != 0 {
            let reason = format!("inode {number} has an index and is no directory");
            self.problem(Some(block), reason);
        }
        Ok(())
    }

    /// Claims an inode's block of extended attributes; gives how many blocks that are.
    fn attributes(&mut self, number: u32, inode: &Inode, block: u64) -> Result<u64> {
        if inode.attributes == 0 {
            return Ok(0);
        }
        // Inodes may share one: then its first has it.
        let shared = !self.attributes.insert(inode.attributes);
        let owner = Owner::Attributes { inode: number };
        if !shared && !self.claim(inode.attributes, 1, owner)? {
            let reason = format!("inode {number}'s attributes lie outside, or on others' blocks");
            self.problem(Some(block), reason);
            return Ok(1);
        }
        let mut bytes = vec![0; BLOCK];
        if self.read(inode.attributes, &mut bytes)? && long(&bytes, 0) != 0xea02_0000 {
            let reason = format!("inode {number}'s block of attributes is none");
            self.problem(Some(inode.attributes), reason);
        }
        Ok(1)
    }

    /// Follows an inode's extents; gives how many blocks it takes, and adds a directory's blocks
    /// to `list`.
    fn extents(
        &mut self,
        number: u32,
        inode: &Inode,
        block: u64,
        mut list: Option<&mut Vec<u64>>,
    ) -> Result<u64> {
        let wrong = |what: &str| format!("inode {number}'s list of blocks {what}");
        let Some(root) = ExtentNode::parse(&inode.root) else {
            self.problem(Some(block), wrong("is damaged"));
            return Ok(0);
        };
        let mut taken = 0;
        let mut next_logical = 0;
        // The last comes first off: nodes wait in reverse order.
        let mut waiting = vec![(root, block)];
        while let Some((node, at)) = waiting.pop() {
            for extent in &node.extents {
                let end = u64::from(extent.logical) + u64::from(extent.count);
                let beyond = end > inode.length.div_ceil(BLOCK as u64);
                if u64::from(extent.logical) < next_logical || extent.count == 0 || beyond {
                    self.problem(Some(at), wrong("is out of order, or too long"));
                    return Ok(taken);
                }
                next_logical = end;
                taken += u64::from(extent.count);
                let owner = Owner::Contents {
                    inode: number,
                    logical: extent.logical,
                };
                if !self.claim(extent.start, extent.count.into(), owner)? {
                    self.problem(Some(at), wrong("leads outside, or to others' blocks"));
                    return Ok(taken);
                }
                if let Some(list) = &mut list {
                    list.extend(extent.start..extent.start + u64::from(extent.count));
                }
            }
            for (logical, child) in node.children.iter().rev() {
                if !self.claim(*child, 1, Owner::Extents { inode: number })? {
                    self.problem(Some(at), wrong("leads outside, or to others' blocks"));
                    return Ok(taken);
                }
                taken += 1;
                let mut bytes = vec![0; BLOCK];
                if !self.read(*child, &mut bytes)? {
                    continue;
                }
                let parsed = ExtentNode::parse(&bytes);
                match parsed.filter(|parsed| parsed.depth + 1 == node.depth) {
                    None => self.problem(Some(*child), wrong("is damaged")),
                    Some(parsed) => {
                        let end = 12 + 12 * parsed.room;
                        let sum = crc32c(inode.seed, bytes.get(..end).unwrap_or_default());
                        if sum != long(&bytes, end) {
                            self.problem(Some(*child), wrong("has a wrong checksum"));
                        }
                        let first = match parsed.depth {
                            0 => parsed.extents.first().map(|extent| extent.logical),
                            _ => parsed.children.first().map(|(logical, _)| *logical),
                        };
                        if first.is_some_and(|first| first < *logical) {
                            self.problem(Some(*child), wrong("is out of order"));
                        }
                        waiting.push((parsed, *child));
                    }
                }
            }
        }
        if number == JOURNAL && taken == 0 {
            self.problem(Some(block), wrong("is empty"));
        }
        Ok(taken)
    }
}
