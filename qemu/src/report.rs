//! What came of a boot test.

use crate::health::{Check, HealthReport};
use crate::patterns::Finding;
use serde::Serialize;
use std::path::PathBuf;

/// The test in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// All that was expected happened.
    Passed,
    /// The guest reported, and a check failed, or the log has a line that fails a boot.
    Failed,
    /// No report came in time.
    Timeout,
    /// The guest panicked, restarted or went down before it reported, or the emulator ended.
    Crashed,
    /// The image differs from what it was before the test.
    ImageChanged,
}

impl Verdict {
    /// The exit status of a program that ran one test: 0 passed, 10 failed, 11 timeout,
    /// 12 crashed, 14 image changed. (13 says that the test could not be run: [`crate::Error`].)
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed => 10,
            Self::Timeout => 11,
            Self::Crashed => 12,
            Self::ImageChanged => 14,
        }
    }

    /// The word, as reports print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Crashed => "crashed",
            Self::ImageChanged => "image changed",
        }
    }
}

/// What executed the guest's instructions, and why that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Accelerator {
    /// `kvm` or `tcg`.
    pub name: String,
    /// Why this one, in a line.
    pub why: String,
}

/// When the guest got where, in seconds of this machine's clock since power-on. `None` when
/// neither console nor report told.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Default)]
pub struct Times {
    /// The boot loader had enrolled the image's keys, and restarted the machine.
    pub enrolled: Option<f64>,
    /// The firmware handed over to what it booted.
    pub handover: Option<f64>,
    /// The kernel started.
    pub kernel: Option<f64>,
    /// The initrd's init started.
    pub initrd: Option<f64>,
    /// The root's init started.
    pub user_space: Option<f64>,
    /// The health report arrived.
    pub report: Option<f64>,
}

/// One boot of a test.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Boot {
    /// When it got where.
    pub times: Times,
    /// Whether Secure Boot was on, as the kernel's EFI stub or the guest said.
    pub secure_boot: bool,
    /// What the guest reported.
    pub health: Option<HealthReport>,
    /// Where it stood when it ended: the last stage that was recognised.
    pub stage: String,
}

/// What the firmware makes of Secure Boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecureBoot {
    /// The firmware does not know it.
    Absent,
    /// The firmware is in setup mode: nobody enrolled keys.
    Off,
    /// The image's keys were enrolled in this test, and it was on from then.
    Enrolled,
    /// It was on, with keys that were enrolled before this test.
    On,
}

impl SecureBoot {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Absent => "not in this firmware",
            Self::Off => "off: no keys are enrolled",
            Self::Enrolled => "on, owner's keys enrolled",
            Self::On => "on, with the keys of an earlier test",
        }
    }
}

/// What came of a test.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The image.
    pub image: PathBuf,
    /// The test in a word.
    pub verdict: Verdict,
    /// Why, in a line or two.
    pub summary: String,
    /// What executed the guest.
    pub accelerator: Accelerator,
    /// Which firmware ran: its file and description, or `direct kernel boot`.
    pub firmware: String,
    /// What the firmware made of Secure Boot.
    pub secure_boot: SecureBoot,
    /// The machine's TPM, if it has one: which program plays it, and where its state is from.
    pub tpm: Option<String>,
    /// The emulator's version.
    pub emulator: String,
    /// The boots, one for each step that was begun.
    pub boots: Vec<Boot>,
    /// Every check, the guest's and the harness's.
    pub checks: Vec<Check>,
    /// Lines of the console that fail a boot, or would if they were not allowed.
    pub findings: Vec<Finding>,
    /// The image's SHA-256 before the test, hexadecimal.
    pub digest_before: String,
    /// The image's SHA-256 after the test, hexadecimal.
    pub digest_after: String,
    /// The console's log, each line with the seconds since power-on.
    pub serial_log: PathBuf,
    /// The console's last lines.
    pub last_lines: Vec<String>,
    /// How long all of it took, in seconds.
    pub seconds: f64,
}

impl Report {
    /// The exit status of a program that ran this test: see [`Verdict::exit_code`].
    pub fn exit_code(&self) -> u8 {
        self.verdict.exit_code()
    }
}
