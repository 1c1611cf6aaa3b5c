//! A partition with a FAT, from which firmware starts: its files, and whether its structure is whole.

use crate::measured::add_filled;
use crate::parts::Part;
use crate::verdict::{Fault, Finding, Findings};
use fortress_disk::Region;
use fortress_filesystem::ReadAt;
use fortress_filesystem::fat::{self, ByteOwner, Volume, VolumeStructure};
use fortress_trust::Refusal;
use sha2::{Digest, Sha256};
use std::io::{self, Read, Seek, SeekFrom};

/// A file's bytes, to be read in order or not.
#[derive(Debug)]
pub(crate) struct FileReader<'a> {
    source: &'a dyn ReadAt,
    /// Where it lies in the image.
    stretches: Vec<Region>,
    pub(crate) length: u64,
    position: u64,
}

impl Read for FileReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut start = 0;
        for stretch in &self.stretches {
            let within = self.position.wrapping_sub(start);
            if self.position >= start && within < stretch.length {
                let length = (buffer.len() as u64).min(stretch.length - within) as usize;
                let buffer = &mut buffer[..length];
                self.source
                    .read_exact_at(buffer, stretch.offset.saturating_add(within))?;
                self.position += length as u64;
                return Ok(length);
            }
            start += stretch.length;
        }
        Ok(0)
    }
}

impl Seek for FileReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

impl FileReader<'_> {
    /// Which bytes of the image the file's are.
    pub(crate) fn place(&self, at: u64, length: u64) -> Option<Region> {
        let mut start = 0;
        for stretch in &self.stretches {
            if at >= start && at - start < stretch.length {
                let within = at - start;
                let length = length.min(stretch.length - within);
                return Some(Region::new(stretch.offset + within, length));
            }
            start += stretch.length;
        }
        None
    }
}

impl ReadAt for FileReader<'_> {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut reader = FileReader {
            source: self.source,
            stretches: self.stretches.clone(),
            length: self.length,
            position: offset,
        };
        reader.read_exact(buffer)
    }
}

/// What kind of fault a refused signature is: a stranger's is another than one that does not fit.
pub(crate) fn fault_of(refusal: &Refusal) -> Fault {
    match refusal {
        Refusal::Unsigned | Refusal::Stranger { .. } => Fault::NotSigned,
        _ => Fault::Damaged,
    }
}

/// A partition with a FAT.
pub(crate) struct Partition<'a> {
    pub(crate) source: &'a dyn ReadAt,
    pub(crate) part: &'a Part,
    /// Whether a machine may have started from it, and written to it as it does.
    pub(crate) used: bool,
    /// Whether its SHA-256 is the manifest's.
    pub(crate) same: bool,
}

