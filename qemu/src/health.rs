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

/// What stands before a report in a line of the console, for machines that have no port for it.
pub(crate) const ON_CONSOLE: &str = "fortress.health ";

/// What asks a guest for its report on the console: an argument for its kernel's command line.
pub const CONSOLE_ARGUMENT: &str = "fortress.health=console";

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
    /// The kernel's command line, as the kernel has it.
    #[serde(default)]
    pub command_line: String,
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

/// Why a report is not one.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Malformed {
    /// It is longer than [`LONGEST`].
    #[error("the health report is longer than {LONGEST} bytes")]
    TooLong,
    /// It is not JSON, or not of this form.
    #[error("the health report cannot be read: {0}")]
    Form(String),
    /// It is of another format.
    #[error("the health report has format {0}, this program knows {FORMAT}")]
    Format(u32),
    /// A field says what it cannot.
    #[error("the health report's {field} is {got:?}, which is not {wanted}")]
    Field {
        /// The field.
        field: &'static str,
        /// What it says.
        got: String,
        /// What it may say.
        wanted: &'static str,
    },
    /// It has no checks.
    #[error("the health report has no checks")]
    Empty,
}

impl HealthReport {
    /// Reads a report: one line of JSON.
    ///
    /// # Errors
    /// When the line is none. What it claims is another matter: see [`HealthReport::passed`].
    pub fn read(line: &[u8]) -> Result<Self, Malformed> {
        if line.len() > LONGEST {
            return Err(Malformed::TooLong);
        }
        let report: Self = serde_json::from_slice(line).map_err(|error| {
            // Of a later format not even the form may be known.
            #[derive(Deserialize)]
            struct Head {
                format: u32,
            }
            match serde_json::from_slice::<Head>(line) {
                Ok(head) if head.format != FORMAT => Malformed::Format(head.format),
                _ => Malformed::Form(error.to_string()),
            }
        })?;
        if report.format != FORMAT {
            return Err(Malformed::Format(report.format));
        }
        let identifier = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if report.machine_id.len() != 32 || !identifier(&report.machine_id) {
            return Err(Malformed::Field {
                field: "machine_id",
                got: report.machine_id,
                wanted: "32 hexadecimal digits",
            });
        }
        let boot_id = report.boot_id.replace('-', "");
        if boot_id.len() != 32 || !identifier(&boot_id) {
            return Err(Malformed::Field {
                field: "boot_id",
                got: report.boot_id,
                wanted: "a UUID",
            });
        }
        if report.checks.is_empty() {
            return Err(Malformed::Empty);
        }
        Ok(report)
    }

    /// Whether the guest says that its firmware has Secure Boot on.
    pub fn says_secure_boot(&self) -> bool {
        self.checks
            .iter()
            .any(|check| check.name == "secure-boot" && check.outcome == Outcome::Passed)
    }

    /// Whether the guest says that all is well, and none of its checks says otherwise.
    pub fn passed(&self) -> bool {
        self.verdict == Outcome::Passed
            && self
                .checks
                .iter()
                .all(|check| check.outcome != Outcome::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = r#"{"format":1,"boot_id":"0d5f4e1e-5b1a-4e0c-9f39-0b7a1c1a2b3c","machine_id":"0123456789abcdef0123456789abcdef","verdict":"passed","checks":[{"name":"root","outcome":"passed","detail":"dm-0"}],"times":{"report":1234},"sockets":[{"protocol":"udp","address":"0.0.0.0","port":51820}],"later":true}"#;

    fn read(text: &str) -> Result<HealthReport, Malformed> {
        HealthReport::read(text.as_bytes())
    }

    #[test]
    fn a_good_report_is_read_and_what_is_unknown_is_passed_over() {
        let report = read(GOOD).unwrap();
        assert!(report.passed());
        assert_eq!(report.sockets[0].to_string(), "udp 0.0.0.0 51820");
    }

    #[test]
    fn a_verdict_that_its_checks_deny_is_not_a_pass() {
        let report = read(&GOOD.replace(r#""outcome":"passed""#, r#""outcome":"failed""#));
        assert!(!report.unwrap().passed());
        let report = read(&GOOD.replace(r#""verdict":"passed""#, r#""verdict":"skipped""#));
        assert!(!report.unwrap().passed());
    }

    #[test]
    fn what_is_no_report_is_refused() {
        let of = |from: &str, to: &str| read(&GOOD.replace(from, to)).unwrap_err();
        assert_eq!(of("\"format\":1", "\"format\":2"), Malformed::Format(2));
        assert_eq!(read(r#"{"format":3}"#), Err(Malformed::Format(3)));
        assert!(matches!(
            of("0123456789abcdef", "uninitialized"),
            Malformed::Field { .. }
        ));
        assert!(matches!(of("0d5f4e1e", ""), Malformed::Field { .. }));
        assert!(matches!(of("\"passed\"", "\"fine\""), Malformed::Form(_)));
        assert!(matches!(read("{}"), Err(Malformed::Form(_))));
        let start = GOOD.find("[{").unwrap();
        let end = GOOD.find("}]").unwrap() + 2;
        let none = format!("{}[]{}", &GOOD[..start], &GOOD[end..]);
        assert_eq!(read(&none), Err(Malformed::Empty));
        assert_eq!(
            HealthReport::read(&vec![b'['; LONGEST + 1]),
            Err(Malformed::TooLong)
        );
        // Deep nesting must not exhaust the stack.
        assert!(HealthReport::read(&vec![b'['; LONGEST]).is_err());
    }

    proptest! {
        #[test]
        fn a_changed_report_never_panics(at in 0..GOOD.len(), byte: u8) {
            let mut bytes = GOOD.as_bytes().to_vec();
            bytes[at] = byte;
            let _ = HealthReport::read(&bytes);
        }

        #[test]
        fn arbitrary_bytes_are_no_report(bytes: Vec<u8>) {
            prop_assert!(HealthReport::read(&bytes).is_err());
        }
    }
}
