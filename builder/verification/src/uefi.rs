//! What a machine with UEFI starts from: the EFI system partition, its programs and their
//! signatures, what the unified kernel image names and measures.

use crate::parts::Parts;
use crate::trusted::Trusted;
use crate::verdict::{Fault, Finding, Findings};
use crate::volume::{FileReader, Hashing, Partition, copy_to, fault_of, hexadecimal};
use fortress_boot::pe::signature::{self, Program};
use fortress_filesystem::ReadAt;
use fortress_filesystem::fat::{Volume, VolumeStructure};
use fortress_pipeline::manifest::{Manifest, ProgramFacts, UefiFacts};
use fortress_trust::secure_boot::{self, Variable};
use fortress_trust::{Refusal, Role, authenticode, verity};
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
    pub(crate) volume: &'a Partition<'a>,
    pub(crate) manifest: &'a Manifest,
    pub(crate) facts: &'a UefiFacts,
    pub(crate) trusted: &'a Trusted<'a>,
}

impl Esp<'_> {
    /// Checks everything on it.
    pub(crate) fn check(&self, findings: &mut Findings) -> io::Result<()> {
        let before = findings.count();
        let Some((volume, structure)) = self.volume.read(findings)? else {
            return Ok(());
        };
        let mut known = Vec::new();
        for program in &self.facts.programs {
            match self.find(&volume, &program.path) {
                Some(path) => {
                    self.program(&volume, &path, program, findings)?;
                    known.push(path);
                }
                None => self.volume.damaged(
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

    /// A file by its path; of what a machine has started, by its name without the tries as well.
    fn find(&self, volume: &Volume<'_>, path: &str) -> Option<String> {
        let files = || volume.entries().iter().filter(|entry| !entry.directory);
        let exact = files().find(|entry| entry.path == path);
        let exact = exact.or_else(|| {
            files()
                .find(|entry| self.volume.used && without_tries(&entry.path) == without_tries(path))
        });
        exact.map(|entry| entry.path.clone())
    }

    fn program(
        &self,
        volume: &Volume<'_>,
        path: &str,
        facts: &ProgramFacts,
        findings: &mut Findings,
    ) -> io::Result<()> {
        let Some(mut file) = self.volume.open(volume, path, findings)? else {
            return Ok(());
        };
        // Where the whole partition is the manifest's, so is this, and need not be hashed again.
        let (program, same) = match self.volume.same {
            true => (signature::examine(&mut file)?, true),
            false => {
                let mut hashing = Hashing {
                    inner: &mut file,
                    hasher: Sha256::new(),
                };
                let program = signature::examine(&mut hashing)?;
                // What follows the signatures, if anything does, was not asked for.
                io::copy(&mut hashing, &mut io::sink())?;
                let digest: [u8; 32] = hashing.hasher.finalize().into();
                (program, hexadecimal(&digest) == facts.sha256)
            }
        };
        let whole = file.place(0, file.length);
        let program = match program {
            Ok(program) => program,
            Err(error) => {
                self.volume
                    .damaged(findings, whole, Some(path.into()), error.to_string());
                return Ok(());
            }
        };
        let signed = self.signed(&program);
        match &signed {
            Ok(()) => {}
            // Whose content changed has one finding, and not one for the signature besides.
            Err(Refusal::OtherContent { .. }) if !same => {}
            Err(refusal) => self.volume.refused(findings, path.to_owned(), refusal),
        }
        if !same {
            self.locate(path, &mut file, &program, facts, findings)?;
        }
        if signed.is_ok() && same {
            findings.right(path, "signed by you (Authenticode)");
        }
        if facts.path == self.facts.uki {
            self.unified_kernel_image(path, &mut file, &program, same, findings)?;
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
                self.volume.damaged(findings, bytes, Some(what), reason);
            }
        }
        if !found {
            let bytes = file.place(0, length);
            let reason = "its headers or its signature are not what the manifest says".into();
            self.volume
                .damaged(findings, bytes, Some(path.into()), reason);
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
            self.volume.damaged(findings, None, Some(path), reason);
            return Ok(());
        };
        let Some(file) = self.volume.open(volume, &found, findings)? else {
            return Ok(());
        };
        let mut bytes = Vec::new();
        file.take(LONGEST).read_to_end(&mut bytes)?;
        let parsed = match secure_boot::read(&bytes) {
            Ok(parsed) => parsed,
            Err(refusal) => {
                self.volume.refused(findings, path, &refusal);
                return Ok(());
            }
        };
        let role = variable.signed_by();
        let certificate = self.trusted.certificate(role, parsed.signature);
        let accepted: Vec<_> = certificate.iter().collect();
        let wanted = secure_boot::content(self.trusted.keys, variable, self.facts.microsoft);
        match secure_boot::verify(variable, &bytes, &accepted) {
            Err(refusal) => self.volume.refused(findings, path, &refusal),
            Ok(_) if wanted.is_ok_and(|wanted| wanted != parsed.content) => {
                let reason = "it enrols other keys than yours".into();
                self.volume
                    .wrong(findings, Fault::NotSigned, None, Some(path), reason);
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
            let Some(mut file) = self.volume.open(volume, &entry.path, findings)? else {
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
                true if self.volume.used => findings.note(format!(
                    "{} is signed by you and not of this image: it is not covered",
                    entry.path
                )),
                true => self.volume.damaged(
                    findings,
                    whole,
                    Some(entry.path.clone()),
                    "it is signed by you and not of this image".into(),
                ),
                false => self.volume.wrong(
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
        if self.volume.same {
            findings.right(
                &self.volume.part.name,
                "SHA-256 is the manifest's, FAT without a fault",
            );
            return Ok(());
        }
        for file in &self.facts.files {
            let Some(path) = self.find(volume, &file.path) else {
                self.volume.damaged(
                    findings,
                    None,
                    Some(file.path.clone()),
                    "it is missing".into(),
                );
                continue;
            };
            let Some(mut reader) = self.volume.open(volume, &path, findings)? else {
                continue;
            };
            let mut hasher = Sha256::new();
            copy_to(&mut reader, &mut hasher)?;
            if hexadecimal(&hasher.finalize()) != file.sha256 {
                let bytes = reader.place(0, reader.length);
                let reason = "it is not what the manifest says".into();
                self.volume.damaged(findings, bytes, Some(path), reason);
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
                    || self.volume.used && without_tries(path) == without_tries(&entry.path)
            };
            let is_program = entry.path.to_ascii_lowercase().ends_with(".efi");
            if told.iter().any(|path| known(&path)) || is_program {
                continue;
            }
            if self.volume.used && WRITTEN_AT_BOOT.contains(&entry.path.as_str()) {
                findings.note(format!("{} was written by the boot loader", entry.path));
                continue;
            }
            let Some(file) = self.volume.open(volume, &entry.path, findings)? else {
                continue;
            };
            let bytes = file.place(0, file.length);
            let reason = "it is not of this image".into();
            self.volume
                .damaged(findings, bytes, Some(entry.path.clone()), reason);
        }
        self.volume.free_room(structure, findings)?;
        if findings.count() > before {
            return Ok(());
        }
        if self.volume.used {
            findings.right(&self.volume.part.name, "all files are the manifest's");
            findings.note("the EFI system partition was written to, as a machine does when it starts: its directories and tables are not covered");
        } else {
            let bytes = Some(self.volume.part.region);
            let owner = Some("directories, boot sector or table".into());
            let reason = "it is not what the manifest says, though all files are".into();
            self.volume.damaged(findings, bytes, owner, reason);
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
            let fault = fault_of(&refusal);
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
}
