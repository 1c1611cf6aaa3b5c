//! FAT32 with long names, written once: for the EFI system partition and for what the Raspberry
//! Pi's firmware reads
//! ([specification](https://download.microsoft.com/download/1/6/1/161ba512-40e2-4cc9-843a-923143f3456c/fatgen103.doc)).

mod format;
mod geometry;
mod names;
mod plan;
mod reader;
mod writer;

pub use reader::{ByteOwner, Volume, VolumeEntry, VolumeProblem, VolumeStructure, check, read};
pub use writer::{plan, write};

const WHAT: &str = "the FAT file system";

/// Which FAT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FatKind {
    /// FAT32.
    Fat32,
}

/// What a file system depends on besides the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FatOptions {
    /// Which FAT.
    pub kind: FatKind,
    /// Size in bytes; a multiple of 512.
    pub size: u64,
    /// Sectors of 512 bytes in a cluster, a power of two up to 64; none: the largest that suits
    /// the size.
    pub sectors_per_cluster: Option<u8>,
    /// The volume's ID (serial number).
    pub volume_id: u32,
    /// Label: at most 11 characters, upper case as FAT has it.
    pub label: String,
    /// Seconds since 1970, from 1980 on: no entry's time is later. Times are written in UTC.
    pub epoch: i64,
}
