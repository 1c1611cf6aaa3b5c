//! Keys and certificates in their files: PEM, DER, minisign, and a whole key set.
#![no_main]

use fortress_fuzz::{folder, pieces, texts, write};
use fortress_trust::{Algorithm, Certificate, KeySet, PublicKey, minisign};
use libfuzzer_sys::fuzz_target;

const ALGORITHMS: [Algorithm; 2] = [Algorithm::Ed25519, Algorithm::Rsa2048Sha256];

fn certificate(certificate: &Certificate) {
    let _ = (certificate.fingerprint(), certificate.rsa());
    let _ = certificate.public_key();
    let pem = certificate.pem().expect("what was read can be written");
    let read = Certificate::from_pem(&pem).expect("what was written is read");
    assert_eq!(read.der(), certificate.der());
}

fuzz_target!(|data: &[u8]| {
    if let Ok(read) = Certificate::from_der(data) {
        certificate(&read);
    }
    for algorithm in ALGORITHMS {
        if let Ok(key) = PublicKey::from_der(data, algorithm) {
            let _ = key.accepts(&[7; 32], &[1; 64]);
            let pem = key.pem().expect("what was read can be written");
            assert_eq!(PublicKey::from_pem(&pem, algorithm), Ok(key));
        }
    }
    let Some([text]) = texts(data) else { return };
    if let Ok(read) = Certificate::from_pem(text) {
        certificate(&read);
    }
    if let Ok(key) = minisign::read_public_key(text) {
        let file = minisign::public_key_file(&key);
        assert_eq!(minisign::read_public_key(&file).ok(), Some(key));
    }
    for algorithm in ALGORITHMS {
        let _ = PublicKey::from_pem(text, algorithm);
    }
    let folder = folder();
    let [settings, public, certificate]: [&[u8]; 3] = pieces(data);
    write(folder.path(), "keys.toml", settings);
    for role in ["manifest", "db"] {
        write(folder.path(), &format!("{role}.pub.pem"), public);
        write(folder.path(), &format!("{role}.crt"), certificate);
    }
    let _ = KeySet::open(folder.path());
});
