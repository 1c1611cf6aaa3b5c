//! The manifest: what went into an image, and what came out.

use serde::{Deserialize, Serialize};

/// The format's version, for readers.
pub const FORMAT: u32 = 1;

/// What went into an image, and what came out. Everything in it is the same for everybody who
/// builds the same inputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// Name of the image.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The board that it is for.
    pub board: String,
    /// The base that it is made from.
    pub base: String,
    /// Processor architecture, by Debian's name.
    pub architecture: String,
    /// Version of the builder.
    pub builder: String,
    /// Seconds since 1970 of every time in the image.
    pub source_date_epoch: i64,
    /// The kernel, as `uname -r` gives it.
    pub kernel: String,
    /// The kernel command line.
    pub command_line: String,
    /// dm-verity's root hash, in hexadecimal.
    pub root_hash: String,
    /// The image file.
    pub image: ImageFacts,
    /// The machine that a boot test puts it in.
    pub machine: MachineFacts,
    /// Its partitions, in their order.
    pub partitions: Vec<PartitionFacts>,
    /// The suites that packages came from.
    pub suites: Vec<SuiteFacts>,
    /// Packages, by name.
    pub packages: Vec<PackageFacts>,
    /// Files of the project that went in.
    pub overlays: Vec<OverlayFacts>,
    /// Maintainer scripts that do more than generated blocks, none of which was run.
    pub scripts: Vec<ScriptFacts>,
}

/// The image file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFacts {
    /// File name.
    pub file: String,
    /// Length in bytes.
    pub length: u64,
    /// GUID of the disk.
    pub guid: String,
    /// SHA-256 of everything before the first partition (protective MBR, table, the gap).
    pub head_sha256: String,
    /// SHA-256 of everything after the last partition (the gap, backup table).
    pub tail_sha256: String,
}

/// The machine that a boot test puts an image in, and what it lets pass there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineFacts {
    /// Memory in bytes.
    pub memory: u64,
    /// Number of processors.
    pub processors: u32,
    /// How the disk is attached.
    pub disk: String,
    /// Sockets that may listen, for example `udp:51820`.
    pub sockets: Vec<String>,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionFacts {
    /// Label.
    pub label: String,
    /// Type GUID.
    pub kind: String,
    /// Its own GUID.
    pub guid: String,
    /// First byte.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
    /// SHA-256 of its bytes; none for what the root hash covers and for what is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// What vouches for its bytes when there is no digest.
    pub covered: Covered,
}

/// What vouches for a partition's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Covered {
    /// Its SHA-256.
    Digest,
    /// The root hash: all of it is under dm-verity.
    RootHash,
    /// It holds nothing but zeros.
    Empty,
}

/// A suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuiteFacts {
    /// The archive's name in the base.
    pub archive: String,
    /// Suite.
    pub suite: String,
    /// When its index was made, in seconds since 1970.
    pub date: i64,
    /// SHA-256 of the signed index.
    pub release_sha256: String,
}

/// A package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageFacts {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Architecture.
    pub architecture: String,
    /// SHA-256 of the .deb file.
    pub sha256: String,
    /// Where it lies in its archive.
    pub path: String,
}

/// An overlay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverlayFacts {
    /// Name.
    pub name: String,
    /// Its files with their SHA-256.
    pub files: Vec<(String, String)>,
}

/// A maintainer script of which something is left after the generated blocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptFacts {
    /// The package.
    pub package: String,
    /// The script.
    pub script: String,
    /// SHA-256 of what is left.
    pub sha256: String,
    /// How it is covered; none: nobody has reviewed it.
    pub covered: Option<String>,
}
