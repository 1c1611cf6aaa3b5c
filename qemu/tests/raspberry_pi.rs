//! The played firmware of the Raspberry Pi, on images made by the field's own tools: mkfs.fat, mtools,
//! sgdisk, sfdisk and openssl.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

use flate2::Compression;
use flate2::write::GzEncoder;
use fortress_progress::Silent;
use fortress_qemu::raspberry_pi::{
    Board, FirmwareOutcome, RaspberryPiTest, Refusal, Situation, Started, resolve,
};
use fortress_qemu::{BootTest, Machine, Verdict};
use proptest::prelude::*;
use rsa::RsaPublicKey;
use rsa::pkcs8::DecodePublicKey;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

#[track_caller]
fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap();
    assert!(output.status.success(), "{program}: {output:?}");
}

/// What looks like an arm64 kernel.
fn kernel() -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[56..60].copy_from_slice(b"ARM\x64");
    bytes.extend((0..40_000u32).flat_map(u32::to_le_bytes));
    bytes
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

struct Files(Vec<(String, Vec<u8>)>);

impl Files {
    /// What a Raspberry Pi 5 needs, as a boot.img or a partition holds it.
    fn of_a_pi5() -> Self {
        Self(Vec::new())
            .with(
                "config.txt",
                "[pi4]\nkernel=none\n[pi5]\nkernel=vmlinuz\n[all]\ninitramfs initrd.img followkernel\n",
            )
            .with("cmdline.txt", "console=ttyAMA10 roothash=0123\n")
            .with("vmlinuz", packed(&kernel()))
            .with("initrd.img", "an initrd ".repeat(3000))
            .with("bcm2712-rpi-5-b.dtb", "a device tree")
            .with("overlays/bcm2712d0.dtbo", "an overlay")
    }

