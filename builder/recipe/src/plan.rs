//! The plan: everything that a build does, decided, with the place where each value was said.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::origin::Sourced;
use crate::state::{Data, Swap, Var};
use crate::trust::Trust;

/// Everything that a build does. Made by [`crate::Library::plan`]; the same request on the same
/// files gives the same plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Name of the image: part of file names, and of what UUIDs derive from.
    pub name: Sourced<String>,
    /// Version of the image.
    pub version: Sourced<String>,
    /// Name of the recipe that was asked for, and who asked (`--recipe`, or the board's own).
    pub recipe: Sourced<String>,
    /// The machine that it is for.
    pub board: Board,
    /// The distribution release that it is made from.
    pub base: Base,
    /// Seconds since 1970 for every time in the image; none: the date of the newest input.
    pub source_date_epoch: Option<Sourced<i64>>,
    /// Packages to install, sorted by name, already under the base's names. Each is what the
    /// archive client takes as a root: `name`, `name=version`, `name:architecture`.
    pub packages: Vec<Sourced<PackageRequest>>,
    /// Whether recommended packages come along.
    pub recommends: Sourced<bool>,
    /// Packages that stay out even where another one asks for them, sorted by name.
    pub left_out: Vec<Sourced<LeftOut>>,
    /// Packages that recipes ask for and that the base does not need, with the base's reason.
    pub absent: Vec<Sourced<LeftOut>>,
    /// File trees laid over the root, in this order.
    pub overlays: Vec<Sourced<Overlay>>,
    /// The kernel and what it is told.
    pub kernel: Kernel,
    /// Kernel modules that the initrd holds beside their dependencies: the board's, then the
    /// kernel flavour's.
    pub initrd_modules: Vec<Sourced<String>>,
    /// File trees laid over the initrd, in this order.
    pub initrd_overlays: Vec<Sourced<Overlay>>,
    /// Units switched on, off and away, over what the presets say.
    pub units: Units,
    /// Name, language and time of the system.
    pub system: System,
    /// User and group ids, so that they depend on no order.
    pub identifiers: Identifiers,
    /// What is taken out of the tree.
    pub trim: Trim,
    /// Sizes and file systems.
    pub image: Image,
    /// The state partition.
    pub var: Var,
    /// Room for memory that is put away.
    pub swap: Swap,
    /// Drives beside the machine's own.
    pub data: Data,
    /// What the health report lets pass.
    pub health: Health,
    /// What machines are to make of the owner's signatures.
    pub trust: Trust,
    /// The file of maintainer scripts that were reviewed.
    pub reviewed_scripts: Sourced<ProjectFile>,
}

/// A file or folder of the project.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ProjectFile {
    /// As shown to people: relative to the project folder (or to the site file).
    pub shown: String,
    /// Where it is on this machine. Not part of the serialized plan, which is the same anywhere.
    #[serde(skip)]
    pub path: PathBuf,
}

/// A package to install.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PackageRequest {
    /// What the archive client is asked for.
    pub name: String,
    /// What the recipe says, where the base renames it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<String>,
}

/// A package that stays out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LeftOut {
    /// Name of the package.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// An overlay: a file tree laid over the root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Overlay {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub folder: ProjectFile,
}

/// Processor architecture, by Debian's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// x86-64.
    Amd64,
    /// 64-bit Arm.
    Arm64,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Amd64, Self::Arm64];

    /// Debian's and Ubuntu's name: `amd64`, `arm64`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

/// How a board starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Firmware {
    /// UEFI: an EFI system partition with unified kernel images.
    Uefi,
    /// Raspberry Pi firmware: boot partitions with config.txt.
    RaspberryPi,
}

/// The machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Board {
    /// Its name: that of its file.
    pub name: Sourced<String>,
    /// What it is, in a line.
    pub description: Sourced<String>,
    /// Processor architecture.
    pub architecture: Sourced<Architecture>,
    /// How it starts.
    pub firmware: Sourced<Firmware>,
    /// Kernel consoles, for example `ttyS0,115200`; the last one is /dev/console.
    pub consoles: Vec<Sourced<String>>,
    /// What partitions start at multiples of, in bytes; a power of two.
    pub alignment: Sourced<u64>,
    /// Partitions in the order on the disk, those of the slots that the image has.
    pub partitions: Vec<Partition>,
    /// What the Raspberry Pi's firmware wants; there if `firmware` is that one.
    pub raspberry_pi: Option<RaspberryPi>,
    /// The machine that stands in for it in a boot test.
    pub qemu: Qemu,
}

