//! Where partitions go on a disk.

use super::format::{BACKUP_SECTORS, ENTRIES, FIRST_USABLE, LONGEST_NAME, SECTOR};
use crate::{Error, Region, Result};
use uuid::Uuid;

/// A partition as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionEntry {
    /// Its type ([`super::partition_types`]).
    pub kind: Uuid,
    /// Its own GUID.
    pub guid: Uuid,
    /// Its name (label); at most 36 UTF-16 units.
    pub name: String,
    /// Its length in bytes; rounded up to whole sectors by the alignment.
    pub length: u64,
    /// Its attribute bits ([`super::Attributes`]).
    pub attributes: u64,
}

/// A partition and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The partition.
    pub entry: PartitionEntry,
    /// The byte at which it begins.
    pub offset: u64,
}

impl Placement {
    /// The stretch of the disk that it takes.
    pub fn region(&self) -> Region {
        Region::new(self.offset, self.entry.length)
    }
}

/// A disk: its length, and its partitions in the order of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskLayout {
    /// Length in bytes, both copies of the table included.
    pub length: u64,
    /// The disk's own GUID.
    pub guid: Uuid,
    /// The partitions.
    pub partitions: Vec<Placement>,
}

/// How partitions are laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutOptions {
    /// The disk's own GUID.
    pub guid: Uuid,
    /// What every partition's start, its length and the disk's length are multiples of, in
    /// bytes: 1 MiB, or 8 MiB for flash that erases in large blocks.
    pub alignment: u64,
}

impl LayoutOptions {
    /// The usual: 1 MiB.
    pub fn new(guid: Uuid) -> Self {
        Self {
            guid,
            alignment: 1 << 20,
        }
    }
}

/// Places partitions one after another, in their order, each as early as the alignment lets it.
/// Lengths are rounded up to the alignment.
///
/// # Errors
/// When the alignment is not a power of two from 4096 up, or a partition has no length, too long
/// a name, a nil type or GUID, the GUID of another, or goes past the end of all numbers.
pub fn layout(partitions: Vec<PartitionEntry>, options: &LayoutOptions) -> Result<DiskLayout> {
    let alignment = options.alignment;
    if !alignment.is_power_of_two() || alignment < 4096 {
        let reason =
            format!("cannot be aligned to {alignment} bytes: not a power of two from 4096 up");
        return Err(Error::Table {
            copy: "planned",
            reason,
        });
    }
    if partitions.len() > ENTRIES {
        let reason = format!(
            "has room for {ENTRIES} partitions, not {}",
            partitions.len()
        );
        return Err(Error::Table {
            copy: "planned",
            reason,
        });
    }
    let mut placements: Vec<Placement> = Vec::with_capacity(partitions.len());
    let mut at = (FIRST_USABLE * SECTOR).next_multiple_of(alignment);
    for mut entry in partitions {
        let refused = |reason: &str| Error::Partition {
            name: entry.name.clone(),
            reason: reason.into(),
        };
        if entry.length == 0 {
            return Err(refused("has no length"));
        }
        if entry.name.encode_utf16().count() > LONGEST_NAME {
            return Err(refused("has a name over 36 characters"));
        }
        if entry.name.contains('\0') {
            return Err(refused("has a NUL character in its name"));
        }
        if entry.kind.is_nil() || entry.guid.is_nil() {
            return Err(refused("has a nil GUID or type"));
        }
        if let Some(other) = placements
            .iter()
            .find(|other| other.entry.guid == entry.guid)
        {
            let reason = format!(
                "has the GUID {} of partition {:?}",
                entry.guid, other.entry.name
            );
            return Err(refused(&reason));
        }
        let length = entry.length.checked_next_multiple_of(alignment);
        let end = length.and_then(|length| at.checked_add(length));
        let (Some(length), Some(end)) = (length, end.filter(|end| *end < i64::MAX as u64)) else {
            return Err(refused("ends beyond what a disk can be"));
        };
        entry.length = length;
        placements.push(Placement { entry, offset: at });
        at = end;
    }
    Ok(DiskLayout {
        length: (at + BACKUP_SECTORS * SECTOR).next_multiple_of(alignment),
        guid: options.guid,
        partitions: placements,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(guid: u128, length: u64) -> PartitionEntry {
        PartitionEntry {
            kind: super::super::partition_types::ESP,
            guid: Uuid::from_u128(guid),
            name: format!("p{guid}"),
            length,
            attributes: 0,
        }
    }

    #[test]
    fn partitions_follow_each_other_aligned() {
        let options = LayoutOptions::new(Uuid::from_u128(1));
        let layout = layout(vec![entry(1, 1), entry(2, 3 << 20)], &options).unwrap();
        let regions: Vec<_> = layout.partitions.iter().map(Placement::region).collect();
        assert_eq!(
            regions,
            [Region::new(1 << 20, 1 << 20), Region::new(2 << 20, 3 << 20)]
        );
        assert_eq!(layout.length, 6 << 20);
    }

    #[test]
    fn what_no_table_can_hold_is_refused_by_name() {
        let options = LayoutOptions::new(Uuid::from_u128(1));
        let refused = |partitions| layout(partitions, &options).unwrap_err().to_string();
        assert_eq!(refused(vec![entry(1, 0)]), "partition \"p1\" has no length");
        assert!(refused(vec![entry(1, 1), entry(1, 1)]).contains("of partition \"p1\""));
        assert!(refused(vec![entry(0, 1)]).contains("nil"));
        assert!(refused(vec![entry(1, u64::MAX)]).contains("beyond"));
        assert!(refused(vec![entry(1, 1 << 62), entry(2, 1 << 62)]).contains("beyond"));
        let mut long = entry(1, 1);
        long.name = "é".repeat(37);
        assert!(refused(vec![long]).contains("36"));
        assert!(refused((1..=129).map(|guid| entry(guid, 1)).collect()).contains("128"));
    }
}
