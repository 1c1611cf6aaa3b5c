//! Whose signature counts: our own policy over rPGP's primitives (RFC 9580).
//!
//! A document is good when at least one of its signatures is good: made by a pinned key, with a
//! strong hash, neither expired nor from the future, by a primary key or a bound subkey that may
//! sign, that is strong enough, has not expired and was not revoked. Certifications by others,
//! trust, and designated revokers play no part: the keys are pinned.

use std::fmt;

use pgp::composed::{Deserializable, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType, SubpacketData};
use pgp::ser::Serialize;
use pgp::types::{EcdsaPublicParams, KeyDetails, PublicParams, Tag};

use crate::clear_text;
use crate::time::to_rfc3339;

/// How far ahead of our clock a signature may have been made: a day, as with the index's date.
pub(crate) const CLOCK_SKEW: i64 = 86_400;

/// Fewer bits in an RSA key are refused.
const RSA_BITS: u16 = 2048;

/// Public keys that are trusted to sign.
#[derive(Debug, Clone)]
pub struct Keyring {
    keys: Vec<SignedPublicKey>,
}

/// A signed text, proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What was signed.
    pub text: String,
    /// Fingerprint of the pinned (primary) key that vouches for it, upper case hex.
    pub signer: String,
    /// When it was signed, in seconds since 1970.
    pub signed_at: i64,
}

/// Why a document is not to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not a signed text at all.
    #[error("it is not one signed text: {0}")]
    Malformed(String),
    /// None of its signatures is good: each one's issuer, and what is wrong.
    #[error("no signature is good: {}", list(.0))]
    Signatures(Vec<(String, Fault)>),
}

/// What is wrong with one signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Its issuer is not among the pinned keys.
    #[error("made by a key that is not pinned")]
    NotPinned,
    /// The text is not what was signed, or the signature is damaged.
    #[error("it does not fit the text")]
    Bad,
    /// It is not a signature over a text.
    #[error("it is not a signature over text")]
    NotOverText,
    /// A hash that can be forged.
    #[error("its hash, {0}, is too weak")]
    WeakHash(String),
    /// It has expired.
    #[error("it expired at {0}")]
    Expired(String),
    /// It was made in the future, or says not when.
    #[error("it was made in the future, or before its key")]
    WrongTime,
    /// It has a part that must be understood, and is not.
    #[error("it has a critical part that is unknown here")]
    Critical,
    /// The key has expired.
    #[error("its key expired at {0}")]
    KeyExpired(String),
    /// The key was revoked.
    #[error("its key was revoked")]
    KeyRevoked,
    /// The key's algorithm or size is too weak or unknown.
    #[error("its key is too weak or unknown here: {0}")]
    KeyWeak(String),
    /// The key has no good signature by itself.
    #[error("its key has no good signature by itself")]
    KeyUnbound,
    /// The key may not sign.
    #[error("its key may not sign")]
    KeyNotForSigning,
}

impl Refusal {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let Self::Signatures(faults) = self else {
            return Some(
                "what the mirror gave is no signed index: try another (--mirror), or look \
                 whether a captive portal answers in its place"
                    .into(),
            );
        };
        let any = |test: fn(&Fault) -> bool| faults.iter().any(|(_, fault)| test(fault));
        if any(|fault| matches!(fault, Fault::Bad)) {
            Some("the mirror, or someone between, changed it: try another (--mirror)".into())
        } else if any(|fault| matches!(fault, Fault::KeyExpired(_) | Fault::KeyRevoked)) {
            Some("get the archive's present key, check it, and put it into keys/".into())
        } else if any(|fault| matches!(fault, Fault::NotPinned)) {
            Some("if the archive has a new key, check it and put it into keys/".into())
        } else {
            None
        }
    }
}

fn list(faults: &[(String, Fault)]) -> String {
    let lines: Vec<String> = faults
        .iter()
        .map(|(issuer, fault)| format!("{issuer}: {fault}"))
        .collect();
    lines.join("; ")
}

impl Keyring {
    /// Reads keys, each a key or several, armoured or binary.
    ///
    /// # Errors
    /// In words, when one of them holds no key that can be read.
    pub fn parse<K: AsRef<[u8]>>(rings: &[K]) -> Result<Self, String> {
        let mut keys = Vec::new();
        for (position, ring) in rings.iter().enumerate() {
            let found = parse_ring(ring.as_ref());
            if found.is_empty() {
                return Err(format!(
                    "number {} holds no OpenPGP public key",
                    position + 1
                ));
            }
            keys.extend(found);
        }
        match keys.is_empty() {
            true => Err("there is none".into()),
            false => Ok(Self { keys }),
        }
    }

