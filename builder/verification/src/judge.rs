//! The verification as a whole.

use crate::measured::{self, Found, Measured};
use crate::parts::{Cover, HEAD, Part, Parts, TAIL, is_slot_b};
use crate::raspberry_pi::BootPartitions;
use crate::subject::{Form, Subject};
use crate::trusted::Trusted;
use crate::uefi::{self, Esp};
use crate::verdict::{Fault, Finding, Findings, Verdict};
use crate::volume::Partition;
use crate::{Error, Passing, Result, compressed, root, signature, table};
use fortress_disk::Region;
use fortress_disk::verity::Area;
use fortress_filesystem::ReadAt;
use fortress_filesystem::ext4::Structure;
use fortress_pipeline::manifest::{BootFacts, Manifest};
use fortress_progress::Observer;
use fortress_trust::PublicKeys;
use std::io::ErrorKind;
use std::path::Path;

/// Why bytes are wrong that are not zeros.
const FILLED: &str = "there should be zeros";
/// What firmware reads, by the board's word for it.
const BOOT: [&str; 3] = ["esp", "boot", "boot-select"];

/// Verifies an image with the owner's public keys: all of it, and all that is wrong is told. Keys
/// that are missing leave their signatures to the fingerprints in the signed manifest; the key of the
/// manifest must be there.
///
/// # Errors
/// When a file cannot be read, there is no key for the manifest, or the observer says stop.
pub fn verify(subject: &Subject, keys: &PublicKeys, observer: &dyn Observer) -> Result<Verdict> {
    let mut findings = Findings::default();
    let Some(manifest) = signature::read(subject.manifest(), keys, &mut findings)? else {
        return Ok(findings.verdict());
    };
    let Some(parts) = Parts::new(&manifest, &mut findings) else {
        return Ok(findings.verdict());
    };
    if matches!(subject.form(), Form::Zstd | Form::Xz) {
        let passing = Passing::with(&manifest, keys, parts, findings);
        let length = manifest.image.length;
        return Ok(compressed::verify(subject, passing, length, observer)?.verdict());
    }
    let trusted = Trusted::new(keys, &manifest, &mut findings);
    let judge = Judge {
        form: subject.form(),
        length: subject.length(),
        manifest: &manifest,
        parts: &parts,
        trusted: &trusted,
    };
    // Most images are what they should be: what starts them is looked into as if this one were, while
    // it is measured.
    let (measured, early) = rayon::join(
        || measured::measure(subject.file(), subject.length(), &parts, observer),
        || judge.look(subject.file(), &|_| true),
    );
    let measured = measured?;
    let early = judge.boot_is_same(&measured).then_some(early);
    match judge.all(subject.file(), &measured, early, &mut findings) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            findings.wrong(Fault::Damaged, "image", "it ends before what starts it");
        }
        Err(error) => return Err(Error::Image(error)),
    }
    Ok(findings.verdict())
}

/// Reads the manifest of a subject and checks the signature on it, and looks at nothing else: quick.
/// There is no manifest if none could be read; whose signature is not the owner's is in the verdict.
///
/// # Errors
/// When a file cannot be read, or there is no key for the manifest.
pub fn manifest(path: &Path, keys: &PublicKeys) -> Result<(Option<Manifest>, Verdict)> {
    let mut findings = Findings::default();
    let manifest = signature::read(path, keys, &mut findings)?;
    Ok((manifest, findings.verdict()))
}

/// What an image is judged by.
pub(crate) struct Judge<'a> {
    pub(crate) form: Form,
    /// Of the image, or the disk that it is on.
    pub(crate) length: u64,
    pub(crate) manifest: &'a Manifest,
    pub(crate) parts: &'a Parts,
    pub(crate) trusted: &'a Trusted<'a>,
}

/// What is found by reading an image here and there.
pub(crate) struct Looked {
    /// Of the root's file system; none if there is no root, or its source has not all of it now.
    structure: Option<Option<std::result::Result<Structure, String>>>,
    /// What is right and wrong with what starts the root.
    boot: std::io::Result<Findings>,
}

