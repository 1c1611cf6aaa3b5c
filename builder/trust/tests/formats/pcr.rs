//! Signed PCR policies judged by openssl and by damage; systemd-measure judges them where images are
//! measured.

use crate::owner::{owner, stranger};
use fortress_tests::Oracle;
use fortress_trust::pcr::{self, PhaseValue};
use fortress_trust::{Blank, Refusal, Role};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::fs;
use std::sync::OnceLock;

fn values() -> Vec<PhaseValue> {
    let value = |(phase, byte): (&str, u8)| PhaseValue {
        phase: phase.into(),
        value: [byte; 32],
    };
    [("one", 1), ("one:two", 2)].map(value).to_vec()
}

fn signed() -> String {
    pcr::sign(owner().public(), &owner().signer, "a test", &values()).unwrap()
}

fn verify(section: &str, values: &[PhaseValue]) -> Result<(), Refusal> {
    let key = owner().public().key(Role::Pcr).unwrap();
    pcr::verify(section.as_bytes(), values, key)
}

#[test]
fn openssl_accepts_the_signatures() {
    let oracle = Oracle::open();
    let folder = oracle.folder();
    let inside = |name: &str| oracle.inside(&folder.path().join(name));
    let key = oracle.inside(&owner().file("pcr.pub.pem", folder.path()));
    let json: serde_json::Value = serde_json::from_str(&signed()).unwrap();
    for (entry, value) in json["sha256"].as_array().unwrap().iter().zip(values()) {
        let text = entry["sig"].as_str().unwrap();
        fs::write(folder.path().join("base64"), text).unwrap();
        let policy = pcr::policy_digest(&value.value);
        fs::write(folder.path().join("policy"), policy).unwrap();
        let (base64, policy, signature) = (inside("base64"), inside("policy"), inside("sig"));
        let decode = [
            "openssl", "base64", "-d", "-A", "-in", &base64, "-out", &signature,
        ];
        oracle.run(&decode).success();
        let verify = [
            "openssl",
            "dgst",
            "-sha256",
            "-verify",
            &key,
            "-signature",
            &signature,
            &policy,
        ];
        oracle.run(&verify).success();
    }
}

#[test]
fn what_does_not_count_says_why() {
    let section = signed();
    verify(&section, &values()).unwrap();
    let mut others = values();
    others[1].value[31] ^= 1;
    assert!(matches!(
        verify(&section, &others),
        Err(Refusal::OtherContent { .. })
    ));
    others.swap(0, 1);
    assert!(verify(&section, &others).is_err());
    for count in [0, 1] {
        assert!(matches!(
            verify(&section, &values()[..count]),
            Err(Refusal::Malformed(_))
        ));
    }
    let theirs = pcr::sign(stranger().public(), &stranger().signer, "", &values()).unwrap();
    assert_eq!(theirs.len(), section.len());
    assert!(matches!(
        verify(&theirs, &values()),
        Err(Refusal::Stranger { .. })
    ));
    let forged = pcr::sign(owner().public(), &stranger().signer, "", &values()).unwrap();
    assert_eq!(verify(&forged, &values()), Err(Refusal::Wrong));
    let later = pcr::sign(owner().public(), &Blank, "", &values()).unwrap();
    assert_eq!(later.len(), section.len());
    assert_eq!(verify(&later, &values()), Err(Refusal::Unsigned));
    for damaged in [
        "",
        "{}",
        &section.replace("sha256", "sha384"),
        &section.replace("[11]", "[11,7]"),
        &section.replace("[11]", "[]"),
        &section.replace("\"pol\"", "\"more\":1,\"pol\""),
        &format!("{section}{section}"),
    ] {
        assert!(
            matches!(verify(damaged, &values()), Err(Refusal::Malformed(_))),
            "{damaged}"
        );
    }
}

/// What a TPM computes is written out here by hand, from the specification's text: the digest of
/// the old one, the command's code, which PCRs in which bank, and the digest of their values.
#[test]
fn the_policy_is_that_of_a_tpm() {
    let value = [7; 32];
    let mut bytes = vec![0; 32];
    bytes.extend(0x17f_u32.to_be_bytes());
    bytes.extend(1_u32.to_be_bytes());
    bytes.extend(0x000b_u16.to_be_bytes());
    bytes.push(3);
    bytes.extend((1_u32 << 11).to_le_bytes().iter().take(3));
    bytes.extend(Sha256::digest(value));
    assert_eq!(pcr::policy_digest(&value)[..], Sha256::digest(bytes)[..]);
}

proptest! {
    #[test]
    fn a_change_never_signs_another_policy(
        at in any::<prop::sample::Index>(),
        to in 0x20..0x7f_u8,
        value in any::<[u8; 32]>(),
    ) {
        static SECTION: OnceLock<String> = OnceLock::new();
        let mut section = SECTION.get_or_init(signed).clone().into_bytes();
        let at = at.index(section.len());
        section[at] = to;
        let mut others = values();
        others[0].value = value;
        let section = String::from_utf8(section).unwrap();
        prop_assert!(verify(&section, &others).is_err());
    }

    #[test]
    fn arbitrary_bytes_are_no_policy(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let key = owner().public().key(Role::Pcr).unwrap();
        prop_assert!(pcr::verify(&bytes, &values(), key).is_err());
    }
}