    /// The fingerprints of the (primary) keys, upper case hex, in the order given.
    pub fn fingerprints(&self) -> Vec<String> {
        let keys = self.keys.iter();
        keys.map(|key| fingerprint(&key.primary_key)).collect()
    }

    /// Verifies a text in the cleartext signature framework at a time in seconds since 1970.
    ///
    /// # Errors
    /// When it is malformed, or no signature is good.
    pub fn verify(&self, document: &[u8], now: i64) -> Result<Verified, Refusal> {
        let signed = clear_text::parse(document).map_err(Refusal::Malformed)?;
        let mut faults = Vec::new();
        for signature in &signed.signatures {
            match self.judge(signature, &signed.text, now) {
                Ok((signer, signed_at)) => {
                    return Ok(Verified {
                        text: signed.text,
                        signer,
                        signed_at,
                    });
                }
                Err(fault) => faults.push((issuer(signature), fault)),
            }
        }
        Err(Refusal::Signatures(faults))
    }

    /// Who made a signature and when, if it is good.
    fn judge(&self, signature: &Signature, text: &str, now: i64) -> Result<(String, i64), Fault> {
        if signature.typ() != Some(SignatureType::Text) {
            return Err(Fault::NotOverText);
        }
        strong_hash(signature)?;
        let mut fault = Fault::NotPinned;
        for key in &self.keys {
            let made = if names(signature, &key.primary_key) {
                primary_may_sign(key, now)
                    .and_then(|()| made_by(signature, &key.primary_key, text, now))
            } else if let Some(subkey) = key
                .public_subkeys
                .iter()
                .find(|subkey| names(signature, &subkey.key))
            {
                subkey_may_sign(key, subkey, now)
                    .and_then(|()| made_by(signature, &subkey.key, text, now))
            } else {
                continue;
            };
            match made {
                Ok(at) => return Ok((fingerprint(&key.primary_key), at)),
                Err(wrong) => fault = wrong,
            }
        }
        Err(fault)
    }
}

/// All keys of a ring that can be read; a ring may be several armoured blocks one after another.
fn parse_ring(ring: &[u8]) -> Vec<SignedPublicKey> {
    const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
    let mut keys = Vec::new();
    match std::str::from_utf8(ring) {
        Ok(text) if text.contains(BEGIN) => {
            for block in text.split(BEGIN).skip(1) {
                let packets = clear_text::packets(&format!("{BEGIN}{block}"));
                if let Ok(packets) = packets
                    && let Ok(found) = SignedPublicKey::from_bytes_many(&packets[..])
                {
                    keys.extend(found.flatten());
                }
            }
        }
        _ => {
            if let Ok(found) = SignedPublicKey::from_bytes_many(ring) {
                keys.extend(found.flatten());
            }
        }
    }
    keys
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02X}"))
    }
}

fn fingerprint(key: &impl KeyDetails) -> String {
    Hex(key.fingerprint().as_bytes()).to_string()
}

/// What a signature says of its issuer, for messages.
fn issuer(signature: &Signature) -> String {
    if let Some(fingerprint) = signature.issuer_fingerprint().first() {
        return Hex(fingerprint.as_bytes()).to_string();
    }
    match signature.issuer_key_id().first() {
        Some(id) => Hex(id.as_ref()).to_string(),
        None => "an unnamed key".into(),
    }
}

/// Whether a signature names this key as its issuer (a hint only; the mathematics decides).
fn names(signature: &Signature, key: &impl KeyDetails) -> bool {
    let by_fingerprint = signature.issuer_fingerprint();
    match by_fingerprint.is_empty() {
        false => by_fingerprint.contains(&&key.fingerprint()),
        true => signature.issuer_key_id().contains(&&key.legacy_key_id()),
    }
}

fn strong_hash(signature: &Signature) -> Result<(), Fault> {
    match signature.hash_alg() {
        Some(
            HashAlgorithm::Sha256
            | HashAlgorithm::Sha384
            | HashAlgorithm::Sha512
            | HashAlgorithm::Sha3_256
            | HashAlgorithm::Sha3_512,
        ) => Ok(()),
        Some(weak) => Err(Fault::WeakHash(weak.to_string())),
        None => Err(Fault::WeakHash("unknown".into())),
    }
}