/// What the Raspberry Pi's firmware wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RaspberryPi {
    /// Device trees, by the names under which the firmware looks for them.
    pub device_trees: Vec<Sourced<String>>,
    /// Chips that the firmware tells apart by an overlay alone.
    pub steppings: Vec<Stepping>,
    /// Files of the firmware itself that lie beside the kernel, for example `start4.elf`.
    pub firmware: Vec<Sourced<String>>,
    /// Lines of the config.txt inside boot.img that the hardware needs.
    pub config: Vec<Sourced<String>>,
    /// Most bytes of a boot.img.
    pub boot_image_limit: Sourced<u64>,
}

/// A chip for which the firmware takes the device tree of another one, and lays an overlay over
/// it: the overlay is made from the difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stepping {
    /// Name of the overlay that the firmware asks for, for example `bcm2712d0`.
    pub overlay: Sourced<String>,
    /// The device tree that the firmware takes.
    pub from: Sourced<String>,
    /// The device tree that the chip needs.
    pub to: Sourced<String>,
}

/// What a partition is for; types by the Discoverable Partitions Specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartitionKind {
    /// EFI system partition.
    Esp,
    /// Raspberry Pi: the partition that holds autoboot.txt alone.
    BootSelect,
    /// Raspberry Pi: firmware's files of one slot.
    Boot,
    /// Root file system.
    Root,
    /// Hash tree of the root file system.
    RootVerity,
    /// Signature of the root hash.
    RootVeritySig,
}

impl PartitionKind {
    /// Its name in a board's file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Esp => "esp",
            Self::BootSelect => "boot-select",
            Self::Boot => "boot",
            Self::Root => "root",
            Self::RootVerity => "root-verity",
            Self::RootVeritySig => "root-verity-sig",
        }
    }
}

/// One of the two places that an image can be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Slot {
    /// The one that a new disk starts with.
    A,
    /// Empty on a new disk, for the first update.
    B,
}

/// How large a partition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PartitionSize {
    /// So many bytes.
    Bytes(u64),
    /// As large as its content needs; slot B is as large as slot A.
    Content,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Partition {
    /// What it is for.
    pub kind: Sourced<PartitionKind>,
    /// Its slot, where it belongs to one.
    pub slot: Option<Sourced<Slot>>,
    /// GPT label, where the board gives one; slots with nothing in them are labelled `_empty`.
    pub label: Option<Sourced<String>>,
    /// How large it is.
    pub size: Sourced<PartitionSize>,
}

/// The emulated machine of a boot test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Qemu {
    /// Memory in bytes.
    pub memory: Sourced<u64>,
    /// Number of processors.
    pub processors: Sourced<u32>,
    /// How the disk is attached, for example `virtio-blk`, `nvme`, `sd`.
    pub disk: Sourced<String>,
}

/// The distribution release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Base {
    /// Its name: that of its file, for example `debian-13`.
    pub name: Sourced<String>,
    /// What it is, in a line.
    pub description: Sourced<String>,
    /// Distribution by the name that os-release gives, for example `debian`.
    pub distribution: Sourced<String>,
    /// Release's code name, for example `trixie`.
    pub release: Sourced<String>,
    /// Suites that packages come from, sorted by name.
    pub archives: Vec<Archive>,
}

/// A suite of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Archive {
    /// Its name in the base, for example `security`.
    pub name: Sourced<String>,
    /// Where it is found.
    pub mirror: Mirror,
    /// Suite, for example `trixie-security`.
    pub suite: Sourced<String>,
    /// Components, for example `main`.
    pub components: Vec<Sourced<String>>,
    /// Public keys, of which one must have signed the index.
    pub keys: Vec<Sourced<ProjectFile>>,
    /// Pins: if not empty, this suite gives only these packages.
    pub only: Vec<Sourced<String>>,
    /// Which suite wins: the highest version of the highest priority does, as in apt.
    pub priority: Sourced<i32>,
    /// Days for which its index counts past its `Valid-Until`.
    pub grace: Sourced<u32>,
}

