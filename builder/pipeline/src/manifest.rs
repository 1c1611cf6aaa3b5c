//! The manifest: what went into an image, and what came out. The owner's signature on it vouches for
//! all of it.

use fortress_disk::Region;
use fortress_trust::Role;
use serde::{Deserialize, Serialize};

/// The format's version, for readers.
pub const FORMAT: u32 = 3;
/// Most bytes in a manifest that is read.
const LONGEST: usize = 64 << 20;

/// What went into an image, and what came out. Everything in it is the same for everybody who
/// builds the same inputs, but for `keys`, and the digests of what carries signatures.
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
    /// The recipe.
    pub recipe: RecipeFacts,
    /// SHA-256 of the lock, as `fortress-build lock` writes it.
    pub lock_sha256: String,
    /// The owner's keys, by role.
    pub keys: Vec<KeyFacts>,
    /// The kernel, as `uname -r` gives it.
    pub kernel: String,
    /// The kernel command line.
    pub command_line: String,
    /// dm-verity's root hash, in hexadecimal.
    pub root_hash: String,
    /// What every block is preceded by when it is hashed, in hexadecimal: whoever sees the root pass
    /// before its hash tree needs it.
    pub verity_salt: String,
    /// The image file.
    pub image: ImageFacts,
    /// The machine that a boot test puts it in.
    pub machine: MachineFacts,
    /// Its partitions, in their order.
    pub partitions: Vec<PartitionFacts>,
    /// What starts the root.
    pub boot: BootFacts,
    /// The suites that packages came from.
    pub suites: Vec<SuiteFacts>,
    /// Packages, by name.
    pub packages: Vec<PackageFacts>,
    /// Files of the project that went in.
    pub overlays: Vec<OverlayFacts>,
    /// Maintainer scripts that do more than generated blocks, none of which was run.
    pub scripts: Vec<ScriptFacts>,
}

impl Manifest {
    /// What the names of the image and of everything beside it begin with.
    pub fn stem(&self) -> &str {
        let file = self.image.file.as_str();
        file.strip_suffix(".img").unwrap_or(file)
    }

    /// The document, always the same bytes for the same facts.
    ///
    /// # Errors
    /// None that could happen: every fact is a text, a number or a list of them.
    pub fn to_json(&self) -> serde_json::Result<String> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }

    /// The partition of slot A, or of no slot, that is for this.
    pub fn partition(&self, purpose: &str) -> Option<&PartitionFacts> {
        let mut partitions = self.partitions.iter();
        partitions.find(|one| one.purpose == purpose && one.slot.as_deref() != Some("b"))
    }

    /// Reads a document.
    ///
    /// # Errors
    /// When it is no manifest, or one of a format that is not known here.
    pub fn from_json(bytes: &[u8]) -> Result<Self, NoManifest> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        if bytes.len() > LONGEST {
            return Err(NoManifest::Long(bytes.len()));
        }
        // Another format has other fields, which would be the first thing to be complained of.
        let Version { format } = serde_json::from_slice(bytes)?;
        match format {
            FORMAT => Ok(serde_json::from_slice(bytes)?),
            other => Err(NoManifest::Format(other)),
        }
    }
}

/// Why a text is no manifest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoManifest {
    /// It is too long to be read.
    #[error("it has {0} bytes, and no manifest has over {LONGEST}")]
    Long(usize),
    /// It does not have the form.
    #[error("it is no manifest: {0}")]
    Form(#[from] serde_json::Error),
    /// It has another format than this program knows.
    #[error("its format is {0}, and this version of fortress-build knows {FORMAT}")]
    Format(u32),
}

/// The recipe, with all that is laid over it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipeFacts {
    /// Its name.
    pub name: String,
    /// SHA-256 over every value that decides bytes of the image, as lines `key = value` that are
    /// sorted by key.
    pub sha256: String,
    /// The project's files that say these values, sorted.
    pub files: Vec<String>,
}

/// A key of the owner's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFacts {
    /// What it is for.
    pub role: Role,
    /// SHA-256 of the public half (SubjectPublicKeyInfo, DER).
    pub sha256: String,
    /// SHA-256 of its certificate (DER), where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_sha256: Option<String>,
}

/// What starts the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "firmware", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BootFacts {
    /// UEFI: programs on the EFI system partition.
    Uefi(UefiFacts),
    /// Raspberry Pi: an image that its firmware starts.
    RaspberryPi(RaspberryPiFacts),
}

/// What a Raspberry Pi starts from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaspberryPiFacts {
    /// SHA-256 of boot.img: what is signed.
    pub boot_image_sha256: String,
    /// Its length in bytes.
    pub boot_image_length: u64,
}

/// What a machine with UEFI starts from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UefiFacts {
    /// What the boot loader does with the owner's keys in setup mode, by its own word for it.
    pub enroll: String,
    /// Whether Microsoft's certificates are enrolled with the owner's.
    pub microsoft: bool,
    /// The unified kernel image, by its path on the EFI system partition.
    pub uki: String,
    /// PCR 11 in each phase of the boot, after this unified kernel image has started.
    pub pcr11: Vec<PcrFacts>,
    /// Every EFI program, by path.
    pub programs: Vec<ProgramFacts>,
    /// Every other file.
    pub files: Vec<FileFacts>,
}

/// The value of a register in a phase of the boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PcrFacts {
    /// The phases up to this one, for example `enter-initrd:leave-initrd`.
    pub phase: String,
    /// The value in the bank of SHA-256.
    pub sha256: String,
}

/// An EFI program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramFacts {
    /// Path on the EFI system partition.
    pub path: String,
    /// SHA-256 of the file, its signature included.
    pub sha256: String,
    /// Authenticode digest (SHA-256): what is signed.
    pub authenticode: String,
    /// Of a unified kernel image the sections that are measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sections: Vec<SectionFacts>,
}

/// A section of an EFI program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SectionFacts {
    /// Its name.
    pub name: String,
    /// SHA-256 of its contents, without padding.
    pub sha256: String,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Path on its partition.
    pub path: String,
    /// SHA-256.
    pub sha256: String,
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
    /// What it is for, by the board's word for it: `esp`, `boot-select`, `boot`, `root`,
    /// `root-verity`, `root-verity-sig`.
    pub purpose: String,
    /// The slot that it belongs to, where it belongs to one: `a` or `b`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
    /// Type GUID.
    pub kind: String,
    /// Its own GUID.
    pub guid: String,
    /// First byte.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
    /// How many of its bytes, from the first one on, are data: whole pages of 4096 bytes. What follows
    /// are zeros.
    pub data_length: u64,
    /// SHA-256 of its data; none for what the root hash covers and for what is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// What vouches for its bytes when there is no digest.
    pub covered: Covered,
}

impl PartitionFacts {
    /// Where it lies in the image.
    pub fn region(&self) -> Region {
        Region::new(self.offset, self.length)
    }

    /// Where its data lies in the image.
    pub fn data(&self) -> Region {
        Region::new(self.offset, self.data_length)
    }
}

/// What vouches for a partition's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Covered {
    /// The SHA-256 of its data.
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
    /// What it is laid over: `root` or `initrd`.
    pub over: String,
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
