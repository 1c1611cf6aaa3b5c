//! Images with a byte changed, moved or missing.

use crate::fixture::{Copy, blocks, data, debugfs, partition, place_in_esp, tool, verdict};
use fortress_filesystem::ext4::{self, BlockOwner};
use fortress_tests::BENCH_IMAGE;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

#[test]
fn a_changed_byte_is_named_wherever_it_is() {
    let copy = Copy::new();
    let image = copy.image();
    let length = fs::metadata(&image).unwrap().len();
    let (esp, _) = partition("esp", None);
    let (root, root_length) = partition("root", Some("a"));
    let (tree, _) = partition("root-verity", Some("a"));
    let (signature, _) = partition("root-verity-sig", Some("a"));
    let (empty, _) = partition("root", Some("b"));
    let inode = |path: &str| -> u64 {
        let said = debugfs(&image, &format!("imap {path}"));
        // Inode 123 is part of block group 0 / located at block 456, offset 0x0700
        let block = said.split("block ").last().unwrap();
        let (block, offset) = block.split_once(", offset 0x").unwrap();
        let offset = u64::from_str_radix(offset.trim(), 16).unwrap();
        root + 4096 * block.parse::<u64>().unwrap() + offset
    };
    let wg = blocks(&image, "/usr/bin/wg");
    let directory = blocks(&image, "/usr/bin");
    let free = {
        let file = File::open(&image).unwrap();
        let structure = ext4::read(&file, root, root_length).unwrap();
        assert!(structure.problems().is_empty());
        let free = (0..root_length / 4096)
            .rev()
            .find(|block| structure.owner(*block) == BlockOwner::Free);
        free.unwrap()
    };
    let (uki, bytes) = place_in_esp(&image, "EFI/Linux/bench_1+3.efi");
    let header_name = |name: &str| {
        let mut bytes = name.as_bytes().to_vec();
        bytes.resize(8, 0);
        bytes
    };
    let section = |name: &str| {
        let headers = 0x40..4096;
        let at = headers
            .clone()
            .find(|at| bytes[*at..].starts_with(&header_name(name)))
            .unwrap();
        let offset = u32::from_le_bytes(bytes[at + 20..at + 24].try_into().unwrap());
        uki + u64::from(offset)
    };
    let (loader, _) = place_in_esp(&image, "EFI/BOOT/BOOTX64.EFI");
    let (settings, _) = place_in_esp(&image, "loader/loader.conf");
    let (enrolment, auth) = place_in_esp(&image, "loader/keys/auto/db.auth");
    let cases: Vec<(u64, &str, &str)> = vec![
        // The partition table: MBR, header, an entry, an unused entry; beside it; the second copy.
        (510, "partition table", ""),
        (512 + 56, "partition table", ""),
        (1024 + 40, "partition table", ""),
        (1024 + 128 * 100, "partition table", ""),
        (100_000, "partition table", ""),
        (100, "partition table", ""),
        (length - 512 + 56, "partition table (second copy)", ""),
        (length - 33 * 512 + 40, "partition table (second copy)", ""),
        (length - 600_000, "partition table (second copy)", ""),
        // The root: files, a directory, inodes, maps, superblock, and what nothing uses.
        (
            root + 4096 * wg[0] + 5,
            "root",
            "/usr/bin/wg, bytes 0 to 4095 of it",
        ),
        (
            root + 4096 * wg[1] + 4095,
            "root",
            "/usr/bin/wg, bytes 4096 to 8191 of it",
        ),
        (
            root + 4096 * directory[0] + 30,
            "root",
            "/usr/bin, bytes 0 to ",
        ),
        (inode("/usr/bin/wg") + 40, "root", "inodes, group 0"),
        (root + 1024 + 0x78, "root", "superblock, group 0"),
        (root + 4096 + 12, "root", "group descriptors, group 0"),
        (root + 4096 * free + 9, "root", "free room"),
        (root + 32_768 * 4096 + 1, "root", "superblock, group 1"),
        // The hash tree: superblock, top, middle, bottom.
        (tree + 3, "root-verity", "superblock"),
        (tree + 88, "root-verity", "superblock"),
        (tree + 4096 + 7, "root-verity", "hash tree, level 2"),
        (tree + 3 * 4096, "root-verity", "hash tree, level 1"),
        (tree + 20 * 4096 + 1000, "root-verity", "hash tree, level 0"),
        (
            signature + 30,
            "root-verity-sig",
            "signature of the root hash",
        ),
        (signature + 500_000, "root-verity-sig", ""),
        (empty + 12_345_678, "root (slot B)", ""),
        // The EFI system partition.
        (
            section(".linux") + 5000,
            "esp",
            "bench_1+3.efi, section .linux",
        ),
        (
            section(".initrd") + 9_000_000,
            "esp",
            "bench_1+3.efi, section .initrd",
        ),
        (
            section(".cmdline") + 3,
            "esp",
            "bench_1+3.efi, section .cmdline",
        ),
        (
            section(".pcrpkey") + 60,
            "esp",
            "bench_1+3.efi, section .pcrpkey",
        ),
        (section(".pcrsig") + 60, "esp", "EFI/Linux/bench_1+3.efi"),
        (
            uki + bytes.len() as u64 - 100,
            "esp",
            "EFI/Linux/bench_1+3.efi",
        ),
        (uki + 4, "esp", "EFI/Linux/bench_1+3.efi"),
        (loader + 70_000, "esp", "EFI/BOOT/BOOTX64.EFI"),
        (settings + 3, "esp", "loader/loader.conf"),
        (
            enrolment + auth.len() as u64 - 20,
            "esp",
            "loader/keys/auto/db.auth",
        ),
        (esp + 3, "esp", "directories, boot sector or table"),
        (esp + 32 * 512 + 40_000, "esp", ""),
        (esp + 200_000_000, "esp", "free room"),
    ];
    for (at, part, owner) in cases {
        let verdict = copy.flipped(at, || verdict(&image, &[]));
        assert_eq!(verdict.outcome, "damaged", "byte {at}: {verdict:#?}");
        verdict.names(part, owner, at);
    }
    verdict(&image, &[]).is("good");
}

