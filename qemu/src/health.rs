//! The health report: what a guest says of itself once a boot, as one line of JSON.
//!
//! The guest's side is `overlays/common/usr/lib/fortress/health`; `docs/health.md` describes
//! the format for those who write checks. The report comes from the machine under test, so it is
//! read as foreign bytes: bounded, and whatever does not fit the format is an error, never a pass.

use crate::sockets::Socket;
use serde::{Deserialize, Serialize};

/// The one format that this harness knows.
pub const FORMAT: u32 = 1;

/// How long a report may be, in bytes.
pub const LONGEST: usize = 256 * 1024;

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It does not.
    Failed,
    /// It could not be judged, or does not apply; the detail says why.
    Skipped,
}

/// One check's result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// What it came to.
    pub outcome: Outcome,
    /// What was seen, or why it was skipped.
    pub detail: String,
}

/// The root file system as the guest sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Root {
    /// The mounted device's name (`dm-0`).
    pub device: String,
    /// The file system's type.
    pub file_system: String,
    /// Whether the device is a dm-verity target.
    pub verity: bool,
    /// The root hash on the kernel's command line, hexadecimal; empty when there is none.
    pub root_hash: String,
    /// Whether both mount and device are read-only.
    pub read_only: bool,
}

/// When the guest got where, in milliseconds since its kernel started. `firmware` and `loader`
/// lie before that and count how long before. 0 when the guest does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct GuestTimes {
    /// How long before the kernel's start the firmware began.
    #[serde(default)]
    pub firmware: u64,
    /// How long before the kernel's start the boot loader began.
    #[serde(default)]
    pub loader: u64,
    /// The initrd's init started.
    #[serde(default)]
    pub initrd: u64,
    /// The root's init started.
    #[serde(default)]
    pub user_space: u64,
    /// The report was made.
    pub report: u64,
}

/// A guest's report on one boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthReport {
    /// The format: [`FORMAT`].
    pub format: u32,
    /// The kernel's identifier of this boot.
    pub boot_id: String,
    /// The machine's identifier, 32 hexadecimal digits.
    pub machine_id: String,
    /// The image: `IMAGE_ID` and `IMAGE_VERSION` of os-release, a space between.
    #[serde(default)]
    pub image: String,
    /// The kernel's release.
    #[serde(default)]
    pub kernel: String,
    /// The guest's own verdict: failed as soon as one check failed.
    pub verdict: Outcome,
    /// Every check that ran.
    pub checks: Vec<Check>,
    /// Times.
    pub times: GuestTimes,
    /// Sockets that listen.
    #[serde(default)]
    pub sockets: Vec<Socket>,
    /// Units in the state `failed`.
    #[serde(default)]
    pub failed_units: Vec<String>,
    /// The root file system.
    #[serde(default)]
    pub root: Root,
}
