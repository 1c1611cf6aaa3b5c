//! Signatures of files, judged by minisign itself.

use crate::support::{keys, run, signer, stranger, text, try_run, write};
use fortress_trust::{
    Blank, Collected, Recording, Refusal, Request, Role, Signatures, Signer as _, minisign,
};
use proptest::prelude::*;
use std::fs;
use std::sync::LazyLock;

const CONTENT: &[u8] = b"{\"image\": \"host\"}\n";

static SIGNATURE: LazyLock<String> = LazyLock::new(|| {
    let keys = keys();
    minisign::sign(
        keys.public(),
        &signer(keys),
        "host.manifest.json",
        CONTENT,
        "file:host",
    )
    .unwrap()
});

#[test]
fn minisign_accepts_them_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let key = keys().public().ed25519().unwrap();
    let content = write(&folder, "host.manifest.json", CONTENT);
    let signature = write(&folder, "host.manifest.json.minisig", &*SIGNATURE);
    let file = write(&folder, "minisign.pub", minisign::public_key_file(key));
    let said = run("minisign", ["-V", "-p", &file, "-m", &content]);
    assert!(said.contains("Trusted comment: file:host"), "{said}");
    let line = minisign::public_key(key);
    let quiet = run("minisign", ["-V", "-Q", "-P", &line, "-m", &content]);
    assert_eq!(quiet, "file:host\n");

    let refused = |what: &str| {
        let output = try_run("minisign", ["-V", "-P", &line, "-m", &content]);
        assert!(!output.status.success(), "{what}");
    };
    fs::write(&content, b"{\"image\": \"hose\"}\n").unwrap();
    refused("another content");
    fs::write(&content, CONTENT).unwrap();
    fs::write(&signature, SIGNATURE.replace("file:host", "file:hose")).unwrap();
    refused("another comment");
    let other = signer(stranger());
    let public = stranger().public();
    fs::write(
        &signature,
        minisign::sign(public, &other, "x", CONTENT, "file:host").unwrap(),
    )
    .unwrap();
    refused("a stranger");
}

#[test]
fn signatures_made_by_minisign_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let public = text(&folder.path().join("m.pub")).to_owned();
    let secret = text(&folder.path().join("m.key")).to_owned();
    run("minisign", ["-G", "-W", "-p", &public, "-s", &secret]);
    let content = write(&folder, "content", CONTENT);
    run(
        "minisign",
        ["-S", "-s", &secret, "-m", &content, "-t", "by hand"],
    );
    let key = minisign::read_public_key(&fs::read_to_string(&public).unwrap()).unwrap();
    let signature = fs::read_to_string(format!("{content}.minisig")).unwrap();
    // minisign draws a key's number at random, we from the key: so such a signature is a stranger's.
    let refusal = minisign::verify(&signature, CONTENT, &[&key]).unwrap_err();
    assert!(matches!(refusal, Refusal::Stranger { .. }), "{refusal}");
}

#[test]
fn what_is_wrong_is_told_apart() {
    let key = keys().public().ed25519().unwrap();
    let other = stranger().public().ed25519().unwrap();
    let (by, comment) = minisign::verify(&SIGNATURE, CONTENT, &[other, key]).unwrap();
    assert_eq!((by, comment), (key, "file:host"));
    let refusal =
        |signature: &str, content: &[u8]| minisign::verify(signature, content, &[key]).unwrap_err();
    assert_eq!(refusal(&SIGNATURE, b"else"), Refusal::Wrong);
    assert_eq!(
        refusal(&SIGNATURE.replace("file:host", "file:hose"), CONTENT),
        Refusal::Wrong
    );
    let strange = minisign::verify(&SIGNATURE, CONTENT, &[other]).unwrap_err();
    let name = minisign::key_name(minisign::key_number(key));
    let signer = format!("minisign key {name}");
    assert_eq!(strange, Refusal::Stranger { signer });
    let blank = minisign::sign(keys().public(), &Blank, "x", CONTENT, "file:host").unwrap();
    assert_eq!(refusal(&blank, CONTENT), Refusal::Unsigned);
    assert_eq!(blank.len(), SIGNATURE.len());
    for text in [
        "",
        "untrusted comment: x\n",
        "untrusted comment: x\nAAAA\ntrusted comment: y\nAAAA\n",
    ] {
        assert!(
            matches!(refusal(text, CONTENT), Refusal::Malformed(_)),
            "{text}"
        );
    }
}

/// The second signature is over the first: elsewhere they are made one after the other.
#[test]
fn elsewhere_it_takes_two_rounds() {
    let keys = keys();
    let own = signer(keys);
    let mut known = Signatures::default();
    for missing in [1, 1, 0] {
        let collected = Collected::new(keys.public(), known.clone());
        let file = minisign::sign(keys.public(), &collected, "m", CONTENT, "file:host").unwrap();
        assert_eq!(collected.missing(), missing);
        for (request, _) in collected.requests().unwrap().iter() {
            let request = request.borrow();
            known.insert(&request, &own.sign(&request).unwrap());
        }
        assert_eq!(file == *SIGNATURE, missing == 0);
    }
    let recording = Recording::new(&own);
    minisign::sign(keys.public(), &recording, "m", CONTENT, "file:host").unwrap();
    assert_eq!(recording.signatures(), known);
}

#[test]
fn a_comment_is_one_line() {
    let keys = keys();
    let comment = "a\ntrusted comment: b";
    let file = minisign::sign(keys.public(), &signer(keys), "m", CONTENT, comment).unwrap();
    assert_eq!(file.lines().count(), 4);
    let key = keys.public().ed25519().unwrap();
    let (_, comment) = minisign::verify(&file, CONTENT, &[key]).unwrap();
    assert_eq!(comment, "a trusted comment: b");
}

#[test]
fn public_keys_are_read_as_file_and_as_line() {
    let key = keys().public().ed25519().unwrap();
    for text in [minisign::public_key(key), minisign::public_key_file(key)] {
        assert_eq!(minisign::read_public_key(&text).unwrap(), *key);
    }
    for text in [
        "",
        "RWQ",
        "untrusted comment: x",
        &minisign::public_key(key)[..40],
    ] {
        assert!(minisign::read_public_key(text).is_err(), "{text}");
    }
    let request = Request {
        role: Role::Manifest,
        what: "x",
        payload: b"x",
    };
    assert!(keys().public().verify(&request, &[0; 64]).is_err());
}

proptest! {
    #[test]
    fn any_text_may_be_read(text: String) {
        let key = keys().public().ed25519().unwrap();
        prop_assert!(minisign::verify(&text, CONTENT, &[key]).is_err());
        let _ = minisign::read_public_key(&text);
    }

    #[test]
    fn no_change_is_accepted(at: prop::sample::Index, byte in 0x20..0x7f_u8) {
        let key = keys().public().ed25519().unwrap();
        let mut bytes = SIGNATURE.clone().into_bytes();
        // The first line is anybody's.
        let first = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let at = first + at.index(bytes.len() - first);
        if bytes[at] != byte {
            bytes[at] = byte;
            let text = String::from_utf8(bytes).unwrap();
            // A line's end more or less at the end of the file says nothing.
            if text.lines().count() == 4 && at + 1 < text.len() {
                prop_assert!(minisign::verify(&text, CONTENT, &[key]).is_err());
            }
        }
    }
}
