//! What a Raspberry Pi starts from: the boot partition, boot.img in it and its signature, and what
//! boot.img names.

use crate::parts::{Part, Parts};
use crate::trusted::{Trusted, names_root_hash};
use crate::verdict::{Fault, Findings};
use crate::volume::{Partition, copy_to, hexadecimal, would_block};
use fortress_boot::raspberry_pi::{BOOT_IMAGE, BOOT_SIGNATURE, COMMAND_LINE};
use fortress_filesystem::ReadAt;
use fortress_filesystem::fat;
use fortress_pipeline::manifest::{Manifest, RaspberryPiFacts};
use fortress_trust::{Role, raspberry_pi};
use sha2::{Digest, Sha256};
use std::io::{self, Read};

/// Most bytes of a text that are looked at.
const LONGEST: u64 = 64 * 1024;

/// The boot partitions of an image.
pub(crate) struct BootPartitions<'a> {
    pub(crate) source: &'a dyn ReadAt,
    pub(crate) parts: &'a Parts,
    pub(crate) manifest: &'a Manifest,
    pub(crate) facts: &'a RaspberryPiFacts,
    pub(crate) trusted: &'a Trusted<'a>,
    pub(crate) used: bool,
}

impl BootPartitions<'_> {
    /// Checks them; `same` says whether a part's SHA-256 is the manifest's.
    pub(crate) fn check(
        &self,
        same: &dyn Fn(&Part) -> bool,
        findings: &mut Findings,
    ) -> io::Result<()> {
        for purpose in ["boot-select", "boot"] {
            let Some(part) = self.parts.purpose(self.manifest, purpose) else {
                let reason = format!("it has no partition {purpose}");
                findings.wrong(Fault::Foreign, crate::signature::MANIFEST, reason);
                continue;
            };
            let partition = Partition {
                source: self.source,
                part,
                used: self.used,
                same: same(part),
            };
            let before = findings.count();
            let Some((volume, structure)) = partition.read(findings)? else {
                continue;
            };
            if purpose == "boot" {
                self.boot(&partition, &volume, findings)?;
            }
            if partition.same {
                findings.right(&part.name, "SHA-256 is the manifest's, FAT without a fault");
                continue;
            }
            partition.free_room(&structure, findings)?;
            if findings.count() == before {
                let other: Vec<&str> = volume
                    .entries()
                    .iter()
                    .filter(|entry| !entry.directory)
                    .map(|entry| entry.path.as_str())
                    .filter(|path| ![BOOT_IMAGE, BOOT_SIGNATURE].contains(path))
                    .collect();
                let what = format!("{}, directories, boot sector or table", other.join(", "));
                let reason = "it is not what the manifest says".into();
                partition.damaged(findings, Some(part.region), Some(what), reason);
            }
        }
        Ok(())
    }

    /// Checks boot.img and boot.sig.
    fn boot(
        &self,
        partition: &Partition<'_>,
        volume: &fat::Volume<'_>,
        findings: &mut Findings,
    ) -> io::Result<()> {
        let there = |path: &str| volume.entries().iter().any(|entry| entry.path == path);
        for path in [BOOT_IMAGE, BOOT_SIGNATURE] {
            if !there(path) {
                let reason = "it is missing".into();
                partition.damaged(findings, None, Some(path.into()), reason);
                return Ok(());
            }
        }
        let Some(mut image) = partition.open(volume, BOOT_IMAGE, findings)? else {
            return Ok(());
        };
        let mut hasher = Sha256::new();
        copy_to(&mut image, &mut hasher)?;
        let digest: [u8; 32] = hasher.finalize().into();
        let same = hexadecimal(&digest) == self.facts.boot_image_sha256;
        if !same {
            let reason = "it is not what the manifest says".into();
            let bytes = image.place(0, image.length);
            partition.damaged(findings, bytes, Some(BOOT_IMAGE.into()), reason);
        }
        let Some(file) = partition.open(volume, BOOT_SIGNATURE, findings)? else {
            return Ok(());
        };
        let mut text = Vec::new();
        file.take(LONGEST).read_to_end(&mut text)?;
        match self.trusted.keys.rsa(Role::RaspberryPi) {
            Err(_) => findings.note(format!(
                "{BOOT_SIGNATURE} was not checked: the public key for Raspberry Pis is not at hand"
            )),
            Ok(key) => match raspberry_pi::verify(&text, &digest, &[key]) {
                Ok(_) => findings.right(BOOT_SIGNATURE, format!("{BOOT_IMAGE} is signed by you")),
                // Whose content changed has one finding, and not one for the signature besides.
                Err(fortress_trust::Refusal::OtherContent { .. }) if !same => {}
                Err(refusal) => partition.refused(findings, BOOT_SIGNATURE.into(), &refusal),
            },
        }
        let length = image.length;
        let inner = match fat::read(&image, 0, length) {
            Ok(inner) => inner,
            Err(error) => {
                would_block(&error)?;
                let what = format!("{BOOT_IMAGE}, file system");
                partition.damaged(findings, None, Some(what), error.to_string());
                return Ok(());
            }
        };
        let mut text = Vec::new();
        if let Err(error) = inner.copy(COMMAND_LINE, &mut text) {
            would_block(&error)?;
            let what = format!("{BOOT_IMAGE}, {COMMAND_LINE}");
            partition.damaged(findings, None, Some(what), error.to_string());
            return Ok(());
        }
        let line = String::from_utf8_lossy(&text);
        if names_root_hash(&line, &self.manifest.root_hash) {
            findings.right(BOOT_IMAGE, "names the root hash");
        } else {
            let what = format!("{BOOT_IMAGE}, {COMMAND_LINE}");
            let reason = format!(
                "it names another root hash than {}",
                self.manifest.root_hash
            );
            partition.damaged(findings, None, Some(what), reason);
        }
        Ok(())
    }
}
