//! The manifest and the owner's signature on it.

use crate::verdict::{Fault, Findings};
use crate::{Error, Result};
use fortress_pipeline::manifest::Manifest;
use fortress_trust::{PublicKey, PublicKeys, Refusal, Role, minisign};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The part of an image that findings about it name.
pub(crate) const MANIFEST: &str = "manifest";
/// Most bytes of a manifest, and of a signature, that are read.
const LONGEST: u64 = 64 << 20;

/// Reads a manifest and checks the owner's signature on it. What is wrong goes to the findings;
/// none is returned if there is no manifest that could be read. One that is not the owner's is
/// returned all the same: what else is wrong is worth knowing.
pub(crate) fn read(
    path: &Path,
    keys: &PublicKeys,
    findings: &mut Findings,
) -> Result<Option<Manifest>> {
    let Some(bytes) = content(path)? else {
        let missing = format!("there is none at {}", path.display());
        findings.wrong(Fault::Foreign, MANIFEST, missing);
        return Ok(None);
    };
    check(path, &bytes, keys, findings)?;
    match Manifest::from_json(&bytes) {
        Ok(manifest) => Ok(Some(manifest)),
        Err(error) => {
            findings.wrong(Fault::Foreign, MANIFEST, error.to_string());
            Ok(None)
        }
    }
}

/// Checks the signature beside a document.
fn check(path: &Path, bytes: &[u8], keys: &PublicKeys, findings: &mut Findings) -> Result<()> {
    let own = keys
        .ed25519()
        .map_err(|error| Error::Keys(error.to_string()))?;
    let name = minisign::key_name(minisign::key_number(own));
    let signature_path = beside(path);
    let Some(signature) = content(&signature_path)? else {
        let missing = format!("it is not signed: there is no {}", signature_path.display());
        findings.wrong(Fault::NotSigned, MANIFEST, missing);
        return Ok(());
    };
    let signature = String::from_utf8_lossy(&signature);
    match minisign::verify(&signature, bytes, &[own]) {
        Ok(_) => findings.right(MANIFEST, format!("signed by your key {name}")),
        Err(refusal) => {
            let retired = retired_on(keys, &signature, bytes);
            let reason = match (retired, &refusal) {
                (Some(date), _) => format!(
                    "it is signed by a key of yours that was replaced on {date}, and not by {name}"
                ),
                (None, Refusal::Stranger { .. }) => {
                    format!("{refusal}: your key is {name}")
                }
                (None, _) => refusal.to_string(),
            };
            findings.wrong(Fault::NotSigned, MANIFEST, reason);
        }
    }
    Ok(())
}

/// When the key was replaced that signed this, if it was one of the owner's.
fn retired_on(keys: &PublicKeys, signature: &str, bytes: &[u8]) -> Option<String> {
    keys.retired()
        .iter()
        .filter(|retired| retired.role == Role::Manifest)
        .find(|retired| match &retired.key {
            PublicKey::Ed25519(key) => minisign::verify(signature, bytes, &[key]).is_ok(),
            PublicKey::Rsa { .. } => false,
        })
        .map(|retired| retired.date.clone())
}

/// Where a document's signature is.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".minisig");
    name.into()
}

/// A file's bytes; none if it is missing.
fn content(path: &Path) -> Result<Option<Vec<u8>>> {
    let failed = |source| Error::read(path, source);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(LONGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(Some(bytes))
}