impl Judge<'_> {
    /// Judges what was measured, and what can be read of the image; some may have been `early`.
    pub(crate) fn all(
        &self,
        source: &dyn ReadAt,
        measured: &Measured,
        early: Option<Looked>,
        findings: &mut Findings,
    ) -> std::io::Result<()> {
        if !self.parts(source, measured, findings) {
            return Ok(());
        }
        let looked =
            early.unwrap_or_else(|| self.look(source, &|part| self.is_same(part, measured)));
        if let Some(structure) = looked.structure {
            let structure = structure.ok_or(ErrorKind::WouldBlock)?;
            root::check(self.parts, measured, &structure, findings);
        }
        findings.merge(looked.boot?);
        Ok(())
    }

    /// Looks into the root's file system, and into what starts the root; `same` says whether a part is
    /// the manifest's.
    fn look(&self, source: &dyn ReadAt, same: &(dyn Fn(&Part) -> bool + Sync)) -> Looked {
        // Two things to read that have nothing to do with each other.
        let (structure, boot) = rayon::join(
            || {
                self.parts
                    .root()
                    .map(|_| root::structure(source, self.parts))
            },
            || {
                let mut boot = Findings::default();
                self.boot(source, same, &mut boot).map(|()| boot)
            },
        );
        Looked { structure, boot }
    }

    /// Judges what was measured without the root's file system, which is not all there.
    pub(crate) fn passed(&self, source: &dyn ReadAt, measured: &Measured, findings: &mut Findings) {
        if !self.parts(source, measured, findings) {
            return;
        }
        root::check_blocks(self.parts, measured, None, findings);
        findings.note("the structure of the root's file system was not looked into");
        let mut boot = Findings::default();
        match self.boot(source, &|part| self.is_same(part, measured), &mut boot) {
            Ok(()) => findings.merge(boot),
            Err(_) => findings.wrong(Fault::Damaged, "image", "what starts it is not all there"),
        }
    }

    /// Judges partition table and parts; false if there is no image at all.
    fn parts(&self, source: &dyn ReadAt, measured: &Measured, findings: &mut Findings) -> bool {
        let there = table::check(
            source,
            self.length,
            self.form,
            self.manifest,
            self.parts,
            measured,
            findings,
        );
        if there {
            self.lengths(findings);
            for (part, found) in self.parts.list.iter().zip(&measured.parts) {
                self.part(part, found.as_ref(), measured, findings);
            }
        }
        there
    }

    fn lengths(&self, findings: &mut Findings) {
        let (length, wanted) = (self.length, self.parts.length);
        if length < wanted {
            let reason = format!("it is cut off: {length} bytes of {wanted} are there");
            findings.wrong(Fault::Damaged, "image", reason);
        } else if length > wanted && self.form != Form::Device {
            let reason = format!("it has {length} bytes, and the manifest says {wanted}");
            findings.wrong(Fault::Damaged, "image", reason);
        } else if length > wanted {
            findings.note(format!(
                "the disk has {length} bytes: the image ends at byte {wanted}, and what is behind it is not covered"
            ));
        }
    }

    /// Judges a part by its digest, or by its zeros.
    fn part(
        &self,
        part: &Part,
        found: Option<&Found>,
        measured: &Measured,
        findings: &mut Findings,
    ) {
        let partition = part
            .partition
            .and_then(|index| self.manifest.partitions.get(index));
        let mut damaged = |bytes: Region, reason: &str| {
            findings.add(Finding {
                fault: Fault::Damaged,
                reason: reason.into(),
                part: part.name.clone(),
                bytes: Some(bytes.into()),
                belongs_to: None,
            });
        };
        match (part.cover, found) {
            (_, None) => damaged(part.region, "it is not all there"),
            (Cover::Zeros, Some(Found::Filled(filled))) if !filled.is_empty() => {
                if self.form == Form::Device && partition.is_some_and(is_slot_b) {
                    findings.note(format!("{} holds another version, not covered", part.name));
                    return;
                }
                filled.iter().for_each(|bytes| damaged(*bytes, FILLED));
            }
            (Cover::Zeros, _) => findings.right(&part.name, "zeros"),
            (Cover::Digest(wanted, length), Some(found @ Found::Digest(digest, filled))) => {
                // What is wrong with these is told by whoever looks into them.
                let looked_into = [HEAD, TAIL].contains(&part.name.as_str())
                    || partition.is_some_and(|one| BOOT.contains(&one.purpose.as_str()));
                if looked_into {
                    return;
                }
                filled.iter().for_each(|bytes| damaged(*bytes, FILLED));
                let tree = Some(part.region) == self.parts.tree && tree_is_bad(measured);
                if wanted != *digest && !tree {
                    let data = Region::new(part.region.offset, length);
                    damaged(data, "its SHA-256 is not the manifest's");
                }
                if found.is(part.cover) {
                    findings.right(&part.name, "SHA-256 is the manifest's");
                }
            }
            _ => {}
        }
    }

    /// Judges what starts the root; `same` says whether a part is the manifest's.
    fn boot(
        &self,
        source: &dyn ReadAt,
        same: &dyn Fn(&Part) -> bool,
        findings: &mut Findings,
    ) -> std::io::Result<()> {
        match &self.manifest.boot {
            BootFacts::Uefi(facts) => {
                uefi::root_hash_signature(
                    source,
                    self.parts,
                    self.manifest,
                    self.trusted,
                    findings,
                )?;
                let Some(part) = self.parts.purpose(self.manifest, "esp") else {
                    findings.wrong(Fault::Foreign, signature::MANIFEST, "it has no ESP");
                    return Ok(());
                };
                let partition = Partition {
                    source,
                    part,
                    used: self.form == Form::Device,
                    same: same(part),
                };
                let esp = Esp {
                    volume: &partition,
                    manifest: self.manifest,
                    facts,
                    trusted: self.trusted,
                };
                esp.check(findings)
            }
            BootFacts::RaspberryPi(facts) => {
                let partitions = BootPartitions {
                    source,
                    parts: self.parts,
                    manifest: self.manifest,
                    facts,
                    trusted: self.trusted,
                    used: self.form == Form::Device,
                };
                partitions.check(same, findings)
            }
            _ => {
                let reason = "it starts in a way that is not known here";
                findings.wrong(Fault::Foreign, signature::MANIFEST, reason);
                Ok(())
            }
        }
    }

    /// Whether all that firmware reads is the manifest's.
    fn boot_is_same(&self, measured: &Measured) -> bool {
        let parts = BOOT.map(|purpose| self.parts.purpose(self.manifest, purpose));
        let mut parts = parts.into_iter().flatten();
        parts.all(|part| self.is_same(part, measured))
    }

    fn is_same(&self, part: &Part, measured: &Measured) -> bool {
        let found = self.parts.list.iter().zip(&measured.parts);
        found
            .filter(|(one, _)| *one == part)
            .any(|(one, found)| found.as_ref().is_some_and(|found| found.is(one.cover)))
    }
}

/// Whether blocks of the hash tree are found to be bad, each by itself.
fn tree_is_bad(measured: &Measured) -> bool {
    match &measured.verity {
        Some(Ok(bad)) => bad.iter().any(|bad| bad.area != Area::Data),
        Some(Err(_)) => true,
        None => false,
    }
}