fn strong_key(key: &impl KeyDetails) -> Result<(), Fault> {
    let weak = |what: String| Err(Fault::KeyWeak(what));
    match key.public_params() {
        PublicParams::RSA(_) => {
            // The first number of the parameters is the modulus, led by its length in bits.
            let bytes = key.public_params().to_bytes().unwrap_or_default();
            let bits = match bytes.as_slice() {
                [high, low, ..] => u16::from_be_bytes([*high, *low]),
                _ => 0,
            };
            match bits < RSA_BITS {
                true => weak(format!("RSA with {bits} bits")),
                false => Ok(()),
            }
        }
        PublicParams::EdDSALegacy(_) | PublicParams::Ed25519(_) | PublicParams::Ed448(_) => Ok(()),
        PublicParams::ECDSA(
            EcdsaPublicParams::P256 { .. }
            | EcdsaPublicParams::P384 { .. }
            | EcdsaPublicParams::P521 { .. },
        ) => Ok(()),
        _ => weak(format!("{:?}", key.algorithm())),
    }
}

/// The signed part of a signature's subpackets. What is outside of it, anyone can write.
fn hashed(signature: &Signature) -> impl Iterator<Item = &pgp::packet::Subpacket> {
    signature
        .config()
        .into_iter()
        .flat_map(|config| config.hashed_subpackets.iter())
}

fn created(signature: &Signature) -> Option<i64> {
    hashed(signature).find_map(|part| match part.data {
        SubpacketData::SignatureCreationTime(time) => Some(i64::from(time.as_secs())),
        _ => None,
    })
}

/// A signature's own times and parts: when it was made, if it holds at `now`.
fn holds(signature: &Signature, key: &impl KeyDetails, now: i64) -> Result<i64, Fault> {
    strong_hash(signature)?;
    let unknown = hashed(signature).any(|part| {
        part.is_critical
            && matches!(
                part.data,
                SubpacketData::Other(..)
                    | SubpacketData::Experimental(..)
                    | SubpacketData::Notation(_)
                    | SubpacketData::RegularExpression(_)
            )
    });
    if unknown {
        return Err(Fault::Critical);
    }
    let Some(made) = created(signature) else {
        return Err(Fault::WrongTime);
    };
    if made > now + CLOCK_SKEW || made < i64::from(key.created_at().as_secs()) {
        return Err(Fault::WrongTime);
    }
    let lasts = signature
        .signature_expiration_time()
        .map_or(0, |time| i64::from(time.as_secs()));
    match lasts > 0 && made + lasts <= now {
        true => Err(Fault::Expired(to_rfc3339(made + lasts))),
        false => Ok(made),
    }
}

fn made_by<K>(signature: &Signature, key: &K, text: &str, now: i64) -> Result<i64, Fault>
where
    K: pgp::types::VerifyingKey,
{
    let at = holds(signature, key, now)?;
    match signature.verify(key, text.as_bytes()) {
        Ok(()) => Ok(at),
        Err(_) => Err(Fault::Bad),
    }
}

/// Whether a key that was bound by `binding` has expired by `now`.
fn unexpired(binding: &Signature, key: &impl KeyDetails, now: i64) -> Result<(), Fault> {
    let lasts = binding
        .key_expiration_time()
        .map_or(0, |time| i64::from(time.as_secs()));
    let end = i64::from(key.created_at().as_secs()) + lasts;
    match lasts > 0 && end <= now {
        true => Err(Fault::KeyExpired(to_rfc3339(end))),
        false => Ok(()),
    }
}

/// The newest good signature by which a primary key speaks of itself: over itself, or over one
/// of its user identifiers that it has not taken back.
fn newest_self_signature(key: &SignedPublicKey, now: i64) -> Option<&Signature> {
    let primary = &key.primary_key;
    let direct = key.details.direct_signatures.iter().filter(|signature| {
        signature.typ() == Some(SignatureType::Key)
            && names(signature, primary)
            && signature.verify_key(primary).is_ok()
    });
    let certified = key.details.users.iter().flat_map(|user| {
        let own = |signature: &&Signature| {
            names(signature, primary)
                && signature
                    .verify_certification(primary, Tag::UserId, &user.id)
                    .is_ok()
        };
        let revoked = user
            .signatures
            .iter()
            .filter(|signature| signature.typ() == Some(SignatureType::CertRevocation))
            .filter(own)
            .filter_map(created)
            .max();
        user.signatures
            .iter()
            .filter(|signature| signature.is_certification())
            .filter(own)
            .filter(move |signature| revoked.is_none_or(|at| created(signature) > Some(at)))
    });
    direct
        .chain(certified)
        .filter_map(|signature| Some((holds(signature, primary, now).ok()?, signature)))
        .max_by_key(|(made, _)| *made)
        .map(|(_, signature)| signature)
}