impl Partition<'_> {
    /// Reads the volume and checks its structure; none if it cannot be read, which is a finding.
    pub(crate) fn read(
        &self,
        findings: &mut Findings,
    ) -> io::Result<Option<(Volume<'_>, VolumeStructure)>> {
        let region = self.part.region;
        let read = fat::read(self.source, region.offset, region.length);
        let checked = fat::check(self.source, region.offset, region.length);
        match (read, checked) {
            (Ok(volume), Ok(structure)) => {
                self.structure(&structure, findings);
                Ok(Some((volume, structure)))
            }
            (Err(error), _) | (_, Err(error)) => {
                would_block(&error)?;
                let what = Some("file system".into());
                self.damaged(findings, None, what, error.to_string());
                Ok(None)
            }
        }
    }

    pub(crate) fn damaged(
        &self,
        findings: &mut Findings,
        bytes: Option<Region>,
        belongs_to: Option<String>,
        reason: String,
    ) {
        self.wrong(findings, Fault::Damaged, bytes, belongs_to, reason);
    }

    pub(crate) fn wrong(
        &self,
        findings: &mut Findings,
        fault: Fault,
        bytes: Option<Region>,
        belongs_to: Option<String>,
        reason: String,
    ) {
        findings.add(Finding {
            fault,
            reason,
            part: self.part.name.clone(),
            bytes: bytes.map(Into::into),
            belongs_to,
        });
    }

    /// A refused signature: a stranger's is another fault than one that does not fit.
    pub(crate) fn refused(&self, findings: &mut Findings, what: String, refusal: &Refusal) {
        let fault = fault_of(refusal);
        self.wrong(findings, fault, None, Some(what), refusal.to_string());
    }

    fn structure(&self, structure: &VolumeStructure, findings: &mut Findings) {
        for problem in structure.problems() {
            let bytes = problem.bytes.clone().map(|bytes| {
                let length = bytes.end.saturating_sub(bytes.start);
                Region::new(self.part.region.offset + bytes.start, length)
            });
            let owner = problem
                .bytes
                .as_ref()
                .map(|bytes| owner(structure, bytes.start));
            self.damaged(findings, bytes, owner, problem.reason.clone());
        }
    }

    /// A file to be read; none if where it lies cannot be told, which is a finding.
    pub(crate) fn open(
        &self,
        volume: &Volume<'_>,
        path: &str,
        findings: &mut Findings,
    ) -> io::Result<Option<FileReader<'_>>> {
        let stretches = match volume.stretches(path) {
            Ok(stretches) => stretches,
            Err(error) => {
                would_block(&error)?;
                self.damaged(findings, None, Some(path.to_owned()), error.to_string());
                return Ok(None);
            }
        };
        let start = self.part.region.offset;
        let stretches: Vec<Region> = stretches
            .into_iter()
            .map(|(offset, length)| Region::new(start.saturating_add(offset), length))
            .collect();
        Ok(Some(FileReader {
            source: self.source,
            length: stretches.iter().map(|stretch| stretch.length).sum(),
            stretches,
            position: 0,
        }))
    }

    pub(crate) fn free_room(
        &self,
        structure: &VolumeStructure,
        findings: &mut Findings,
    ) -> io::Result<()> {
        let region = self.part.region;
        let mut buffer = vec![0; 1 << 20];
        let mut filled = Vec::new();
        for free in structure.free(region.length) {
            let mut at = free.start;
            while at < free.end {
                let length = (free.end - at).min(buffer.len() as u64) as usize;
                let piece = &mut buffer[..length];
                self.source.read_exact_at(piece, region.offset + at)?;
                add_filled(&mut filled, piece, region.offset + at);
                at += length as u64;
            }
        }
        if self.used {
            if !filled.is_empty() {
                findings.note("free room of its boot partition is not empty");
            }
            return Ok(());
        }
        for bytes in filled {
            let owner = Some("free room of the file system".into());
            self.damaged(findings, Some(bytes), owner, "there should be zeros".into());
        }
        Ok(())
    }
}

/// Hashes what passes.
pub(crate) struct Hashing<'a, R> {
    pub(crate) inner: &'a mut R,
    pub(crate) hasher: Sha256,
}

impl<R: Read> Read for Hashing<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..length]);
        Ok(length)
    }
}

pub(crate) fn copy_to(from: &mut dyn Read, hasher: &mut Sha256) -> io::Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            length => hasher.update(&buffer[..length]),
        }
    }
}

/// Passes on that a source has not all bytes now.
pub(crate) fn would_block(error: &fortress_filesystem::Error) -> io::Result<()> {
    match error {
        fortress_filesystem::Error::Io { source, .. }
            if source.kind() == io::ErrorKind::WouldBlock =>
        {
            Err(io::ErrorKind::WouldBlock.into())
        }
        _ => Ok(()),
    }
}

/// What a byte of the volume belongs to, for people.
fn owner(structure: &VolumeStructure, at: u64) -> String {
    match structure.owner(at) {
        ByteOwner::BootSector => "boot sector".into(),
        ByteOwner::Table(copy) => format!("copy {} of the table", copy + 1),
        ByteOwner::Directory(path) if path.is_empty() => "root directory".into(),
        ByteOwner::Directory(path) => format!("directory {path}"),
        ByteOwner::Contents { path, offset } => format!("{path}, byte {offset} of it"),
        ByteOwner::Free => "free room of the file system".into(),
    }
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
