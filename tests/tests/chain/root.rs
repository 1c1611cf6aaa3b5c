//! The root file system: its data, its hash tree, the signature of its root hash, and what others
//! have signed.

use crate::attack::{Esp, copy, flip, refused, stayed_closed, tool, uki_of};
use crate::fixture::{Built, LATE, NEVER, ROOT, SIGNATURE, VERITY, machine};
use fortress_progress::Silent;
use fortress_qemu::{Verdict, run};
use fortress_tests::{Program, strangers_keys};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Where a file's first block begins, in the image or on a disk that has its layout.
fn place(built: &Built, file: &str) -> u64 {
    let (root, _) = built.partition(ROOT);
    let device = format!("{}?offset={root}", built.image.display());
    let blocks = tool(&["debugfs", "-R", &format!("blocks {file}"), &device]);
    let block: u64 = blocks.split_whitespace().next().unwrap().parse().unwrap();
    root + block * 4096
}

#[test]
fn a_flipped_bit_in_what_is_read_stops_the_machine() {
    let built = &machine().built;
    for (name, file, stage) in [
        // A program that every boot starts, and a file that one check reads when all is done.
        (
            "read-at-boot",
            "/usr/lib/systemd/systemd-journald",
            "the root",
        ),
        ("read-late", LATE, "the wait for the health report"),
    ] {
        let offset = place(built, file) + 100;
        let test = machine().attacked(name, |disk| flip(disk, offset));
        let report = refused(test, "verity-corruption", stage);
        let panicked = report
            .findings
            .iter()
            .any(|own| own.pattern == "kernel-panic");
        assert!(panicked, "{report}");
    }
}

/// What no boot reads, no boot can notice; `verify` reads everything.
#[test]
fn verify_names_the_file_whose_bit_was_flipped() {
    let built = &machine().built;
    let folder = machine().scratch("verify");
    let stem = built.image.file_stem().unwrap().to_str().unwrap();
    for entry in std::fs::read_dir(built.image.parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with(stem) && entry.file_type().unwrap().is_file() {
            let (from, to) = (entry.path(), folder.join(&name));
            let [from, to] = [&from, &to].map(|path| path.to_str().unwrap());
            tool(&["cp", "--sparse=always", "--reflink=auto", from, to]);
        }
    }
    let image = folder.join(built.image.file_name().unwrap());
    let verify = || Program::new(&["verify".as_ref(), image.as_os_str()]).run();
    assert_eq!(verify().code, 0);
    for file in [LATE, NEVER] {
        flip(&image, place(built, file) + 100);
    }
    let said = verify();
    assert_eq!(said.code, 21, "{said:?}");
    let text = format!("{}{}", said.output, said.errors);
    for file in [LATE, NEVER] {
        assert!(text.contains(file), "{file} is not named: {text}");
    }
}

#[test]
fn a_flipped_bit_in_the_hash_tree_stops_the_machine_in_the_initrd() {
    let (offset, _) = machine().built.partition(VERITY);
    // The tree's top follows the superblock: every read passes it.
    let test = machine().attacked("hash-tree", |disk| flip(disk, offset + 4096 + 8));
    let report = refused(test, "verity-corruption", "the initrd");
    stayed_closed(&report);
}

#[test]
fn a_flipped_bit_in_the_signature_of_the_root_hash_stops_the_machine_in_the_initrd() {
    let (offset, length) = machine().built.partition(SIGNATURE);
    let mut bytes = vec![0; length as usize];
    let scratch = machine().scratch("signature");
    let piece = scratch.join("piece");
    std::fs::write(&piece, &bytes).unwrap();
    copy(&machine().disk, (offset, length), &piece, 0);
    bytes.copy_from_slice(&std::fs::read(&piece).unwrap());
    // Near the end of the message in base64: the signature itself. What stands there after the flip
    // has to be base64 still, or nobody comes to check the signature.
    let end = String::from_utf8_lossy(&bytes).rfind("\"}").unwrap();
    let value = (end - 100..end)
        .find(|at| (bytes[*at] ^ 1).is_ascii_alphanumeric())
        .unwrap();
    let test = machine().attacked("signature", |disk| flip(disk, offset + value as u64));
    let report = refused(test, "verity-signature", "the initrd");
    stayed_closed(&report);
}

#[test]
fn a_root_that_nobody_signed_is_not_opened() {
    let (offset, length) = machine().built.partition(SIGNATURE);
    let test = machine().attacked("no-signature", |disk| {
        let disk = File::options().write(true).open(disk).unwrap();
        disk.write_all_at(&vec![0; length as usize], offset)
            .unwrap();
    });
    stayed_closed(&refused(test, "verity-unsigned", "the initrd"));
}

/// Without Secure Boot nothing but the recipe demands a signature; and where no key was enrolled, the
/// kernel has none to check one with.
#[test]
fn where_a_signature_is_always_demanded_only_a_machine_with_the_owners_keys_starts() {
    let always = "trust.verity-signature=\"always\"";
    let manual = "trust.secure-boot.enroll=\"manual\"";
    let built = machine().build_with("always", &[always]);
    let word = "dm_verity.require_signatures=1";
    assert!(built.command_line().contains(word), "{built:?}");
    let report = run(&machine().other("always-owner", &built), &Silent).unwrap();
    assert_eq!(report.verdict, Verdict::Passed, "{report}");
    let built = machine().build_with("always-manual", &[always, manual]);
    let report = refused(
        machine().other("always-elsewhere", &built),
        "verity-signature",
        "the initrd",
    );
    assert!(!report.boots[0].secure_boot, "{report}");
    stayed_closed(&report);
}

/// A partition of slot A becomes that of another image.
fn replace(disk: &Path, number: usize, other: &Built) {
    let (offset, length) = machine().built.partition(number);
    let theirs = other.partition(number);
    assert!(theirs.1 <= length, "the other image is larger");
    copy(&other.image, theirs, disk, offset);
}

/// Its partitions have the names that the machine's own kernel image looks for; it is whole, and its
/// owner has signed it.
#[test]
fn a_root_of_another_owner_is_not_the_one_that_the_kernel_image_names() {
    let stranger = strangers_keys();
    let other = machine().build("1.1", Some(stranger.path()));
    // With their signature; and with the machine's own, which is of another root.
    for (name, partitions, pattern) in [
        (
            "others-signed",
            &[ROOT, VERITY, SIGNATURE][..],
            "verity-signature",
        ),
        ("others-root", &[ROOT, VERITY][..], "verity-corruption"),
    ] {
        let test = machine().attacked(name, |disk| {
            for number in partitions {
                replace(disk, *number, &other);
            }
        });
        stayed_closed(&refused(test, pattern, "the initrd"));
    }
}

/// With the signature of the older root, which is good; the root is this version's, under the names
/// that the older kernel image looks for.
#[test]
fn a_kernel_image_of_an_older_version_does_not_take_the_root_of_this_one() {
    let older = machine().build("0.9", None);
    let scratch = machine().scratch("older");
    let uki = uki_of(&older, &scratch);
    let test = machine().attacked("older", |disk| {
        Esp::of(disk).change_uki(&scratch, |_| uki);
        replace(disk, SIGNATURE, &older);
        for number in [ROOT, VERITY] {
            let guid = format!("--partition-guid={}:{}", number + 1, older.guid(number));
            tool(&["sgdisk", &guid, disk.to_str().unwrap()]);
        }
    });
    stayed_closed(&refused(test, "verity-corruption", "the initrd"));
}
