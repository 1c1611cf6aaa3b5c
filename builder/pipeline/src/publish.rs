//! Artefacts get their names: in an order in which nothing looks whole that is not.
//!
//! What has no manifest is not whole. So a build takes away an older manifest first and writes its own
//! last; putting signatures in leaves the list of requests until the end, which says that it is not
//! done.

use crate::documents::{self, Document};
use crate::manifest::Manifest;
use crate::{Built, Error, Result};
use fortress_disk::{ImageFile, PartialFile};
use fortress_package::Archive;
use fortress_trust::{Requests, Signatures};
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What there is of signatures once all is done.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// All of them.
    Signed(Signatures),
    /// None: these are to be made.
    Requested(Requests),
}

/// Names what a build has made.
pub(crate) fn built(
    image: ImageFile,
    manifest: Manifest,
    texts: Vec<Document>,
    outcome: &Outcome,
    archives: &[Archive],
) -> Result<Built> {
    let path = image.path().to_owned();
    // Nothing of an older build must stand beside a new image.
    for ending in documents::endings() {
        remove(&beside(&path, &ending))?;
    }
    let image = image.finish()?;
    let requests = match outcome {
        Outcome::Signed(signatures) => {
            let list = Document::new(documents::SIGNATURES, signatures.to_json());
            write_all(&path, texts, list)?;
            None
        }
        Outcome::Requested(requests) => {
            let list = Document::new(documents::REQUESTS, requests.to_json());
            write_all(&path, texts, list)?;
            Some(beside(&path, documents::REQUESTS))
        }
    };
    let allocated = fs::metadata(&image).map_or(0, |metadata| metadata.blocks() * 512);
    let downloads = archives
        .iter()
        .filter_map(|archive| fs::metadata(&archive.path).ok());
    Ok(Built {
        manifest_path: beside(&path, documents::MANIFEST),
        image,
        manifest,
        requests,
        allocated,
        downloads: downloads.map(|metadata| metadata.len()).sum(),
    })
}

/// Names an image with its signatures.
pub(crate) fn joined(
    image: ImageFile,
    texts: Vec<Document>,
    signatures: &Signatures,
) -> Result<PathBuf> {
    let path = image.finish()?;
    let list = Document::new(documents::SIGNATURES, signatures.to_json());
    write_all(&path, texts, list)?;
    remove(&beside(&path, documents::REQUESTS))?;
    Ok(path)
}

/// The path of a document beside an image.
pub(crate) fn beside(image: &Path, ending: &str) -> PathBuf {
    let name = image.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".img").unwrap_or(&name);
    image.with_file_name(format!("{stem}{ending}"))
}

/// Writes the documents in their order, the manifest last.
fn write_all(image: &Path, texts: Vec<Document>, list: Document) -> Result<()> {
    for document in std::iter::once(list).chain(texts) {
        write(&beside(image, &document.ending), &document.bytes)?;
    }
    Ok(())
}

/// Writes a file that appears whole.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |source| Error::io("write", path, source);
    let mut file = PartialFile::create(path).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.finish().map_err(failed)?;
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("replace", path, error)),
        _ => Ok(()),
    }
}
