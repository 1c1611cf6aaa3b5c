//! The root: its blocks against the root hash, its file system's structure, and which file a wrong
//! block belongs to.

use crate::measured::Measured;
use crate::parts::Parts;
use crate::verdict::{Fault, Finding, Findings, MOST_FINDINGS};
use fortress_disk::Region;
use fortress_disk::verity::{Area, BadBlock};
use fortress_filesystem::ReadAt;
use fortress_filesystem::ext4::{self, BlockOwner, Structure};

/// Bytes in a block, of ext4 and of dm-verity.
const BLOCK: u64 = 4096;
/// The part that findings about the hash tree name.
const TREE: &str = "root-verity";

/// Checks root and hash tree, and the file system's structure, as it was read.
pub(crate) fn check(
    parts: &Parts,
    measured: &Measured,
    structure: &Result<Structure, String>,
    findings: &mut Findings,
) {
    check_blocks(parts, measured, structure.as_ref().ok(), findings);
    let Some(root) = parts.root() else {
        return;
    };
    let name = root.name.as_str();
    match structure {
        Err(reason) => findings.add(Finding {
            fault: Fault::Damaged,
            reason: reason.clone(),
            part: name.to_owned(),
            bytes: None,
            belongs_to: Some("file system".into()),
        }),
        Ok(structure) => {
            for problem in structure.problems() {
                let at = problem
                    .block
                    .map(|block| root.region.offset + block * BLOCK);
                findings.add(Finding {
                    fault: Fault::Damaged,
                    reason: problem.reason.clone(),
                    part: name.to_owned(),
                    bytes: at.map(|at| Region::new(at, BLOCK).into()),
                    belongs_to: problem.block.map(|block| owner(structure, block, 1)),
                });
            }
            findings.add_more(structure.more_problems());
            if structure.problems().is_empty() {
                let files = structure.files();
                findings.right(name, format!("ext4 without a fault, {files} files"));
            }
        }
    }
}

/// Checks the root's blocks and the hash tree; with the file system's structure files are named.
pub(crate) fn check_blocks(
    parts: &Parts,
    measured: &Measured,
    structure: Option<&Structure>,
    findings: &mut Findings,
) {
    let Some(root) = parts.root() else {
        return;
    };
    let name = root.name.as_str();
    if parts.root_hash.is_none() {
        let reason = "it has no root hash";
        findings.wrong(Fault::Foreign, crate::signature::MANIFEST, reason);
    }
    match &measured.verity {
        None => {
            let reason = "it is not all there, or its hash tree is not";
            findings.wrong(Fault::Damaged, name, reason);
        }
        Some(Err(reason)) => findings.add(Finding {
            fault: Fault::Damaged,
            reason: reason.clone(),
            part: TREE.to_owned(),
            bytes: parts
                .tree
                .map(|tree| Region::new(tree.offset, BLOCK).into()),
            belongs_to: Some("superblock".into()),
        }),
        Some(Ok(bad)) if bad.is_empty() => {
            let blocks = root.region.length / BLOCK;
            findings.right(
                name,
                format!("all {blocks} blocks are those of the root hash"),
            );
        }
        Some(Ok(bad)) => {
            for bad in bad {
                self::bad(bad, root.region, name, structure, findings);
            }
        }
    }
}

/// Tells of a stretch of bad blocks, file by file.
fn bad(
    bad: &BadBlock,
    root: Region,
    name: &str,
    structure: Option<&Structure>,
    findings: &mut Findings,
) {
    let mut tell = |region: Region, belongs_to: Option<String>| {
        let (part, reason) = match bad.area {
            Area::Data => (name, "it is not what the root hash covers".to_owned()),
            Area::Hashes { .. } => (TREE, "it is not what the root hash covers".to_owned()),
        };
        findings.add(Finding {
            fault: Fault::Damaged,
            reason,
            part: part.to_owned(),
            bytes: Some(region.into()),
            belongs_to,
        });
    };
    let (Area::Data, Some(structure)) = (bad.area, structure) else {
        let belongs_to = match bad.area {
            Area::Data => None,
            Area::Hashes { level } => Some(format!("hash tree, level {level}")),
        };
        tell(bad.region, belongs_to);
        return;
    };
    let first = (bad.region.offset - root.offset) / BLOCK;
    let end = first + bad.region.length / BLOCK;
    let mut at = first;
    let mut told = 0;
    while at < end {
        // Neighbouring blocks of one file are told together.
        let mut count = 1;
        let owner_of = |block| structure.owner(block);
        let start = owner_of(at);
        while at + count < end && follows(&start, &owner_of(at + count), count) {
            count += 1;
        }
        let mut region = Region::new(root.offset + at * BLOCK, count * BLOCK);
        if told == MOST_FINDINGS {
            region.length = bad.region.end() - region.offset;
            tell(region, None);
            return;
        }
        tell(region, Some(owner(structure, at, count)));
        told += 1;
        at += count;
    }
}

/// Whether a block continues what another one, so many blocks before, belongs to.
fn follows(first: &BlockOwner, next: &BlockOwner, blocks: u64) -> bool {
    match (first, next) {
        (
            BlockOwner::Contents { path, offset, .. },
            BlockOwner::Contents {
                path: next_path,
                offset: next_offset,
                ..
            },
        ) => path == next_path && offset + blocks * BLOCK == *next_offset,
        (first, next) => first == next,
    }
}

/// What so many blocks belong to, for people.
fn owner(structure: &Structure, block: u64, count: u64) -> String {
    match structure.owner(block) {
        BlockOwner::Superblock(group) => format!("superblock, group {group}"),
        BlockOwner::Descriptors(group) => format!("group descriptors, group {group}"),
        BlockOwner::BlockBitmap(group) => format!("map of used blocks, group {group}"),
        BlockOwner::InodeBitmap(group) => format!("map of used inodes, group {group}"),
        BlockOwner::InodeTable(group) => format!("inodes, group {group}"),
        BlockOwner::Journal => "journal".into(),
        BlockOwner::Contents {
            path,
            offset,
            length,
        } => {
            let last = (offset + count * BLOCK).min(length.max(offset + 1)) - 1;
            format!("{path}, bytes {offset} to {last} of it")
        }
        BlockOwner::Extents { path } => format!("{path}, list of its blocks"),
        BlockOwner::Attributes { path } => format!("{path}, extended attributes"),
        BlockOwner::Free => "free room of the file system".into(),
    }
}

/// Reads the structure of the root's file system; none if the source has not all of it now.
pub(crate) fn structure(source: &dyn ReadAt, parts: &Parts) -> Option<Result<Structure, String>> {
    let root = parts.root()?;
    match ext4::read(source, root.region.offset, root.region.length) {
        Ok(structure) if !structure.is_complete() => None,
        Ok(structure) => Some(Ok(structure)),
        Err(fortress_filesystem::Error::Io { source, .. })
            if source.kind() == std::io::ErrorKind::WouldBlock =>
        {
            None
        }
        Err(error) => Some(Err(error.to_string())),
    }
}
