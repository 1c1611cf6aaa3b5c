//! Keys that tests sign with. They are made when they are needed; none is ever kept with the sources.

use crate::program::{Program, target_folder};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The key set that all tests share (`target/test-keys`): made by the first one that asks.
///
/// # Panics
/// When it cannot be made.
#[track_caller]
pub fn test_keys() -> &'static Path {
    static KEYS: OnceLock<PathBuf> = OnceLock::new();
    KEYS.get_or_init(|| {
        let folder = target_folder().join("test-keys");
        if !folder.join("keys.toml").exists() {
            let made = make(&folder, "Test Owner");
            // Another test may have been quicker.
            assert!(folder.join("keys.toml").exists(), "{made:?}");
        }
        folder
    })
}

/// Keys of somebody else.
///
/// # Panics
/// When they cannot be made.
#[track_caller]
pub fn strangers_keys() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let made = make(folder.path(), "Stranger");
    assert!(made.status.success(), "{made:?}");
    folder
}

/// The public halves of a key set.
///
/// # Panics
/// When they cannot be written.
#[track_caller]
pub fn public_halves(keys: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("public");
    Program::new(&["keys", "export", path.to_str().unwrap()])
        .variable("FORTRESS_KEYS", keys)
        .run()
        .success();
    // As a key set, the folder is the one below.
    for entry in fs::read_dir(&path).unwrap() {
        let entry = entry.unwrap();
        fs::rename(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    fs::remove_dir(path).unwrap();
    folder
}

fn make(folder: &Path, owner: &str) -> std::process::Output {
    Command::new(Program::path())
        .args(["keys", "new", "--owner", owner, "--keys"])
        .arg(folder)
        .output()
        .unwrap()
}
