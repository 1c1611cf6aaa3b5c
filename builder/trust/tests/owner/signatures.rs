//! Signatures that are made elsewhere.

use crate::support::{keys, run, signer, stranger, text, write};
use fortress_trust::{
    Blank, Collected, Error, Recording, Request, Requests, Role, Signatures, Signer, is_placeholder,
};
use proptest::prelude::*;
use std::fs;

const DIGEST: [u8; 32] = [0xab; 32];

fn ask(signer: &dyn Signer) -> Vec<Vec<u8>> {
    let requests = [
        (Role::Db, "b.efi", &DIGEST[..]),
        (Role::Db, "a.efi", &DIGEST[..]),
        (Role::Pcr, "phase", &[1; 32][..]),
        (Role::Manifest, "manifest", b"text"),
    ];
    let sign = |(role, what, payload)| {
        signer
            .sign(&Request {
                role,
                what,
                payload,
            })
            .unwrap()
    };
    requests.into_iter().map(sign).collect()
}

#[test]
fn what_is_signed_elsewhere_is_what_would_be_signed_here() {
    let keys = keys();
    let own = signer(keys);
    let recording = Recording::new(&own);
    let direct = ask(&recording);

    let deferred = Collected::deferred(keys.public());
    let placeholders = ask(&deferred);
    assert!(
        placeholders
            .iter()
            .all(|signature| is_placeholder(signature))
    );
    assert_eq!(placeholders, ask(&Blank));
    for (placeholder, signature) in placeholders.iter().zip(&direct) {
        assert_eq!(placeholder.len(), signature.len());
    }
    // Two names for the same bytes are one request, and its name does not depend on the order.
    assert_eq!(deferred.missing(), 3);
    let document = deferred.requests().unwrap().to_json();
    assert_eq!(document, deferred.requests().unwrap().to_json());

    let requests = Requests::from_json(document.as_bytes()).unwrap();
    assert_eq!(requests, deferred.requests().unwrap());
    let told: Vec<_> = requests
        .iter()
        .map(|(request, _)| request.what.as_str())
        .collect();
    assert_eq!(told, ["manifest", "a.efi", "phase"]);
    let mut signatures = Signatures::default();
    for (request, key) in requests.iter() {
        let public = keys.public().key(request.role).unwrap();
        assert_eq!(key, public.fingerprint().unwrap());
        let request = request.borrow();
        signatures.insert(&request, &own.sign(&request).unwrap());
    }
    assert_eq!(signatures, recording.signatures());

    let document = signatures.to_json();
    let signatures = Signatures::from_json(document.as_bytes()).unwrap();
    assert_eq!(signatures.to_json(), document);
    let joined = Collected::new(keys.public(), signatures.clone());
    assert_eq!(ask(&joined), direct);
    assert_eq!(joined.missing(), 0);
    assert!(joined.requests().unwrap().is_empty());
    assert_eq!(joined.used(), signatures);
}

/// As docs/keys.md tells somebody who has the private key and nothing of this program.
#[test]
fn openssl_signs_what_a_request_asks_for() {
    let keys = keys();
    let deferred = Collected::deferred(keys.public());
    let request = Request {
        role: Role::Db,
        what: "x.efi",
        payload: &DIGEST,
    };
    deferred.sign(&request).unwrap();
    let document: serde_json::Value =
        serde_json::from_str(&deferred.requests().unwrap().to_json()).unwrap();
    let entry = &document["requests"][0];
    assert_eq!(entry["role"], "db");
    assert_eq!(entry["algorithm"], "rsa2048-sha256");
    let bytes = |name: &str| {
        let digits = entry[name].as_str().unwrap().as_bytes();
        let digits = digits.chunks(2).map(|pair| str::from_utf8(pair).unwrap());
        digits
            .map(|pair| u8::from_str_radix(pair, 16).unwrap())
            .collect::<Vec<u8>>()
    };
    assert_eq!(bytes("payload"), DIGEST);
    let folder = tempfile::tempdir().unwrap();
    let private = text(&keys.folder().join("db.key.pem")).to_owned();
    let ours = signer(keys).sign(&request).unwrap();
    let out = text(&folder.path().join("out")).to_owned();
    // The digest, and the same with what PKCS#1 puts before it.
    let digest = write(&folder, "digest", bytes("payload"));
    run(
        "openssl",
        [
            "pkeyutl",
            "-sign",
            "-inkey",
            &private,
            "-pkeyopt",
            "digest:sha256",
            "-in",
            &digest,
            "-out",
            &out,
        ],
    );
    assert_eq!(fs::read(&out).unwrap(), ours);
    let info = write(&folder, "info", bytes("digest-info"));
    run(
        "openssl",
        [
            "pkeyutl", "-sign", "-inkey", &private, "-in", &info, "-out", &out,
        ],
    );
    assert_eq!(fs::read(&out).unwrap(), ours);
}

