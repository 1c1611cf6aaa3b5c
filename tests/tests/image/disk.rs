//! The disk: its table, its partitions, every byte.

use crate::fixture::{image, is_zero, region, sha256};
use fortress_tests::{BENCH_IMAGE, tool};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::MetadataExt;

#[test]
fn partition_tools_find_no_fault() {
    let image = image();
    let path = image.inside(BENCH_IMAGE);
    let said = image.oracle.run(&["sgdisk", "--verify", &path]).success();
    assert!(said.contains("No problems found."), "{said}");
    let said = image.oracle.run(&["sfdisk", "--verify", &path]).success();
    assert!(said.contains("No errors detected."), "{said}");
    let said = image
        .oracle
        .run(&["systemd-dissect", "--validate", &path])
        .success();
    assert_eq!(said.trim(), "OK");
    // Whoever takes only a root with a signature takes this one, and not without that partition.
    let unsigned = image.inside("unsigned");
    let validate = |path| {
        let policy = "--image-policy=root=signed:=ignore";
        image
            .oracle
            .run(&["systemd-dissect", "--validate", policy, path])
    };
    assert_eq!(validate(&path).success().trim(), "OK");
    image
        .oracle
        .run(&["cp", "--sparse=always", &path, &unsigned])
        .success();
    image
        .oracle
        .run(&["sfdisk", "--quiet", "--delete", &unsigned, "4"])
        .success();
    assert_ne!(validate(&unsigned).status, 0);
}

#[test]
fn the_table_is_what_the_manifest_says() {
    let image = image();
    let path = image.inside(BENCH_IMAGE);
    let table = image.oracle.run(&["sfdisk", "--json", &path]).success();
    let table: Value = serde_json::from_str(&table).unwrap();
    let table = &table["partitiontable"];
    let guid = image.manifest["image"]["guid"].as_str().unwrap();
    assert_eq!(table["id"], guid.to_uppercase());
    assert_eq!(table["sectorsize"], 512);
    let rows = table["partitions"].as_array().unwrap();
    assert_eq!(rows.len(), image.partitions().len());
    for (row, partition) in rows.iter().zip(image.partitions()) {
        let upper = |key: &str| partition[key].as_str().unwrap().to_uppercase();
        let (offset, length) = region(partition);
        assert_eq!(row["start"], offset / 512);
        assert_eq!(row["size"], length / 512);
        assert_eq!(row["type"], upper("kind"));
        assert_eq!(row["uuid"], upper("guid"));
        assert_eq!(row["name"], partition["label"]);
    }
    // Slot B waits to be filled: nothing may mount it of its own accord.
    let attributes: Vec<_> = rows.iter().map(|row| row["attrs"].as_str()).collect();
    let (read_only, waiting) = (Some("GUID:60"), Some("GUID:60,63"));
    assert_eq!(
        attributes,
        [
            None, read_only, read_only, read_only, waiting, waiting, waiting
        ]
    );
    let is_empty = |row: &&Value| row["name"] == "_empty";
    assert_eq!(rows.iter().filter(is_empty).count(), 3);
    // The two halves of the root hash name root and hash tree.
    let guids = [&rows[1]["uuid"], &rows[2]["uuid"]];
    let guids = guids.map(|guid| guid.as_str().unwrap().replace('-', "").to_lowercase());
    assert_eq!(guids.concat(), image.text("root_hash"));
}

#[test]
fn every_byte_is_what_the_manifest_says() {
    let image = image();
    let file = File::open(image.path(BENCH_IMAGE)).unwrap();
    let facts = &image.manifest["image"];
    let length = file.metadata().unwrap().len();
    assert_eq!(facts["length"], length);
    assert_eq!(facts["file"], BENCH_IMAGE);
    let mut end = region(&image.partitions()[0]).0;
    assert_eq!(facts["head_sha256"], sha256(&file, 0, end));
    for partition in image.partitions() {
        let (offset, length) = region(partition);
        assert!(
            is_zero(&file, end, offset - end),
            "the gap before {partition}"
        );
        end = offset + length;
        match partition["covered"].as_str().unwrap() {
            "digest" => {
                let data = partition["data_length"].as_u64().unwrap();
                assert_eq!(partition["sha256"], sha256(&file, offset, data));
                // It ends with a page that is not zeros, and only zeros follow.
                assert!(!is_zero(&file, offset + data - 4096, 4096), "{partition}");
                assert!(is_zero(&file, offset + data, length - data), "{partition}");
            }
            "empty" => assert!(is_zero(&file, offset, length), "{partition}"),
            // dm-verity's own tool reads that one.
            other => assert_eq!(other, "root-hash"),
        }
    }
    assert_eq!(facts["tail_sha256"], sha256(&file, end, length - end));
    let allocated = file.metadata().unwrap().blocks() * 512;
    assert!(
        allocated < length / 2,
        "{allocated} of {length}: not sparse"
    );
}

#[test]
fn the_efi_system_partition_holds_what_boots() {
    let image = image();
    let esp = image.path("esp");
    let esp = esp.to_str().unwrap();
    tool("fsck.fat", &["-n", esp]);
    let list = tool("mdir", &["-/", "-b", "-i", esp, "::"]);
    let files: BTreeSet<&str> = list.lines().filter(|line| !line.ends_with('/')).collect();
    let expected = [
        "::/EFI/BOOT/BOOTX64.EFI",
        "::/EFI/Linux/bench_1+3.efi",
        "::/EFI/systemd/systemd-bootx64.efi",
        "::/loader/entries.srel",
        "::/loader/keys/auto/KEK.auth",
        "::/loader/keys/auto/PK.auth",
        "::/loader/keys/auto/db.auth",
        "::/loader/loader.conf",
    ];
    assert_eq!(files, BTreeSet::from(expected));
    let loader = tool("mtype", &["-i", esp, "::/loader/loader.conf"]);
    assert!(loader.contains("editor no\n"), "{loader}");
    assert!(loader.contains("secure-boot-enroll if-safe\n"), "{loader}");
}
