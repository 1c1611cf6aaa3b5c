//! `boot.sig` and the key in the EEPROM, held against the steps that rpi-eeprom documents.

use crate::support::{keys, run, signer, stranger, text, write};
use fortress_trust::{Blank, PublicKeys, Refusal, Role, raspberry_pi};
use proptest::prelude::*;
use rsa::RsaPublicKey;
use sha2::{Digest, Sha256};
use std::fs;
use std::sync::LazyLock;

const IMAGE: &[u8] = b"a FAT image";

static SIGNATURE: LazyLock<String> = LazyLock::new(|| {
    let digest = Sha256::digest(IMAGE).into();
    let keys = keys();
    raspberry_pi::sign(
        keys.public(),
        &signer(keys),
        "boot.img",
        &digest,
        1_795_305_600,
    )
    .unwrap()
});

fn key(public: &PublicKeys) -> &RsaPublicKey {
    public.rsa(Role::RaspberryPi).unwrap()
}

fn digest() -> [u8; 32] {
    Sha256::digest(IMAGE).into()
}

/// rpi-eeprom-digest writes `sha256sum`, a time, and `openssl dgst -sign` as `xxd -p`.
#[test]
fn a_boot_signature_is_what_rpi_eeprom_digest_writes() {
    let folder = tempfile::tempdir().unwrap();
    let image = write(&folder, "boot.img", IMAGE);
    let private = text(&keys().folder().join("raspberry-pi.key.pem")).to_owned();
    let out = text(&folder.path().join("out")).to_owned();
    run(
        "openssl",
        ["dgst", "-sign", &private, "-sha256", "-out", &out, &image],
    );
    let theirs: String = fs::read(&out)
        .unwrap()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let sum = run("sha256sum", [&image]);
    let sum = sum.split_whitespace().next().unwrap();
    assert_eq!(
        *SIGNATURE,
        format!("{sum}\nts: 1795305600\nrsa2048: {theirs}\n")
    );
    let public = text(&keys().folder().join("raspberry-pi.pub.pem")).to_owned();
    let signature = raspberry_pi::read(SIGNATURE.as_bytes()).unwrap().signature;
    let signature = write(&folder, "signature", signature);
    run(
        "openssl",
        [
            "dgst",
            "-verify",
            &public,
            "-sha256",
            "-signature",
            &signature,
            &image,
        ],
    );
}

/// rpi-eeprom-config packs modulus and exponent as little-endian numbers.
#[test]
fn the_key_is_as_the_eeprom_has_it() {
    let public = text(&keys().folder().join("raspberry-pi.pub.pem")).to_owned();
    let modulus = run(
        "openssl",
        ["rsa", "-pubin", "-in", &public, "-noout", "-modulus"],
    );
    let modulus = modulus.trim().strip_prefix("Modulus=").unwrap();
    let script = format!(
        "n=int('{modulus}',16); print((n.to_bytes(256,'little')+(65537).to_bytes(8,'little')).hex())"
    );
    let theirs = run("python3", ["-c", &script]);
    let ours = raspberry_pi::eeprom_key(key(keys().public()));
    let ours: String = ours.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(ours, theirs.trim());
}

#[test]
fn what_is_wrong_is_told_apart() {
    let own = key(keys().public());
    let other = key(stranger().public());
    let text = SIGNATURE.as_bytes();
    assert_eq!(
        raspberry_pi::verify(text, &digest(), &[other, own]).unwrap(),
        own
    );
    let refusal = raspberry_pi::verify(text, &digest(), &[other]).unwrap_err();
    assert!(matches!(refusal, Refusal::Stranger { .. }), "{refusal}");
    let refusal = raspberry_pi::verify(text, &[0; 32], &[own]).unwrap_err();
    assert!(matches!(refusal, Refusal::OtherContent { .. }), "{refusal}");
    let time = 1_795_305_600;
    let blank = raspberry_pi::sign(keys().public(), &Blank, "boot.img", &digest(), time).unwrap();
    assert_eq!(blank.len(), SIGNATURE.len());
    let refusal = raspberry_pi::verify(blank.as_bytes(), &digest(), &[own]).unwrap_err();
    assert_eq!(refusal, Refusal::Unsigned);
    let lines: Vec<&str> = SIGNATURE.lines().collect();
    for text in [
        String::new(),
        lines[0].to_owned(),
        lines[..2].join("\n"),
        [lines[0], lines[2]].join("\n"),
        [lines[0], lines[1], lines[2], lines[2]].join("\n"),
        [lines[0], lines[1], lines[2], "x: y"].join("\n"),
        SIGNATURE.replace("ts: 1", "ts: -1"),
        SIGNATURE.replace("rsa2048: ", "rsa2048: 00"),
    ] {
        let refusal = raspberry_pi::verify(text.as_bytes(), &digest(), &[own]).unwrap_err();
        assert!(
            matches!(refusal, Refusal::Malformed(_)),
            "{text}: {refusal}"
        );
    }
}

proptest! {
    #[test]
    fn any_bytes_may_be_read(bytes: Vec<u8>) {
        let _ = raspberry_pi::read(&bytes);
    }

    #[test]
    fn no_other_digest_or_signature_is_accepted(at: prop::sample::Index, bit in 0..8_u8) {
        let mut bytes = SIGNATURE.clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let own = key(keys().public());
        if let Ok(read) = raspberry_pi::read(&bytes) {
            // The time is not signed, and digits may be of either case.
            let good = raspberry_pi::read(SIGNATURE.as_bytes()).unwrap();
            let same = read.signature == good.signature && read.digest == good.digest;
            let accepted = raspberry_pi::verify(&bytes, &digest(), &[own]).is_ok();
            prop_assert_eq!(accepted, same);
        }
    }
}
