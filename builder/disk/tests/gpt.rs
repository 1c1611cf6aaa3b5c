//! Partition tables judged by sgdisk, sfdisk and systemd.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that panics has failed"
)]

use fortress_disk::gpt::{
    self, Attributes, DiskLayout, LayoutOptions, PartitionEntry, partition_types,
};
use fortress_disk::{Error, digest};
use fortress_tests::Oracle;
use proptest::prelude::*;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

const MIB: u64 = 1 << 20;
const DISK: Uuid = Uuid::from_u128(0xd15c_0000_0000_8000_8000_0000_0000_0001);

fn entry(kind: Uuid, guid: u128, name: &str, length: u64, attributes: u64) -> PartitionEntry {
    PartitionEntry {
        kind,
        guid: Uuid::from_u128(guid),
        name: name.into(),
        length,
        attributes,
    }
}

/// A disk as the x86 board has it.
fn layout(alignment: u64) -> DiskLayout {
    let types = partition_types::X86_64;
    let read_only = Attributes::READ_ONLY;
    let partitions = vec![
        entry(
            partition_types::ESP,
            1,
            "esp",
            64 * MIB,
            Attributes::NO_AUTO,
        ),
        entry(types.root, 2, "root_0.1", 100 * MIB + 4096, read_only),
        entry(types.root_verity, 3, "root-verity_0.1", 3 * MIB, read_only),
        entry(
            types.root_verity_signature,
            4,
            "ünïcödé ✓ 🔒",
            16384,
            read_only,
        ),
        entry(types.root, 5, "_empty", 100 * MIB + 4096, 0),
    ];
    let mut options = LayoutOptions::new(DISK);
    options.alignment = alignment;
    gpt::layout(partitions, &options).unwrap()
}

fn write(layout: &DiskLayout, folder: &Path) -> PathBuf {
    let path = folder.join("disk.raw");
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path);
    let file = file.unwrap();
    file.set_len(layout.length).unwrap();
    gpt::write(&file, layout).unwrap();
    path
}

#[test]
fn sgdisk_and_sfdisk_find_no_fault_and_every_field() {
    let oracle = Oracle::open();
    let folder = oracle.folder();
    for alignment in [MIB, 8 * MIB] {
        let layout = layout(alignment);
        let image = write(&layout, folder.path());
        let name = oracle.inside(&image);
        let said = oracle.run(&["sgdisk", "--verify", &name]).success();
        assert!(said.contains("No problems found"), "{said}");
        let outcome = oracle.run(&["sfdisk", "--verify", &name]);
        let said = format!("{}{}", outcome.output, outcome.errors);
        assert!(
            outcome.status == 0 && said.contains("No errors detected"),
            "{said}"
        );
        assert!(!said.to_lowercase().contains("warning"), "{said}");
        let said = oracle
            .run(&["env", "LC_ALL=C.UTF-8", "sfdisk", "--dump", &name])
            .success();
        let has = |text: &str| {
            assert!(
                said.to_lowercase().contains(&text.to_lowercase()),
                "{text}: {said}"
            )
        };
        has(&format!("label-id: {DISK}"));
        for placement in &layout.partitions {
            has(&format!(
                "start={:12}, size={:12}",
                placement.offset / 512,
                placement.entry.length / 512
            ));
            has(&format!(
                "type={}, uuid={}",
                placement.entry.kind, placement.entry.guid
            ));
            assert!(placement.offset.is_multiple_of(alignment));
        }
        has("name=\"root_0.1\", attrs=\"GUID:60\"");
        has("name=\"esp\", attrs=\"GUID:63\"");
        // The protective MBR covers the disk.
        let mut mbr = [0; 512];
        let file = File::open(&image).unwrap();
        file.read_exact_at(&mut mbr, 0).unwrap();
        assert_eq!(
            mbr[446..462],
            [
                &[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0][..],
                &((layout.length / 512 - 1) as u32).to_le_bytes(),
            ]
            .concat()
        );
        assert_eq!(gpt::read(&file).unwrap(), layout);
    }
}

#[test]
fn the_bytes_are_the_same_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let layout = layout(MIB);
    let digest = || digest::whole(&File::open(write(&layout, folder.path())).unwrap()).unwrap();
    assert_eq!(digest(), digest());
}

#[test]
fn partition_types_are_those_that_systemd_knows() {
    let oracle = Oracle::open();
    let said = oracle.run(&["systemd-id128", "show"]).success();
    let known = |name: &str| {
        let line = said
            .lines()
            .find(|line| line.split_whitespace().next() == Some(name));
        let line = line.unwrap_or_else(|| panic!("systemd knows no {name}"));
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<Uuid>()
            .unwrap()
    };
    for (name, ours) in [
        ("esp", partition_types::ESP),
        ("xbootldr", partition_types::XBOOTLDR),
        ("swap", partition_types::SWAP),
        ("home", partition_types::HOME),
        ("srv", partition_types::SRV),
        ("var", partition_types::VAR),
        ("tmp", partition_types::TMP),
        ("linux-generic", partition_types::LINUX_GENERIC),
    ] {
        assert_eq!(known(name), ours, "{name}");
    }
    for (name, ours) in [
        ("x86-64", partition_types::X86_64),
        ("arm64", partition_types::ARM64),
    ] {
        assert_eq!(known(&format!("root-{name}")), ours.root);
        assert_eq!(known(&format!("root-{name}-verity")), ours.root_verity);
        assert_eq!(
            known(&format!("root-{name}-verity-sig")),
            ours.root_verity_signature
        );
        assert_eq!(known(&format!("usr-{name}")), ours.usr);
        assert_eq!(known(&format!("usr-{name}-verity")), ours.usr_verity);
        assert_eq!(
            known(&format!("usr-{name}-verity-sig")),
            ours.usr_verity_signature
        );
    }
}

