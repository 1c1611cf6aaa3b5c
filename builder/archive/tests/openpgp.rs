//! Whose signature counts, judged on keys and signatures that GnuPG makes, beside gpgv's verdict.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that panics has failed"
)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use fortress_archive::{Fault, Keyring, Refusal, Verified};
use fortress_progress::Silent;
use fortress_store::{Client, ClientOptions, mirrors};
use fortress_tests::{Gpg, Oracle};
use pgp::composed::{Deserializable, SignedPublicKey};
use pgp::packet::{Subpacket, SubpacketData};
use pgp::ser::Serialize;
use proptest::prelude::*;

const DAY: i64 = 86_400;
const YEAR: i64 = 365 * DAY;
const TEXT: &str = "Origin: Debian\n- dashed\nfrom here\n\nSHA256:\n 00 1 a\n";

fn now() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    i64::try_from(now).unwrap()
}

/// Whether gpgv is content with a document and a ring of (armoured or binary) keys.
fn gpgv(ring: &[u8], document: &str) -> bool {
    let gpg = Gpg::new();
    // gpgv reads binary rings only.
    gpg.run(
        &[
            "--import-options",
            "import-show,keep-ownertrust",
            "--import",
        ],
        ring,
    );
    let folder = tempfile::tempdir().unwrap();
    let [keys, text] = ["ring.gpg", "text"].map(|name| folder.path().join(name));
    fs::write(&keys, gpg.run(&["--export"], b"")).unwrap();
    gpgv_file(&keys, &text, document)
}

fn gpgv_file(keys: &Path, text: &Path, document: &str) -> bool {
    fs::write(text, document).unwrap();
    let output = Command::new("gpgv")
        .arg("--keyring")
        .arg(keys)
        .arg(text)
        .output();
    output.expect("apt-get install gpgv").status.success()
}

fn verify(ring: &[u8], document: &str) -> Result<Verified, Refusal> {
    Keyring::parse(&[ring])
        .unwrap()
        .verify(document.as_bytes(), now())
}

/// The fault of a document's only signature.
#[track_caller]
fn fault(ring: &[u8], document: &str) -> Fault {
    match verify(ring, document) {
        Err(Refusal::Signatures(mut faults)) if faults.len() == 1 => faults.remove(0).1,
        other => panic!("not one bad signature: {other:?}"),
    }
}

/// A home two years ago.
fn gpg() -> Gpg {
    let mut gpg = Gpg::new();
    gpg.at(now() - 2 * YEAR);
    gpg
}

/// Signs a text today, with some options.
#[track_caller]
fn sign(gpg: &mut Gpg, key: &str, options: &[&str]) -> String {
    gpg.at(now() - 60);
    let mut arguments = vec!["--local-user", key];
    if !options.contains(&"--digest-algo") {
        arguments.extend(["--digest-algo", "SHA512"]);
    }
    arguments.extend(options);
    arguments.push("--clear-sign");
    String::from_utf8(gpg.run(&arguments, TEXT.as_bytes())).unwrap()
}

#[test]
fn accepts_what_is_good() {
    for algorithm in ["ed25519", "rsa2048", "nistp256"] {
        let mut gpg = gpg();
        let key = gpg.generate("archive", algorithm, "never");
        let document = sign(&mut gpg, &key, &[]);
        let ring = gpg.export(&key);
        let verified = verify(&ring, &document).unwrap();
        // The line end before the signature is not signed.
        assert_eq!(verified.text, TEXT.trim_end_matches('\n'), "{algorithm}");
        assert_eq!(verified.signer, key);
        assert!((verified.signed_at - now()).abs() < DAY);
        assert!(gpgv(&ring, &document), "{algorithm}");
    }
}

#[test]
fn takes_rings_in_every_form() {
    let mut gpg = gpg();
    let [one, two] = ["one", "two"].map(|name| gpg.generate(name, "ed25519", "never"));
    let document = sign(&mut gpg, &two, &[]);
    let binary = gpg.run(&["--export"], b"");
    let together = gpg.run(&["--armor", "--export"], b"");
    let blocks = [gpg.export(&one), gpg.export(&two)].concat();
    for ring in [binary, together, blocks] {
        let keys = Keyring::parse(&[&ring]).unwrap();
        assert_eq!(keys.fingerprints().len(), 2);
        assert_eq!(keys.verify(document.as_bytes(), now()).unwrap().signer, two);
    }
    let keys = Keyring::parse(&[gpg.export(&one), gpg.export(&two)]).unwrap();
    assert_eq!(keys.fingerprints(), [one, two]);
    assert!(Keyring::parse::<&[u8]>(&[]).unwrap_err().contains("none"));
    assert!(
        Keyring::parse(&[b"not a key"])
            .unwrap_err()
            .contains("no OpenPGP")
    );
}

