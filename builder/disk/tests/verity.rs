//! dm-verity judged by veritysetup: the same bytes, and each verifies what the other wrote.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use fortress_disk::verity::{self, Area, BadBlock, PassedData, RootHash, VerityOptions};
use fortress_disk::{Error, Region};
use fortress_tests::Oracle;
use proptest::prelude::*;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use uuid::Uuid;

const SALT: [u8; 32] = [0xa5; 32];
const UUID: Uuid = Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);

fn options() -> VerityOptions {
    VerityOptions {
        salt: SALT,
        uuid: UUID,
    }
}

fn open(path: &Path) -> File {
    let mut options = File::options();
    options.read(true).write(true).create(true);
    options.open(path).unwrap()
}

/// An image with `blocks` blocks of data at 1 MiB, some of them holes and zeros, and room for
/// hashes after it.
fn image(path: &Path, blocks: u64) -> (File, Region, Region) {
    let data = Region::new(1 << 20, blocks * 4096);
    let hash = Region::new(data.end() + 8192, verity::hash_length(data.length));
    let file = open(path);
    file.set_len(hash.end() + 4096).unwrap();
    for block in (0..blocks).filter(|block| block % 700 < 200) {
        let content = match block % 7 {
            0 => [0; 4096],
            other => [block as u8 ^ other as u8; 4096],
        };
        file.write_all_at(&content, data.offset + block * 4096)
            .unwrap();
    }
    (file, data, hash)
}

/// Copies a region into a file of its own, for tools that take no offsets.
fn cut(file: &File, region: Region, path: &Path) {
    let mut bytes = vec![0; region.length as usize];
    file.read_exact_at(&mut bytes, region.offset).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn the_bytes_are_those_of_veritysetup() {
    let oracle = Oracle::open();
    let folder = oracle.folder();
    let [image_path, data_path, hash_path, theirs] =
        ["image", "data", "hash", "theirs"].map(|name| folder.path().join(name));
    let [data_name, hash_name, their_name] =
        [&data_path, &hash_path, &theirs].map(|path| oracle.inside(path));
    let salt = "a5".repeat(32);
    // Trees of no level, one, two and three, and the sizes around them.
    for blocks in [1, 2, 127, 128, 129, 255, 256, 257, 16_384, 16_385, 20_000] {
        let (file, data, hash) = image(&image_path, blocks);
        let root_hash = verity::format(&file, data, hash, &options()).unwrap();
        cut(&file, data, &data_path);
        cut(&file, hash, &hash_path);
        let command = [
            "veritysetup",
            "format",
            "--salt",
            &salt,
            "--uuid",
            &UUID.to_string(),
            "--hash",
            "sha256",
            "--data-block-size",
            "4096",
            "--hash-block-size",
            "4096",
            &data_name,
            &their_name,
        ];
        let said = oracle.run(&command).success();
        assert!(
            said.contains(&root_hash.to_string()),
            "{blocks} blocks: {said}"
        );
        let ours = std::fs::read(&hash_path).unwrap();
        assert!(ours == std::fs::read(&theirs).unwrap(), "{blocks} blocks");
        let root_hash_text = root_hash.to_string();
        let verify = [
            "veritysetup",
            "verify",
            &data_name,
            &hash_name,
            &root_hash_text,
        ];
        oracle.run(&verify).success();
        assert_eq!(verity::verify(&file, data, hash, &root_hash).unwrap(), []);
        for file in [&image_path, &theirs] {
            std::fs::remove_file(file).unwrap();
        }
    }
}

#[test]
fn what_was_changed_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (file, data, hash) = image(&folder.path().join("image"), 20_000);
    let root_hash = verity::format(&file, data, hash, &options()).unwrap();
    let flip = |at: u64| {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    };
    let bad = || verity::verify(&file, data, hash, &root_hash).unwrap();
    // The last byte of one block and the first of the next, and a byte within a hole.
    for at in [4096 * 8 - 1, 4096 * 8, 4096 * 19_999] {
        flip(data.offset + at);
    }
    let found = bad();
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(found[0].area, Area::Data);
    assert_eq!(found[0].region, Region::new(data.offset + 4096 * 7, 8192));
    assert_eq!(
        found[1].region,
        Region::new(data.offset + 4096 * 19_999, 4096)
    );
    assert_eq!(found[1].to_string(), format!("data at {}", found[1].region));
    for at in [4096 * 8 - 1, 4096 * 8, 4096 * 19_999] {
        flip(data.offset + at);
    }
    assert_eq!(bad(), []);
    // A tree of three levels: the top, the two below it, 157 above the data.
    for (block, area) in [(1, 2), (2, 1), (3, 1), (4, 0), (160, 0)] {
        let at = hash.offset + 4096 * block;
        flip(at);
        let found = bad();
        let only = BadBlock {
            area: Area::Hashes { level: area },
            region: Region::new(at, 4096),
        };
        assert_eq!(found, [only], "what it is for is good, and not told");
        flip(at);
    }
    let mut other = root_hash;
    other.0[31] ^= 1;
    let found = verity::verify(&file, data, hash, &other).unwrap();
    assert_eq!(found[0].area, Area::Hashes { level: 2 });
}

