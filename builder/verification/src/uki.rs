//! What the unified kernel image names and measures.

use crate::trusted::names_root_hash;
use crate::uefi::Esp;
use crate::verdict::{Fault, Findings};
use crate::volume::{FileReader, fault_of, hexadecimal};
use fortress_boot::measure;
use fortress_boot::pe::signature::Program;
use fortress_trust::{Algorithm, PublicKey, Role, pcr};
use std::io::{self, Read, Seek, SeekFrom};

/// Most bytes of a section that is looked into.
const LONGEST: u64 = 256 * 1024;

impl Esp<'_> {
    /// Checks what a unified kernel image names and what is signed of its measurements; `same` says
    /// whether it is the manifest's.
    pub(crate) fn unified_kernel_image(
        &self,
        path: &str,
        file: &mut FileReader<'_>,
        program: &Program,
        same: bool,
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
            self.volume.damaged(findings, None, Some(what), reason);
        } else if command_line != self.manifest.command_line {
            let what = format!("{path}, section .cmdline");
            let reason = "it is not the manifest's command line".into();
            self.volume.damaged(findings, None, Some(what), reason);
        } else {
            findings.right(path, "names the root hash");
        }
        let values = match measure::measure(&program.image, file) {
            Ok(measurement) => measurement.phases(),
            Err(measure::Error::Read(error)) => return Err(error),
            Err(error) => {
                self.volume
                    .damaged(findings, None, Some(path.into()), error.to_string());
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
        let measured_as_told = measured.len() == self.facts.pcr11.len()
            && told
                .zip(&measured)
                .all(|(told, (phase, value))| told == (*phase, value));
        if !measured_as_told {
            let reason = "it is measured into PCR 11 as another value than the manifest says";
            self.volume
                .damaged(findings, None, Some(path.into()), reason.into());
        }
        let given = section(file, program, ".pcrpkey")?;
        let given = String::from_utf8_lossy(&given);
        let given = given.trim_end_matches('\0');
        let given = PublicKey::from_pem(given, Algorithm::Rsa2048Sha256).ok();
        let key = self.trusted.key(Role::Pcr, given.clone());
        let other = match (&key, &given) {
            (Some(key), Some(given)) => !key.is_same_key(given),
            _ => true,
        };
        // Of a program that was changed it is told already which section is wrong.
        if other && same {
            let what = format!("{path}, section .pcrpkey");
            let reason = "it is not your key for PCR policies".into();
            self.volume
                .wrong(findings, Fault::NotSigned, None, Some(what), reason);
        }
        let Some(key) = key else {
            return Ok(());
        };
        let signatures = section(file, program, ".pcrsig")?;
        let end = signatures
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |at| at + 1);
        match pcr::verify(&signatures[..end], &values, &key) {
            // Policies are for other values then, as was told.
            _ if !measured_as_told => {}
            Ok(()) => findings.right(path, "its PCR 11 policies are signed by you"),
            Err(refusal) => {
                let what = Some(format!("{path}, section .pcrsig"));
                let place = program.image.section(".pcrsig").and_then(|section| {
                    file.place(section.raw_offset.into(), section.length().into())
                });
                // In a program that was changed, this was changed too.
                let fault = match same {
                    true => fault_of(&refusal),
                    false => Fault::Damaged,
                };
                self.volume
                    .wrong(findings, fault, place, what, refusal.to_string());
            }
        }
        Ok(())
    }
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
