//! The oracle root: a Debian 13 made by `tests/oracle-root`, whose tools judge our output.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The oracle root, ready for use.
#[derive(Debug)]
pub struct Oracle {
    root: PathBuf,
}

/// What a tool of the oracle root said.
#[derive(Debug)]
pub struct Outcome {
    /// Exit status; -1 when a signal ended it.
    pub status: i32,
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub errors: String,
}

impl Outcome {
    /// Standard output, if the tool succeeded.
    ///
    /// # Panics
    /// When it did not: a test has failed.
    #[track_caller]
    pub fn success(self) -> String {
        assert!(self.status == 0, "the oracle says no: {self:?}");
        self.output
    }
}

impl Oracle {
    /// Finds the oracle root, and makes it when it is missing.
    ///
    /// # Panics
    /// When it cannot be made: a test that needs an oracle never passes without one.
    #[track_caller]
    pub fn open() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle-root");
        let made = Command::new(&script).output();
        match made {
            Ok(output) if output.status.success() => Self {
                root: PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()),
            },
            other => panic!(
                "the oracle root is missing and cannot be made (as root, with mmdebstrap \
                 installed, run {}): {other:?}",
                script.display()
            ),
        }
    }

    /// Where it is on this machine. Real files of a Debian 13 to read, never to change.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The .deb files it was made from.
    pub fn packages(&self) -> PathBuf {
        self.root.join("var/cache/apt/archives")
    }

    /// A new empty folder that both sides see, removed when dropped.
    ///
    /// # Panics
    /// When it cannot be made.
    #[track_caller]
    pub fn folder(&self) -> tempfile::TempDir {
        match tempfile::tempdir_in(self.root.join("tmp")) {
            Ok(folder) => folder,
            Err(error) => panic!("no folder in {}: {error}", self.root.display()),
        }
    }

    /// How a tool in the oracle root names a path of this machine that lies within it.
    ///
    /// # Panics
    /// When it lies elsewhere.
    #[track_caller]
    pub fn inside(&self, path: &Path) -> String {
        match path.strip_prefix(&self.root) {
            Ok(path) => format!("/{}", path.display()),
            Err(_) => panic!("{} is not in {}", path.display(), self.root.display()),
        }
    }

    /// Runs a tool of the oracle root (by chroot).
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn run(&self, command: &[&str]) -> Outcome {
        let mut chroot = Command::new("chroot");
        chroot.arg(&self.root).args(command);
        Self::finish(chroot, command)
    }

    /// As [`Oracle::run`], for tools that need `/proc`: it is mounted for this command alone.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn run_with_proc(&self, command: &[&str]) -> Outcome {
        const SCRIPT: &str = r#"mount -t proc proc "$0/proc" && exec chroot "$0" "$@""#;
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "sh", "-c", SCRIPT]);
        unshare.arg(&self.root).args(command);
        Self::finish(unshare, command)
    }

    #[track_caller]
    fn finish(mut prepared: Command, command: &[&str]) -> Outcome {
        let ran = prepared
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C")
            .output();
        match ran {
            Ok(output) => Outcome {
                status: output.status.code().unwrap_or(-1),
                output: String::from_utf8_lossy(&output.stdout).into_owned(),
                errors: String::from_utf8_lossy(&output.stderr).into_owned(),
            },
            Err(error) => panic!("{command:?} cannot be run in the oracle root: {error}"),
        }
    }
}
