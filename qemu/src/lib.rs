//! The boot harness: it takes an image file and says whether it boots to a passed health report.
//!
//! ```no_run
//! use fortress_progress::Silent;
//! let mut test = fortress_qemu::BootTest::new("host.img", "target/boot");
//! test.plan.push(fortress_qemu::Step::Reboot(fortress_qemu::RebootBy::PowerButton));
//! let report = fortress_qemu::run(&test, &Silent)?;
//! print!("{}", report.summary);
//! std::process::exit(report.exit_code().into());
//! # Ok::<(), fortress_qemu::Error>(())
//! ```

mod doctor;
mod error;
pub mod health;
mod machine;
pub mod patterns;
mod report;
mod sockets;

pub use doctor::{DoctorOptions, Need};
pub use error::{Error, Result};
pub use health::{Check, HealthReport, Outcome};
pub use machine::{
    Acceleration, Alteration, Architecture, BootTest, DiskInterface, Expectation, Firmware,
    Forward, Network, RebootBy, Step,
};
pub use report::{Accelerator, Boot, Report, Times, Verdict};
pub use sockets::{AllowedSocket, Protocol, Socket};

use fortress_progress::Observer;
use std::path::Path;
use std::time::Duration;

/// Runs a boot test.
///
/// # Errors
/// When it cannot be run. What goes wrong in the guest is told by the report's verdict.
pub fn run(_test: &BootTest, _observer: &dyn Observer) -> Result<Report> {
    Err(Error::Cancelled)
}

/// Says what this machine lacks for a boot test.
pub fn doctor(_options: &DoctorOptions) -> Vec<Need> {
    Vec::new()
}

/// How long a kernel alone takes, in guest time, from its start to its panic for want of a root.
///
/// # Errors
/// When it cannot be measured.
pub fn bare_kernel(
    _kernel: &Path,
    _command_line: &str,
    _like: &BootTest,
    _observer: &dyn Observer,
) -> Result<Duration> {
    Err(Error::Cancelled)
}
