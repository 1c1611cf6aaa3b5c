//! Keys: what openssl reads, how they sign, what guards them.

use crate::support::{self, copy, file, keys, new_keys, run, signer, text, try_run};
use fortress_progress::Silent;
use fortress_trust::{
    Certificate, Error, KeySet, Passphrase, PublicKey, Request, Role, Signer as _,
};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::cell::Cell;
use std::fs;

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text.into())
}

#[test]
fn openssl_reads_every_file_of_a_set() {
    let keys = keys();
    for role in Role::ALL {
        let private = file(keys, &format!("{role}.key.pem"));
        let public = run("openssl", ["pkey", "-in", &private, "-pubout"]);
        let ours = fs::read_to_string(file(keys, &format!("{role}.pub.pem"))).unwrap();
        assert_eq!(public, ours, "{role}");
        if role == Role::Manifest {
            assert!(
                run("openssl", ["pkey", "-in", &private, "-noout", "-text"]).contains("ED25519")
            );
            continue;
        }
        let checked = run(
            "openssl",
            ["pkey", "-in", &private, "-check", "-noout", "-text"],
        );
        assert!(checked.contains("Key is valid"), "{checked}");
        assert!(checked.contains("2048 bit"), "{checked}");
        assert!(checked.contains("65537"), "{checked}");
    }
}

#[test]
fn every_key_is_another_one() {
    let mut fingerprints: Vec<_> = Role::ALL
        .iter()
        .map(|role| keys().public().key(*role).unwrap().fingerprint().unwrap())
        .collect();
    fingerprints.sort();
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), Role::ALL.len());
}

#[test]
fn certificates_say_what_firmware_and_kernel_want() {
    let keys = keys();
    for (role, name) in [
        (Role::Pk, "PK"),
        (Role::Kek, "KEK"),
        (Role::Db, "db"),
        (Role::Verity, "verity"),
    ] {
        let path = file(keys, &format!("{role}.crt"));
        // Strict: what RFC 5280 demands, extensions included.
        run(
            "openssl",
            [
                "verify",
                "-x509_strict",
                "-check_ss_sig",
                "-CAfile",
                &path,
                "-partial_chain",
                &path,
            ],
        );
        let text = run(
            "openssl",
            ["x509", "-in", &path, "-noout", "-text", "-nameopt", "utf8"],
        );
        for line in [
            "Version: 3 (0x2)",
            "Signature Algorithm: sha256WithRSAEncryption",
            "Not Before: Jan  1 00:00:00 2020 GMT",
            "Not After : Dec 31 23:59:59 2049 GMT",
            "CA:FALSE",
            "X509v3 Key Usage: critical",
            "Digital Signature",
        ] {
            assert!(text.contains(line), "{role}: no {line} in {text}");
        }
        let signs_code = text.contains("Code Signing");
        assert_eq!(
            signs_code,
            matches!(role, Role::Db | Role::Verity),
            "{role}"
        );
        let subject = run(
            "openssl",
            [
                "x509",
                "-in",
                &path,
                "-noout",
                "-subject",
                "-nameopt",
                "utf8,sep_multiline",
            ],
        );
        let wanted = format!("CN=Ada, Countess = \"of\" L\u{f6}velace {name}");
        assert!(subject.contains(&wanted), "{subject}");
        let ours = keys.public().certificate(role).unwrap().fingerprint();
        let theirs = run(
            "openssl",
            ["x509", "-in", &path, "-noout", "-fingerprint", "-sha256"],
        );
        assert!(theirs.replace(':', "").to_lowercase().contains(&ours));
    }
}

