//! Keys and signatures of OpenPGP, packet by packet: the begin of the input stands for a key, the rest
//! for signatures.
#![no_main]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fortress_archive::Keyring;
use fortress_fuzz::Archive;
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

const TEXT: &str = "Origin: Debian\n";

static ARCHIVE: OnceLock<(Archive, String)> = OnceLock::new();

fuzz_target!(|data: &[u8]| {
    let (archive, signed) = ARCHIVE.get_or_init(|| {
        let archive = Archive::new();
        let signed = archive.sign(TEXT);
        (archive, signed)
    });
    let Some((length, data)) = data.split_first_chunk::<2>() else {
        return;
    };
    let length = usize::from(u16::from_le_bytes(*length)).min(data.len());
    let (key, signatures) = data.split_at(length);
    if let Ok(keys) = Keyring::parse(&[key]) {
        assert!(!keys.fingerprints().is_empty());
        let _ = keys.verify(signed.as_bytes(), archive.now());
    }
    let encoded = STANDARD.encode(signatures);
    let lines: Vec<&str> = encoded
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap_or_default())
        .collect();
    let document = format!(
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{TEXT}\
         -----BEGIN PGP SIGNATURE-----\n\n{}\n-----END PGP SIGNATURE-----\n",
        lines.join("\n")
    );
    for ring in [key, archive.public()] {
        if let Ok(keys) = Keyring::parse(&[ring]) {
            let _ = keys.verify(document.as_bytes(), archive.now());
        }
    }
});
