//! The machine's TPM: a swtpm of its own, which ends with the machine.
//!
//! It speaks with QEMU over a pair of sockets that both inherit, so there is no path to collide or
//! to be too long. Its state is a copy in the test's folder: the TPM that a test is given stays as
//! it is.

use crate::error::{Error, Result};
use crate::machine::{Architecture, Tpm};
use crate::program;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

/// The folder of a TPM's state, in the test's folder.
pub(crate) const FOLDER: &str = "tpm";
/// The line that installs swtpm.
pub(crate) const INSTALL: &str = "sudo apt-get install swtpm";
/// What swtpm calls the part of its state that a power cut leaves.
const STATE: &str = "tpm2-00.permall";

/// Makes the folder of the machine's TPM anew, with a copy of the state that it is to have.
pub(crate) fn reset(tpm: &Tpm, work_folder: &Path) -> Result<()> {
    let folder = work_folder.join(FOLDER);
    remove(work_folder)?;
    std::fs::create_dir(&folder).map_err(Error::file("create", &folder))?;
    let Some(kept) = &tpm.state else {
        return Ok(());
    };
    let kept = kept.join(STATE);
    std::fs::copy(&kept, folder.join(STATE))
        .map(|_| ())
        .map_err(Error::file("copy the TPM's state from", kept))
}

/// Removes the TPM's folder, if there is one.
pub(crate) fn remove(work_folder: &Path) -> Result<()> {
    let folder = work_folder.join(FOLDER);
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::file("remove", folder)(error))
        }
        _ => Ok(()),
    }
}

/// The device's name in QEMU, and what stands behind it.
pub(crate) fn device(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "tpm-crb,tpmdev=tpm",
        Architecture::Aarch64 => "tpm-tis-device,tpmdev=tpm",
    }
}

/// A running swtpm. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct RunningTpm {
    child: Child,
}

/// What a TPM is started with.
#[derive(Debug, Clone)]
pub(crate) struct TpmStart {
    pub(crate) program: PathBuf,
    pub(crate) work_folder: PathBuf,
}

impl RunningTpm {
    /// Starts it; gives the socket that QEMU is to have.
    pub(crate) fn start(start: &TpmStart) -> Result<(Self, UnixStream)> {
        let (inside, outside) =
            UnixStream::pair().map_err(Error::file("make a socket for", "the TPM"))?;
        let log = start.work_folder.join("tpm.log");
        let said = File::create(&log).map_err(Error::file("create", &log))?;
        let mut state = std::ffi::OsString::from("dir=");
        state.push(start.work_folder.join(FOLDER));
        let child = program::bound(&start.program)
            .args(["socket", "--tpm2", "--terminate"])
            .args(["--ctrl", "type=unixio,clientfd=0"])
            .arg("--tpmstate")
            .arg(state)
            .stdin(OwnedFd::from(inside))
            .stdout(Stdio::null())
            .stderr(said)
            .process_group(0)
            .spawn()
            .map_err(Error::file("start", &start.program))?;
        Ok((Self { child }, outside))
    }
}

impl Drop for RunningTpm {
    fn drop(&mut self) {
        // It ends by itself when QEMU is gone, and is given the time to write its state.
        for _ in 0..100 {
            if self.child.try_wait().ok().flatten().is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
