//! Partitions and their file systems, and what is told of them beside the image.

use crate::fixture::{folder, pi4, pi5, sha256};
use fortress_tests::Program;
use serde_json::Value;
use std::fs;

/// Partitions start at multiples of it.
const ALIGNMENT: u64 = 8 << 20;

#[test]
fn partition_tools_find_no_fault_and_see_the_layout() {
    for image in [pi5(), pi4()] {
        let path = image.inside(&format!("{}.img", image.stem));
        image.oracle.run(&["sgdisk", "--verify", &path]).success();
        let table = image.oracle.run(&["sfdisk", "--json", &path]).success();
        let table: Value = serde_json::from_str(&table).unwrap();
        let found = table["partitiontable"]["partitions"].as_array().unwrap();
        let text = |one: &Value, key: &str| one[key].as_str().unwrap().to_lowercase();
        let kinds: Vec<String> = found.iter().map(|one| text(one, "type")).collect();
        // The Discoverable Partitions Specification's, for the EFI system partition and arm64.
        let esp = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
        let root = "b921b045-1df0-41c3-af44-4c6f280d3fae";
        let verity = "df3300ce-d69f-4c92-978c-9bfb0f38d820";
        assert_eq!(kinds, [esp, esp, esp, root, verity, root, verity]);
        let labels: Vec<&str> = found
            .iter()
            .map(|one| one["name"].as_str().unwrap())
            .collect();
        assert_eq!(
            labels,
            [
                "bootcfg", "boot_a", "_empty", "pi_0.1.0", "pi_0.1.0", "_empty", "_empty"
            ]
        );
        for one in found {
            let start = one["start"].as_u64().unwrap() * 512;
            assert!(start.is_multiple_of(ALIGNMENT), "{one}");
        }
        // The two halves of the root hash.
        let hash = image.manifest["root_hash"].as_str().unwrap();
        let halves = text(&found[3], "uuid") + &text(&found[4], "uuid");
        assert_eq!(halves.replace('-', ""), hash);
    }
}

#[test]
fn file_systems_are_sound_and_hold_what_the_firmware_reads() {
    for image in [pi5(), pi4()] {
        for volume in ["part1", "part2", "boot.img"] {
            image
                .oracle
                .run(&["fsck.fat", "-n", "-v", &image.inside(volume)])
                .success();
        }
        assert_eq!(image.files("part1"), ["autoboot.txt"]);
        let autoboot = image.text("part1", "autoboot.txt");
        assert!(autoboot.len() <= 512);
        assert_eq!(
            autoboot,
            "[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n"
        );
        let config = image.text("part2", "config.txt");
        assert!(
            config.lines().any(|line| line == "boot_ramdisk=1"),
            "{config}"
        );
    }
    let common = ["cmdline.txt", "config.txt", "initrd", "kernel.gz"];
    let with = |more: &[&str]| {
        let mut all: Vec<String> = common.iter().chain(more).map(|n| (*n).to_owned()).collect();
        all.sort();
        all
    };
    assert_eq!(pi5().files("part2"), ["boot.img", "boot.sig", "config.txt"]);
    assert_eq!(
        pi5().files("boot.img"),
        with(&["bcm2712-rpi-5-b.dtb", "overlays/bcm2712d0.dtbo"])
    );
    // A Pi 4 that checks no signature looks for its firmware beside boot.img first.
    assert_eq!(
        pi4().files("part2"),
        [
            "boot.img",
            "boot.sig",
            "config.txt",
            "fixup4.dat",
            "start4.elf"
        ]
    );
    assert_eq!(
        pi4().files("boot.img"),
        with(&[
            "bcm2711-rpi-4-b.dtb",
            "bcm2711-rpi-400.dtb",
            "fixup4.dat",
            "start4.elf"
        ])
    );
}

/// An entry of Raspberry Pi Imager's list, by the names that its documentation has.
#[test]
fn the_list_entry_tells_what_is_handed_out() {
    let copy = folder();
    let path = copy.path().join(pi5().image().file_name().unwrap());
    fs::hard_link(pi5().image(), &path).unwrap();
    let manifest = format!("{}.manifest.json", pi5().stem);
    fs::copy(pi5().path(&manifest), copy.path().join(&manifest)).unwrap();
    Program::new(&["pack", path.to_str().unwrap(), "zst", "os-list"])
        .run()
        .success();
    let packed = copy.path().join(format!("{}.img.zst", pi5().stem));
    let list = fs::read(copy.path().join(format!("{}.os_list.json", pi5().stem))).unwrap();
    let list: Value = serde_json::from_slice(&list).unwrap();
    let entry = &list["os_list"][0];
    assert_eq!(entry["init_format"], "none");
    assert_eq!(entry["devices"], serde_json::json!(["pi5-64bit"]));
    assert_eq!(entry["extract_size"], fs::metadata(&path).unwrap().len());
    assert_eq!(entry["extract_sha256"], sha256(&path));
    assert_eq!(
        entry["image_download_size"],
        fs::metadata(&packed).unwrap().len()
    );
    assert_eq!(entry["image_download_sha256"], sha256(&packed));
    let name = packed.file_name().unwrap().to_str().unwrap();
    assert_eq!(entry["url"], name);
}
