//! Key sets.

use crate::support::{self, copy, keys, new_keys, run, signer, text, try_run};
use fortress_progress::Silent;
use fortress_trust::{
    Certificate, Error, Export, Holder, KeySet, NewKeys, Passphrase, PublicKey, Request, Role,
    Signer as _,
};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::cell::Cell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn file(keys: &KeySet, name: &str) -> String {
    text(&keys.folder().join(name)).to_owned()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

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
fn keys_are_for_their_owner_alone() {
    let keys = keys();
    assert_eq!(mode(keys.folder()), 0o700);
    for role in Role::ALL {
        assert_eq!(
            mode(Path::new(&file(keys, &format!("{role}.key.pem")))),
            0o600
        );
        assert_eq!(
            mode(Path::new(&file(keys, &format!("{role}.pub.pem")))),
            0o644
        );
        let Holder::File { encrypted, .. } = keys.holder(role) else {
            panic!("{role} is not in a file");
        };
        assert!(!encrypted);
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
fn a_set_is_there_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/keys");
    assert!(matches!(KeySet::open(&path), Err(Error::NoKeySet { .. })));
    let made = KeySet::open_or_generate(&path, &|| new_keys(None)).unwrap();
    assert!(made.new);
    assert_eq!(names(path.parent().unwrap()), ["keys"]);
    let again = KeySet::open_or_generate(&path, &|| panic!("there is one")).unwrap();
    assert!(!again.new);
    assert_eq!(made.keys.public(), again.keys.public());
    let before = names(&path);
    let error = KeySet::generate(&path, &new_keys(None)).unwrap_err();
    assert!(matches!(error, Error::AlreadyThere { .. }), "{error}");
    assert!(error.hint().unwrap().contains("keys rotate"));
    assert_eq!(names(&path), before);

    // What was left behind by one that was killed is no key set, and in nobody's way.
    let left = path.parent().unwrap().join(".fortress-keys-abc");
    fs::rename(&path, &left).unwrap();
    fs::remove_file(left.join("keys.toml")).unwrap();
    assert!(matches!(KeySet::open(&left), Err(Error::NoKeySet { .. })));
    assert!(matches!(KeySet::open(&path), Err(Error::NoKeySet { .. })));
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn names_that_certificates_cannot_carry_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    for owner in ["", " ", "Ada ", "Ada\nLovelace", &"x".repeat(60)] {
        let new = NewKeys {
            owner: owner.into(),
            passphrase: None,
        };
        let error = KeySet::generate(&path, &new).unwrap_err();
        assert!(matches!(error, Error::OwnerName { .. }), "{error}");
    }
    assert!(names(folder.path()).is_empty());
}

#[test]
fn keys_that_others_can_read_are_refused() {
    let (_folder, keys) = copy();
    let private = keys.folder().join("pcr.key.pem");
    fs::set_permissions(&private, fs::Permissions::from_mode(0o640)).unwrap();
    let error = KeySet::open(keys.folder()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{} can be read by others (mode 0640)", private.display())
    );
    let hint = error.hint().unwrap();
    assert!(
        hint.starts_with(&format!("chmod 600 {}", private.display())),
        "{hint}"
    );
    fs::set_permissions(&private, fs::Permissions::from_mode(0o400)).unwrap();
    KeySet::open(keys.folder()).unwrap();
    fs::set_permissions(keys.folder(), fs::Permissions::from_mode(0o770)).unwrap();
    let error = KeySet::open(keys.folder()).unwrap_err().to_string();
    assert!(
        error.contains("can be changed by others (mode 0770)"),
        "{error}"
    );
}

#[test]
fn halves_that_do_not_belong_together_are_refused() {
    let (_folder, keys) = copy();
    let own = keys.folder().join("db.key.pem");
    fs::copy(keys.folder().join("kek.key.pem"), &own).unwrap();
    let set = KeySet::open(keys.folder()).unwrap();
    let nobody = || Err(Error::Cancelled);
    let error = set.signer(&nobody, &Silent).unwrap_err();
    assert!(
        matches!(error, Error::Mismatch { role: Role::Db, .. }),
        "{error}"
    );

    fs::copy(keys.folder().join("manifest.key.pem"), &own).unwrap();
    let error = set.signer(&nobody, &Silent).unwrap_err().to_string();
    assert!(
        error.contains("db.key.pem: cannot read the private key"),
        "{error}"
    );

    fs::copy(keys.folder().join("kek.crt"), keys.folder().join("db.crt")).unwrap();
    let error = KeySet::open(keys.folder()).unwrap_err().to_string();
    assert!(
        error.contains("db.crt: the certificate is for another key"),
        "{error}"
    );
    fs::remove_file(keys.folder().join("db.crt")).unwrap();
    let error = KeySet::open(keys.folder()).unwrap_err().to_string();
    assert!(error.contains("db.crt: No such file"), "{error}");
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

#[test]
fn an_export_holds_nothing_secret_and_is_a_key_set() {
    let keys = keys();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("public");
    let export = Export {
        time: 1_800_000_000,
        microsoft: false,
    };
    assert!(keys.export(&path, export, &signer(keys)).unwrap());
    let listing = run("find", [text(&path), "-type", "f", "-printf", "%P\n"]);
    for name in [
        "README.txt",
        "keys.toml",
        "minisign.pub",
        "manifest.pub.pem",
        "db.crt",
        "der/db.cer",
        "der/pcr.pub.der",
        "secure-boot/PK.auth",
        "secure-boot/KEK.auth",
        "secure-boot/db.auth",
        "secure-boot/db.esl",
        "raspberry-pi/pubkey.bin",
    ] {
        assert!(
            listing.lines().any(|line| line == name),
            "no {name} in {listing}"
        );
    }
    let private = run(
        "grep",
        [
            "-rlE",
            "PRIVATE KEY",
            text(&path),
            "--",
            text(keys.folder()),
        ],
    );
    assert!(!private.contains(text(&path)), "{private}");
    assert!(
        private.contains("db.key.pem"),
        "the search finds private keys: {private}"
    );
    for role in Role::ALL {
        let der = path.join(format!("der/{role}.pub.der"));
        run(
            "openssl",
            [
                "pkey",
                "-pubin",
                "-inform",
                "DER",
                "-in",
                text(&der),
                "-noout",
            ],
        );
    }

    let public = KeySet::open(&path).unwrap();
    assert_eq!(public.public(), keys.public());
    assert!(Role::ALL.iter().all(|role| !public.has_private(*role)));
    assert!(!public.needs_passphrase());
    let request = Request {
        role: Role::Db,
        what: "host.efi",
        payload: &[1; 32],
    };
    let error = signer(&public).sign(&request).unwrap_err();
    assert!(
        error.to_string().contains("has no private half for db"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("--sign later"));
    // Again, from the export: the same but what must be signed, and never over what is there.
    let again = folder.path().join("again");
    assert!(!public.export(&again, export, &signer(&public)).unwrap());
    assert!(again.join("secure-boot/db.esl").exists());
    assert!(!again.join("secure-boot/db.auth").exists());
    let error = keys.export(&again, export, &signer(keys)).unwrap_err();
    assert!(matches!(error, Error::ExportThere { .. }), "{error}");
}

#[test]
fn a_replaced_key_is_kept_and_still_known() {
    let (folder, keys) = copy();
    let old = keys.public().clone();
    let time = 20_779 * 86_400;
    let rotated = keys
        .rotate(&[Role::Db, Role::Manifest], time, None)
        .unwrap();
    for role in Role::ALL {
        let same = old.key(role).unwrap() == rotated.public().key(role).unwrap();
        assert_eq!(same, !matches!(role, Role::Db | Role::Manifest), "{role}");
    }
    let retired = rotated.public().retired();
    assert_eq!(retired.len(), 2);
    for (retired, role) in retired.iter().zip([Role::Manifest, Role::Db]) {
        assert_eq!((retired.role, retired.date.as_str()), (role, "2026-11-22"));
        assert_eq!(&retired.key, old.key(role).unwrap());
    }
    let fingerprint = old.key(Role::Db).unwrap().fingerprint().unwrap();
    let kept = rotated
        .folder()
        .join(format!("retired/db-2026-11-22-{}", &fingerprint[..16]));
    assert_eq!(names(&kept), ["db.crt", "db.key.pem", "db.pub.pem"]);
    assert_eq!(mode(&kept.join("db.key.pem")), 0o600);
    assert_eq!(mode(rotated.folder()), 0o700);
    assert_eq!(names(folder.path()), ["keys"], "nothing is left beside it");
    let request = Request {
        role: Role::Db,
        what: "x",
        payload: &[1; 32],
    };
    let signature = signer(&rotated).sign(&request).unwrap();
    rotated.public().verify(&request, &signature).unwrap();
    assert!(old.verify(&request, &signature).is_err());

    // Twice in a day; and an export tells of the retired ones without their private halves.
    let twice = rotated.rotate(&[Role::Db], time, None).unwrap();
    assert_eq!(twice.public().retired().len(), 3);
    let path = folder.path().join("public");
    let export = Export {
        time: 0,
        microsoft: true,
    };
    twice.export(&path, export, &signer(&twice)).unwrap();
    assert_eq!(KeySet::open(&path).unwrap().public(), twice.public());
    assert!(
        !try_run("grep", ["-rq", "PRIVATE KEY", text(&path)])
            .status
            .success()
    );
}

#[test]
fn what_is_wrong_with_a_set_is_said() {
    let (_folder, keys) = copy();
    let settings = keys.folder().join("keys.toml");
    let good = fs::read_to_string(&settings).unwrap();
    for (text, said) in [
        (
            good.replace("format = 1", "format = 2"),
            "format 2 is not known here",
        ),
        (format!("{good}\ncolour = 1\n"), "unknown field `colour`"),
        (
            format!("{good}\n[roles.door]\ncommand = [\"x\"]\n"),
            "unknown variant `door`",
        ),
        ("\u{0}".into(), "keys.toml: "),
    ] {
        fs::write(&settings, text).unwrap();
        let error = KeySet::open(keys.folder()).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    fs::write(&settings, &good).unwrap();
    fs::create_dir_all(keys.folder().join("retired/letters")).unwrap();
    let error = KeySet::open(keys.folder()).unwrap_err().to_string();
    assert!(
        error.contains("retired/letters: not named ROLE-DATE-FINGERPRINT"),
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