#[test]
fn accepts_a_bound_subkey_and_refuses_it_when_it_is_no_more() {
    let mut gpg = gpg();
    let key = gpg.generate("archive", "ed25519", "never");
    gpg.run(&["--quick-add-key", &key, "ed25519", "sign", "never"], b"");
    let document = sign(&mut gpg, &key, &[]);
    let ring = gpg.export(&key);
    let verified = verify(&ring, &document).unwrap();
    assert_eq!(verified.signer, key);
    // GnuPG prefers the subkey.
    assert!(gpgv(&ring, &document));
    // Revoked: GnuPG asks whether, why, for a description, and whether again.
    gpg.run(
        &["--no-batch", "--command-fd", "0", "--edit-key", &key],
        b"key 1\nrevkey\ny\n0\n\ny\nsave\n",
    );
    let ring = gpg.export(&key);
    assert_eq!(fault(&ring, &document), Fault::KeyRevoked);
}

#[test]
fn refuses_an_expired_subkey() {
    let gpg = gpg();
    let key = gpg.generate("archive", "ed25519", "never");
    gpg.run(&["--quick-add-key", &key, "ed25519", "sign", "1y"], b"");
    let arguments = [
        "--local-user",
        &key,
        "--digest-algo",
        "SHA512",
        "--clear-sign",
    ];
    let document = String::from_utf8(gpg.run(&arguments, TEXT.as_bytes())).unwrap();
    assert!(matches!(
        fault(&gpg.export(&key), &document),
        Fault::KeyExpired(_)
    ));
}

#[test]
fn reads_only_what_is_signed() {
    let mut gpg = gpg();
    let key = gpg.generate("archive", "ed25519", "never");
    let ring = gpg.export(&key);
    let document = sign(&mut gpg, &key, &[]);
    // Changed: refused by both.
    let changed = document.replace("Origin: Debian", "Origin: Debiam");
    assert_eq!(fault(&ring, &changed), Fault::Bad);
    assert!(!gpgv(&ring, &changed));
    let added = document.replace("from here\n", "from here\nand there\n");
    assert_eq!(fault(&ring, &added), Fault::Bad);
    // White space at line ends is not signed: it still verifies, and is not in the text.
    let padded = document.replace("Origin: Debian\n", "Origin: Debian \t \r\n");
    assert_eq!(
        verify(&ring, &padded).unwrap().text,
        TEXT.trim_end_matches('\n')
    );
    assert!(gpgv(&ring, &padded));
    // Text around the signed one is not signed.
    for (around, what) in [
        (format!("Origin: Evil\n{document}"), "begin"),
        (format!("{document}Origin: Evil\n"), "goes on"),
        (
            document.replace("Hash: SHA512\n", "Hash: SHA512\nOrigin: Evil\n"),
            "armour header",
        ),
        (format!("{document}{document}"), "goes on"),
        (document.replace("- - dashed", "-dashed"), "dash-escaped"),
        (TEXT.to_owned(), "begin"),
        ("<!DOCTYPE html><html>log in</html>".to_owned(), "begin"),
    ] {
        match verify(&ring, &around) {
            Err(Refusal::Malformed(reason)) => assert!(reason.contains(what), "{reason}"),
            other => panic!("{what}: {other:?}"),
        }
    }
    // Cut short anywhere, it is nothing.
    for length in (0..document.len() - 1).step_by(7) {
        assert!(verify(&ring, &document[..length]).is_err(), "{length}");
    }
}

#[test]
fn one_good_signature_is_enough() {
    let mut gpg = gpg();
    let [old, new] = ["old", "new"].map(|name| gpg.generate(name, "ed25519", "never"));
    let document = sign(&mut gpg, &old, &["--local-user", &new]);
    for (key, other) in [(&old, &new), (&new, &old)] {
        assert_eq!(
            verify(&gpg.export(key), &document).unwrap().signer,
            **key,
            "beside {other}"
        );
    }
    let stranger = gpg.generate("stranger", "ed25519", "never");
    match verify(&gpg.export(&stranger), &document) {
        Err(Refusal::Signatures(faults)) => {
            assert_eq!(faults, [(old, Fault::NotPinned), (new, Fault::NotPinned)]);
        }
        other => panic!("{other:?}"),
    }
    assert!(!gpgv(&gpg.export(&stranger), &document));
}

