//! What a machine with UEFI starts from: the EFI system partition, its programs and their
//! signatures, what the unified kernel image names and measures.

use crate::parts::{Part, Parts};
use crate::trusted::Trusted;
use crate::verdict::{Fault, Finding, Findings};
use fortress_boot::measure;
use fortress_boot::pe::signature::{self, Program};
use fortress_disk::Region;
use fortress_filesystem::ReadAt;
use fortress_filesystem::fat::{self, ByteOwner, Volume, VolumeStructure};
use fortress_pipeline::manifest::{Manifest, ProgramFacts, UefiFacts};
use fortress_trust::secure_boot::{self, Variable};
use fortress_trust::{Algorithm, PublicKey, Refusal, Role, authenticode, pcr, verity};
use sha2::{Digest, Sha256};
use std::io::{self, Read, Seek, SeekFrom};

/// Where the boot loader looks for keys to enrol.
const KEYS: &str = "loader/keys/auto";
/// Most bytes of a command line, a key, a signature file that are looked at.
const LONGEST: u64 = 256 * 1024;
/// What the boot loader itself writes.
const WRITTEN_AT_BOOT: [&str; 1] = ["loader/random-seed"];

/// The EFI system partition of an image.
pub(crate) struct Esp<'a> {
    pub(crate) source: &'a dyn ReadAt,
    pub(crate) part: &'a Part,
    pub(crate) manifest: &'a Manifest,
    pub(crate) facts: &'a UefiFacts,
    pub(crate) trusted: &'a Trusted<'a>,
    /// Whether a machine may have started from it, and renamed files as it does.
    pub(crate) used: bool,
    /// Whether its SHA-256 is the manifest's.
    pub(crate) same: bool,
}