#[test]
fn what_passes_is_judged_as_what_lies_there() {
    let folder = tempfile::tempdir().unwrap();
    for blocks in [1, 2, 129, 20_000] {
        let (file, data, hash) = image(&folder.path().join("image"), blocks);
        let root_hash = verity::format(&file, data, hash, &options()).unwrap();
        let flips = [
            None,
            Some(data.offset + 4096 * (blocks / 2)),
            Some(hash.end() - 1),
            Some(hash.offset + 4096),
        ];
        // A single block has no tree above it.
        for flip in &flips[..if blocks == 1 { 2 } else { 4 }] {
            let change = || {
                if let Some(at) = flip {
                    let mut byte = [0];
                    file.read_exact_at(&mut byte, *at).unwrap();
                    file.write_all_at(&[byte[0] ^ 0x40], *at).unwrap();
                }
            };
            change();
            let mut bytes = vec![0; hash.end() as usize];
            file.read_exact_at(&mut bytes, 0).unwrap();
            let mut passed = PassedData::new(&SALT);
            for piece in bytes[data.offset as usize..data.end() as usize].chunks(4096 * 37) {
                passed.push(piece);
            }
            let tree = &bytes[hash.offset as usize..];
            let found = passed.compare(data, hash, tree, &root_hash).unwrap();
            let lying = verity::verify(&file, data, hash, &root_hash).unwrap();
            assert_eq!(found, lying, "{blocks} blocks, {flip:?}");
            assert_eq!(
                found.is_empty(),
                flip.is_none(),
                "{blocks} blocks, {flip:?}"
            );
            change();
        }
        let other = PassedData::new(&[1; 32]);
        let tree = vec![0; hash.length as usize];
        let error = other.compare(data, hash, &tree, &root_hash).unwrap_err();
        assert!(error.to_string().contains("is missing"), "{error}");
    }
}

#[test]
fn one_core_gives_the_same_as_many() {
    let folder = tempfile::tempdir().unwrap();
    let (file, data, hash) = image(&folder.path().join("image"), 5_000);
    let digest = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let root = pool.install(|| verity::format(&file, data, hash, &options()).unwrap());
        (
            root,
            fortress_disk::digest::regions(&file, &[hash]).unwrap(),
        )
    };
    assert_eq!(digest(1), digest(7));
}

#[test]
fn regions_that_cannot_be_are_refused() {
    let file = tempfile::tempfile().unwrap();
    file.set_len(1 << 20).unwrap();
    let refused = |data, hash| {
        let error = verity::format(&file, data, hash, &options()).unwrap_err();
        assert!(matches!(error, Error::Region { .. }), "{error}");
        error.to_string()
    };
    let hash = Region::new(1 << 19, 1 << 19);
    assert!(refused(Region::new(0, 0), hash).contains("empty"));
    assert!(refused(Region::new(0, 4097), hash).contains("whole blocks"));
    assert!(refused(Region::new(0, 4096 * 64), Region::new(1 << 19, 4096)).contains("8192 bytes"));
    assert!(refused(Region::new(1 << 19, 8192), hash).contains("not clear"));
    let data = Region::new(0, 8192);
    let error = verity::verify(&file, data, hash, &RootHash([0; 32])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the dm-verity superblock at byte 524288 is missing: there is no signature"
    );
    verity::format(&file, data, hash, &options()).unwrap();
    let error = verity::verify(&file, Region::new(0, 4096), hash, &RootHash([0; 32])).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("is for 2 blocks of data, and there are 1")
    );
    let full = File::options()
        .read(true)
        .write(true)
        .open("/dev/full")
        .unwrap();
    let error = verity::format(&full, data, hash, &options()).unwrap_err();
    assert!(matches!(error, Error::Full { .. }), "{error:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_damaged_hash_area_never_panics_and_never_passes(
        at in 0u64..16_384, value in 1u8..,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (file, data, hash) = image(&folder.path().join("image"), 300);
        let root_hash = verity::format(&file, data, hash, &options()).unwrap();
        prop_assert_eq!(hash.length, 5 * 4096);
        let mut byte = [0];
        file.read_exact_at(&mut byte, hash.offset + at).unwrap();
        file.write_all_at(&[byte[0] ^ value], hash.offset + at).unwrap();
        let verified = verity::verify(&file, data, hash, &root_hash);
        // The UUID and what pads the superblock are bound to nothing.
        let bound = !(16..32).contains(&at) && !(82..88).contains(&at) && !(120..4096).contains(&at);
        prop_assert_eq!(bound, verified.map_or(true, |bad| !bad.is_empty()));
    }
}