#[test]
fn signatures_are_those_of_openssl() {
    let keys = keys();
    let signer = signer(keys);
    let folder = tempfile::tempdir().unwrap();
    let content = b"what is signed";
    let path = support::write(&folder, "content", content);
    for role in Role::ALL {
        let private = file(keys, &format!("{role}.key.pem"));
        let theirs = folder.path().join("signature");
        let digest = Sha256::digest(content);
        let payload: &[u8] = match role {
            Role::Manifest => {
                let out = text(&theirs);
                run(
                    "openssl",
                    [
                        "pkeyutl", "-sign", "-rawin", "-inkey", &private, "-in", &path, "-out", out,
                    ],
                );
                content
            }
            _ => {
                let out = text(&theirs);
                run(
                    "openssl",
                    ["dgst", "-sha256", "-sign", &private, "-out", out, &path],
                );
                &digest
            }
        };
        let request = Request {
            role,
            what: "content",
            payload,
        };
        let ours = signer.sign(&request).unwrap();
        assert_eq!(ours, fs::read(&theirs).unwrap(), "{role}");
        assert_eq!(ours, signer.sign(&request).unwrap(), "{role}");
        assert_eq!(ours.len(), role.algorithm().signature_length());
        keys.public().verify(&request, &ours).unwrap();
        let mut wrong = ours.clone();
        wrong[17] ^= 1;
        let error = keys.public().verify(&request, &wrong).unwrap_err();
        assert!(matches!(error, Error::WrongSignature { .. }), "{error}");
        let stranger = support::stranger().public();
        assert!(stranger.verify(&request, &ours).is_err());
    }
}

#[test]
fn rsa_signs_digests_alone() {
    let request = Request {
        role: Role::Db,
        what: "a long text",
        payload: b"not a digest",
    };
    let error = signer(keys()).sign(&request).unwrap_err().to_string();
    assert_eq!(
        error,
        "cannot sign a long text: db signs SHA-256 digests of 32 bytes, and this is 12 bytes long"
    );
}

#[test]
fn a_passphrase_guards_the_files_and_is_asked_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let keys = KeySet::generate(&path, &new_keys(Some("correct h\u{f6}rse"))).unwrap();
    for role in Role::ALL {
        let private = file(&keys, &format!("{role}.key.pem"));
        let pem = fs::read_to_string(&private).unwrap();
        assert!(pem.starts_with("-----BEGIN ENCRYPTED"), "{pem}");
        let public = run(
            "openssl",
            [
                "pkey",
                "-in",
                &private,
                "-passin",
                "pass:correct h\u{f6}rse",
                "-pubout",
            ],
        );
        let ours = fs::read_to_string(file(&keys, &format!("{role}.pub.pem"))).unwrap();
        assert_eq!(public, ours);
        let refused = try_run(
            "openssl",
            ["pkey", "-in", &private, "-passin", "pass:wrong", "-noout"],
        );
        assert!(!refused.status.success());
    }
    assert!(keys.needs_passphrase());
    let asked = Cell::new(0);
    let ask = || {
        asked.set(asked.get() + 1);
        Ok(passphrase("correct h\u{f6}rse"))
    };
    let signer = keys.signer(&ask, &Silent).unwrap();
    for role in [Role::Db, Role::Verity, Role::Pk] {
        let request = Request {
            role,
            what: "x",
            payload: &[7; 32],
        };
        let signature = signer.sign(&request).unwrap();
        keys.public().verify(&request, &signature).unwrap();
    }
    assert_eq!(asked.get(), 1);
    let error = keys
        .signer(&|| Ok(passphrase("wrong")), &Silent)
        .unwrap_err();
    assert!(matches!(error, Error::WrongPassphrase { .. }), "{error}");
    let error = keys.signer(&|| Err(Error::Cancelled), &Silent).unwrap_err();
    assert!(error.is_cancelled());

    // A new key gets the passphrase of the others; with another one nothing is replaced.
    let before = keys.public().clone();
    for given in [Some(passphrase("wrong")), None] {
        keys.rotate(&[Role::Db], 0, given.as_ref()).unwrap_err();
    }
    assert_eq!(*KeySet::open(&path).unwrap().public(), before);
    let rotated = keys
        .rotate(&[Role::Db], 0, Some(&passphrase("correct h\u{f6}rse")))
        .unwrap();
    rotated.signer(&ask, &Silent).unwrap();
    let pem = fs::read_to_string(file(&rotated, "db.key.pem")).unwrap();
    assert!(pem.starts_with("-----BEGIN ENCRYPTED"), "{pem}");
}

