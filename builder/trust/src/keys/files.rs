//! The files of a key set: their names, and how they are read and written.

use crate::{Error, PublicKey, Result, Role};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

pub(super) const SETTINGS: &str = "keys.toml";
pub(super) const RETIRED: &str = "retired";
/// No file of a key set is longer than this, in bytes.
const MOST: u64 = 1 << 20;

pub(super) fn private_path(folder: &Path, role: Role) -> PathBuf {
    folder.join(format!("{role}.key.pem"))
}

pub(super) fn public_path(folder: &Path, role: Role) -> PathBuf {
    folder.join(format!("{role}.pub.pem"))
}

pub(super) fn certificate_path(folder: &Path, role: Role) -> PathBuf {
    folder.join(format!("{role}.crt"))
}

/// Where a key is kept once it is replaced, below `retired/`.
pub(super) fn retired_folder(
    retired: &Path,
    role: Role,
    date: &str,
    key: &PublicKey,
) -> Result<PathBuf> {
    let fingerprint = key.fingerprint()?;
    let short = fingerprint.get(..16).unwrap_or(&fingerprint);
    Ok(retired.join(format!("{role}-{date}-{short}")))
}

/// The text of a file; none if there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<Zeroizing<String>>> {
    let failed = |error| Error::file("read", path, error);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    // Large enough not to be moved, which would leave a part unwiped.
    let mut text = Zeroizing::new(String::with_capacity(64 * 1024));
    file.take(MOST).read_to_string(&mut text).map_err(failed)?;
    Ok(Some(text))
}

/// Writes a new file, for the owner alone if it is private, and sees to it that it is on the disk.
pub(super) fn write(path: &Path, content: &[u8], private: bool) -> Result<()> {
    let failed = |error| Error::file("write", path, error);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(if private { 0o600 } else { 0o644 })
        .open(path)
        .map_err(failed)?;
    file.write_all(content).map_err(failed)?;
    file.sync_all().map_err(failed)
}

/// Writes the public half of a key and its certificate.
pub(super) fn write_public(folder: &Path, role: Role, key: &PublicKey) -> Result<()> {
    write(&public_path(folder, role), key.pem()?.as_bytes(), false)?;
    match key.certificate() {
        Some(certificate) => write(
            &certificate_path(folder, role),
            certificate.pem()?.as_bytes(),
            false,
        ),
        None => Ok(()),
    }
}

/// Refuses a private file that others can read or write.
pub(super) fn check_private(path: &Path) -> Result<()> {
    check_mode(path, 0o077, "read", 0o600)
}

/// Refuses a folder of private files in which others can put files of theirs.
pub(super) fn check_folder(path: &Path) -> Result<()> {
    check_mode(path, 0o022, "changed", 0o700)
}

fn check_mode(path: &Path, forbidden: u32, how: &'static str, wanted: u32) -> Result<()> {
    let metadata = path
        .metadata()
        .map_err(|error| Error::file("read", path, error))?;
    let mode = metadata.permissions().mode() & 0o7777;
    match mode & forbidden {
        0 => Ok(()),
        _ => Err(Error::Exposed {
            path: path.to_owned(),
            how,
            mode,
            wanted,
        }),
    }
}
