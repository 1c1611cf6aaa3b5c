//! An image's SHA-256, by which a test proves that it changed nothing.

use crate::error::{Error, Result};
use fortress_progress::{Observer, Unit};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The file's SHA-256, hexadecimal.
pub(crate) fn of_file(path: &Path, observer: &dyn Observer) -> Result<String> {
    let mut file = File::open(path).map_err(Error::file("open", path))?;
    let length = file.metadata().map_err(Error::file("read", path))?.len();
    let stage = observer.stage("hash the image", Some(length), Unit::Bytes);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer).map_err(Error::file("read", path))?;
        if count == 0 {
            break;
        }
        if observer.cancelled() {
            return Err(Error::Cancelled);
        }
        hasher.update(&buffer[..count]);
        stage.advance(count as u64);
    }
    Ok(hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}
