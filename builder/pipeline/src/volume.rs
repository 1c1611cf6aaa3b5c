//! A file system of an image that firmware reads, with files whose signatures are put in.

use crate::stretch::Stretch;
use crate::{Error, Result};
use fortress_disk::Region;
use fortress_filesystem::fat::{self, Volume};
use std::fs::File;
use std::io::Write;

/// A boot partition's file system.
#[derive(Debug)]
pub(crate) struct BootVolume<'a> {
    image: &'a File,
    /// Which partition, for messages.
    name: &'static str,
    region: Region,
    volume: Volume<'a>,
}

impl<'a> BootVolume<'a> {
    pub(crate) fn open(image: &'a File, name: &'static str, region: Region) -> Result<Self> {
        Ok(Self {
            image,
            name,
            region,
            volume: fat::read(image, region.offset, region.length)?,
        })
    }

    /// A file's place in the image.
    pub(crate) fn file(&self, path: &str) -> Result<Stretch<'a>> {
        match self.volume.stretches(path)?.as_slice() {
            [(offset, length)] => Ok(Stretch::new(
                self.image,
                Region::new(self.region.offset + offset, *length),
            )),
            _ => Err(changed(self.name, path, "it is empty, or in pieces")),
        }
    }

    /// Puts bytes in the place of a file that is as long.
    pub(crate) fn replace(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let mut file = self.file(path)?;
        let length = file.region().length;
        if length != bytes.len() as u64 {
            let reason = format!("it is {length} bytes long, and should be {}", bytes.len());
            return Err(changed(self.name, path, &reason));
        }
        file.write_all(bytes)
            .map_err(|source| Error::io("write", path, source))
    }
}

/// The error that a file is not what this program wrote.
pub(crate) fn changed(partition: &'static str, path: &str, reason: &str) -> Error {
    Error::Partition {
        partition: partition.into(),
        reason: format!("{path}: {reason}"),
    }
}
