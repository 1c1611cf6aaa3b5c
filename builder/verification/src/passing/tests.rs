//! Zeros that are told and zeros that pass are the same.

use super::*;
use fortress_disk::data::is_zero;
use fortress_trust::{KeySet, NewKeys};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::OnceLock;

const MIB: u64 = 1 << 20;
/// Its first partition has room behind its data.
const LENGTH: u64 = 20 * MIB;

fn manifest() -> Manifest {
    let digest = "ab".repeat(32);
    let partition = |purpose: &str, slot: &str, offset: u64, length: u64, covered: &str| {
        json!({
            "label": purpose, "purpose": purpose, "slot": slot, "kind": "k", "guid": "g",
            "offset": offset * MIB, "length": length * MIB, "covered": covered,
            "data_length": if covered == "digest" { (length - length / 3) * MIB } else { 0 },
            "sha256": if covered == "digest" { json!(digest) } else { Value::Null },
        })
    };
    let value = json!({
        "format": 3, "name": "n", "version": "1", "board": "b", "base": "d",
        "architecture": "amd64", "builder": "0", "source_date_epoch": 0,
        "recipe": { "name": "r", "sha256": digest, "files": [] },
        "lock_sha256": digest, "keys": [], "kernel": "k", "command_line": "c",
        "root_hash": digest, "verity_salt": "00",
        "image": {
            "file": "n.img", "length": LENGTH, "guid": "g",
            "head_sha256": digest, "tail_sha256": digest,
        },
        "machine": { "memory": 1, "processors": 1, "disk": "virtio-blk", "sockets": [] },
        "partitions": [
            partition("esp", "a", 1, 10, "digest"),
            partition("root", "a", 11, 3, "root-hash"),
            partition("root-verity", "a", 14, 1, "digest"),
            partition("root", "b", 16, 3, "empty"),
        ],
        "boot": {
            "firmware": "uefi", "enroll": "off", "microsoft": false, "uki": "u", "pcr11": [],
            "programs": [], "files": [],
        },
        "suites": [], "packages": [], "overlays": [], "scripts": [],
    });
    Manifest::from_json(value.to_string().as_bytes()).unwrap()
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

/// The SHA-256 of what a part holds, as it lies there.
fn digest(image: &[u8], region: Region) -> [u8; 32] {
    Sha256::digest(&image[region.offset as usize..region.end() as usize]).into()
}

/// Whether what was found of every part is so.
fn assert_found(passing: Passing<'_>, image: &[u8], whole: &[Option<Found>]) {
    let salt = passing.parts.salt.clone();
    let (tree, data) = (passing.tree.clone(), format!("{:?}", passing.data));
    let parts = passing.parts.list.clone();
    let (ended, _) = passing.end();
    assert_eq!(ended.measured.parts, whole);
    assert_eq!(ended.length, image.len() as u64);
    let bytes = |region: Region| &image[region.offset as usize..region.end() as usize];
    for (part, found) in parts.iter().zip(whole) {
        if let Cover::Digest(_, length) = part.cover {
            let data = Region::new(part.region.offset, length);
            let mut filled = Vec::new();
            let behind = Region::new(data.end(), part.region.length - length);
            add_filled(&mut filled, bytes(behind), data.end());
            assert_eq!(*found, Some(Found::Digest(digest(image, data), filled)));
        }
    }
    assert!(tree == bytes(Region::new(14 * MIB, MIB)));
    let mut root = PassedData::new(&salt);
    root.push(bytes(Region::new(11 * MIB, 3 * MIB)));
    assert!(data == format!("{root:?}"));
    // What is looked into afterwards.
    for (start, length) in [(0, 1), (1, 10), (11, 3), (19, 1)] {
        let kept = Region::new(start * MIB, length * MIB);
        let mut read = vec![7; kept.length as usize];
        fortress_filesystem::ReadAt::read_exact_at(&ended.kept, &mut read, kept.offset).unwrap();
        assert!(read == bytes(kept));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn zeros_that_are_told_count_like_bytes(
        places in prop::collection::vec(0..LENGTH, 0..6),
        cuts in prop::collection::vec(0..LENGTH, 0..12),
        start in 0..12 * MIB,
    ) {
        let manifest = manifest();
        let mut image = vec![0; LENGTH as usize];
        for place in &places {
            image[*place as usize] = 9;
        }
        image[start as usize] = 1;
        let mut all = Passing::new(&manifest, keys()).unwrap();
        all.push(&image);
        let (ended, _) = all.end();
        let whole = ended.measured.parts;

        let mut cuts = cuts;
        cuts.extend(places.iter().flat_map(|place| [*place, place + 1]));
        cuts.extend([0, LENGTH, start, start + 1]);
        cuts.sort();
        let mut passing = Passing::new(&manifest, keys()).unwrap();
        for (number, cut) in cuts.windows(2).enumerate() {
            let piece = &image[cut[0] as usize..cut[1] as usize];
            // Some zeros pass as bytes.
            match is_zero(piece) && number % 4 > 0 {
                true => passing.push_zeros(piece.len() as u64),
                false => passing.push(piece),
            }
        }
        assert_found(passing, &image, &whole);
    }
}

#[test]
fn bytes_after_the_last_are_only_counted() {
    let manifest = manifest();
    let mut passing = Passing::new(&manifest, keys()).unwrap();
    passing.push_zeros(LENGTH + 5);
    passing.push_zeros(MIB);
    let (ended, _) = passing.end();
    assert_eq!(ended.length, LENGTH + MIB + 5);
    let zeros = vec![0; LENGTH as usize];
    let esp = Found::Digest(digest(&zeros, Region::new(MIB, 7 * MIB)), Vec::new());
    assert!(ended.measured.parts.contains(&Some(esp)));
    assert!(ended.measured.parts.iter().all(Option::is_some));
}
