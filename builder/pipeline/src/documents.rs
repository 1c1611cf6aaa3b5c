//! The documents beside an image, and the owner's signatures on them.
//!
//! For an image `NAME.img`: `NAME.manifest.json`, `NAME.spdx.json` (SBOM), `NAME.sha256` (checksums of
//! these two), each with a signature in minisign's format, `….minisig`; and `NAME.signatures.json`, all
//! signatures on image and documents. While signatures are missing, `NAME.requests.json` names them.

use crate::digests::hexadecimal;
use crate::manifest::Manifest;
use crate::seal::next_round;
use crate::{Error, Result};
use fortress_trust::{PublicKeys, Signer, minisign};
use sha2::{Digest, Sha256};

/// The manifest's ending, in place of the image's `.img`.
pub(crate) const MANIFEST: &str = ".manifest.json";
/// The SBOM's.
pub(crate) const SBOM: &str = ".spdx.json";
/// The checksums'.
const CHECKSUMS: &str = ".sha256";
/// What is added for a document's signature.
const SIGNATURE: &str = ".minisig";
/// The ending of the list of all signatures.
pub(crate) const SIGNATURES: &str = ".signatures.json";
/// The ending of the list of what is to be signed.
pub(crate) const REQUESTS: &str = ".requests.json";
/// The endings of what can be made of an image to hand it out: compressed copies, a block map, an
/// entry for Raspberry Pi Imager's list.
pub const PACKED: [&str; 4] = [".img.zst", ".img.xz", ".bmap", ".os_list.json"];

/// A file beside an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Document {
    /// What follows the image's name, without its `.img`.
    pub(crate) ending: String,
    pub(crate) bytes: Vec<u8>,
}

impl Document {
    pub(crate) fn new(ending: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            ending: ending.to_owned(),
            bytes: bytes.into(),
        }
    }
}

/// Endings of all files that there may be beside an image, the manifest first: what has none is not
/// whole.
pub(crate) fn endings() -> Vec<String> {
    let signed = [MANIFEST, CHECKSUMS, SBOM];
    let signed = signed
        .into_iter()
        .flat_map(|ending| [ending.to_owned(), format!("{ending}{SIGNATURE}")]);
    let others = [SIGNATURES, REQUESTS].into_iter().chain(PACKED);
    signed.chain(others.map(str::to_owned)).collect()
}

/// The documents of an image in the order in which they are to appear, the manifest last; signed,
/// unless signatures are missing.
pub(crate) fn all(
    manifest: &Manifest,
    sbom: &str,
    keys: &PublicKeys,
    signer: &dyn Signer,
) -> Result<Vec<Document>> {
    let stem = manifest.stem();
    let text = manifest.to_json()?;
    let checksums = checksums(&[
        (&format!("{stem}{MANIFEST}"), text.as_bytes()),
        (&format!("{stem}{SBOM}"), sbom.as_bytes()),
    ]);
    let sign = |ending: &str, bytes: &[u8], signer: &dyn Signer| {
        let name = format!("{stem}{ending}");
        // As minisign itself writes it.
        let comment = format!(
            "timestamp:{}\tfile:{name}\thashed",
            manifest.source_date_epoch
        );
        let text = minisign::sign(keys, signer, &name, bytes, &comment)?;
        Ok::<_, Error>(Document::new(&format!("{ending}{SIGNATURE}"), text))
    };
    // The SBOM's does not depend on other signatures.
    let mut signatures = vec![sign(SBOM, sbom.as_bytes(), signer)?];
    let next = next_round(signer);
    signatures.push(sign(CHECKSUMS, checksums.as_bytes(), next)?);
    signatures.push(sign(MANIFEST, text.as_bytes(), next)?);
    let mut documents = vec![
        Document::new(SBOM, sbom),
        Document::new(CHECKSUMS, checksums),
    ];
    // One that is not there yet keeps no place: nobody shall take it for a signature.
    if signer.missing() == 0 {
        documents.extend(signatures);
    }
    documents.push(Document::new(MANIFEST, text));
    Ok(documents)
}

/// Checksums of files, as `sha256sum --check` takes them.
fn checksums(files: &[(&str, &[u8])]) -> String {
    files
        .iter()
        .map(|(name, bytes)| format!("{}  {name}\n", hexadecimal(&Sha256::digest(bytes))))
        .collect()
}