#[test]
fn a_table_that_was_changed_is_refused_with_the_copy_that_was() {
    let folder = tempfile::tempdir().unwrap();
    let layout = layout(MIB);
    let path = write(&layout, folder.path());
    let file = File::options().read(true).write(true).open(path).unwrap();
    let last = layout.length;
    for (at, copy) in [
        (450, "protective MBR"),
        (512 + 60, "first copy"),
        (1024 + 56, "first copy"),
        (last - 512 + 60, "second copy"),
        (last - 33 * 512 + 56, "second copy"),
    ] {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
        match gpt::read(&file).unwrap_err() {
            Error::Table { copy: found, .. } => assert_eq!(found, copy),
            other => panic!("{other}"),
        }
        file.write_all_at(&byte, at).unwrap();
    }
    assert!(gpt::read(&file).is_ok());
    file.set_len(layout.length / 2).unwrap();
    assert!(
        gpt::read(&file)
            .unwrap_err()
            .to_string()
            .contains("points beyond the disk")
    );
}

#[test]
fn a_file_of_another_length_is_not_written() {
    let layout = layout(MIB);
    let file = tempfile::tempfile().unwrap();
    file.set_len(layout.length + 512).unwrap();
    assert!(gpt::write(&file, &layout).is_err());
    assert_eq!(digest::whole(&file).unwrap(), {
        let empty = tempfile::tempfile().unwrap();
        empty.set_len(layout.length + 512).unwrap();
        digest::whole(&empty).unwrap()
    });
}

/// Puts right the checksums of a header and its entries, so that what else is wrong shows.
fn mend(file: &File, header_at: u64) {
    let mut header = [0; 512];
    file.read_exact_at(&mut header, header_at).unwrap();
    let at = u64::from_le_bytes(header[72..80].try_into().unwrap()).saturating_mul(512);
    let count = u64::from(u32::from_le_bytes(header[80..84].try_into().unwrap()));
    let mut entries = vec![0; (count * 128).min(65_536) as usize];
    if file.read_exact_at(&mut entries, at.min(1 << 40)).is_ok() {
        header[88..92].copy_from_slice(&crc32fast::hash(&entries).to_le_bytes());
    }
    header[16..20].fill(0);
    let length = u32::from_le_bytes(header[12..16].try_into().unwrap()).min(512) as usize;
    let checksum = crc32fast::hash(&header[..length]).to_le_bytes();
    header[16..20].copy_from_slice(&checksum);
    file.write_all_at(&header, header_at).unwrap();
}

proptest! {
    #[test]
    fn a_damaged_table_never_panics(
        damage in prop::collection::vec((0u64..2048, any::<u8>()), 1..20), mended: bool,
    ) {
        let layout = layout(MIB);
        let file = tempfile::tempfile().unwrap();
        file.set_len(layout.length).unwrap();
        gpt::write(&file, &layout).unwrap();
        for (at, value) in damage {
            // Header and first entries, of both copies alike.
            for header in [512, layout.length - 512] {
                let entries = if header == 512 { 1024 } else { layout.length - 33 * 512 };
                let place = if at < 92 { header + at } else { entries + at - 92 };
                file.write_all_at(&[value], place).unwrap();
            }
        }
        if mended {
            mend(&file, 512);
            mend(&file, layout.length - 512);
        }
        if let Ok(read) = gpt::read(&file) {
            let mut regions: Vec<_> = read.partitions.iter().map(|part| part.region()).collect();
            regions.sort();
            prop_assert!(regions.windows(2).all(|pair| pair[0].end() <= pair[1].offset));
            prop_assert!(regions.iter().all(|region| region.end() <= layout.length));
        }
    }

    #[test]
    fn every_layout_is_read_back(
        lengths in prop::collection::vec((1u64..1 << 33, "[a-z✓]{0,36}", any::<u64>()), 0..128),
    ) {
        let partitions = (1..).zip(&lengths).map(|(guid, (length, name, attributes))| {
            entry(partition_types::VAR, guid, name, *length, *attributes)
        });
        let layout = gpt::layout(partitions.collect(), &LayoutOptions::new(DISK)).unwrap();
        let file = tempfile::tempfile().unwrap();
        file.set_len(layout.length).unwrap();
        gpt::write(&file, &layout).unwrap();
        prop_assert_eq!(gpt::read(&file).unwrap(), layout);
    }
}
