//! The machine's disk: the image itself, read-only, below an overlay that takes what is written.

use crate::error::{Error, Result};
use crate::machine::{Alteration, DiskInterface};
use crate::program;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

const INSTALL: &str = "sudo apt-get install qemu-utils";

/// The name of the first disk's overlay.
pub(crate) const OVERLAY: &str = "disk.qcow2";

/// The image and the overlay that hides it from writes.
#[derive(Debug)]
pub(crate) struct Disk {
    /// The block device's name in QEMU.
    node: String,
    image: PathBuf,
    format: &'static str,
    overlay: PathBuf,
    size: u64,
}

impl Disk {
    /// Describes the disk that [`Disk::reset`] makes.
    pub(crate) fn new(
        node: &str,
        image: &Path,
        work_folder: &Path,
        extra_space: u64,
        interface: DiskInterface,
    ) -> Result<Self> {
        let image = image
            .canonicalize()
            .map_err(Error::file("open", image.to_path_buf()))?;
        let (format, size) = shape(&image).map_err(Error::file("read", &image))?;
        let size = size.saturating_add(extra_space);
        Ok(Self {
            overlay: work_folder.join(format!("{node}.qcow2")),
            node: node.to_owned(),
            format,
            size: match interface {
                DiskInterface::SdCard => size.checked_next_power_of_two().unwrap_or(size),
                _ => size.next_multiple_of(1 << 20),
            },
            image,
        })
    }

    /// The block device's name in QEMU.
    pub(crate) fn node(&self) -> &str {
        &self.node
    }

    /// The overlay's file.
    pub(crate) fn overlay(&self) -> &Path {
        &self.overlay
    }

    /// Makes the overlay anew, so that the guest finds the image as it is, but for `alterations`.
    pub(crate) fn reset(&self, alterations: &[Alteration]) -> Result<()> {
        remove(&self.overlay)?;
        program::run(
            "make the disk overlay",
            Command::new(program::need("qemu-img", INSTALL)?)
                .args(["create", "-q", "-f", "qcow2", "-F", self.format, "-b"])
                .arg(&self.image)
                .arg(&self.overlay)
                .arg(self.size.to_string()),
        )?;
        for alteration in alterations {
            self.alter(alteration)?;
        }
        Ok(())
    }

    fn alter(&self, alteration: &Alteration) -> Result<()> {
        let length = alteration.bytes.len() as u64;
        if length == 0 || alteration.offset.saturating_add(length) > self.size {
            return Err(Error::Plan {
                why: format!(
                    "{length} bytes at {} are to be altered on a disk of {} bytes",
                    alteration.offset, self.size
                ),
            });
        }
        let folder = self.overlay.parent().unwrap_or(Path::new("."));
        let mut bytes = tempfile::NamedTempFile::new_in(folder)
            .map_err(Error::file("make a file in", folder))?;
        bytes
            .write_all(&alteration.bytes)
            .map_err(Error::file("write", bytes.path()))?;
        let name = bytes.path().file_name().unwrap_or_default();
        // In that folder, since qemu-io splits its command at blanks, which a path may hold.
        program::run(
            "alter the disk overlay",
            Command::new(program::need("qemu-io", INSTALL)?)
                .current_dir(folder)
                .args(["-f", "qcow2", "-c"])
                .arg(format!(
                    "write -q -s {} {} {length}",
                    name.to_string_lossy(),
                    alteration.offset
                ))
                .arg(&self.overlay),
        )
    }

    /// The disk for QEMU's `-blockdev`.
    pub(crate) fn block_device(&self) -> Value {
        json!({
            "node-name": self.node,
            "driver": "qcow2",
            "discard": "unmap",
            "file": {
                "driver": "file",
                "filename": self.overlay.to_string_lossy(),
                "cache": {"direct": false},
            },
            "backing": {
                "driver": self.format,
                "read-only": true,
                "file": {
                    "driver": "file",
                    "filename": self.image.to_string_lossy(),
                    "read-only": true,
                },
            },
        })
    }
}

/// Removes a file that may be missing.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// An image's format, and how large the disk in it is: qcow2 says so in its header (magic at 0,
/// virtual size at 24, big-endian), anything else is raw.
fn shape(image: &Path) -> std::io::Result<(&'static str, u64)> {
    let mut file = File::open(image)?;
    let length = file.metadata()?.len();
    let mut header = [0; 32];
    if length >= 32 {
        file.read_exact(&mut header)?;
    }
    if header.starts_with(b"QFI\xfb") {
        let mut size = [0; 8];
        size.copy_from_slice(&header[24..]);
        return Ok(("qcow2", u64::from_be_bytes(size)));
    }
    Ok(("raw", length))
}
