//! The boot harness: it takes an image file and says whether it boots to a passed health report.
//!
//! ```no_run
//! use fortress_progress::Silent;
//! use fortress_qemu::{BootTest, RebootBy, Step};
//! let mut test = BootTest::new("host.img", "target/boot");
//! test.plan.push(Step::Reboot(RebootBy::PowerButton));
//! let report = fortress_qemu::run(&test, &Silent)?;
//! print!("{report}");
//! std::process::exit(report.exit_code().into());
//! # Ok::<(), fortress_qemu::Error>(())
//! ```
//!
//! The image is the lower, read-only half of the machine's disk; what the guest writes goes to an
//! overlay, and the image's digest is taken before and after. The guest tells how it is through a
//! virtio-serial port ([`health`]); its console is a second witness ([`patterns`]).

mod accelerator;
mod arguments;
mod bare;
mod bench;
mod console;
mod digest;
mod disk;
mod doctor;
mod emulator;
mod error;
mod evaluate;
mod firmware;
pub mod health;
mod machine;
pub mod patterns;
mod program;
pub mod raspberry_pi;
mod render;
mod report;
mod run;
mod sockets;
mod stage;
mod terminal;
mod tpm;
mod watch;

pub use bare::{BareKernel, bare_kernel};
pub use doctor::{DoctorOptions, Need, doctor, has_secure_boot, has_tpm};
pub use error::{Error, Result};
pub use health::{Check, HealthReport, Outcome};
pub use machine::{
    Acceleration, Alteration, Architecture, BootTest, DiskInterface, Drive, Expectation, Firmware,
    Forward, Machine, Network, RebootBy, Step, Tpm, Typing,
};
pub use report::{Accelerator, Boot, Report, SecureBoot, Times, Verdict};
pub use run::run;
pub use sockets::{AllowedSocket, Protocol, Socket};