/// Where an archive is found. The order: `--mirror`, the machine's own mirror of that
/// distribution, `url`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mirror {
    /// Its name in the base, for example `security`.
    pub name: Sourced<String>,
    /// Distribution whose mirror is looked for in the machine's own apt sources.
    pub distribution: Sourced<String>,
    /// Whether it is the distribution's security archive, which has mirrors of its own.
    pub security: Sourced<bool>,
    /// Public default, without a slash at its end.
    pub url: Sourced<String>,
    /// The distribution's snapshot service, with `{timestamp}` (as `20260131T120000Z`) in it.
    pub snapshot: Option<Sourced<String>>,
}

/// The kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kernel {
    /// Which of the board's kernels.
    pub flavour: Sourced<String>,
    /// The size of its pages, where the recipe demands one.
    pub page_size: Option<Sourced<PageSize>>,
    /// Its packages; they are among the plan's packages too.
    pub packages: Vec<Sourced<String>>,
    /// Command line in parts, in order: consoles, board, recipes, command line. What names the
    /// root hash is added by the build.
    pub command_line: Vec<Sourced<String>>,
    /// Modules loaded at boot (modules-load.d), sorted.
    pub load: Vec<Sourced<String>>,
}

/// How many bytes the kernel maps at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum PageSize {
    /// 4096 bytes.
    #[serde(rename = "4K")]
    Small,
    /// 16,384 bytes.
    #[serde(rename = "16K")]
    Middle,
    /// 65,536 bytes.
    #[serde(rename = "64K")]
    Large,
}

impl PageSize {
    /// As recipes write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Small => "4K",
            Self::Middle => "16K",
            Self::Large => "64K",
        }
    }
}

/// Units over what presets say. Each list is sorted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Units {
    /// Switched on.
    pub enable: Vec<Sourced<String>>,
    /// Switched off.
    pub disable: Vec<Sourced<String>>,
    /// Linked to /dev/null.
    pub mask: Vec<Sourced<String>>,
    /// What the system boots to; none: the distribution's.
    pub default_target: Option<Sourced<String>>,
}

/// Name, language and time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct System {
    /// Host name.
    pub hostname: Sourced<String>,
    /// Locale, for example `C.UTF-8`.
    pub locale: Sourced<String>,
    /// Time zone by its name in the time zone database, for example `Europe/Vienna`.
    pub time_zone: Sourced<String>,
}

/// Fixed ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Identifiers {
    /// User ids by user name.
    pub users: BTreeMap<String, Sourced<u32>>,
    /// Group ids by group name.
    pub groups: BTreeMap<String, Sourced<u32>>,
}

/// What is taken out of the tree. Copyright files always stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trim {
    /// Whether documentation goes (/usr/share/doc without copyright files, info, lintian, …).
    pub documentation: Sourced<bool>,
    /// Whether manual pages go.
    pub manuals: Sourced<bool>,
    /// Whether foreign languages go: all but `keep_locales`.
    pub locales: Sourced<bool>,
    /// Languages that stay, for example `de`; sorted.
    pub keep_locales: Vec<Sourced<String>>,
    /// Paths that go, with all below them; sorted, absolute. `*`, `?` and `[…]` stand for any
    /// part of a name, `**` for any names.
    pub paths: Vec<Sourced<String>>,
}

/// Sizes and file systems.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Image {
    /// File system of the root.
    pub filesystem: Sourced<RootFilesystem>,
    /// Room beyond the content, in percent of it.
    pub headroom_percent: Sourced<u32>,
    /// Room beyond the content and `headroom_percent`, in bytes.
    pub headroom_bytes: Sourced<u64>,
    /// Slots on the disk: 1, or 2 for updates with a way back.
    pub slots: Sourced<u32>,
    /// Size of the EFI system partition in bytes; none: the board has none.
    pub esp_size: Option<Sourced<u64>>,
}

/// File system of the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RootFilesystem {
    /// ext4.
    Ext4,
}

/// What the health report lets pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Sockets that may listen, for example `udp:51820`; sorted.
    pub sockets: Vec<Sourced<String>>,
}
