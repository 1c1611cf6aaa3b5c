//! The image that is to be written, and whose it is.

use crate::source::Source;
use crate::{Error, Result, State};
use fortress_pipeline::manifest::Manifest;
use fortress_trust::PublicKeys;
use fortress_verification::{Form, Outcome, Subject};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// An image whose manifest the owner has signed. Whether it is what the manifest says shows while it
/// is written.
#[derive(Debug)]
pub struct Image {
    path: PathBuf,
    file: File,
    form: Form,
    manifest: Manifest,
}

impl Image {
    /// Opens an image (`.img`, or compressed: `.zst`, `.xz`) and checks the signature of its manifest,
    /// which is `manifest`, or else beside it: `NAME.manifest.json`.
    ///
    /// # Errors
    /// When it cannot be read, or the owner has not signed its manifest.
    pub fn open(path: &Path, manifest: Option<&Path>, keys: &PublicKeys) -> Result<Self> {
        let subject = Subject::open(path, manifest)?;
        let (manifest, verdict) = fortress_verification::manifest(subject.manifest(), keys)?;
        let manifest = match (manifest, verdict.outcome) {
            (Some(manifest), Outcome::Good) => manifest,
            (_, _) => {
                return Err(Error::NotVerified {
                    what: path.display().to_string(),
                    verdict: Box::new(verdict),
                    state: State::Untouched,
                });
            }
        };
        let form = subject.form();
        let (length, wanted) = (subject.length(), manifest.image.length);
        if !matches!(form, Form::Zstd | Form::Xz) && length != wanted {
            return Err(Error::Damaged {
                path: path.to_owned(),
                reason: format!("it has {length} bytes, and its manifest says {wanted}"),
                state: State::Untouched,
            });
        }
        let file = File::open(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            file,
            form,
            manifest,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How long it is when it is unpacked, in bytes.
    pub fn length(&self) -> u64 {
        self.manifest.image.length
    }

    /// Its manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// File system and number of its file.
    pub(crate) fn identity(&self) -> (u64, u64) {
        self.file
            .metadata()
            .map_or((0, 0), |file| (file.dev(), file.ino()))
    }

    pub(crate) fn source(&self) -> Result<Source<'_>> {
        let path = &self.path;
        Source::new(&self.file, self.form, self.length()).map_err(|source| Error::Read {
            path: path.clone(),
            source,
        })
    }
}