/// Whether a binding lets its key sign. Without flags it says nothing, and all is allowed.
fn lets_sign(binding: &Signature) -> Result<(), Fault> {
    let flags = hashed(binding).find_map(|part| match &part.data {
        SubpacketData::KeyFlags(flags) => Some(flags.sign()),
        _ => None,
    });
    match flags {
        Some(false) => Err(Fault::KeyNotForSigning),
        Some(true) | None => Ok(()),
    }
}

/// A primary key that is bound to itself and alive, whatever it may do.
fn primary_lives(key: &SignedPublicKey, now: i64) -> Result<&Signature, Fault> {
    let primary = &key.primary_key;
    strong_key(primary)?;
    // A revocation counts whatever its hash and its time: who can forge one can do no worse
    // than to stop us.
    let revoked = key.details.revocation_signatures.iter().any(|signature| {
        signature.typ() == Some(SignatureType::KeyRevocation)
            && signature.verify_key(primary).is_ok()
    });
    if revoked {
        return Err(Fault::KeyRevoked);
    }
    let binding = newest_self_signature(key, now).ok_or(Fault::KeyUnbound)?;
    unexpired(binding, primary, now)?;
    Ok(binding)
}

fn primary_may_sign(key: &SignedPublicKey, now: i64) -> Result<(), Fault> {
    lets_sign(primary_lives(key, now)?)
}

fn subkey_may_sign(
    key: &SignedPublicKey,
    subkey: &SignedPublicSubKey,
    now: i64,
) -> Result<(), Fault> {
    let primary = &key.primary_key;
    primary_lives(key, now)?;
    strong_key(&subkey.key)?;
    let revoked = subkey.signatures.iter().any(|signature| {
        signature.typ() == Some(SignatureType::SubkeyRevocation)
            && signature
                .verify_subkey_binding(primary, &subkey.key)
                .is_ok()
    });
    if revoked {
        return Err(Fault::KeyRevoked);
    }
    let binding = subkey
        .signatures
        .iter()
        .filter(|signature| {
            signature.typ() == Some(SignatureType::SubkeyBinding)
                && signature
                    .verify_subkey_binding(primary, &subkey.key)
                    .is_ok()
        })
        .filter_map(|signature| Some((holds(signature, &subkey.key, now).ok()?, signature)))
        .max_by_key(|(made, _)| *made)
        .map(|(_, signature)| signature)
        .ok_or(Fault::KeyUnbound)?;
    unexpired(binding, &subkey.key, now)?;
    lets_sign(binding)?;
    // A signing subkey must vouch for the primary key in turn (RFC 9580, section 5.2.1.9), or
    // anyone could adopt a stranger's key.
    let back = binding.embedded_signature().ok_or(Fault::KeyUnbound)?;
    holds(back, &subkey.key, now).map_err(|_| Fault::KeyUnbound)?;
    back.verify_primary_key_binding(&subkey.key, primary)
        .map_err(|_| Fault::KeyUnbound)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by fuzzing: a key file that is cut off, or otherwise no whole armour, made rPGP's reader
    /// panic, since it is asked again after it has said that something is wrong.
    #[test]
    fn damaged_armour_holds_no_key() {
        let name = "../../keys/archive/debian-archive-trixie-stable.asc";
        let whole = std::fs::read_to_string(name).unwrap();
        assert_eq!(Keyring::parse(&[&whole]).unwrap().fingerprints().len(), 1);
        for end in (0..whole.trim_end().len()).step_by(7) {
            assert!(Keyring::parse(&[&whole[..end]]).is_err(), "{end}");
        }
        for at in (40..whole.len()).step_by(101) {
            let mut damaged = whole.clone().into_bytes();
            damaged[at] = b'!';
            let _ = Keyring::parse(&[damaged]);
        }
    }
}