#[test]
fn refuses_expired_and_revoked_keys() {
    let mut gpg = gpg();
    let key = gpg.generate("archive", "ed25519", "1y");
    gpg.at(now() - 2 * YEAR + DAY);
    let document = gpg.clear_sign(&key, TEXT);
    assert!(matches!(
        fault(&gpg.export(&key), &document),
        Fault::KeyExpired(_)
    ));
    // Its owner may prolong it: the newest self-signature counts.
    gpg.at(now() - DAY)
        .run(&["--quick-set-expire", &key, "2y"], b"");
    assert_eq!(verify(&gpg.export(&key), &document).unwrap().signer, key);
    // GnuPG writes a revocation beside each new key, with a colon against accidents.
    let path = gpg.home().join(format!("openpgp-revocs.d/{key}.rev"));
    let revocation = fs::read_to_string(path)
        .unwrap()
        .replace(":-----BEGIN", "-----BEGIN");
    gpg.run(&["--import"], revocation.as_bytes());
    assert_eq!(fault(&gpg.export(&key), &document), Fault::KeyRevoked);
}

#[test]
fn refuses_a_key_whose_name_was_taken_back() {
    let mut gpg = gpg();
    let key = gpg.generate("archive", "ed25519", "never");
    gpg.run(&["--quick-add-uid", &key, "other <other@example.org>"], b"");
    let document = sign(&mut gpg, &key, &[]);
    gpg.run(
        &["--quick-revoke-uid", &key, "archive <archive@example.org>"],
        b"",
    );
    // The other name still binds it.
    assert_eq!(verify(&gpg.export(&key), &document).unwrap().signer, key);
    // Without that name, nothing does.
    let ring = gpg.run(
        &[
            "--export-filter",
            "keep-uid=uid =~ archive",
            "--armor",
            "--export",
            &key,
        ],
        b"",
    );
    assert_eq!(fault(&ring, &document), Fault::KeyUnbound);
}

#[test]
fn refuses_weak_hashes_and_keys() {
    let mut gpg = gpg();
    let key = gpg.generate("archive", "ed25519", "never");
    let document = sign(&mut gpg, &key, &["--digest-algo", "SHA1"]);
    assert_eq!(
        fault(&gpg.export(&key), &document),
        Fault::WeakHash("SHA1".into())
    );
    // gpgv 2.2 knows no better; that is why there is a policy here.
    let mut gpg = self::gpg();
    let key = gpg.generate("small", "rsa1024", "never");
    let document = sign(&mut gpg, &key, &[]);
    assert_eq!(
        fault(&gpg.export(&key), &document),
        Fault::KeyWeak("RSA with 1024 bits".into())
    );
    let mut gpg = self::gpg();
    let key = gpg.generate("old", "dsa2048", "never");
    let document = sign(&mut gpg, &key, &["--digest-algo", "SHA256"]);
    assert!(matches!(
        fault(&gpg.export(&key), &document),
        Fault::KeyWeak(_)
    ));
    // A key that vouches for itself by SHA-1 only.
    let mut gpg = self::gpg();
    let name = "sha1 <sha1@example.org>";
    let arguments = [
        "--quick-generate-key",
        name,
        "rsa2048",
        "cert,sign",
        "never",
    ];
    gpg.run(
        &[&["--cert-digest-algo", "SHA1"], &arguments[..]].concat(),
        b"",
    );
    let key = gpg.fingerprint(name);
    let document = sign(&mut gpg, &key, &[]);
    assert_eq!(fault(&gpg.export(&key), &document), Fault::KeyUnbound);
}

#[test]
fn refuses_signatures_of_other_times_and_kinds() {
    let mut gpg = gpg();
    let key = gpg.generate("archive", "ed25519", "never");
    let ring = gpg.export(&key);
    gpg.at(now() - 10 * DAY);
    let arguments = [
        "--local-user",
        &key,
        "--default-sig-expire",
        "2d",
        "--digest-algo",
        "SHA512",
        "--clear-sign",
    ];
    let expired = String::from_utf8(gpg.run(&arguments, TEXT.as_bytes())).unwrap();
    assert!(matches!(fault(&ring, &expired), Fault::Expired(_)));
    gpg.at(now() + 10 * DAY);
    let future = gpg.clear_sign(&key, TEXT);
    assert_eq!(fault(&ring, &future), Fault::WrongTime);
    // A signature over the bytes of a file, put below the same text.
    gpg.at(now() - 60);
    let detached = gpg.run(
        &[
            "--local-user",
            &key,
            "--digest-algo",
            "SHA512",
            "--armor",
            "--detach-sign",
        ],
        TEXT.trim_end_matches('\n').replace('\n', "\r\n").as_bytes(),
    );
    let text = TEXT.replace("\n- ", "\n- - ");
    let document = format!(
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{text}{}",
        String::from_utf8(detached).unwrap()
    );
    assert_eq!(fault(&ring, &document), Fault::NotOverText);
}

