//! Keys and signatures made by GnuPG, in a home of their own that goes with the value. Keys are
//! made for each test, so none needs to be kept.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// A GnuPG home.
#[derive(Debug)]
pub struct Gpg {
    home: tempfile::TempDir,
    /// What GnuPG takes the time to be, in seconds since 1970.
    time: Option<i64>,
}

impl Default for Gpg {
    fn default() -> Self {
        Self::new()
    }
}

impl Gpg {
    /// An empty home.
    ///
    /// # Panics
    /// When none can be made.
    #[track_caller]
    pub fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        Self { home, time: None }
    }

    /// Takes it to be another time from now on.
    pub fn at(&mut self, time: i64) -> &mut Self {
        self.time = Some(time);
        self
    }

    /// Where its files are.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Runs `gpg`, gives it `input`, and returns what it says, if it succeeds.
    ///
    /// # Errors
    /// What it says on standard error.
    ///
    /// # Panics
    /// When GnuPG (package `gpg`) is not installed.
    #[track_caller]
    pub fn try_run(&self, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
        let mut command = Command::new("gpg");
        command
            .arg("--homedir")
            .arg(self.home.path())
            .args(["--batch", "--no-tty", "--quiet", "--yes"])
            .args(["--pinentry-mode", "loopback", "--passphrase", ""])
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(time) = self.time {
            // With "!" the clock stands still: on a slow machine a key would else be made later
            // than the next run begins.
            command.arg("--faked-system-time").arg(format!("{time}!"));
        }
        let mut child = match command.args(arguments).spawn() {
            Ok(child) => child,
            Err(error) => panic!("cannot run gpg (apt-get install gpg gpg-agent): {error}"),
        };
        let mut pipe = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            // GnuPG may have failed already and not read it.
            scope.spawn(move || drop(pipe.write_all(input)));
        });
        let output = child.wait_with_output().unwrap();
        match output.status.success() {
            true => Ok(output.stdout),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// Runs `gpg` as [`Self::try_run`] does.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn run(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        match self.try_run(arguments, input) {
            Ok(output) => output,
            Err(error) => panic!("gpg {arguments:?} failed: {error}"),
        }
    }

    /// Makes a key that signs, and returns its fingerprint. `algorithm`: `ed25519`, `rsa3072`;
    /// `expires`: `never`, `2y`, `seconds=60`.
    #[track_caller]
    pub fn generate(&self, name: &str, algorithm: &str, expires: &str) -> String {
        let name = format!("{name} <{name}@example.org>");
        self.run(
            &[
                "--quick-generate-key",
                &name,
                algorithm,
                "cert,sign",
                expires,
            ],
            b"",
        );
        self.fingerprint(&name)
    }

    /// The fingerprint of a (primary) key.
    ///
    /// # Panics
    /// When there is no such key.
    #[track_caller]
    pub fn fingerprint(&self, name: &str) -> String {
        let list = self.run(&["--with-colons", "--list-keys", &format!("={name}")], b"");
        let list = String::from_utf8_lossy(&list).into_owned();
        let line = list.lines().find(|line| line.starts_with("fpr:")).unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }

    /// A public key, armoured.
    #[track_caller]
    pub fn export(&self, key: &str) -> Vec<u8> {
        self.run(&["--armor", "--export", key], b"")
    }

    /// A text with its signature by a key (with `!`: by that very subkey).
    #[track_caller]
    pub fn clear_sign(&self, key: &str, text: &str) -> String {
        let arguments = [
            "--local-user",
            key,
            "--digest-algo",
            "SHA512",
            "--clear-sign",
        ];
        String::from_utf8(self.run(&arguments, text.as_bytes())).unwrap()
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        // Its agent would stay otherwise.
        let home = self.home.path();
        let killed = Command::new("gpgconf")
            .arg("--homedir")
            .arg(home)
            .args(["--kill", "all"])
            .status();
        drop(killed);
    }
}