#[test]
fn wrong_signatures_are_named_and_refused() {
    let strangers = Recording::new(&Blank);
    ask(&strangers);
    assert!(
        strangers.signatures().is_empty(),
        "placeholders are no signatures"
    );
    let stranger = signer(stranger());
    let recording = Recording::new(&stranger);
    ask(&recording);
    let collected = Collected::new(keys().public(), recording.signatures());
    let request = Request {
        role: Role::Pcr,
        what: "phase",
        payload: &[1; 32],
    };
    let error = collected.sign(&request).unwrap_err();
    assert!(matches!(error, Error::WrongSignature { .. }));
    assert_eq!(
        error.to_string(),
        "the signature by pcr on phase is wrong: the public key does not accept it"
    );
    assert!(collected.used().is_empty());
}

#[test]
fn documents_that_contradict_themselves_are_refused() {
    let signature = |role: &str, algorithm: &str, payload: &str, length: usize| {
        use base64::Engine as _;
        let signature = base64::engine::general_purpose::STANDARD.encode(vec![1; length]);
        format!(
            r#"{{"role":"{role}","what":"x","algorithm":"{algorithm}","payload":"{payload}","signature":"{signature}"}}"#
        )
    };
    let digest = "ab".repeat(32);
    let good = signature("db", "rsa2048-sha256", &digest, 256);
    let document = |entries: &str| format!(r#"{{"format":1,"signatures":[{entries}]}}"#);
    assert_eq!(
        Signatures::from_json(document(&good).as_bytes())
            .unwrap()
            .len(),
        1
    );
    for (text, said) in [
        (
            document(&format!("{good},{good}")),
            "two signatures by db on x",
        ),
        (
            document(&good).replace(":1,", ":9,"),
            "format 9 is not known here",
        ),
        (
            document(&signature("db", "rsa2048-sha256", &digest, 255)),
            "has 255 bytes",
        ),
        (
            document(&signature("db", "ed25519", &digest, 256)),
            "signs by rsa2048-sha256",
        ),
        (
            document(&signature("db", "rsa2048-sha256", "abc", 256)),
            "not hexadecimal",
        ),
        (
            document(&signature("db", "rsa2048-sha256", "abcd", 256)),
            "2 bytes long",
        ),
        (
            document(&signature("door", "ed25519", &digest, 64)),
            "unknown variant",
        ),
        (document(&good.replace("AQE", "A\u{e4}")), "not base64"),
        ("{}".into(), "missing field"),
        (String::new(), "EOF"),
    ] {
        let error = Signatures::from_json(text.as_bytes())
            .unwrap_err()
            .to_string();
        assert!(error.contains(said), "{error}");
    }
    let request = |info: &str| {
        format!(
            r#"{{"format":1,"requests":[{{"role":"db","what":"x","algorithm":"rsa2048-sha256","key":"","payload":"{digest}"{info}}}]}}"#
        )
    };
    assert_eq!(
        Requests::from_json(request("").as_bytes()).unwrap().len(),
        1
    );
    let wrong = request(r#","digest-info":"00""#);
    let error = Requests::from_json(wrong.as_bytes())
        .unwrap_err()
        .to_string();
    assert!(error.contains("do not belong together"), "{error}");
}

proptest! {
    #[test]
    fn any_bytes_may_be_read(bytes: Vec<u8>) {
        let _ = Signatures::from_json(&bytes);
        let _ = Requests::from_json(&bytes);
    }

    #[test]
    fn what_is_written_is_read(entries: Vec<(bool, [u8; 32], String)>) {
        let mut signatures = Signatures::default();
        for (is_db, payload, what) in &entries {
            let role = if *is_db { Role::Db } else { Role::Manifest };
            let request = Request { role, what, payload };
            signatures.insert(&request, &vec![7; role.algorithm().signature_length()]);
        }
        let document = signatures.to_json();
        prop_assert_eq!(Signatures::from_json(document.as_bytes()).unwrap(), signatures);
    }
}