/// Without the subkey's own signature over the primary key, anyone could adopt it.
#[test]
fn refuses_a_subkey_that_does_not_vouch_for_its_primary_key() {
    let mut gpg = gpg();
    let key = gpg.generate("archive", "ed25519", "never");
    gpg.run(&["--quick-add-key", &key, "ed25519", "sign", "never"], b"");
    let document = sign(&mut gpg, &key, &[]);
    let (mut adopted, _) = SignedPublicKey::from_armor_single(gpg.export(&key).as_slice()).unwrap();
    assert!(verify(&adopted.to_bytes().unwrap(), &document).is_ok());
    // GnuPG keeps it where no signature covers it.
    let binding = &mut adopted.public_subkeys[0].signatures[0];
    let embedded = |part: &Subpacket| matches!(part.data, SubpacketData::EmbeddedSignature(_));
    let parts = &binding.config().unwrap().unhashed_subpackets;
    let place = parts.iter().position(embedded).unwrap();
    binding.unhashed_subpacket_remove(place).unwrap();
    assert_eq!(
        fault(&adopted.to_bytes().unwrap(), &document),
        Fault::KeyUnbound
    );
}

/// A key and what it signed, made once for many cases.
fn sample() -> &'static (Vec<u8>, String) {
    static SAMPLE: OnceLock<(Vec<u8>, String)> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let mut gpg = gpg();
        let key = gpg.generate("archive", "ed25519", "never");
        let document = sign(&mut gpg, &key, &[]);
        (gpg.export(&key), document)
    })
}

proptest! {
    /// Whatever is changed: what is taken for signed is what was signed.
    #[test]
    fn takes_nothing_else_for_signed(
        place in 0..1000_usize,
        with in prop_oneof!["\\PC{0,3}", Just("\n".to_owned()), Just("\n-----".to_owned()), Just("\r".to_owned())],
        taken in 0..3_usize,
    ) {
        let (ring, document) = sample();
        let start = place % document.len();
        let end = (start + taken).min(document.len());
        let changed = format!("{}{with}{}", &document[..start], &document[end..]);
        if let Ok(verified) = verify(ring, &changed) {
            prop_assert_eq!(verified.text, TEXT.trim_end_matches('\n'));
        }
    }

    /// A damaged key is another key or none; never a panic.
    #[test]
    fn survives_damaged_keys(place in 0..2000_usize, byte in any::<u8>(), cut in any::<bool>()) {
        let (ring, document) = sample();
        let (key, _) = SignedPublicKey::from_armor_single(ring.as_slice()).unwrap();
        let mut bytes = key.to_bytes().unwrap();
        let place = place % bytes.len();
        match cut {
            true => bytes.truncate(place),
            false => bytes[place] = byte,
        }
        if let Ok(keys) = Keyring::parse(&[&bytes]) {
            let _ = keys.verify(document.as_bytes(), now());
        }
    }
}

#[test]
fn agrees_with_gpgv_on_the_real_archive() {
    let oracle = Oracle::open();
    let keys = oracle
        .root()
        .join("usr/share/keyrings/debian-archive-keyring.gpg");
    let ring = fs::read(&keys).unwrap();
    let client = Client::new(ClientOptions::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    for (security, public, suite) in [
        (false, "http://ftp.debian.org/debian", "trixie"),
        (false, "http://ftp.debian.org/debian", "trixie-updates"),
        (
            true,
            "http://security.debian.org/debian-security",
            "trixie-security",
        ),
    ] {
        let mirrors = mirrors::machine_mirrors(Path::new("/etc"), "debian", security);
        let mirror = mirrors.first().map_or(public, String::as_str);
        let url = format!("{mirror}/dists/{suite}/InRelease");
        let document = String::from_utf8(client.get(&url, 16 << 20, &Silent).unwrap()).unwrap();
        let verified = verify(&ring, &document).unwrap();
        assert!(verified.text.contains(&format!("\nCodename: {suite}\n")));
        assert!(gpgv_file(&keys, &text, &document), "{suite}");
        let tampered = document.replacen("main/", "evil/", 1);
        assert!(verify(&ring, &tampered).is_err());
        assert!(!gpgv_file(&keys, &text, &tampered), "{suite}");
    }
}