    /// The same with a file, or with other contents of it.
    fn with(mut self, name: &str, contents: impl Into<Vec<u8>>) -> Self {
        self.0.retain(|file| file.0 != name);
        self.0.push((name.to_owned(), contents.into()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.0.retain(|file| file.0 != name);
        self
    }
}

struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A FAT by mkfs.fat and mtools.
    #[track_caller]
    fn fat(&self, name: &str, bits: u8, size: u64, files: &Files) -> PathBuf {
        let path = self.path(name);
        let image = path.to_str().unwrap();
        let _ = std::fs::remove_file(&path);
        let kibibytes = (size / 1024).to_string();
        let width = bits.to_string();
        run(
            "mkfs.fat",
            &["-C", "-F", &width, "-s", "1", image, &kibibytes],
        );
        let mut folders = BTreeSet::new();
        for (name, contents) in &files.0 {
            if let Some((folder, _)) = name.rsplit_once('/')
                && folders.insert(folder)
            {
                run("mmd", &["-i", image, &format!("::{folder}")]);
            }
            let file = self.path("contents");
            std::fs::write(&file, contents).unwrap();
            let to = format!("::{name}");
            run("mcopy", &["-i", image, file.to_str().unwrap(), &to]);
        }
        path
    }

    /// A card of three partitions, each with a FAT or nothing, by sgdisk or sfdisk.
    #[track_caller]
    fn card(&self, gpt: bool, partitions: [Option<&Path>; 3]) -> PathBuf {
        let path = self.path("card.img");
        let file = File::create(&path).unwrap();
        file.set_len(128 * MIB).unwrap();
        let card = path.to_str().unwrap();
        if gpt {
            run(
                "sgdisk",
                &[
                    "-n1:2048:+8M",
                    "-t1:EF00",
                    "-n2:18432:+48M",
                    "-t2:EF00",
                    "-n3:116736:+48M",
                    "-t3:0700",
                    "-n4:0:0",
                    "-t4:8305",
                    card,
                ],
            );
        } else {
            let script = "label: dos\nstart=2048, size=16384, type=c\n\
                          start=18432, size=98304, type=c\nstart=116736, size=98304, type=c\n";
            std::fs::write(self.path("script"), script).unwrap();
            let line = format!("sfdisk -q {card} < {}", self.path("script").display());
            run("sh", &["-c", &line]);
        }
        let file = File::options().write(true).open(&path).unwrap();
        for (partition, sector) in partitions.into_iter().zip([2048, 18432, 116_736]) {
            if let Some(partition) = partition {
                let bytes = std::fs::read(partition).unwrap();
                file.write_all_at(&bytes, sector * 512).unwrap();
            }
        }
        path
    }

    /// A card with slot A full and slot B empty, and a boot.img in slot A.
    #[track_caller]
    fn usual(&self, gpt: bool, files: &Files) -> PathBuf {
        let boot_image = self.fat("boot.img", 16, 8 * MIB, files);
        self.with_boot_image(gpt, &boot_image, None)
    }

    #[track_caller]
    fn with_boot_image(&self, gpt: bool, boot_image: &Path, signature: Option<&str>) -> PathBuf {
        let mut outer = Files(Vec::new())
            .with("config.txt", "boot_ramdisk=1\n")
            .with("start4.elf", "for a Raspberry Pi 4")
            .with("boot.img", std::fs::read(boot_image).unwrap());
        if let Some(signature) = signature {
            outer = outer.with("boot.sig", signature);
        }
        let slot = self.fat("slot", 16, 12 * MIB, &outer);
        let select = self.fat(
            "select",
            16,
            8 * MIB,
            &Files(Vec::new()).with("autoboot.txt", AUTOBOOT),
        );
        self.card(gpt, [Some(&select), Some(&slot), None])
    }

    fn start(&self, card: &Path, situation: &Situation) -> Result<Started, Refusal> {
        resolve(card, situation, &self.path("started"))
    }

    #[track_caller]
    fn refused(&self, card: &Path, situation: &Situation, why: &str) {
        let said = self.start(card, situation).unwrap_err().to_string();
        assert!(said.contains(why), "{said:?} is not about {why:?}");
    }
}

const AUTOBOOT: &str = "[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n";

fn pi5() -> Situation {
    Situation::new(Board::Pi5)
}

#[test]
fn what_a_board_starts_comes_out_as_it_went_in() {
    let bench = Bench::new();
    for gpt in [true, false] {
        let card = bench.usual(gpt, &Files::of_a_pi5());
        let before = std::fs::read(&card).unwrap();
        let started = bench.start(&card, &pi5()).unwrap();
        assert_eq!(started.partition, 2);
        assert!(!started.signed);
        assert_eq!(std::fs::read(&started.kernel).unwrap(), kernel());
        let initrd = std::fs::read(started.initrd.as_ref().unwrap()).unwrap();
        assert_eq!(initrd, "an initrd ".repeat(3000).as_bytes());
        let device_tree = std::fs::read(&started.device_tree).unwrap();
        assert_eq!(device_tree, b"a device tree");
        assert_eq!(started.command_line, "console=ttyAMA10 roothash=0123");
        assert!(started.overlays.is_empty());
        let log = started.log.join("\n");
        assert!(
            log.contains(if gpt { "GPT with 4" } else { "MBR with 3" }),
            "{log}"
        );
        assert!(log.contains("[pi4] not for this board"), "{log}");
        let digest = started.boot_image.unwrap();
        assert!(log.contains(&digest), "{log}");
        assert!(before == std::fs::read(&card).unwrap());
    }
    let newer = Situation {
        newer_stepping: true,
        ..pi5()
    };
    let card = bench.path("card.img");
    let started = bench.start(&card, &newer).unwrap();
    assert_eq!(std::fs::read(&started.overlays[0]).unwrap(), b"an overlay");
    let card = bench.usual(true, &Files::of_a_pi5().without("overlays/bcm2712d0.dtbo"));
    bench.refused(&card, &newer, "overlays/bcm2712d0.dtbo");
}

#[test]
fn the_other_slot_is_tried_only_when_asked_for_and_not_when_it_is_empty() {
    let bench = Bench::new();
    let card = bench.usual(true, &Files::of_a_pi5());
    let try_other = Situation {
        tryboot: true,
        ..pi5()
    };
    bench.refused(&card, &try_other, "partition 3: there is no FAT in it");
    let other = Files::of_a_pi5().with("cmdline.txt", "the other slot");
    let other = bench.fat("other", 16, 8 * MIB, &other);
    let [select, slot] = ["select", "slot"].map(|name| bench.path(name));
    let card = bench.card(true, [Some(&select), Some(&slot), Some(&other)]);
    let started = bench.start(&card, &try_other).unwrap();
    assert_eq!(started.partition, 3);
    assert_eq!(started.command_line, "the other slot");
    assert_eq!(started.boot_image, None);
    assert_eq!(bench.start(&card, &pi5()).unwrap().partition, 2);
    for (autoboot, why) in [
        (
            "boot_partition=4\n".to_owned(),
            "partition 4: its type is none",
        ),
        (
            "boot_partition=9\n".to_owned(),
            "partition 9: there is no such",
        ),
        ("boot_partition=x\n".to_owned(), "no number"),
        (
            "[boot_partition=1]\na=1\n".to_owned(),
            "what this file decides",
        ),
        (
            format!("{AUTOBOOT}#{}\n", "#".repeat(90)).repeat(4),
            "at most 512",
        ),
    ] {
        let files = Files(Vec::new()).with("autoboot.txt", autoboot);
        let select = bench.fat("select", 16, 8 * MIB, &files);
        let card = bench.card(true, [Some(&select), Some(&slot), Some(&other)]);
        bench.refused(&card, &pi5(), why);
    }
    // Without autoboot.txt the first FAT is the one, and tryboot is a matter of names.
    let files = Files::of_a_pi5().with("tryboot.txt", "kernel=vmlinuz\ncmdline=tried.txt\n");
    let alone = bench.fat("alone", 12, MIB, &files.with("tried.txt", "tried"));
    let card = bench.card(false, [None, Some(&alone), None]);
    let started = bench.start(&card, &try_other).unwrap();
    assert_eq!((started.partition, &*started.command_line), (2, "tried"));
}

/// A key by openssl: its private half is a file of this folder.
fn key(bench: &Bench, name: &str) -> RsaPublicKey {
    let path = bench.path(name);
    let (private, public) = (path.to_str().unwrap(), format!("{}.pub", path.display()));
    run("openssl", &["genrsa", "-out", private, "2048"]);
    run(
        "openssl",
        &["rsa", "-in", private, "-pubout", "-out", &public],
    );
    RsaPublicKey::from_public_key_pem(&std::fs::read_to_string(public).unwrap()).unwrap()
}

/// boot.sig as rpi-eeprom-digest makes it.
fn boot_signature(bench: &Bench, boot_image: &Path, key: &str) -> String {
    let line = format!(
        "cd {0} && sha256sum {1} | cut -d' ' -f1 > sig && echo 'ts: 1700000000' >> sig && \
         echo rsa2048: $(openssl dgst -sha256 -sign {key} {1} | od -An -tx1 -v | tr -d ' \\n') >> sig",
        bench.0.path().display(),
        boot_image.display()
    );
    run("sh", &["-c", &line]);
    std::fs::read_to_string(bench.path("sig")).unwrap()
}

#[test]
fn a_board_with_its_owners_key_starts_what_the_owner_signed_and_nothing_else() {
    let bench = Bench::new();
    let owner = key(&bench, "owner");
    key(&bench, "stranger");
    let situation = Situation {
        owner: Some(owner),
        ..pi5()
    };
    let boot_image = bench.fat("boot.img", 16, 8 * MIB, &Files::of_a_pi5());
    let signature = boot_signature(&bench, &boot_image, "owner");
    let card = bench.with_boot_image(true, &boot_image, Some(&signature));
    let started = bench.start(&card, &situation).unwrap();
    assert!(started.signed);
    assert_eq!(std::fs::read(&started.kernel).unwrap(), kernel());

    let card = bench.with_boot_image(true, &boot_image, None);
    bench.refused(&card, &situation, "partition 2 has no boot.sig");
    let stranger = boot_signature(&bench, &boot_image, "stranger");
    let card = bench.with_boot_image(true, &boot_image, Some(&stranger));
    bench.refused(&card, &situation, "not the one in this board's EEPROM");
    let (head, _) = signature.rsplit_once(' ').unwrap();
    let unsigned = format!("{head} {}\n", "0".repeat(512));
    let card = bench.with_boot_image(true, &boot_image, Some(&unsigned));
    bench.refused(&card, &situation, "is not signed");
    // A board without a key does not look at the signature.
    assert!(!bench.start(&card, &pi5()).unwrap().signed);

    let file = File::options().write(true).open(&boot_image).unwrap();
    file.write_all_at(b"X", 5 * MIB).unwrap();
    let card = bench.with_boot_image(true, &boot_image, Some(&signature));
    bench.refused(&card, &situation, "is for another boot.img");
}

#[test]
fn what_is_named_must_be_there_and_be_what_it_is_named_for() {
    let bench = Bench::new();
    let compressed = packed(&kernel());
    let mut zboot = kernel();
    zboot[..8].copy_from_slice(b"MZ\0\0zimg");
    zboot[56..60].fill(0);
    for (files, why) in [
        (
            Files::of_a_pi5().without("vmlinuz"),
            "\"vmlinuz\", which config.txt names as kernel",
        ),
        (
            Files::of_a_pi5().without("initrd.img"),
            "config.txt names as initramfs",
        ),
        (
            Files::of_a_pi5().without("bcm2712-rpi-5-b.dtb"),
            "the firmware of a Raspberry Pi 5 loads",
        ),
        (Files::of_a_pi5().without("cmdline.txt"), "\"cmdline.txt\""),
        (
            Files::of_a_pi5().without("config.txt"),
            "boot.img has no file \"config.txt\"",
        ),
        (
            Files::of_a_pi5().with("config.txt", "arm_64bit=0\n"),
            "32-bit",
        ),
        (
            Files::of_a_pi5().with("config.txt", "a=1\n"),
            "\"kernel8.img\", which the firmware loads",
        ),
        (
            Files::of_a_pi5().with("config.txt", "kernel=vmlinuz\ndtoverlay=none\n"),
            "overlays/none.dtbo",
        ),
        (
            Files::of_a_pi5().with("config.txt", "kernel=vmlinuz\ndevice_tree=other.dtb\n"),
            "config.txt names as device_tree",
        ),
        (
            Files::of_a_pi5().with("vmlinuz", "no kernel".repeat(30)),
            "no arm64 kernel",
        ),
        (Files::of_a_pi5().with("vmlinuz", ""), "is no kernel"),
        (Files::of_a_pi5().with("vmlinuz", zboot), "which needs UEFI"),
        (
            Files::of_a_pi5().with("vmlinuz", &compressed[..compressed.len() / 2]),
            "cannot be unpacked",
        ),
        (
            Files::of_a_pi5().with("cmdline.txt", "two\nlines\n"),
            "one line of plain text",
        ),
        (
            Files::of_a_pi5().with("cmdline.txt", "x".repeat(2048)),
            "a kernel takes 2047",
        ),
    ] {
        let card = bench.usual(true, &files);
        bench.refused(&card, &pi5(), why);
    }
    let card = bench.usual(true, &Files::of_a_pi5());
    let pi4 = Situation::new(Board::Pi4);
    bench.refused(&card, &pi4, "boot.img has no file \"start4.elf\"");

    // The length in its folder is enough to be refused for.
    let bytes = std::fs::read(&card).unwrap();
    let entry = bytes.windows(11).position(|name| name == b"BOOT    IMG");
    let length = u32::try_from(97 * MIB).unwrap().to_le_bytes();
    let file = File::options().write(true).open(&card).unwrap();
    file.write_all_at(&length, entry.unwrap() as u64 + 28)
        .unwrap();
    bench.refused(&card, &pi4, "Raspberry Pi 4 reads at most 100663296");
}

#[test]
fn a_prefix_holds_when_what_it_leads_to_is_there() {
    let bench = Bench::new();
    let files = |config: &str| {
        Files::of_a_pi5()
            .with("config.txt", config)
            .with("next/vmlinuz", kernel())
            .with("next/bcm2712-rpi-5-b.dtb", "the next device tree")
            .with("next/cmdline.txt", "next")
    };
    let common = "kernel=vmlinuz\n[board-type=0x17]\nos_prefix=";
    for (config, command_line) in [
        (format!("{common}next/\n"), "next"),
        (format!("{common}none/\n"), "console=ttyAMA10 roothash=0123"),
        (
            format!("{common}next/\ncmdline=/cmdline.txt\n"),
            "console=ttyAMA10 roothash=0123",
        ),
    ] {
        let card = bench.usual(true, &files(&config));
        let started = bench.start(&card, &pi5()).unwrap();
        assert_eq!(started.command_line, command_line, "{config}");
    }
}

/// Files in pieces, long names and folders, in each of the three kinds of FAT.
#[test]
fn every_kind_of_fat_is_read() {
    let bench = Bench::new();
    for (bits, size) in [(12, 2 * MIB), (16, 8 * MIB), (32, 48 * MIB)] {
        let mut filler = Files(Vec::new());
        for number in 0..60 {
            filler = filler.with(&format!("filler-{number}.txt"), vec![7; 3000]);
        }
        let volume = bench.fat("volume", bits, size, &filler);
        let image = volume.to_str().unwrap();
        for number in (0..60).step_by(2) {
            run("mdel", &["-i", image, &format!("::filler-{number}.txt")]);
        }
        let kernel_name = "a kernel with a very long name, larger than thirteen letters.IMG";
        let config = format!("kernel=Sub/Folder/{}\n", kernel_name.to_uppercase());
        run("mmd", &["-i", image, "::sub"]);
        let files = Files::of_a_pi5()
            .with("config.txt", config)
            .with(&format!("sub/folder/{kernel_name}"), packed(&kernel()));
        run("mmd", &["-i", image, "::overlays", "::sub/folder"]);
        for (name, contents) in files.0 {
            std::fs::write(bench.path("contents"), contents).unwrap();
            let contents = bench.path("contents");
            run(
                "mcopy",
                &[
                    "-i",
                    image,
                    contents.to_str().unwrap(),
                    &format!("::{name}"),
                ],
            );
        }
        let card = bench.card(true, [None, Some(&volume), None]);
        let started = bench.start(&card, &pi5()).unwrap();
        assert_eq!(
            std::fs::read(&started.kernel).unwrap(),
            kernel(),
            "FAT{bits}"
        );
        let log = started.log.join("\n");
        assert!(log.contains(&format!("a FAT{bits}")), "{log}");
    }
}

#[test]
fn what_is_no_disk_is_refused() {
    let bench = Bench::new();
    let path = bench.path("none.img");
    for bytes in [Vec::new(), vec![0; 100], vec![0; 4096], vec![0xff; 1 << 20]] {
        std::fs::write(&path, &bytes).unwrap();
        assert!(matches!(bench.start(&path, &pi5()), Err(Refusal::Table(_))));
    }
    let card = bench.card(true, [None, None, None]);
    bench.refused(&card, &pi5(), "has a FAT");
    bench.refused(&bench.path("missing"), &pi5(), "cannot read");
    let card = bench.usual(true, &Files::of_a_pi5());
    let file = File::options().write(true).open(&card).unwrap();
    file.write_all_at(&[0xff], 512 + 40).unwrap();
    bench.refused(&card, &pi5(), "header's checksum");
    let card = bench.usual(true, &Files::of_a_pi5());
    File::options()
        .write(true)
        .open(&card)
        .unwrap()
        .set_len(20 * MIB)
        .unwrap();
    bench.refused(&card, &pi5(), "does not end within the image");
}

/// A hostile card: whatever its bytes say, this ends, and does not panic.
#[test]
fn changed_bytes_never_panic() {
    let bench = Bench::new();
    let files = Files::of_a_pi5().with("vmlinuz", &kernel()[..2000]);
    let volume = bench.fat("volume", 12, MIB, &files.with("initrd.img", "short"));
    let card = bench.path("hostile.img");
    let mut bytes = vec![0; 2048];
    bytes[446 + 4] = 0x0c;
    bytes[446 + 8] = 4;
    bytes[446 + 12..446 + 16].copy_from_slice(&2048u32.to_le_bytes());
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    bytes.extend(std::fs::read(volume).unwrap());
    std::fs::write(&card, &bytes).unwrap();
    assert_eq!(bench.start(&card, &pi5()).unwrap().partition, 1);
    let file = File::options().write(true).open(&card).unwrap();
    // Table, boot sector, FATs and root: where numbers are.
    let places = prop_oneof![
        446..512u64,
        2048..2112u64,
        2112..2560u64,
        2560..12_288u64,
        12_288..32_768u64
    ];
    proptest!(ProptestConfig::with_cases(300), |(changes in prop::collection::vec(
        (places, any::<u8>()), 1..6))| {
        for (at, byte) in &changes {
            file.write_all_at(&[*byte], *at).unwrap();
        }
        let _ = bench.start(&card, &pi5());
        for (at, _) in &changes {
            file.write_all_at(&bytes[*at as usize..=*at as usize], *at).unwrap();
        }
    });
}

#[test]
fn a_raspberry_pi_4_is_started_for_no_other_board_and_not_with_what_is_no_device_tree() {
    let bench = Bench::new();
    let pi4 = Files::of_a_pi5()
        .with("config.txt", "kernel=vmlinuz\n")
        .with("start4.elf", "firmware")
        .with("fixup4.dat", "its memory map")
        .with("bcm2711-rpi-4-b.dtb", "a device tree");
    let card = bench.usual(true, &pi4);
    let test = |board| {
        let test = RaspberryPiTest {
            common: BootTest::new(&card, bench.path("work")),
            situation: Situation::new(board),
            device_tree: None,
            machines: vec![Machine::RaspberryPi4],
            reboot: None,
        };
        fortress_qemu::raspberry_pi::run(&test, &Silent)
    };
    let error = test(Board::Pi5).unwrap_err().to_string();
    assert!(error.contains("stands in for no other board"), "{error}");
    let report = test(Board::Pi4).unwrap();
    assert!(
        matches!(report.firmware, FirmwareOutcome::Started(_)),
        "{report}"
    );
    assert_eq!(report.verdict, Verdict::Failed, "{report}");
    assert_eq!(
        report.summary,
        "raspi4b: the board's device tree cannot be read: it breaks off"
    );
    assert!(report.machines.is_empty());
}
