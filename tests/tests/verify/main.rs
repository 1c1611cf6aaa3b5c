//! `fortress-build verify` on the bench image: good, and with a byte changed in each kind of place;
//! beside the field's own tools, which must say the same.

mod changed;
mod fixture;
mod others;

use crate::fixture::{Copy, Verdict, asked, blocks, flip, partition, place_in_esp, tool, verdict};
use fortress_tests::{BENCH_IMAGE, BENCH_MANIFEST, public_halves, test_keys};
use std::fs::{self, File};
use std::path::Path;

#[test]
fn what_was_built_is_good_in_every_form() {
    let copy = Copy::new();
    let image = copy.image();
    let path = image.to_str().unwrap();
    tool(&["zstd", "--quiet", "-3", "-T2", path]);
    tool(&["xz", "--keep", "-0", "-T2", path]);
    let public = public_halves(test_keys());
    let keys = public.path().to_str().unwrap();
    let plain = verdict(&image, &["--keys", keys]);
    plain.is("good");
    assert!(plain.findings().is_empty());
    let checks = plain.json["checks"].as_array().unwrap();
    let right = |what: &str| {
        let said = checks.iter().filter(|check| check["what"] == what);
        assert!(said.count() > 0, "{what}: {plain:#?}");
    };
    for what in [
        "manifest",
        "partition table",
        "esp",
        "root",
        "root-verity",
        "root-verity-sig",
        "root (slot B)",
        "EFI/BOOT/BOOTX64.EFI",
        "EFI/systemd/systemd-bootx64.efi",
        "EFI/Linux/bench_1+3.efi",
        "loader/keys/auto/PK.auth",
        "loader/keys/auto/KEK.auth",
        "loader/keys/auto/db.auth",
    ] {
        right(what);
    }
    for ending in ["zst", "xz"] {
        let compressed = copy.path(&format!("{BENCH_IMAGE}.{ending}"));
        let passed = verdict(&compressed, &["--keys", keys]);
        passed.is("good");
        assert_eq!(passed.json["checks"], plain.json["checks"], "{ending}");
        assert_eq!(passed.json["notes"], plain.json["notes"], "{ending}");
    }
    // The public key of the manifest alone, as a file and as a line: the manifest names the others.
    let text = fs::read_dir(public.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| fs::read_to_string(path).ok())
        .find(|text| text.contains("minisign public key"))
        .unwrap();
    let file = copy.path("key.pub");
    fs::write(&file, &text).unwrap();
    for key in [file.to_str().unwrap(), text.lines().nth(1).unwrap()] {
        let alone = verdict(&image, &["--public-key", key, "--keys", "/nonexistent"]);
        alone.is("good");
        assert_eq!(alone.json["checks"], plain.json["checks"]);
    }
    // Damage is named in a compressed image as in a plain one.
    let at = partition("root", Some("a")).0 + 4096 * blocks(&image, "/usr/bin/wg")[0] + 77;
    copy.flipped(at, || {
        verdict(&image, &[]).names("root", "/usr/bin/wg, bytes 0 to 4095 of it", at);
        tool(&["zstd", "--quiet", "--force", "-1", "-T2", path]);
        let passed = verdict(&copy.path(&format!("{BENCH_IMAGE}.zst")), &[]);
        passed
            .is("damaged")
            .names("root", "/usr/bin/wg, bytes 0 to 4095 of it", at);
    });
    // One that is cut off, and one that is changed.
    let compressed = copy.path(&format!("{BENCH_IMAGE}.xz"));
    let length = fs::metadata(&compressed).unwrap().len();
    flip(&compressed, length / 2);
    verdict(&compressed, &[])
        .is("damaged")
        .says("cannot be unpacked");
    flip(&compressed, length / 2);
    let file = File::options().write(true).open(&compressed).unwrap();
    file.set_len(length / 3).unwrap();
    verdict(&compressed, &[]).is("damaged").says("cut off");
}

/// A file as a disk, for as long as this lives.
struct Disk(String);

impl Disk {
    fn new(file: &Path) -> Self {
        let said = tool(&["losetup", "--find", "--show", file.to_str().unwrap()]);
        Self(said.trim().to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = asked(&["losetup", "--detach", &self.0]);
    }
}

#[test]
fn what_a_machine_changes_on_its_disk_is_no_fault() {
    let copy = Copy::new();
    let image = copy.image();
    let path = image.to_str().unwrap();
    let manifest = copy.path(BENCH_MANIFEST);
    let manifest = ["--manifest", manifest.to_str().unwrap()];
    let looked_at = || {
        let disk = Disk::new(&image);
        verdict(Path::new(&disk.0), &manifest)
    };
    let notes = |verdict: &Verdict| verdict.json["notes"].to_string();
    // As it was written, to a larger disk.
    let file = File::options().write(true).open(&image).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length + (64 << 20)).unwrap();
    let written = looked_at();
    written.is("good");
    assert!(notes(&written).contains("not covered"), "{written:?}");
    // As a machine leaves it: its state behind the image, one try less, a seed.
    tool(&["sgdisk", "--move-second-header", path]);
    tool(&["sgdisk", "--new=0:0:0", "--change-name=0:var", path]);
    let esp = format!("{path}@@{}", partition("esp", None).0);
    let uki = "::EFI/Linux/bench_1+3.efi";
    tool(&["mren", "-i", &esp, uki, "::EFI/Linux/bench_1+2-1.efi"]);
    let seed = copy.path("seed");
    fs::write(&seed, [7; 32]).unwrap();
    let seed = seed.to_str().unwrap();
    tool(&["mcopy", "-i", &esp, seed, "::loader/random-seed"]);
    let used = looked_at();
    used.is("good");
    for note in ["\\\"var\\\"", "random-seed", "partition table was changed"] {
        assert!(notes(&used).contains(note), "{note}: {used:#?}");
    }
    // As a file the same is no image any more.
    verdict(&image, &[]).is("damaged");
    // What no machine does is found there as well.
    let at = partition("root", Some("a")).0 + 4096 * blocks(&image, "/usr/bin/wg")[0];
    copy.flipped(at, || {
        looked_at().is("damaged").names("root", "/usr/bin/wg", at)
    });
    let (settings, _) = place_in_esp(&image, "loader/loader.conf");
    copy.flipped(settings, || {
        looked_at()
            .is("damaged")
            .names("esp", "loader/loader.conf", settings);
    });
    looked_at().is("good");
    tool(&["mcopy", "-i", &esp, seed, "::loader/entry.conf"]);
    looked_at().is("damaged").says("it is not of this image");
    tool(&["mdel", "-i", &esp, "::loader/entry.conf"]);
    tool(&["mcopy", "-i", &esp, seed, "::EFI/BOOT/another.efi"]);
    looked_at()
        .is("not-signed")
        .says("that you have not signed");
}
