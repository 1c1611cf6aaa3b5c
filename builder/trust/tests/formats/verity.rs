//! Signatures of root hashes judged by systemd-repart, which makes them too, systemd-dissect and
//! openssl; and by damage.

use crate::owner::{accepted, owner, stranger};
use fortress_tests::Oracle;
use fortress_trust::{Blank, Refusal, Role, verity};
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::OnceLock;

const ROOT_HASH: [u8; 32] = [0xa5; 32];

fn signed(root_hash: &[u8; 32]) -> Vec<u8> {
    verity::sign(owner().public(), &owner().signer, "a test", root_hash).unwrap()
}

fn verify(json: &[u8], root_hash: &[u8; 32]) -> Result<(), Refusal> {
    let read = verity::read(json)?;
    read.verify(root_hash, &accepted(Role::Verity)).map(drop)
}

/// A disk with a root that systemd-repart has signed; gives the root hash, and where the signature
/// is.
fn repart(oracle: &Oracle, folder: &Path) -> ([u8; 32], u64) {
    let inside = |name: &str| oracle.inside(&folder.join(name));
    let key = owner().file("verity.key.pem", folder);
    let certificate = owner().file("verity.crt", folder);
    let tree = folder.join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("file"), "in the root").unwrap();
    let definitions = folder.join("repart.d");
    fs::create_dir(&definitions).unwrap();
    let copy = format!("Format=ext4\nCopyFiles={}:/\n", inside("tree"));
    let size = "SizeMinBytes=4M\nSizeMaxBytes=4M\n";
    for (name, kind, role, more) in [
        ("1", "", "data", [&copy, size].concat()),
        ("2", "-verity", "hash", size.to_owned()),
        ("3", "-verity-sig", "signature", String::new()),
    ] {
        let text = format!(
            "[Partition]\nType=root-x86-64{kind}\nVerity={role}\nVerityMatchKey=root\n{more}"
        );
        fs::write(definitions.join(format!("{name}.conf")), text).unwrap();
    }
    let command = [
        "systemd-repart",
        "--empty=create",
        "--size=auto",
        "--offline=yes",
        "--dry-run=no",
        "--json=short",
        &format!("--definitions={}", inside("repart.d")),
        &format!("--private-key={}", oracle.inside(&key)),
        &format!("--certificate={}", oracle.inside(&certificate)),
        &inside("disk"),
    ];
    let said = oracle.run_with_proc(&command).success();
    let partitions: serde_json::Value = serde_json::from_str(&said).unwrap();
    let signature = &partitions[2];
    let text = signature["roothash"].as_str().unwrap();
    let mut root_hash = [0; 32];
    for (at, byte) in root_hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap();
    }
    (root_hash, signature["offset"].as_u64().unwrap())
}

#[test]
fn systemd_makes_the_same_bytes_and_accepts_them() {
    let oracle = Oracle::open();
    let folder = oracle.folder();
    let (root_hash, offset) = repart(&oracle, folder.path());
    let disk = fs::File::open(folder.path().join("disk")).unwrap();
    let mut partition = vec![0; 16 * 1024];
    disk.read_exact_at(&mut partition, offset).unwrap();
    let mut ours = signed(&root_hash);
    ours.resize(partition.len(), 0);
    assert!(
        ours == partition,
        "systemd-repart makes other bytes:\n{}",
        String::from_utf8_lossy(&partition)
    );
    verify(&partition, &root_hash).unwrap();
    // A disk whose root has to be signed needs that partition.
    let path = oracle.inside(&folder.path().join("disk"));
    let dissect = [
        "systemd-dissect",
        "--validate",
        "--image-policy=root=signed",
        &path,
    ];
    oracle.run_with_proc(&dissect).success();
    let delete = ["sfdisk", "--quiet", "--delete", &path, "3"];
    oracle.run_with_proc(&delete).success();
    assert_ne!(oracle.run_with_proc(&dissect).status, 0);
}

#[test]
fn openssl_accepts_the_signature_over_the_digits() {
    let oracle = Oracle::open();
    let folder = oracle.folder();
    let inside = |name: &str| oracle.inside(&folder.path().join(name));
    let certificate = oracle.inside(&owner().file("verity.crt", folder.path()));
    let read = verity::read(&signed(&ROOT_HASH)).unwrap();
    fs::write(folder.path().join("signature"), &read.signature).unwrap();
    fs::write(folder.path().join("digits"), "a5".repeat(32)).unwrap();
    let (signature, digits) = (inside("signature"), inside("digits"));
    let verify = [
        "openssl",
        "cms",
        "-verify",
        "-binary",
        "-inform",
        "DER",
        "-in",
        &signature,
        "-content",
        &digits,
        "-CAfile",
        &certificate,
        "-purpose",
        "any",
        "-out",
        "/dev/null",
    ];
    oracle.run(&verify).success();
}

#[test]
fn what_does_not_count_says_why() {
    let json = signed(&ROOT_HASH);
    verify(&json, &ROOT_HASH).unwrap();
    let padded = [&json[..], &[0; 100]].concat();
    verify(&padded, &ROOT_HASH).unwrap();
    assert!(matches!(
        verify(&json, &[0; 32]),
        Err(Refusal::OtherContent { .. })
    ));
    let theirs = verity::sign(stranger().public(), &stranger().signer, "", &ROOT_HASH).unwrap();
    assert!(matches!(
        verify(&theirs, &ROOT_HASH),
        Err(Refusal::Stranger { .. })
    ));
    let later = verity::sign(owner().public(), &Blank, "", &ROOT_HASH).unwrap();
    assert_eq!(later.len(), json.len());
    assert_eq!(verify(&later, &ROOT_HASH), Err(Refusal::Unsigned));
    assert_eq!(verify(&[0; 16384], &ROOT_HASH), Err(Refusal::Unsigned));
    assert_eq!(verify(b"", &ROOT_HASH), Err(Refusal::Unsigned));
    // The root hash in the text exchanged: it is not the one that is signed.
    let text = String::from_utf8(json).unwrap();
    let exchanged = text.replace("a5a5a5", "a5a5a6");
    assert_ne!(text, exchanged);
    let root_hash = verity::read(exchanged.as_bytes()).unwrap().root_hash;
    assert_eq!(
        verify(exchanged.as_bytes(), &root_hash),
        Err(Refusal::Wrong)
    );
    // The fingerprint of another certificate: systemd would not find ours.
    let fingerprint = accepted(Role::Verity)[0].fingerprint();
    let other = text.replace(&fingerprint, &"0".repeat(64));
    for damaged in [
        &other[..],
        &text[..text.len() - 1],
        "[]",
        &text.replace("a5a5", "a5"),
    ] {
        assert!(matches!(
            verify(damaged.as_bytes(), &ROOT_HASH),
            Err(Refusal::Malformed(_))
        ));
    }
}

proptest! {
    #[test]
    fn a_change_never_signs_another_root_hash(
        at in any::<prop::sample::Index>(),
        to in any::<u8>(),
        root_hash in any::<[u8; 32]>(),
    ) {
        static JSON: OnceLock<Vec<u8>> = OnceLock::new();
        let mut json = JSON.get_or_init(|| signed(&ROOT_HASH)).clone();
        let at = at.index(json.len());
        json[at] = to;
        prop_assert!(verify(&json, &root_hash).is_err());
    }

    #[test]
    fn arbitrary_bytes_are_no_signature(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(verify(&bytes, &ROOT_HASH).is_err());
    }
}
