//! Signatures of programs judged by openssl and by damage. That sbverify accepts whole programs is
//! tested where programs are signed.

use crate::owner::{accepted, owner, stranger};
use fortress_tests::Oracle;
use fortress_trust::{Blank, Refusal, Role, authenticode};
use proptest::prelude::*;
use std::fs;
use std::sync::OnceLock;

const DIGEST: [u8; 32] = [0xd1; 32];

fn signed() -> Vec<u8> {
    authenticode::sign(owner().public(), &owner().signer, "a test", &DIGEST).unwrap()
}

fn refusal(message: &[u8], digest: &[u8; 32]) -> Refusal {
    authenticode::verify(message, digest, &accepted(Role::Db)).unwrap_err()
}

/// The content is of a kind that openssl does not know, so its structure and the signature over it
/// are checked one by one.
#[test]
fn openssl_reads_it_and_accepts_the_signature() {
    let oracle = Oracle::open();
    let folder = oracle.folder();
    let inside = |name: &str| oracle.inside(&folder.path().join(name));
    let certificate = oracle.inside(&owner().file("db.crt", folder.path()));
    fs::write(folder.path().join("message"), signed()).unwrap();
    let message = inside("message");
    let parse = ["openssl", "asn1parse", "-inform", "DER", "-in", &message];
    let parsed = oracle.run(&parse).success();
    for expected in [
        ":pkcs7-signedData",
        ":1.3.6.1.4.1.311.2.1.4",
        ":1.3.6.1.4.1.311.2.1.15",
        ":contentType",
        ":messageDigest",
        &format!("[HEX DUMP]:{}", "D1".repeat(32)),
    ] {
        assert!(parsed.contains(expected), "{expected}: {parsed}");
    }
    assert!(!parsed.contains("signingTime"), "{parsed}");
    let verify = [
        "openssl",
        "smime",
        "-verify",
        "-inform",
        "DER",
        "-in",
        &message,
        "-CAfile",
        &certificate,
        "-purpose",
        "any",
        "-out",
        "/dev/null",
    ];
    let outcome = oracle.run(&verify);
    assert_eq!(outcome.status, 0, "{outcome:?}");
}

#[test]
fn it_holds_for_this_program_and_key_alone() {
    let message = signed();
    let found = authenticode::verify(&message, &DIGEST, &accepted(Role::Db)).unwrap();
    assert_eq!(found.der(), accepted(Role::Db)[0].der());
    assert_eq!(message, signed());
    assert!(matches!(
        refusal(&message, &[0; 32]),
        Refusal::OtherContent { .. }
    ));
    assert!(matches!(
        authenticode::verify(&message, &DIGEST, &accepted(Role::Pk)),
        Err(Refusal::Stranger { .. })
    ));
    let other = authenticode::sign(stranger().public(), &stranger().signer, "", &DIGEST).unwrap();
    assert!(matches!(refusal(&other, &DIGEST), Refusal::Stranger { .. }));
    let later = authenticode::sign(owner().public(), &Blank, "", &DIGEST).unwrap();
    assert_eq!(later.len(), message.len());
    assert_eq!(refusal(&later, &DIGEST), Refusal::Unsigned);
}

/// The digest that is told in the content, or in the attributes, exchanged for another one.
#[test]
fn no_part_can_be_exchanged() {
    let message = signed();
    let places: Vec<usize> = message
        .windows(32)
        .enumerate()
        .filter(|(_, window)| *window == DIGEST)
        .map(|(at, _)| at)
        .collect();
    assert_eq!(places.len(), 1);
    let mut exchanged = message.clone();
    exchanged[places[0]..places[0] + 32].fill(0xd2);
    assert!(matches!(
        refusal(&exchanged, &[0xd2; 32]),
        Refusal::OtherContent { .. }
    ));
    // A signature of data is none of a program, and the other way round.
    let form = fortress_trust::cms::Form::ContentInfo;
    let (public, signer) = (owner().public(), &owner().signer);
    let data = fortress_trust::cms::detached(public, signer, Role::Db, "", &DIGEST, form).unwrap();
    assert!(matches!(refusal(&data, &DIGEST), Refusal::Malformed(_)));
    assert!(matches!(
        fortress_trust::cms::verify_detached(&message, &DIGEST, &accepted(Role::Db)),
        Err(Refusal::Malformed(_))
    ));
}

proptest! {
    #[test]
    fn a_changed_signature_is_for_no_other_program(
        at in any::<prop::sample::Index>(),
        to in any::<u8>(),
        digest in any::<[u8; 32]>(),
    ) {
        static MESSAGE: OnceLock<Vec<u8>> = OnceLock::new();
        let mut message = MESSAGE.get_or_init(signed).clone();
        let at = at.index(message.len());
        message[at] = to;
        prop_assert!(authenticode::verify(&message, &digest, &accepted(Role::Db)).is_err());
        let place = message.windows(32).position(|window| window == DIGEST);
        if let Some(place) = place {
            message[place..place + 32].copy_from_slice(&digest);
            prop_assert!(authenticode::verify(&message, &digest, &accepted(Role::Db)).is_err());
        }
    }

    #[test]
    fn arbitrary_bytes_are_no_signature(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(authenticode::verify(&bytes, &DIGEST, &accepted(Role::Db)).is_err());
    }
}
