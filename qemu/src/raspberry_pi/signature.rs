//! `boot.sig`, by which a board with its owner's key in the EEPROM tells whether `boot.img` is that
//! owner's. Form: `rpi-eeprom-digest` of Raspberry Pi's rpi-eeprom.

use super::refusal::{Refusal, Result};
use rsa::signature::hazmat::PrehashVerifier;
use rsa::{RsaPublicKey, pkcs1v15};
use sha2::Sha256;

/// The longest `boot.sig` that is read, in bytes: it has some 620.
pub(super) const LONGEST: u64 = 4096;

/// Whether a `boot.sig` says that a `boot.img` with this SHA-256 is as the key's owner made it.
pub(super) fn verify(text: &[u8], digest: &[u8; 32], key: &RsaPublicKey) -> Result<()> {
    let refused = |why: &str| Err(Refusal::Signature(format!("boot.sig {why}")));
    let Ok(text) = std::str::from_utf8(text) else {
        return refused("is not text");
    };
    let mut lines = text.lines();
    let Some(stated) = lines.next().and_then(bytes) else {
        return refused("does not begin with the SHA-256 of boot.img");
    };
    if stated != digest {
        return refused(&format!(
            "is for another boot.img: it says SHA-256 {}…, and boot.img has {}…",
            short(&stated),
            short(digest)
        ));
    }
    let Some(signature) = lines.find_map(|line| line.strip_prefix("rsa2048:")) else {
        return refused("has no signature (no line rsa2048:)");
    };
    let Some(signature) = bytes(signature.trim()).filter(|bytes| bytes.len() == 256) else {
        return refused("has a signature that is not 256 bytes in hexadecimal digits");
    };
    if signature.iter().all(|byte| *byte == 0) {
        return refused("is not signed: zeros stand in place of the signature");
    }
    let valid = pkcs1v15::Signature::try_from(signature.as_slice()).is_ok_and(|signature| {
        pkcs1v15::VerifyingKey::<Sha256>::new(key.clone())
            .verify_prehash(digest, &signature)
            .is_ok()
    });
    match valid {
        true => Ok(()),
        false => refused("is signed by a key that is not the one in this board's EEPROM"),
    }
}

/// Hexadecimal digits as bytes.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .trim_end()
        .chars()
        .map(|digit| digit.to_digit(16).map(|digit| digit as u8))
        .collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    let pairs = digits.chunks_exact(2);
    Some(pairs.map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// The start of a digest, for people.
fn short(digest: &[u8]) -> String {
    let start = digest.iter().take(6);
    start.map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> RsaPublicKey {
        // Nobody signs with it: its modulus is arbitrary.
        RsaPublicKey::new_unchecked(
            rsa::BigUint::from_bytes_be(&[0xc5; 256]),
            rsa::BigUint::from(65537u32),
        )
    }

    #[test]
    fn what_is_no_signature_is_refused_with_the_reason() {
        let digest = [0xab; 32];
        let hexadecimal = "ab".repeat(32);
        for (text, why) in [
            (String::new(), "does not begin"),
            ("\n".to_owned(), "is for another boot.img"),
            (
                format!("{}\n", "00".repeat(32)),
                "says SHA-256 000000000000…",
            ),
            (format!("{hexadecimal}\nts: 1\n"), "no signature"),
            (format!("{hexadecimal}\nts: 1\nrsa2048: abc\n"), "256 bytes"),
            (
                format!("{hexadecimal}\nrsa2048: {}\n", "00".repeat(256)),
                "not signed",
            ),
            (
                format!("{hexadecimal}\nrsa2048: {}\n", "11".repeat(256)),
                "not the one in this board's EEPROM",
            ),
        ] {
            let said = verify(text.as_bytes(), &digest, &key()).unwrap_err();
            assert!(said.to_string().contains(why), "{said}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_no_signature(bytes: Vec<u8>) {
            prop_assert!(verify(&bytes, &[7; 32], &key()).is_err());
        }
    }
}
