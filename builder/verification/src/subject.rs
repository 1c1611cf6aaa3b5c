//! What is verified: an image file, a block device, a compressed artefact.

use crate::{Error, Result};
use serde::Serialize;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::{Path, PathBuf};

/// How a Zstandard frame begins (RFC 8878, section 3.1.1).
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// How an xz stream begins (xz file format 1.2.1, section 2.1.1.1).
const XZ: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];

/// In what form an image is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// A file, byte by byte.
    Image,
    /// A disk that it was written to; what is behind the image there is not the image's.
    Device,
    /// Compressed with Zstandard.
    Zstd,
    /// Compressed with xz.
    Xz,
}

/// What is verified.
#[derive(Debug)]
pub struct Subject {
    path: PathBuf,
    manifest: PathBuf,
    file: File,
    form: Form,
    length: u64,
}

impl Subject {
    /// Opens an image. Its manifest is `manifest`, or else beside it: `NAME.manifest.json` for
    /// `NAME.img`, `NAME.img.zst` and `NAME.img.xz`.
    ///
    /// # Errors
    /// When it cannot be read, a folder included.
    pub fn open(path: &Path, manifest: Option<&Path>) -> Result<Self> {
        let failed = |source| Error::read(path, source);
        let mut file = File::open(path).map_err(failed)?;
        let kind = file.metadata().map_err(failed)?.file_type();
        if kind.is_dir() {
            return Err(failed(std::io::ErrorKind::IsADirectory.into()));
        }
        let length = file.seek(SeekFrom::End(0)).map_err(failed)?;
        file.rewind().map_err(failed)?;
        let mut start = [0; XZ.len()];
        let start = match file.read_exact_at(&mut start, 0) {
            Ok(()) => &start[..],
            Err(_) => &[],
        };
        let form = match () {
            () if kind.is_block_device() => Form::Device,
            () if start.starts_with(&ZSTD) => Form::Zstd,
            () if start == XZ => Form::Xz,
            () => Form::Image,
        };
        Ok(Self {
            manifest: manifest.map_or_else(|| manifest_beside(path), Path::to_owned),
            path: path.to_owned(),
            file,
            form,
            length,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where its manifest should be.
    pub fn manifest(&self) -> &Path {
        &self.manifest
    }

    /// In what form the image is there.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Length of the file or device in bytes; of what is compressed, before it is unpacked.
    pub fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}

/// The manifest that belongs to an image by its name.
fn manifest_beside(image: &Path) -> PathBuf {
    let plain = match image.extension().and_then(|ending| ending.to_str()) {
        Some("zst" | "xz") => image.with_extension(""),
        _ => image.to_owned(),
    };
    plain.with_extension("manifest.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_lie_beside_images() {
        for image in ["o/host_0.1.img", "o/host_0.1.img.zst", "o/host_0.1.img.xz"] {
            let manifest = manifest_beside(Path::new(image));
            assert_eq!(manifest, Path::new("o/host_0.1.manifest.json"));
        }
    }

    #[test]
    fn a_folder_is_no_image() {
        let folder = tempfile::tempdir().unwrap();
        let error = Subject::open(folder.path(), None).unwrap_err();
        assert!(error.to_string().starts_with("cannot read"));
    }
}
