//! Signatures as the boot loader of Raspberry Pis takes them: `boot.sig`, and the public key in its
//! EEPROM ([rpi-eeprom](https://github.com/raspberrypi/rpi-eeprom), `rpi-eeprom-digest` and
//! `tools/rpi-sign-bootcode`).

use crate::signatures::{from_hexadecimal, hexadecimal};
use crate::{Algorithm, PublicKeys, Refusal, Request, Result, Role, Signer, is_placeholder};
use rsa::traits::PublicKeyParts as _;
use rsa::{Pkcs1v15Sign, RsaPublicKey};
use sha2::Sha256;

/// Length of a public key in the EEPROM, in bytes.
pub const EEPROM_KEY_LENGTH: usize = 256 + 8;
/// Most bytes of a `boot.sig` that are looked at.
const LONGEST: usize = 4096;

/// What a `boot.sig` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootSignature {
    /// SHA-256 of `boot.img`.
    pub digest: [u8; 32],
    /// When it was signed, in seconds since 1970.
    pub time: u64,
    /// RSA PKCS#1 v1.5 over the digest.
    pub signature: [u8; 256],
}

/// Signs a `boot.img`, whose SHA-256 is `digest`, with the key for [`Role::RaspberryPi`] and gives
/// its `boot.sig`; it is always equally long for equally long times. `time` is in seconds since
/// 1970.
///
/// # Errors
/// When the signer does not sign.
pub fn sign(
    public: &PublicKeys,
    signer: &dyn Signer,
    what: &str,
    digest: &[u8; 32],
    time: u64,
) -> Result<String> {
    public.rsa(Role::RaspberryPi)?;
    let signature = signer.sign(&Request {
        role: Role::RaspberryPi,
        what,
        payload: digest,
    })?;
    Ok(format!(
        "{}\nts: {time}\nrsa2048: {}\n",
        hexadecimal(digest),
        hexadecimal(&signature)
    ))
}

/// Reads a `boot.sig`.
///
/// # Errors
/// When it is not of the form, or a line is missing, there twice, or unknown.
pub fn read(text: &[u8]) -> Result<BootSignature, Refusal> {
    if text.len() > LONGEST {
        return Err(Refusal::malformed("longer than any boot.sig"));
    }
    let text = str::from_utf8(text).map_err(Refusal::malformed)?;
    let mut lines = text.lines();
    let digest = lines
        .next()
        .and_then(bytes)
        .ok_or_else(|| Refusal::malformed("its first line is not a SHA-256"))?;
    let (mut time, mut signature) = (None, None);
    for line in lines {
        let known = match line.split_once(": ") {
            Some(("ts", value)) if time.is_none() => {
                time = value.parse().ok();
                time.is_some()
            }
            Some(("rsa2048", value)) if signature.is_none() => {
                signature = bytes(value);
                signature.is_some()
            }
            _ => false,
        };
        if !known {
            let line: String = line.chars().take(20).collect();
            return Err(Refusal::malformed(format!("what is the line {line:?}?")));
        }
    }
    match (time, signature) {
        (Some(time), Some(signature)) => Ok(BootSignature {
            digest,
            time,
            signature,
        }),
        (None, _) => Err(Refusal::malformed("it has no line ts")),
        (_, None) => Err(Refusal::malformed("it has no line rsa2048")),
    }
}

/// Checks a `boot.sig` for the `boot.img` whose SHA-256 is `digest`, and says which of the accepted
/// keys signed.
///
/// # Errors
/// When none of them did, or for another `boot.img`.
pub fn verify<'a>(
    text: &[u8],
    digest: &[u8; 32],
    accepted: &[&'a RsaPublicKey],
) -> Result<&'a RsaPublicKey, Refusal> {
    let read = read(text)?;
    if read.digest != *digest {
        return Err(Refusal::OtherContent {
            signed: hexadecimal(&read.digest),
            found: hexadecimal(digest),
        });
    }
    if is_placeholder(&read.signature) {
        return Err(Refusal::Unsigned);
    }
    let padding = Pkcs1v15Sign::new::<Sha256>;
    let mut accepted = accepted.iter();
    accepted
        .find(|key| key.verify(padding(), digest, &read.signature).is_ok())
        .copied()
        // A boot.sig does not say whose it is.
        .ok_or_else(|| Refusal::Stranger {
            signer: "an unknown key, or was changed".into(),
        })
}

/// A public key as the EEPROM has it (`pubkey.bin`): the modulus in 256 bytes, then the exponent in
/// 8, both the least significant byte first.
pub fn eeprom_key(key: &RsaPublicKey) -> [u8; EEPROM_KEY_LENGTH] {
    let mut bytes = [0; EEPROM_KEY_LENGTH];
    let length = Algorithm::Rsa2048Sha256.signature_length();
    let fill = |place: &mut [u8], number: Vec<u8>| {
        for (place, byte) in place.iter_mut().zip(number) {
            *place = byte;
        }
    };
    let (modulus, exponent) = bytes.split_at_mut(length);
    fill(modulus, key.n().to_bytes_le());
    fill(exponent, key.e().to_bytes_le());
    bytes
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    from_hexadecimal(text)?.try_into().ok()
}
