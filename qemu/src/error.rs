//! Why a test could not be run, or an image not be judged.

use std::path::PathBuf;

/// What keeps a test from being run. What goes wrong in the guest is no error but a
/// [`crate::Verdict`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program is missing.
    #[error("cannot boot the image: {program} is not installed\n  hint: {install}")]
    Missing {
        /// The program.
        program: String,
        /// The line that installs it.
        install: String,
    },
    /// No firmware fits.
    #[error(
        "cannot boot the image: no firmware descriptor offers {wanted} (looked in {searched})\n  \
         hint: {install}"
    )]
    NoFirmware {
        /// What was asked for.
        wanted: String,
        /// The folders that were looked in.
        searched: String,
        /// The line that installs one.
        install: String,
    },
    /// Reading or writing failed.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A program that prepares the test failed.
    #[error("cannot {action}: {program} said: {said}")]
    Tool {
        /// What was tried.
        action: &'static str,
        /// With which program.
        program: String,
        /// What it said.
        said: String,
    },
    /// The emulator ended, or did not answer, before the guest could start.
    #[error("cannot start the machine: {emulator} said: {said}")]
    Emulator {
        /// The emulator.
        emulator: String,
        /// What it said on standard error.
        said: String,
    },
    /// KVM was demanded and does not work.
    #[error("cannot use KVM: {why}\n  hint: leave the choice to the harness, which then emulates")]
    NoKvm {
        /// Why not.
        why: String,
    },
    /// The test makes no sense.
    #[error("cannot run this test: {why}")]
    Plan {
        /// Why not.
        why: String,
    },
    /// Someone asked to stop.
    #[error("the test was cancelled")]
    Cancelled,
}

impl Error {
    /// The exit status of a program that could not run a test.
    pub const EXIT_CODE: u8 = 13;

    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
