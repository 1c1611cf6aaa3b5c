//! What these tests share.

use fortress_progress::Silent;
use fortress_trust::{Error, KeySet, NewKeys, OwnerSigner, Passphrase};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::LazyLock;
use tempfile::TempDir;

/// A key set that tests look at and do not change: it takes a while to make.
pub(crate) static KEYS: LazyLock<(TempDir, KeySet)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let keys = KeySet::generate(&folder.path().join("keys"), &new_keys(None)).unwrap();
    (folder, keys)
});

/// A key set as a stranger has it.
pub(crate) static STRANGER: LazyLock<(TempDir, KeySet)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let new = NewKeys {
        owner: "Mallory".into(),
        passphrase: None,
    };
    let keys = KeySet::generate(&folder.path().join("keys"), &new).unwrap();
    (folder, keys)
});

pub(crate) fn new_keys(passphrase: Option<&str>) -> NewKeys {
    NewKeys {
        owner: "Ada, Countess = \"of\" L\u{f6}velace".into(),
        passphrase: passphrase.map(|text| Passphrase::new(text.into())),
    }
}

pub(crate) fn keys() -> &'static KeySet {
    &KEYS.1
}

pub(crate) fn stranger() -> &'static KeySet {
    &STRANGER.1
}

/// A copy of the shared key set, to be changed.
pub(crate) fn copy() -> (TempDir, KeySet) {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("keys");
    run(
        "cp",
        [
            OsStr::new("-a"),
            keys().folder().as_os_str(),
            target.as_os_str(),
        ],
    );
    let keys = KeySet::open(&target).unwrap();
    (folder, keys)
}

/// A signer by keys without a passphrase.
pub(crate) fn signer(keys: &KeySet) -> OwnerSigner<'_> {
    let nobody = || -> Result<Passphrase, Error> { panic!("nobody asked for a passphrase") };
    keys.signer(&nobody, &Silent).unwrap()
}

/// Runs a tool of the field; it must succeed.
pub(crate) fn run<A: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = A>,
) -> String {
    let output = try_run(program, arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {text}{errors}");
    text
}

/// Runs a tool of the field.
pub(crate) fn try_run<A: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = A>,
) -> Output {
    Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| {
            panic!("cannot start {program} ({error}): install tests/host-packages.txt")
        })
}

/// The text of a path.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Writes a file and gives its path.
pub(crate) fn write(folder: &TempDir, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    text(&path).to_owned()
}

/// The path of a file of a set.
pub(crate) fn file(keys: &KeySet, name: &str) -> String {
    text(&keys.folder().join(name)).to_owned()
}
