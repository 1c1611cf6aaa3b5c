//! Signed policies for a TPM's PCR 11, into which systemd-stub measures what a unified kernel image
//! holds: with such a signature (the image's section .pcrsig) a TPM releases what is sealed to the
//! key for [`Role::Pcr`], whichever image of that owner has started
//! ([JSON](https://systemd.io/TPM2_PCR_MEASUREMENTS/), as `systemd-measure sign` writes it).

use crate::cms;
use crate::signatures::hexadecimal;
use crate::signer::is_placeholder;
use crate::verity::digest;
use crate::{Error, PublicKey, PublicKeys, Refusal, Result, Role, Signer};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rsa::pkcs1::EncodeRsaPublicKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Most bytes of a .pcrsig section that are looked at; one of ours has 2100.
const LONGEST: usize = 64 * 1024;
/// The register.
const PCR: u32 = 11;
/// TPM_CC_PolicyPCR (TPM 2.0 Library, part 2, section 6.5.2).
const POLICY_PCR: [u8; 4] = [0, 0, 0x01, 0x7f];
/// TPML_PCR_SELECTION (part 2, section 10.9.7) of PCR 11 alone, in the bank of SHA-256: one
/// selection, TPM_ALG_SHA256, three bytes of bits.
const SELECTION: [u8; 10] = [0, 0, 0, 1, 0x00, 0x0b, 3, 0x00, 0x08, 0x00];

/// What PCR 11 is in a phase of the boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseValue {
    /// The phases up to this one: `enter-initrd:leave-initrd`.
    pub phase: String,
    /// PCR 11 in the bank of SHA-256.
    pub value: [u8; 32],
}

/// The JSON: a list for each bank.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Json {
    sha256: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    pcrs: Vec<u32>,
    /// SHA-256 of the public key: see [`fingerprint`].
    pkfp: String,
    /// The policy's digest.
    pol: String,
    sig: String,
}

/// The digest of a policy that wants PCR 11 to have that value: PolicyPCR in a new session (TPM 2.0
/// Library, part 3, section 23.7).
pub fn policy_digest(value: &[u8; 32]) -> [u8; 32] {
    let mut policy = Sha256::new();
    policy.update([0; 32]);
    policy.update(POLICY_PCR);
    policy.update(SELECTION);
    policy.update(Sha256::digest(value));
    policy.finalize().into()
}

/// Signs a policy for each of the values with the key for [`Role::Pcr`]. Gives what is to be the
/// section .pcrsig, which has the same length whatever the signatures are.
///
/// # Errors
/// When there is no key, or the signer does not sign.
pub fn sign(
    public: &PublicKeys,
    signer: &dyn Signer,
    what: &str,
    values: &[PhaseValue],
) -> Result<String> {
    let failed = |reason| Error::Document {
        kind: "signed PCR policy",
        reason,
    };
    let fingerprint = fingerprint(public.key(Role::Pcr)?).map_err(failed)?;
    let entry = |value: &PhaseValue| {
        let policy = policy_digest(&value.value);
        let what = format!("{what}, PCR 11 in phase {}", value.phase);
        let payload = Sha256::digest(policy).into();
        let signature = cms::request(signer, Role::Pcr, &what, &payload)?;
        Ok(Entry {
            pcrs: vec![PCR],
            pkfp: fingerprint.clone(),
            pol: hexadecimal(&policy),
            sig: STANDARD.encode(signature),
        })
    };
    let json = Json {
        sha256: values.iter().map(entry).collect::<Result<_>>()?,
    };
    let mut text = serde_json::to_string(&json).map_err(|error| failed(error.to_string()))?;
    text.push('\n');
    Ok(text)
}

/// Checks that a section .pcrsig holds a policy signed by that key for each of the values, in their
/// order, and for nothing else.
///
/// # Errors
/// When it does not.
pub fn verify(section: &[u8], values: &[PhaseValue], key: &PublicKey) -> Result<(), Refusal> {
    if section.len() > LONGEST {
        return Err(Refusal::malformed("it is longer than 64 KiB"));
    }
    let json: Json = serde_json::from_slice(section).map_err(Refusal::malformed)?;
    let fingerprint = fingerprint(key).map_err(Refusal::Malformed)?;
    if json.sha256.len() != values.len() {
        return Err(Refusal::malformed(format!(
            "it has {} policies instead of {}",
            json.sha256.len(),
            values.len()
        )));
    }
    for (entry, value) in json.sha256.iter().zip(values) {
        verify_entry(entry, value, key, &fingerprint)?;
    }
    Ok(())
}

fn verify_entry(
    entry: &Entry,
    value: &PhaseValue,
    key: &PublicKey,
    fingerprint: &str,
) -> Result<(), Refusal> {
    if entry.pcrs != [PCR] {
        return Err(Refusal::malformed("it has a policy of another PCR than 11"));
    }
    if entry.pkfp != fingerprint {
        return Err(Refusal::stranger(format!(
            "the key with SHA-256 {}",
            entry.pkfp
        )));
    }
    let policy = digest(&entry.pol)?;
    let signature = STANDARD
        .decode(&entry.sig)
        .map_err(|error| Refusal::malformed(format!("a signature is not in base64: {error}")))?;
    if is_placeholder(&signature) {
        return Err(Refusal::Unsigned);
    }
    if !key.accepts(&Sha256::digest(policy), &signature) {
        return Err(Refusal::Wrong);
    }
    let expected = policy_digest(&value.value);
    match policy == expected {
        true => Ok(()),
        false => Err(Refusal::OtherContent {
            signed: format!("policy {}", hexadecimal(&policy)),
            found: format!("{} in phase {}", hexadecimal(&expected), value.phase),
        }),
    }
}

/// What systemd knows a key by: the SHA-256 of RSAPublicKey (RFC 8017, appendix A.1.1), which is the
/// key without the words around it that say of what kind it is.
fn fingerprint(key: &PublicKey) -> Result<String, String> {
    let PublicKey::Rsa { key, .. } = key else {
        return Err("the key is none for RSA".into());
    };
    let der = key.to_pkcs1_der().map_err(|error| error.to_string())?;
    Ok(hexadecimal(&Sha256::digest(der.as_bytes())))
}
