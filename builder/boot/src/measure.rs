//! What systemd-stub measures of a unified kernel image into PCR 11 of a TPM, and what the PCR is
//! in each phase of the boot after that
//! ([TPM2 PCR Measurements Made by systemd](https://systemd.io/TPM2_PCR_MEASUREMENTS/)).

use crate::pe::{self, Image};
use fortress_trust::pcr::PhaseValue;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};

/// The sections that are measured, in the order in which they are, whatever theirs in the file is
/// ([specification](https://uapi-group.org/specifications/specs/unified_kernel_image/)). The
/// signature of the outcome (.pcrsig) is not among them. Of systemd's releases older ones know
/// fewer, so an image must not use what its stub does not know.
pub const SECTIONS: [&str; 13] = [
    ".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".uname", ".sbat",
    ".pcrpkey", ".profile", ".dtbauto", ".hwids",
];
/// The phases of a boot, each of which systemd-pcrphase measures as it begins.
pub const PHASES: [&str; 4] = ["enter-initrd", "leave-initrd", "sysinit", "ready"];
/// How much is read at once.
const PIECE: usize = 256 * 1024;

/// Collects the digests of an image's sections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measurement {
    /// By the place in [`SECTIONS`].
    digests: BTreeMap<usize, [u8; 32]>,
}

impl Measurement {
    /// Adds a section; `digest` is the SHA-256 of its contents, without the padding in the file. The
    /// order does not matter. Says whether it counts: a section that is not measured does not, nor
    /// does another one of the same name.
    pub fn add(&mut self, section: &str, digest: [u8; 32]) -> bool {
        let place = SECTIONS.iter().position(|name| *name == section);
        match place {
            Some(place) if !self.digests.contains_key(&place) => {
                self.digests.insert(place, digest);
                true
            }
            _ => false,
        }
    }

    /// The sections that were added, in the order in which they are measured, with their digests.
    pub fn sections(&self) -> impl Iterator<Item = (&'static str, &[u8; 32])> {
        let sections = self.digests.iter();
        sections.filter_map(|(place, digest)| Some((*SECTIONS.get(*place)?, digest)))
    }

    /// PCR 11 (SHA-256) when systemd-stub starts the kernel.
    pub fn value(&self) -> [u8; 32] {
        self.digests.iter().fold([0; 32], |value, (place, digest)| {
            let name = [SECTIONS[*place].as_bytes(), b"\0"].concat();
            extend(extend(value, Sha256::digest(name).into()), *digest)
        })
    }

    /// PCR 11 in each of the phases.
    pub fn phases(&self) -> Vec<PhaseValue> {
        let mut value = self.value();
        let mut path = String::new();
        let phase = |phase: &&str| {
            if !path.is_empty() {
                path.push(':');
            }
            path.push_str(phase);
            value = extend(value, Sha256::digest(phase).into());
            PhaseValue {
                phase: path.clone(),
                value,
            }
        };
        PHASES.iter().map(phase).collect()
    }
}

/// What a TPM does to a PCR (TPM 2.0 Library, part 1, section 17.2).
fn extend(value: [u8; 32], digest: [u8; 32]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(value);
    hasher.update(digest);
    hasher.finalize().into()
}

/// Why a unified kernel image cannot be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is damaged.
    #[error("the unified kernel image {0}")]
    Program(#[from] pe::Error),
    /// It could not be read.
    #[error("cannot read the unified kernel image")]
    Read(#[from] io::Error),
}

/// Measures a unified kernel image whose headers were read already.
///
/// # Errors
/// When it is cut off, has two sections of one name, or cannot be read.
pub fn measure<R: Read + Seek>(image: &Image, file: &mut R) -> Result<Measurement, Error> {
    let mut measurement = Measurement::default();
    let mut buffer = vec![0; PIECE];
    for section in &image.sections {
        if !SECTIONS.contains(&section.name.as_str()) {
            continue;
        }
        let mut hasher = Sha256::new();
        file.seek(SeekFrom::Start(section.raw_offset.into()))?;
        let mut left = section.length() as usize;
        while left > 0 {
            let piece = left.min(PIECE);
            let piece = &mut buffer[..piece];
            file.read_exact(piece).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    let cut = format!("section {} is cut off", section.name);
                    Error::Program(pe::Error::Damaged(cut))
                }
                _ => Error::Read(error),
            })?;
            hasher.update(&*piece);
            left -= piece.len();
        }
        // Memory beyond what the file has is zeros, and is measured.
        let beyond = section.virtual_size.saturating_sub(section.raw_size);
        if beyond > 0 {
            let wrong = format!(
                "section {} is larger in memory than in the file",
                section.name
            );
            return Err(pe::Error::Damaged(wrong).into());
        }
        if !measurement.add(&section.name, hasher.finalize().into()) {
            let wrong = format!("it has two sections {}", section.name);
            return Err(pe::Error::Damaged(wrong).into());
        }
    }
    Ok(measurement)
}
