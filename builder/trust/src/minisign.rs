//! Signatures of files in [minisign's format](https://jedisct1.github.io/minisign/): Ed25519 over
//! the file's BLAKE2b-512, with a trusted comment that is signed too.
//!
//! A key's number, by which minisign finds the key that belongs to a signature, is drawn from the
//! key itself, so that the key alone is all there is to keep.

use crate::{PublicKeys, Refusal, Request, Result, Role, Signer, is_placeholder};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blake2::Blake2b512;
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

/// What keys begin with: Ed25519.
const KEY_ALGORITHM: [u8; 2] = *b"Ed";
/// What signatures begin with: Ed25519 over BLAKE2b-512.
const SIGNATURE_ALGORITHM: [u8; 2] = *b"ED";
const COMMENT: &str = "untrusted comment: ";
const TRUSTED_COMMENT: &str = "trusted comment: ";
/// Most bytes of a signature or key file that are looked at.
const LONGEST: usize = 16 * 1024;

/// The number of a key, as it lies in files: eight bytes of the key's SHA-256.
pub fn key_number(key: &VerifyingKey) -> [u8; 8] {
    let digest: [u8; 32] = Sha256::digest(key.as_bytes()).into();
    let mut number = [0; 8];
    number.copy_from_slice(&digest[..8]);
    number
}

/// The number of a key as minisign prints it.
pub fn key_name(number: [u8; 8]) -> String {
    format!("{:016X}", u64::from_le_bytes(number))
}

/// A public key as `minisign -P` takes it: one line of base64.
pub fn public_key(key: &VerifyingKey) -> String {
    let number = key_number(key);
    STANDARD.encode([&KEY_ALGORITHM[..], &number, key.as_bytes()].concat())
}

/// A public key as `minisign -p` takes it: a file.
pub fn public_key_file(key: &VerifyingKey) -> String {
    format!(
        "{COMMENT}minisign public key {}\n{}\n",
        key_name(key_number(key)),
        public_key(key)
    )
}

/// Reads a public key: the file, or its line of base64 alone.
///
/// # Errors
/// When it is neither.
pub fn read_public_key(text: &str) -> Result<VerifyingKey, Refusal> {
    if text.len() > LONGEST {
        return Err(Refusal::malformed("longer than any public key of minisign"));
    }
    let mut lines = text.lines().filter(|line| !line.starts_with(COMMENT));
    let line = lines.next().unwrap_or_default().trim();
    let bytes = STANDARD.decode(line).map_err(Refusal::malformed)?;
    let key: &[u8; 32] = match bytes.strip_prefix(&KEY_ALGORITHM) {
        Some(rest) => rest.get(8..).and_then(|key| key.try_into().ok()),
        None => None,
    }
    .ok_or_else(|| Refusal::malformed("not a public key of minisign"))?;
    VerifyingKey::from_bytes(key).map_err(Refusal::malformed)
}

/// Signs a file with the key for [`Role::Manifest`] and gives the `.minisig` file. `what` is for
/// people; the trusted comment, which must be one line, is signed along with the file.
///
/// The second signature in it is over the first one; so as long as the first one is a placeholder,
/// the second is not asked for, and zeros too.
///
/// # Errors
/// When the signer does not sign.
pub fn sign(
    public: &PublicKeys,
    signer: &dyn Signer,
    what: &str,
    content: &[u8],
    trusted_comment: &str,
) -> Result<String> {
    let number = key_number(public.ed25519()?);
    // A line's end would let part of the comment pass for something else.
    let trusted_comment: String = trusted_comment
        .chars()
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .collect();
    let signature = signer.sign(&Request {
        role: Role::Manifest,
        what,
        payload: &Blake2b512::digest(content),
    })?;
    let second = match is_placeholder(&signature) {
        true => vec![0; signature.len()],
        false => signer.sign(&Request {
            role: Role::Manifest,
            what: &format!("{what}: comment"),
            payload: &[&signature, trusted_comment.as_bytes()].concat(),
        })?,
    };
    Ok(format!(
        "{COMMENT}verify with minisign, public key {}\n{}\n{TRUSTED_COMMENT}{trusted_comment}\n{}\n",
        key_name(number),
        STANDARD.encode([&SIGNATURE_ALGORITHM[..], &number, &signature].concat()),
        STANDARD.encode(second),
    ))
}

/// Checks a `.minisig` file, and says which of the accepted keys signed, and the trusted comment.
///
/// # Errors
/// When none of them did, or for another content.
pub fn verify<'a, 's>(
    signature_file: &'s str,
    content: &[u8],
    accepted: &[&'a VerifyingKey],
) -> Result<(&'a VerifyingKey, &'s str), Refusal> {
    if signature_file.len() > LONGEST {
        return Err(Refusal::malformed("longer than any signature of minisign"));
    }
    let mut lines = signature_file.lines();
    let mut line = || lines.next().unwrap_or_default();
    if !line().starts_with(COMMENT) {
        return Err(Refusal::malformed("not a signature of minisign"));
    }
    let signed = STANDARD.decode(line()).map_err(Refusal::malformed)?;
    let comment = line()
        .strip_prefix(TRUSTED_COMMENT)
        .ok_or_else(|| Refusal::malformed("it has no trusted comment"))?;
    let second = STANDARD.decode(line()).map_err(Refusal::malformed)?;
    let (number, signature) = signed
        .strip_prefix(&SIGNATURE_ALGORITHM)
        .and_then(|rest| rest.split_first_chunk::<8>())
        .ok_or_else(|| Refusal::malformed("not Ed25519 over BLAKE2b"))?;
    if is_placeholder(signature) || is_placeholder(&second) {
        return Err(Refusal::Unsigned);
    }
    let key = accepted
        .iter()
        .find(|key| key_number(key) == *number)
        .ok_or_else(|| Refusal::Stranger {
            signer: format!("minisign key {}", key_name(*number)),
        })?;
    let accepts = |payload: &[u8], signature: &[u8]| {
        Signature::from_slice(signature)
            .is_ok_and(|signature| key.verify_strict(payload, &signature).is_ok())
    };
    let right = accepts(&Blake2b512::digest(content), signature)
        && accepts(&[signature, comment.as_bytes()].concat(), &second);
    match right {
        true => Ok((key, comment)),
        false => Err(Refusal::Wrong),
    }
}
