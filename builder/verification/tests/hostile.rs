//! Manifests and images that somebody made up: they do no harm, and none of them is good.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that panics has failed"
)]

use fortress_pipeline::manifest::Manifest;
use fortress_progress::Silent;
use fortress_trust::{KeySet, NewKeys, PublicKeys};
use fortress_verification::{Outcome, Passing, Subject, verify};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::fs;
use std::sync::OnceLock;

const MIB: u64 = 1 << 20;

/// A manifest with three partitions.
fn manifest() -> Value {
    let digest = "ab".repeat(32);
    let partition = |purpose: &str, offset: u64, covered: &str| {
        json!({
            "label": purpose, "purpose": purpose, "slot": "a", "kind": "k", "guid": "g",
            "offset": offset * MIB, "length": MIB, "data_length": MIB / 2, "covered": covered,
            "sha256": if covered == "digest" { json!(digest) } else { Value::Null },
        })
    };
    json!({
        "format": 3, "name": "n", "version": "1", "board": "b", "base": "d",
        "architecture": "amd64", "builder": "0", "source_date_epoch": 0,
        "recipe": { "name": "r", "sha256": digest, "files": [] },
        "lock_sha256": digest, "keys": [], "kernel": "k", "command_line": "c",
        "root_hash": digest, "verity_salt": "00",
        "image": {
            "file": "n.img", "length": 5 * MIB, "guid": "g",
            "head_sha256": digest, "tail_sha256": digest,
        },
        "machine": { "memory": 1, "processors": 1, "disk": "virtio-blk", "sockets": [] },
        "partitions": [
            partition("esp", 1, "digest"),
            partition("root", 2, "root-hash"),
            partition("root-verity", 3, "digest"),
        ],
        "boot": {
            "firmware": "uefi", "enroll": "off", "microsoft": false, "uki": "u", "pcr11": [],
            "programs": [{ "path": "p", "sha256": digest, "authenticode": digest }],
            "files": [{ "path": "f", "sha256": digest }],
        },
        "suites": [], "packages": [], "overlays": [], "scripts": [],
    })
}

fn keys() -> &'static PublicKeys {
    static KEYS: OnceLock<PublicKeys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let new = NewKeys {
            owner: "Test".into(),
            passphrase: None,
        };
        let keys = KeySet::generate(&folder.path().join("keys"), &new).unwrap();
        keys.public().clone()
    })
}

#[test]
fn the_manifest_of_these_tests_is_one() {
    let bytes = serde_json::to_vec(&manifest()).unwrap();
    let manifest = Manifest::from_json(&bytes).unwrap();
    let passing = Passing::new(&manifest, keys()).unwrap();
    assert_eq!(passing.finish().outcome, Outcome::Foreign);
}

/// Numbers that are near what would be right, and far from it.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        (0u64..8).prop_map(|at| at * MIB),
        (0u64..3000).prop_map(|at| at * 4096),
        any::<u64>(),
        Just(u64::MAX),
        Just(u64::MAX - 4095),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn made_up_images_are_not_good(
        numbers in prop::collection::vec((0usize..3, 0usize..3, number()), 0..4),
        length in prop::option::of(number()),
        texts in prop::collection::vec((0usize..8, "[0-9a-fx]{0,70}"), 0..3),
        bytes in prop::collection::vec((0u64..6 * MIB, any::<u64>()), 0..20),
        image_length in 0u64..7 * MIB,
        table in any::<bool>(),
    ) {
        let mut value = manifest();
        for (partition, key, number) in numbers {
            let key = ["offset", "length", "data_length"][key];
            value["partitions"][partition][key] = json!(number);
        }
        if let Some(length) = length {
            value["image"]["length"] = json!(length);
        }
        let places = [
            "/root_hash", "/verity_salt", "/image/head_sha256", "/image/guid", "/partitions/0/sha256",
            "/partitions/1/purpose", "/boot/uki", "/partitions/2/slot",
        ];
        for (place, text) in texts {
            *value.pointer_mut(places[place]).unwrap() = json!(text);
        }
        let mut image = vec![0; image_length as usize];
        for (at, word) in bytes {
            let at = at as usize;
            if let Some(there) = image.get_mut(at..at + 8) {
                there.copy_from_slice(&word.to_le_bytes());
            }
        }
        if table && image.len() > 512 {
            image[510..512].copy_from_slice(&[0x55, 0xaa]);
            image[450] = 0xee;
        }
        // Lying there, and passing.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n.img");
        fs::write(&path, &image).unwrap();
        let text = serde_json::to_vec(&value).unwrap();
        fs::write(folder.path().join("n.manifest.json"), &text).unwrap();
        let subject = Subject::open(&path, None).unwrap();
        let verdict = verify(&subject, keys(), &Silent).unwrap();
        prop_assert_ne!(verdict.outcome, Outcome::Good);
        if let Ok(manifest) = Manifest::from_json(&text) {
            let outcome = match Passing::new(&manifest, keys()) {
                Ok(mut passing) => {
                    for piece in image.chunks(100_000) {
                        passing.push(piece);
                    }
                    passing.finish().outcome
                }
                Err(verdict) => verdict.outcome,
            };
            prop_assert_ne!(outcome, Outcome::Good);
        }
    }

    #[test]
    fn compressed_nonsense_is_not_good(bytes in prop::collection::vec(any::<u8>(), 0..3000), xz in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n.img.zst");
        let start: &[u8] = if xz { &[0xfd, b'7', b'z', b'X', b'Z', 0] } else { &[0x28, 0xb5, 0x2f, 0xfd] };
        fs::write(&path, [start, &bytes].concat()).unwrap();
        let text = serde_json::to_vec(&manifest()).unwrap();
        fs::write(folder.path().join("n.manifest.json"), text).unwrap();
        let verdict = verify(&Subject::open(&path, None).unwrap(), keys(), &Silent).unwrap();
        prop_assert_ne!(verdict.outcome, Outcome::Good);
    }
}