/// One that would take more memory than a builder may is refused before it gets it.
#[test]
fn a_key_may_not_ask_for_all_memory() {
    use base64::Engine as _;
    let (folder, keys) = copy();
    let path = file(&keys, "db.key.pem");
    let out = text(&folder.path().join("db.der")).to_owned();
    run(
        "openssl",
        [
            "pkcs8", "-topk8", "-in", &path, "-outform", "DER", "-out", &out, "-passout", "pass:x",
            "-scrypt",
        ],
    );
    let mut der = fs::read(&out).unwrap();
    // 16384 rounds of 8 blocks, once; then of 127 blocks.
    let cost = [2, 2, 0x40, 0, 2, 1, 8, 2, 1, 1];
    let at = der
        .windows(cost.len())
        .position(|window| window == cost)
        .unwrap();
    let pem = |der: &[u8]| {
        let base64 = base64::engine::general_purpose::STANDARD.encode(der);
        let lines: Vec<_> = base64
            .as_bytes()
            .chunks(64)
            .map(|line| str::from_utf8(line).unwrap())
            .collect();
        let label = "ENCRYPTED PRIVATE KEY";
        format!(
            "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
            lines.join("\n")
        )
    };
    let open = |der: &[u8]| {
        fs::write(&path, pem(der)).unwrap();
        let keys = KeySet::open(keys.folder()).unwrap();
        let opened = keys.signer(&|| Ok(passphrase("x")), &Silent);
        opened.map(drop).map_err(|error| error.to_string())
    };
    open(&der).unwrap();
    der[at + 6] = 127;
    let error = open(&der).unwrap_err();
    assert!(error.contains("beyond what is sensible"), "{error}");
}

#[test]
fn other_lengths_of_rsa_are_refused() {
    let (_folder, keys) = copy();
    let path = file(&keys, "pcr.key.pem");
    let public = file(&keys, "pcr.pub.pem");
    run("openssl", ["genrsa", "-out", &path, "1024"]);
    run(
        "openssl",
        ["pkey", "-in", &path, "-pubout", "-out", &public],
    );
    let error = KeySet::open(keys.folder()).unwrap_err().to_string();
    assert!(
        error.contains("an RSA key of 1024 bits; it has to have 2048"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn any_bytes_may_be_a_key_or_a_certificate(bytes: Vec<u8>, text: String) {
        let _ = Certificate::from_der(&bytes);
        let _ = Certificate::from_pem(&text);
        for role in [Role::Manifest, Role::Db] {
            prop_assert!(PublicKey::from_der(&bytes, role.algorithm()).is_err());
            prop_assert!(PublicKey::from_pem(&text, role.algorithm()).is_err());
        }
    }

    #[test]
    fn changed_keys_and_certificates_may_be_read(at: prop::sample::Index, byte: u8) {
        let public = keys().public();
        let mut certificate = public.certificate(Role::Db).unwrap().der().to_vec();
        let place = at.index(certificate.len());
        certificate[place] = byte;
        if let Ok(certificate) = Certificate::from_der(&certificate) {
            let _ = certificate.public_key();
            let _ = certificate.pem();
        }
        for role in [Role::Manifest, Role::Db] {
            let mut key = public.key(role).unwrap().der().unwrap();
            let place = at.index(key.len());
            key[place] = byte;
            if let Ok(key) = PublicKey::from_der(&key, role.algorithm()) {
                prop_assert!(!key.accepts(&[1; 32], &vec![1; role.algorithm().signature_length()]));
            }
        }
    }
}
