//! Programs of this machine: where they are, which version, how they are run to their end.

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Finds a program in `PATH`.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|path| is_executable(path))
}

/// Finds a program in `PATH`, or says how to install it.
pub(crate) fn need(name: &str, install: &str) -> Result<PathBuf> {
    find(name).ok_or_else(|| Error::Missing {
        program: name.to_owned(),
        install: install.to_owned(),
    })
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// The version that a program tells in the first line of `--version`.
pub(crate) fn version(program: &Path) -> Option<String> {
    let output = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next().map(|line| line.trim().to_owned())
}

/// Runs a program to its end; an error tells what it said.
pub(crate) fn run(action: &'static str, command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(Error::file("run", &program))?;
    // qemu-io tells of a failed write on standard output, and with status 0 in old versions.
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    if output.status.success() && !said.contains("failed:") {
        return Ok(());
    }
    Err(Error::Tool {
        action,
        program,
        said,
    })
}

/// A program's command, in such a way that it ends when this process does, however that ends.
pub(crate) fn bound(program: &Path) -> Command {
    match find("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    }
}
