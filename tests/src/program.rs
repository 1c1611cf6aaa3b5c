//! The program under test, run as a user runs it.

use crate::keys::test_keys;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

/// A run of `fortress-build`, to be started.
///
/// It works in the project's folder, with a store that all tests share (`target/test-store`), so that
/// nothing is downloaded or unpacked twice, and with keys of the tests' own.
#[derive(Debug)]
pub struct Program {
    command: Command,
}

/// What a run said.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub errors: String,
}

impl Program {
    /// A run with these arguments.
    #[track_caller]
    pub fn new<Argument: AsRef<OsStr>>(arguments: &[Argument]) -> Self {
        Self::under::<&str, _>(&[], arguments)
    }

    /// A run that another program starts: `strace`, `unshare`.
    #[track_caller]
    pub fn under<Word: AsRef<OsStr>, Argument: AsRef<OsStr>>(
        starter: &[Word],
        arguments: &[Argument],
    ) -> Self {
        let mut command = match starter.split_first() {
            None => Command::new(Self::path()),
            Some((first, others)) => {
                let mut command = Command::new(first);
                command.args(others).arg(Self::path());
                command
            }
        };
        command
            .args(arguments)
            .current_dir(project_folder())
            .stdin(Stdio::null())
            .env("FORTRESS_STORE", target_folder().join("test-store"))
            .env("FORTRESS_KEYS", test_keys());
        for name in ["FORTRESS_PROJECT", "NO_COLOR", "COLUMNS"] {
            command.env_remove(name);
        }
        Self { command }
    }

    /// Where it is: beside this test, made by the same cargo.
    ///
    /// # Panics
    /// When it is missing, or older than what it is made from.
    #[track_caller]
    pub fn path() -> PathBuf {
        static PATH: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        match PATH.get_or_init(find) {
            Ok(path) => path.clone(),
            Err(reason) => panic!("{reason}: cargo build --release --workspace"),
        }
    }

    /// With a variable of the environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Without any variable that was not given here after it.
    #[must_use]
    pub fn bare(mut self) -> Self {
        self.command.env_clear();
        self
    }

    /// In another folder.
    #[must_use]
    pub fn within(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn start(mut self) -> Child {
        let started = self
            .command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        match started {
            Ok(child) => child,
            Err(error) => panic!("cannot start {:?}: {error}", self.command),
        }
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn run(self) -> Ran {
        Ran::of(self.start())
    }
}

impl Ran {
    /// Waits for a run's end.
    ///
    /// # Panics
    /// When it says anything but UTF-8.
    #[track_caller]
    pub fn of(child: Child) -> Self {
        let Output {
            status,
            stdout,
            stderr,
        } = child.wait_with_output().unwrap();
        Self {
            code: status.code().unwrap_or(-1),
            output: String::from_utf8(stdout).unwrap(),
            errors: String::from_utf8(stderr).unwrap(),
        }
    }

    /// Standard output, if all went well.
    ///
    /// # Panics
    /// When it did not.
    #[track_caller]
    pub fn success(self) -> String {
        assert!(
            self.code == 0,
            "exit code {}\n{}{}",
            self.code,
            self.output,
            self.errors
        );
        self.output
    }

    /// What it said when it refused, if it did with this exit code: the error, its causes, the
    /// hint; without the progress before.
    ///
    /// # Panics
    /// When it did not, or when it printed a result.
    #[track_caller]
    pub fn refusal(self, code: i32) -> String {
        assert!(
            self.code == code && self.output.is_empty(),
            "exit code {}, expected {code}\n{}{}",
            self.code,
            self.output,
            self.errors
        );
        match self.errors.find("error: ") {
            Some(place) => self.errors[place..].to_owned(),
            None => panic!("it says no error: {}", self.errors),
        }
    }
}

/// Runs a tool of this machine; its output, if it succeeds.
///
/// # Panics
/// When it is not there, or does not succeed.
#[track_caller]
pub fn tool(name: &str, arguments: &[&str]) -> String {
    let ran = Command::new(name)
        .args(arguments)
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .output();
    match ran {
        Ok(output) if output.status.success() => String::from_utf8(output.stdout).unwrap(),
        other => panic!("{name} {arguments:?} (see tests/host-packages.txt): {other:?}"),
    }
}

/// The project's own folder.
pub fn project_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Cargo's target folder, in which this test's executable is.
///
/// # Panics
/// When it is elsewhere.
pub fn target_folder() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // target/release/deps/test
    test.ancestors().nth(3).unwrap().to_owned()
}

/// The program, if no source is newer.
fn find() -> Result<PathBuf, String> {
    let path = target_folder().join("release/fortress-build");
    let changed = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified());
    let missing = |path: &Path| format!("{} is missing", path.display());
    let built = changed(&path).map_err(|_| missing(&path))?;
    // What it is made from, as cargo wrote it down: `program: source source`.
    let list = path.with_extension("d");
    let text = fs::read_to_string(&list).map_err(|_| missing(&list))?;
    let sources = text.split_once(": ").map_or("", |(_, sources)| sources);
    for source in sources.replace("\\ ", "\0").split_whitespace() {
        let source = PathBuf::from(source.replace('\0', " "));
        if changed(&source).is_ok_and(|time| time > built) {
            return Err(format!(
                "{} is older than {}",
                path.display(),
                source.display()
            ));
        }
    }
    Ok(path)
}