/// A file's bytes, to be read in order or not.
#[derive(Debug)]
struct FileReader<'a> {
    source: &'a dyn ReadAt,
    /// Where it lies in the image.
    stretches: Vec<Region>,
    length: u64,
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
    fn place(&self, at: u64, length: u64) -> Option<Region> {
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

impl Esp<'_> {
    /// Checks everything; gives the signature's root hash check to the caller.
    pub(crate) fn check(&self, findings: &mut Findings) -> io::Result<()> {
        let region = self.part.region;
        let read = fat::read(self.source, region.offset, region.length);
        let checked = fat::check(self.source, region.offset, region.length);
        let (volume, structure) = match (read, checked) {
            (Ok(volume), Ok(structure)) => (volume, structure),
            (Err(error), _) | (_, Err(error)) => {
                would_block(&error)?;
                self.damaged(
                    findings,
                    None,
                    Some("file system".into()),
                    error.to_string(),
                );
                return Ok(());
            }
        };
        let before = findings.count();
        self.structure(&structure, findings);
        let mut known = Vec::new();
        for program in &self.facts.programs {
            match self.find(&volume, &program.path) {
                Some(path) => {
                    self.program(&volume, &path, program, findings)?;
                    known.push(path);
                }
                None => self.damaged(
                    findings,
                    None,
                    Some(program.path.clone()),
                    "it is missing".into(),
                ),
            }
        }
        for variable in Variable::ALL {
            self.enrolment(&volume, variable, findings)?;
        }
        self.strangers(&volume, &known, findings)?;
        self.rest(&volume, &structure, before, findings)
    }

    fn damaged(
        &self,
        findings: &mut Findings,
        bytes: Option<Region>,
        belongs_to: Option<String>,
        reason: String,
    ) {
        self.wrong(findings, Fault::Damaged, bytes, belongs_to, reason);
    }

    fn wrong(
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
    fn refused(&self, findings: &mut Findings, what: String, refusal: &Refusal) {
        let fault = match refusal {
            Refusal::Unsigned | Refusal::Stranger { .. } => Fault::NotSigned,
            _ => Fault::Damaged,
        };
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

    /// A file by its path; of what a machine has started, by its name without the tries as well.
    fn find(&self, volume: &Volume<'_>, path: &str) -> Option<String> {
        let files = || volume.entries().iter().filter(|entry| !entry.directory);
        let exact = files().find(|entry| entry.path == path);
        let exact = exact.or_else(|| {
            files().find(|entry| self.used && without_tries(&entry.path) == without_tries(path))
        });
        exact.map(|entry| entry.path.clone())
    }

    /// A file to be read; none if where it lies cannot be told, which is a finding.
    fn open(
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

    fn program(
        &self,
        volume: &Volume<'_>,
        path: &str,
        facts: &ProgramFacts,
        findings: &mut Findings,
    ) -> io::Result<()> {
        let Some(mut file) = self.open(volume, path, findings)? else {
            return Ok(());
        };
        let mut hashing = Hashing {
            inner: &mut file,
            hasher: Sha256::new(),
        };
        let program = signature::examine(&mut hashing)?;
        // What follows the signatures, if anything does, was not asked for.
        io::copy(&mut hashing, &mut io::sink())?;
        let digest: [u8; 32] = hashing.hasher.finalize().into();
        let same = hexadecimal(&digest) == facts.sha256;
        let whole = file.place(0, file.length);
        let program = match program {
            Ok(program) => program,
            Err(error) => {
                self.damaged(findings, whole, Some(path.into()), error.to_string());
                return Ok(());
            }
        };
        let signed = self.signed(&program);
        match &signed {
            Ok(()) => {}
            // Whose content changed has one finding, and not one for the signature besides.
            Err(Refusal::OtherContent { .. }) if !same => {}
            Err(refusal) => self.refused(findings, path.to_owned(), refusal),
        }
        if !same {
            self.locate(path, &mut file, &program, facts, findings)?;
        }
        if signed.is_ok() && same {
            findings.right(path, "signed by you (Authenticode)");
        }
        if facts.path == self.facts.uki {
            self.unified_kernel_image(path, &mut file, &program, findings)?;
        }
        Ok(())
    }

    /// Whether one of a program's signatures is the owner's.
    fn signed(&self, program: &Program) -> Result<(), Refusal> {
        let mut refusal = Refusal::Unsigned;
        for message in &program.signatures {
            let certificate = self.trusted.certificate(Role::Db, message);
            let accepted: Vec<_> = certificate.iter().collect();
            match authenticode::verify(message, &program.digest, &accepted) {
                Ok(_) => return Ok(()),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    /// Says which part of a program is not what it was.
    fn locate(
        &self,
        path: &str,
        file: &mut FileReader<'_>,
        program: &Program,
        facts: &ProgramFacts,
        findings: &mut Findings,
    ) -> io::Result<()> {
        let mut found = false;
        let length = file.length;
        for section in &facts.sections {
            let now = program.image.section(&section.name);
            let place = now.map(|now| (u64::from(now.raw_offset), u64::from(now.length())));
            let digest = match place {
                Some((at, length)) if at.saturating_add(length) <= file.length => {
                    let mut hasher = Sha256::new();
                    file.seek(SeekFrom::Start(at))?;
                    let mut section = (&mut *file).take(length);
                    copy_to(&mut section, &mut hasher)?;
                    Some(hexadecimal(&hasher.finalize()))
                }
                _ => None,
            };
            if digest.as_deref() != Some(section.sha256.as_str()) {
                found = true;
                let bytes = place.and_then(|(at, length)| file.place(at, length));
                let what = format!("{path}, section {}", section.name);
                let reason = "it is not what the manifest says".into();
                self.damaged(findings, bytes, Some(what), reason);
            }
        }
        if !found {
            let bytes = file.place(0, length);
            let reason = "its headers or its signature are not what the manifest says".into();
            self.damaged(findings, bytes, Some(path.into()), reason);
        }
        Ok(())
    }

    /// Checks what a unified kernel image names and what is signed of its measurements.
    fn unified_kernel_image(
        &self,
        path: &str,
        file: &mut FileReader<'_>,
        program: &Program,
        findings: &mut Findings,
    ) -> io::Result<()> {
        let command_line = section(file, program, ".cmdline")?;
        let command_line = String::from_utf8_lossy(&command_line);
        let command_line = command_line.trim_end_matches(['\0', '\n']);
        if !names_root_hash(command_line, &self.manifest.root_hash) {
            let what = format!("{path}, section .cmdline");
            let reason = format!(
                "it names another root hash than {}",
                self.manifest.root_hash
            );
            self.damaged(findings, None, Some(what), reason);
        } else if command_line != self.manifest.command_line {
            let what = format!("{path}, section .cmdline");
            let reason = "it is not the manifest's command line".into();
            self.damaged(findings, None, Some(what), reason);
        } else {
            findings.right(path, "names the root hash");
        }
        let values = match measure::measure(&program.image, file) {
            Ok(measurement) => measurement.phases(),
            Err(measure::Error::Read(error)) => return Err(error),
            Err(error) => {
                self.damaged(findings, None, Some(path.into()), error.to_string());
                return Ok(());
            }
        };
        let told = self
            .facts
            .pcr11
            .iter()
            .map(|facts| (&facts.phase, &facts.sha256));
        let measured: Vec<_> = values
            .iter()
            .map(|value| (&value.phase, hexadecimal(&value.value)))
            .collect();
        let same = measured.len() == self.facts.pcr11.len()
            && told
                .zip(&measured)
                .all(|(told, (phase, value))| told == (*phase, value));
        if !same {
            let reason = "it is measured into PCR 11 as another value than the manifest says";
            self.damaged(findings, None, Some(path.into()), reason.into());
        }
        let given = section(file, program, ".pcrpkey")?;
        let given = String::from_utf8_lossy(&given);
        let given = given.trim_end_matches('\0');
        let given = PublicKey::from_pem(given, Algorithm::Rsa2048Sha256).ok();
        let key = self.trusted.key(Role::Pcr, given.clone());
        let (Some(key), Some(given)) = (key, given) else {
            let what = format!("{path}, section .pcrpkey");
            let reason = "it is not your key for PCR policies".into();
            self.wrong(findings, Fault::NotSigned, None, Some(what), reason);
            return Ok(());
        };
        if !key.is_same_key(&given) {
            let what = format!("{path}, section .pcrpkey");
            let reason = "it is not your key for PCR policies".into();
            self.wrong(findings, Fault::NotSigned, None, Some(what), reason);
        }
        let signatures = section(file, program, ".pcrsig")?;
        let end = signatures
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |at| at + 1);
        match pcr::verify(&signatures[..end], &values, &key) {
            Ok(()) if same => findings.right(path, "its PCR 11 policies are signed by you"),
            Ok(()) => {}
            Err(refusal) => {
                let what = format!("{path}, section .pcrsig");
                self.refused(findings, what, &refusal);
            }
        }
        Ok(())
    }

    /// Checks a file that enrols keys.
    fn enrolment(
        &self,
        volume: &Volume<'_>,
        variable: Variable,
        findings: &mut Findings,
    ) -> io::Result<()> {
        let path = format!("{KEYS}/{}.auth", variable.name());
        let Some(found) = self.find(volume, &path) else {
            let reason = "it is missing".into();
            self.damaged(findings, None, Some(path), reason);
            return Ok(());
        };
        let Some(file) = self.open(volume, &found, findings)? else {
            return Ok(());
        };
        let mut bytes = Vec::new();
        file.take(LONGEST).read_to_end(&mut bytes)?;
        let parsed = match secure_boot::read(&bytes) {
            Ok(parsed) => parsed,
            Err(refusal) => {
                self.refused(findings, path, &refusal);
                return Ok(());
            }
        };
        let role = variable.signed_by();
        let certificate = self.trusted.certificate(role, parsed.signature);
        let accepted: Vec<_> = certificate.iter().collect();
        let wanted = secure_boot::content(self.trusted.keys, variable, self.facts.microsoft);
        match secure_boot::verify(variable, &bytes, &accepted) {
            Err(refusal) => self.refused(findings, path, &refusal),
            Ok(_) if wanted.is_ok_and(|wanted| wanted != parsed.content) => {
                let reason = "it enrols other keys than yours".into();
                self.wrong(findings, Fault::NotSigned, None, Some(path), reason);
            }
            Ok(_) => findings.right(path, "signed by you"),
        }
        Ok(())
    }

    /// Looks for programs that the manifest does not have.
    fn strangers(
        &self,
        volume: &Volume<'_>,
        known: &[String],
        findings: &mut Findings,
    ) -> io::Result<()> {
        for entry in volume.entries().iter().filter(|entry| !entry.directory) {
            if known.contains(&entry.path) {
                continue;
            }
            let Some(mut file) = self.open(volume, &entry.path, findings)? else {
                continue;
            };
            let mut start = [0; 2];
            let is_program = file.read_exact(&mut start).is_ok() && start == *b"MZ";
            let named = entry.path.to_ascii_lowercase().ends_with(".efi");
            if !is_program && !named {
                continue;
            }
            file.seek(SeekFrom::Start(0))?;
            let signed = match signature::examine(&mut file)? {
                Ok(program) => self.signed(&program).is_ok(),
                Err(_) => false,
            };
            let whole = file.place(0, file.length);
            match signed {
                // Another version of the owner's, in slot B.
                true if self.used => findings.note(format!(
                    "{} is signed by you and not of this image: it is not covered",
                    entry.path
                )),
                true => self.damaged(
                    findings,
                    whole,
                    Some(entry.path.clone()),
                    "it is signed by you and not of this image".into(),
                ),
                false => self.wrong(
                    findings,
                    Fault::NotSigned,
                    whole,
                    Some(entry.path.clone()),
                    "it is a program that you have not signed".into(),
                ),
            }
        }
        Ok(())
    }

    /// Looks into what no signature is on: the boot loader's settings, free room.
    fn rest(
        &self,
        volume: &Volume<'_>,
        structure: &VolumeStructure,
        before: usize,
        findings: &mut Findings,
    ) -> io::Result<()> {
        if self.same {
            findings.right(
                &self.part.name,
                "SHA-256 is the manifest's, FAT without a fault",
            );
            return Ok(());
        }
        for file in &self.facts.files {
            let Some(path) = self.find(volume, &file.path) else {
                self.damaged(
                    findings,
                    None,
                    Some(file.path.clone()),
                    "it is missing".into(),
                );
                continue;
            };
            let Some(mut reader) = self.open(volume, &path, findings)? else {
                continue;
            };
            let mut hasher = Sha256::new();
            copy_to(&mut reader, &mut hasher)?;
            if hexadecimal(&hasher.finalize()) != file.sha256 {
                let bytes = reader.place(0, reader.length);
                let reason = "it is not what the manifest says".into();
                self.damaged(findings, bytes, Some(path), reason);
            }
        }
        let told: Vec<&str> = self
            .facts
            .programs
            .iter()
            .map(|program| program.path.as_str())
            .chain(self.facts.files.iter().map(|file| file.path.as_str()))
            .collect();
        for entry in volume.entries().iter().filter(|entry| !entry.directory) {
            let known = |path: &&&str| {
                **path == entry.path
                    || self.used && without_tries(path) == without_tries(&entry.path)
            };
            let is_program = entry.path.to_ascii_lowercase().ends_with(".efi");
            if told.iter().any(|path| known(&path)) || is_program {
                continue;
            }
            if self.used && WRITTEN_AT_BOOT.contains(&entry.path.as_str()) {
                findings.note(format!("{} was written by the boot loader", entry.path));
                continue;
            }
            let Some(file) = self.open(volume, &entry.path, findings)? else {
                continue;
            };
            let bytes = file.place(0, file.length);
            let reason = "it is not of this image".into();
            self.damaged(findings, bytes, Some(entry.path.clone()), reason);
        }
        self.free_room(structure, findings)?;
        if findings.count() > before {
            return Ok(());
        }
        if self.used {
            findings.right(&self.part.name, "all files are the manifest's");
            findings.note("the EFI system partition was written to, as a machine does when it starts: its directories and tables are not covered");
        } else {
            let bytes = Some(self.part.region);
            let owner = Some("directories, boot sector or table".into());
            let reason = "it is not what the manifest says, though all files are".into();
            self.damaged(findings, bytes, owner, reason);
        }
        Ok(())
    }

    fn free_room(&self, structure: &VolumeStructure, findings: &mut Findings) -> io::Result<()> {
        let region = self.part.region;
        let mut buffer = vec![0; 1 << 20];
        let mut filled = Vec::new();
        for free in structure.free(region.length) {
            let mut at = free.start;
            while at < free.end {
                let length = (free.end - at).min(buffer.len() as u64) as usize;
                let piece = &mut buffer[..length];
                self.source.read_exact_at(piece, region.offset + at)?;
                crate::measured::add_filled(&mut filled, piece, region.offset + at);
                at += length as u64;
            }
        }
        if self.used {
            if !filled.is_empty() {
                findings.note("free room of the EFI system partition is not empty");
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

/// Checks the signature of the root hash.
pub(crate) fn root_hash_signature(
    source: &dyn ReadAt,
    parts: &Parts,
    manifest: &Manifest,
    trusted: &Trusted<'_>,
    findings: &mut Findings,
) -> io::Result<()> {
    let (Some(part), Some(root_hash)) =
        (parts.purpose(manifest, "root-verity-sig"), parts.root_hash)
    else {
        return Ok(());
    };
    let mut bytes = vec![0; part.region.length.min(1 << 20) as usize];
    source.read_exact_at(&mut bytes, part.region.offset)?;
    let verified = verity::read(&bytes).and_then(|signature| {
        let certificate = trusted.certificate(Role::Verity, &signature.signature);
        let accepted: Vec<_> = certificate.iter().collect();
        signature.verify(&root_hash.0, &accepted).map(drop)
    });
    match verified {
        Ok(()) => findings.right(&part.name, "the root hash is signed by you"),
        Err(refusal) => {
            let fault = match refusal {
                Refusal::Unsigned | Refusal::Stranger { .. } => Fault::NotSigned,
                _ => Fault::Damaged,
            };
            findings.add(Finding {
                fault,
                reason: refusal.to_string(),
                part: part.name.clone(),
                bytes: Some(part.region.into()),
                belongs_to: Some("signature of the root hash".into()),
            });
        }
    }
    Ok(())
}

/// Whether a command line says this root hash, and no other.
pub(crate) fn names_root_hash(command_line: &str, root_hash: &str) -> bool {
    let mut named = command_line
        .split_ascii_whitespace()
        .filter_map(|word| word.strip_prefix("roothash="));
    named.next() == Some(root_hash) && named.next().is_none()
}

/// A path without what counts its tries: `EFI/Linux/host_1.0+3-1.efi`.
fn without_tries(path: &str) -> String {
    let counted = path.strip_suffix(".efi").and_then(|stem| {
        let (stem, tries) = stem.rsplit_once('+')?;
        let digits =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let mut numbers = tries.splitn(2, '-');
        numbers.all(digits).then(|| format!("{stem}.efi"))
    });
    counted.unwrap_or_else(|| path.to_owned())
}

/// A section's bytes, if they are few.
fn section(file: &mut FileReader<'_>, program: &Program, name: &str) -> io::Result<Vec<u8>> {
    let Some(section) = program.image.section(name) else {
        return Ok(Vec::new());
    };
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(section.raw_offset.into()))?;
    file.take(u64::from(section.length()).min(LONGEST))
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Hashes what passes.
struct Hashing<'a, R> {
    inner: &'a mut R,
    hasher: Sha256,
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
pub(crate) fn owner(structure: &VolumeStructure, at: u64) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_no_part_of_a_name() {
        for (path, plain) in [
            ("EFI/Linux/host_1.0+3.efi", "EFI/Linux/host_1.0.efi"),
            ("EFI/Linux/host_1.0+2-1.efi", "EFI/Linux/host_1.0.efi"),
            ("EFI/Linux/host_1.0.efi", "EFI/Linux/host_1.0.efi"),
            ("EFI/Linux/host_1.0+x.efi", "EFI/Linux/host_1.0+x.efi"),
            ("EFI/Linux/host_1.0+.efi", "EFI/Linux/host_1.0+.efi"),
        ] {
            assert_eq!(without_tries(path), plain);
        }
    }

    #[test]
    fn a_command_line_names_one_root_hash() {
        assert!(names_root_hash("quiet roothash=ab ro", "ab"));
        assert!(!names_root_hash("quiet roothash=cd", "ab"));
        assert!(!names_root_hash("roothash=ab roothash=cd", "ab"));
        assert!(!names_root_hash("xroothash=ab", "ab"));
        assert!(!names_root_hash("", ""));
    }
}