/// What no digest covers are zeros: one byte among them is named.
#[test]
fn a_byte_behind_the_data_is_named() {
    let copy = Copy::new();
    let image = copy.image();
    let path = image.to_str().unwrap();
    let compressed = copy.path(&format!("{BENCH_IMAGE}.zst"));
    for (purpose, owner) in [
        ("esp", "free room of the file system"),
        ("root-verity", ""),
        ("root-verity-sig", ""),
    ] {
        let (offset, length) = partition(purpose, None);
        let end = offset + data(purpose).1;
        assert!(end < offset + length, "{purpose} is full");
        for at in [end, offset + length - 1] {
            copy.flipped(at, || {
                let plain = verdict(&image, &[]);
                tool(&["zstd", "--quiet", "--force", "-1", "-T2", path]);
                let passed = verdict(&compressed, &[]);
                for verdict in [plain, passed] {
                    verdict.is("damaged").says("there should be zeros");
                    verdict.names(purpose, owner, at);
                    // What is no more the signature alone has a finding of its own.
                    let mut findings = verdict.findings();
                    findings.retain(|one| one.reason == "there should be zeros");
                    assert_eq!(findings.len(), 1, "byte {at}: {verdict:#?}");
                    assert!(findings[0].length <= 4096, "byte {at}: {verdict:#?}");
                }
            });
        }
        // The data's own last page is another matter.
        copy.flipped(end - 4096, || {
            let verdict = verdict(&image, &[]);
            verdict.is("damaged").names(purpose, "", end - 4096);
            assert!(
                !verdict
                    .findings()
                    .iter()
                    .any(|one| one.reason.contains("zeros")),
                "{verdict:#?}"
            );
        });
    }
    verdict(&image, &[]).is("good");
}

#[test]
fn what_is_moved_or_cut_off_is_damaged() {
    let copy = Copy::new();
    let image = copy.image();
    let length = fs::metadata(&image).unwrap().len();
    let file = File::options().read(true).write(true).open(&image).unwrap();

    // Longer than it should be; a partition's contents in the place of another's.
    file.set_len(length + 4096).unwrap();
    verdict(&image, &[])
        .is("damaged")
        .says("bytes, and the manifest says");
    file.set_len(length).unwrap();
    let (from, size) = partition("root-verity", Some("a"));
    let (to, _) = partition("root-verity", Some("b"));
    let mut tree = vec![0; size as usize];
    file.read_exact_at(&mut tree, from).unwrap();
    file.write_all_at(&tree, to).unwrap();
    file.write_all_at(&vec![0; size as usize], from).unwrap();
    let swapped = verdict(&image, &[]);
    swapped
        .is("damaged")
        .names("root-verity", "superblock", from);
    swapped.names("root-verity (slot B)", "", to);
    file.write_all_at(&tree, from).unwrap();
    file.write_all_at(&vec![0; size as usize], to).unwrap();
    verdict(&image, &[]).is("good");

    // Cut off in each part, the last first: nothing is put back.
    let (root, _) = partition("root", Some("a"));
    for end in [
        length - 512,
        to + 1,
        from + 4096,
        root + 123_456,
        30_000_000,
        2_000_000,
        20_000,
    ] {
        file.set_len(end).unwrap();
        verdict(&image, &[]).is("damaged").says("cut off");
    }
    for end in [600, 511, 1, 0] {
        file.set_len(end).unwrap();
        let said = verdict(&image, &[]);
        assert!(
            ["damaged", "foreign"].contains(&said.outcome.as_str()),
            "{end}: {said:?}"
        );
    }
}
