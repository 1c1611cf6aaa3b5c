//! Signatures in every form that an image carries. None is good: nobody here has Microsoft's key.
#![no_main]

use fortress_trust::secure_boot::{self, Microsoft, Variable};
use fortress_trust::{Certificate, authenticode, cms, minisign, pcr, raspberry_pi, verity};
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

static CERTIFICATE: OnceLock<Certificate> = OnceLock::new();

fuzz_target!(|data: &[u8]| {
    let certificate = CERTIFICATE.get_or_init(|| {
        secure_boot::microsoft(Microsoft::UefiCa2023).expect("a certificate that is built in")
    });
    let key = certificate.public_key().expect("it has a key");
    let rsa = certificate.rsa().expect("it is for RSA");
    let digest = [7; 32];
    let accepted = [certificate];
    assert!(authenticode::verify(data, &digest, &accepted).is_err());
    assert!(cms::verify_detached(data, &digest, &accepted).is_err());
    for certificate in cms::certificates(data) {
        let _ = (certificate.fingerprint(), certificate.public_key());
    }
    if let Ok(signature) = verity::read(data) {
        assert!(signature.verify(&digest, &accepted).is_err());
    }
    let value = pcr::PhaseValue {
        phase: "enter-initrd".into(),
        value: digest,
    };
    assert!(pcr::verify(data, &[value], &key).is_err());
    assert!(raspberry_pi::verify(data, &digest, &[&rsa]).is_err());
    assert!(secure_boot::verify(Variable::Db, data, &accepted).is_err());
    let content = secure_boot::read(data).map_or(data, |read| read.content);
    let _ = secure_boot::read_lists(content);
    if let Ok(text) = std::str::from_utf8(data) {
        assert!(minisign::verify(text, b"", &[]).is_err());
    }
});
