//! The signature of a root hash of dm-verity, as it lies in a root-verity-sig partition
//! ([Discoverable Partitions Specification](https://uapi-group.org/specifications/specs/discoverable_partitions_specification/)):
//! JSON, with zeros up to the partition's end.
//!
//! What is signed is the root hash in hexadecimal digits, because that is what systemd hands to the
//! kernel, and the kernel checks.

use crate::cms::{self, Form};
use crate::signatures::{from_hexadecimal, hexadecimal};
use crate::{Certificate, Error, PublicKeys, Refusal, Result, Role, Signer};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Most bytes of a partition that are looked at; one of ours has 1900 that are not zero.
const LONGEST: usize = 1024 * 1024;

/// What a root-verity-sig partition holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootHashSignature {
    /// The root hash that is signed.
    pub root_hash: [u8; 32],
    /// SHA-256 of the certificate (DER) that the signature can be checked with.
    pub certificate_fingerprint: [u8; 32],
    /// PKCS#7 message (DER), detached.
    pub signature: Vec<u8>,
}

/// The JSON, its fields in systemd's order.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Json {
    root_hash: String,
    certificate_fingerprint: String,
    signature: String,
}

/// Signs a root hash with the key for [`Role::Verity`]. Gives what a root-verity-sig partition begins
/// with; zeros are to follow.
///
/// # Errors
/// When there is no certificate, or the signer does not sign.
pub fn sign(
    public: &PublicKeys,
    signer: &dyn Signer,
    what: &str,
    root_hash: &[u8; 32],
) -> Result<Vec<u8>> {
    let certificate = public.certificate(Role::Verity)?;
    let digest = signed_digest(root_hash);
    let form = Form::ContentInfo;
    let message = cms::detached(public, signer, Role::Verity, what, &digest, form)?;
    let json = Json {
        root_hash: hexadecimal(root_hash),
        certificate_fingerprint: certificate.fingerprint(),
        signature: STANDARD.encode(message),
    };
    serde_json::to_vec(&json).map_err(|error| Error::Document {
        kind: "signature of a root hash",
        reason: error.to_string(),
    })
}

/// Reads a root-verity-sig partition, or its beginning up to the zeros.
///
/// # Errors
/// When it is empty, or not of the form.
pub fn read(partition: &[u8]) -> Result<RootHashSignature, Refusal> {
    let end = partition.iter().rposition(|byte| *byte != 0);
    let Some(json) = end.and_then(|end| partition.get(..=end)) else {
        return Err(Refusal::Unsigned);
    };
    if json.len() > LONGEST {
        return Err(Refusal::malformed("it is longer than 1 MiB"));
    }
    let json: Json = serde_json::from_slice(json).map_err(Refusal::malformed)?;
    Ok(RootHashSignature {
        root_hash: digest(&json.root_hash)?,
        certificate_fingerprint: digest(&json.certificate_fingerprint)?,
        signature: STANDARD.decode(&json.signature).map_err(|error| {
            Refusal::malformed(format!("the signature is not in base64: {error}"))
        })?,
    })
}

impl RootHashSignature {
    /// Checks that this is the signature of that root hash, and says which of the accepted
    /// certificates' keys gave it.
    ///
    /// # Errors
    /// When none of them did.
    pub fn verify<'a>(
        &self,
        root_hash: &[u8; 32],
        accepted: &[&'a Certificate],
    ) -> Result<&'a Certificate, Refusal> {
        let digest = signed_digest(&self.root_hash);
        let certificate = cms::verify_detached(&self.signature, &digest, accepted)?;
        if self.root_hash != *root_hash {
            return Err(Refusal::OtherContent {
                signed: format!("root hash {}", hexadecimal(&self.root_hash)),
                found: hexadecimal(root_hash),
            });
        }
        // systemd looks the certificate up by it.
        if self.certificate_fingerprint[..] != Sha256::digest(certificate.der())[..] {
            return Err(Refusal::malformed(
                "its fingerprint is that of another certificate",
            ));
        }
        Ok(certificate)
    }
}

fn signed_digest(root_hash: &[u8; 32]) -> [u8; 32] {
    Sha256::digest(hexadecimal(root_hash)).into()
}

/// A SHA-256 in hexadecimal digits.
pub(crate) fn digest(text: &str) -> Result<[u8; 32], Refusal> {
    let bytes = from_hexadecimal(text).and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| Refusal::malformed("what should be a SHA-256 is not 64 hexadecimal digits"))
}
