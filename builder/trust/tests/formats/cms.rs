//! Detached signatures judged by openssl, and by damage.

use crate::owner::{accepted, owner, stranger};
use fortress_tests::Oracle;
use fortress_trust::cms::{self, Form};
use fortress_trust::{Blank, Refusal, Role};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::fs;
use std::sync::OnceLock;

const CONTENT: &[u8] = b"what is signed, \r\nto the byte\n";

fn digest() -> [u8; 32] {
    Sha256::digest(CONTENT).into()
}

fn signed(form: Form) -> Vec<u8> {
    let owner = owner();
    cms::detached(
        owner.public(),
        &owner.signer,
        Role::Verity,
        "a test",
        &digest(),
        form,
    )
    .unwrap()
}

#[test]
fn openssl_makes_the_same_bytes_and_accepts_them() {
    let oracle = Oracle::open();
    let folder = oracle.folder();
    let inside = |name: &str| oracle.inside(&folder.path().join(name));
    let key = oracle.inside(&owner().file("verity.key.pem", folder.path()));
    let certificate = oracle.inside(&owner().file("verity.crt", folder.path()));
    fs::write(folder.path().join("content"), CONTENT).unwrap();
    fs::write(folder.path().join("ours"), signed(Form::ContentInfo)).unwrap();
    let (content, ours, theirs) = (inside("content"), inside("ours"), inside("theirs"));
    let options = ["-binary", "-noattr", "-md", "sha256", "-outform", "DER"];
    let sign = [
        &[
            "openssl", "smime", "-sign", "-in", &content, "-out", &theirs,
        ][..],
        &["-signer", &certificate, "-inkey", &key],
        &options,
    ];
    oracle.run(&sign.concat()).success();
    let theirs = fs::read(folder.path().join("theirs")).unwrap();
    assert!(
        theirs == signed(Form::ContentInfo),
        "openssl makes other bytes"
    );
    let verify = [
        "openssl",
        "cms",
        "-verify",
        "-binary",
        "-inform",
        "DER",
        "-in",
        &ours,
        "-content",
        &content,
        "-CAfile",
        &certificate,
        "-purpose",
        "any",
        "-out",
        "/dev/null",
    ];
    oracle.run(&verify).success();
    fs::write(folder.path().join("content"), b"something else").unwrap();
    assert_ne!(oracle.run(&verify).status, 0);
}

#[test]
fn both_forms_hold_the_same_message() {
    let (whole, bare) = (signed(Form::ContentInfo), signed(Form::SignedData));
    assert!(whole.ends_with(&bare) && whole.len() > bare.len());
    // Firmware finds out about the digest's algorithm by looking at byte 13.
    assert_eq!(bare[13..22], [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1]);
    for message in [whole, bare] {
        let found = cms::verify_detached(&message, &digest(), &accepted(Role::Verity)).unwrap();
        assert_eq!(found.der(), accepted(Role::Verity)[0].der());
    }
}

#[test]
fn what_does_not_count_says_why() {
    let verify = |message: &[u8], digest: [u8; 32], role| {
        cms::verify_detached(message, &digest, &accepted(role)).unwrap_err()
    };
    let message = signed(Form::ContentInfo);
    let other = Sha256::digest(b"something else").into();
    assert_eq!(verify(&message, other, Role::Verity), Refusal::Wrong);
    // By another key of the same owner, and by somebody of the same name.
    let refusal = verify(&message, digest(), Role::Db);
    assert!(
        matches!(&refusal, Refusal::Stranger { signer } if signer.contains("Owner of the tests verity")),
        "{refusal:?}"
    );
    let (public, signer) = (stranger().public(), &stranger().signer);
    let form = Form::ContentInfo;
    let theirs = cms::detached(public, signer, Role::Verity, "", &digest(), form).unwrap();
    assert!(matches!(
        verify(&theirs, digest(), Role::Verity),
        Refusal::Stranger { .. }
    ));
    // Somebody else's signature under the owner's certificate.
    let forged = cms::detached(owner().public(), signer, Role::Verity, "", &digest(), form);
    assert_eq!(
        verify(&forged.unwrap(), digest(), Role::Verity),
        Refusal::Wrong
    );
    let later = cms::detached(owner().public(), &Blank, Role::Verity, "", &digest(), form).unwrap();
    assert_eq!(later.len(), message.len());
    assert_eq!(verify(&later, digest(), Role::Verity), Refusal::Unsigned);
    for damaged in [
        &b""[..],
        b"\x30",
        &message[1..],
        &message[..message.len() - 1],
    ] {
        assert!(matches!(
            verify(damaged, digest(), Role::Verity),
            Refusal::Malformed(_)
        ));
    }
    let longer = [&message[..], b"\0"].concat();
    assert!(matches!(
        verify(&longer, digest(), Role::Verity),
        Refusal::Malformed(_)
    ));
    // Nobody is accepted.
    assert!(cms::verify_detached(&message, &digest(), &[]).is_err());
}

#[test]
fn the_certificate_comes_along() {
    for form in [Form::ContentInfo, Form::SignedData] {
        let carried = cms::certificates(&signed(form));
        assert_eq!([&carried[0]], accepted(Role::Verity));
        assert_eq!(carried.len(), 1);
    }
    assert!(cms::certificates(b"no message").is_empty());
}

#[test]
fn the_same_is_signed_alike_each_time() {
    assert_eq!(signed(Form::ContentInfo), signed(Form::ContentInfo));
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_no_signature(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(cms::verify_detached(&bytes, &digest(), &accepted(Role::Verity)).is_err());
    }

    /// A change never turns it into the signature of something else, nor makes the reader panic.
    #[test]
    fn a_changed_signature_counts_for_nothing_else(
        at in any::<prop::sample::Index>(),
        to in any::<u8>(),
    ) {
        static MESSAGE: OnceLock<Vec<u8>> = OnceLock::new();
        let mut message = MESSAGE.get_or_init(|| signed(Form::ContentInfo)).clone();
        let at = at.index(message.len());
        message[at] = to;
        let other = Sha256::digest(b"something else").into();
        prop_assert!(cms::verify_detached(&message, &other, &accepted(Role::Verity)).is_err());
        let signature = MESSAGE.get().unwrap().len() - 256..;
        if signature.contains(&at) && message != *MESSAGE.get().unwrap() {
            prop_assert!(cms::verify_detached(&message, &digest(), &accepted(Role::Verity)).is_err());
        }
    }
}
