//! Images for Raspberry Pis, built as a user builds them and judged by the field's own tools.

use fortress_tests::{
    Oracle, Program, ProjectCopy, names, public_halves, strangers_keys, target_folder, test_keys,
    tool,
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Partitions start at multiples of it.
const ALIGNMENT: u64 = 8 << 20;
/// The largest boot.img that a Pi 5 is to need.
const SMALL_BOOT_IMAGE: u64 = 48 << 20;

/// An image that was built, and what of it was taken apart; all of it in the oracle root's /tmp.
struct Image {
    oracle: Oracle,
    folder: PathBuf,
    stem: &'static str,
    manifest: Value,
}

/// What builds an image of a board into a folder. The lock is good for as long as the store is.
fn arguments(board: &str, output: &Path, more: &[&str]) -> Vec<String> {
    let lock = target_folder().join(format!("test-locks/pi-{board}-debian-13.toml"));
    let fixed = [
        "image",
        "--board",
        board,
        "--strict",
        "--lock",
        lock.to_str().unwrap(),
    ];
    let output = ["--output", output.to_str().unwrap()];
    let all = fixed.iter().chain(&output).chain(more);
    all.map(|word| (*word).to_owned()).collect()
}

fn built(board: &'static str, stem: &'static str, more: &[&str]) -> Image {
    let oracle = Oracle::open();
    let folder = oracle.root().join(format!("tmp/end-to-end-{board}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    Program::new(&arguments(board, &folder, more))
        .run()
        .success();
    let manifest = fs::read(folder.join(format!("{stem}.manifest.json"))).unwrap();
    let image = Image {
        oracle,
        folder,
        stem,
        manifest: serde_json::from_slice(&manifest).unwrap(),
    };
    let file = File::open(image.image()).unwrap();
    for (number, partition) in image.partitions().iter().enumerate() {
        if partition["slot"] != "b" {
            let (offset, length) = region(partition);
            copy_region(
                &file,
                offset,
                length,
                &image.path(&format!("part{}", number + 1)),
            );
        }
    }
    for name in ["boot.img", "boot.sig", "config.txt"] {
        image.copy_out("part2", name, name);
    }
    image
}

/// The Pi 5's image, built once for all tests of this file.
fn pi5() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| built("pi5", "pi_0.1.0_pi5_debian-13", &[]))
}

/// The Pi 4's.
fn pi4() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| built("pi4", "pi_0.1.0_pi4_debian-13", &[]))
}

impl Image {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn image(&self) -> PathBuf {
        self.path(&format!("{}.img", self.stem))
    }

    fn inside(&self, name: &str) -> String {
        self.oracle.inside(&self.path(name))
    }

    fn partitions(&self) -> &[Value] {
        self.manifest["partitions"].as_array().unwrap()
    }

    /// Takes a file out of a FAT that was taken out of the image.
    #[track_caller]
    fn copy_out(&self, volume: &str, file: &str, to: &str) -> PathBuf {
        let (volume, to) = (self.path(volume), self.path(to));
        let (volume, target) = (volume.to_str().unwrap(), to.to_str().unwrap());
        tool(
            "mcopy",
            &["-n", "-o", "-i", volume, &format!("::/{file}"), target],
        );
        to
    }

    fn text(&self, volume: &str, file: &str) -> String {
        let name = format!("{volume}-{}", file.replace('/', "-"));
        fs::read_to_string(self.copy_out(volume, file, &name)).unwrap()
    }

    /// Takes a file out of the root.
    #[track_caller]
    fn of_root(&self, file: &str, to: &str) -> PathBuf {
        let (root, to) = (self.path("part4"), self.path(to));
        let _ = fs::remove_file(&to);
        let dump = format!("dump {file} {}", to.display());
        tool("debugfs", &["-R", &dump, root.to_str().unwrap()]);
        assert!(to.exists(), "{file} is not in the root");
        to
    }

    /// Paths of the files of a FAT.
    fn files(&self, volume: &str) -> Vec<String> {
        let volume = self.path(volume);
        let list = tool("mdir", &["-/", "-b", "-i", volume.to_str().unwrap(), "::/"]);
        let mut files: Vec<String> = list
            .lines()
            .filter_map(|line| line.trim().strip_prefix("::/"))
            .filter(|path| !path.ends_with('/') && !path.is_empty())
            .map(str::to_owned)
            .collect();
        files.sort();
        files
    }

    fn kernel(&self) -> &str {
        self.manifest["kernel"].as_str().unwrap()
    }
}

fn region(partition: &Value) -> (u64, u64) {
    let number = |key: &str| partition[key].as_u64().unwrap();
    (number("offset"), number("length"))
}

fn copy_region(mut file: &File, offset: u64, length: u64, to: &Path) {
    file.seek(SeekFrom::Start(offset)).unwrap();
    let mut to = File::create(to).unwrap();
    assert_eq!(io::copy(&mut file.take(length), &mut to).unwrap(), length);
}

fn sha256(path: &Path) -> String {
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(path).unwrap(), &mut hasher).unwrap();
    hasher
        .finalize()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(target_folder()).unwrap()
}

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

#[test]
fn the_boot_image_is_small_and_its_settings_name_files_that_are_there() {
    for image in [pi5(), pi4()] {
        let length = fs::metadata(image.path("boot.img")).unwrap().len();
        assert!(length <= SMALL_BOOT_IMAGE, "{length}");
        assert!(length.is_multiple_of(1 << 20), "{length}");
        let config = image.text("boot.img", "config.txt");
        let files = image.files("boot.img");
        for line in config.lines() {
            assert!(line.len() <= 98, "the firmware cuts off {line}");
            let file = line.strip_prefix("kernel=").or_else(|| {
                let rest = line.strip_prefix("initramfs ")?;
                rest.strip_suffix(" followkernel")
            });
            if let Some(file) = file {
                assert!(files.iter().any(|name| name == file), "{file}");
            }
        }
        assert_eq!(config.matches("kernel=").count(), 1);
        // In gzip, what the package has: the kernel's plain form.
        let packed = image.copy_out("boot.img", "kernel.gz", "kernel.gz");
        tool("gzip", &["--test", packed.to_str().unwrap()]);
        let unpacked = Command::new("gzip")
            .arg("-dc")
            .arg(&packed)
            .output()
            .unwrap();
        assert_eq!(&unpacked.stdout[56..60], b"ARM\x64");
        let initrd = image.copy_out("boot.img", "initrd", "initrd");
        tool("zstd", &["--test", initrd.to_str().unwrap()]);
        let command_line = image.text("boot.img", "cmdline.txt");
        let hash = image.manifest["root_hash"].as_str().unwrap();
        let hash = format!("roothash={hash}");
        let parts: Vec<&str> = command_line.split_whitespace().collect();
        assert!(parts.contains(&hash.as_str()), "{command_line}");
        assert_eq!(command_line.lines().count(), 1);
        assert!(parts.contains(&"cgroup_enable=memory") && parts.contains(&"cgroup_memory=1"));
    }
    let has = |image: &Image, console: &str| {
        let line = image.text("boot.img", "cmdline.txt");
        assert!(line.split(' ').any(|part| part == console), "{line}");
    };
    has(pi5(), "console=ttyAMA10,115200");
    has(pi4(), "console=ttyS1,115200");
}

#[test]
fn the_command_line_names_the_root_that_veritysetup_verifies() {
    let image = pi5();
    let hash = image.manifest["root_hash"].as_str().unwrap();
    let verify = ["veritysetup", "verify"];
    let paths = [image.inside("part4"), image.inside("part5")];
    let arguments = [verify[0], verify[1], &paths[0], &paths[1], hash];
    image.oracle.run(&arguments).success();
    let check = ["e2fsck", "-f", "-n", &paths[0]];
    image.oracle.run(&check).success();
}

#[test]
fn openssl_verifies_the_signature_of_the_boot_image() {
    let keys = public_halves(test_keys());
    let key = keys.path().join("raspberry-pi.pub.pem");
    for image in [pi5(), pi4()] {
        let text = fs::read_to_string(image.path("boot.sig")).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let [digest, time, signature] = lines.as_slice() else {
            panic!("{text}");
        };
        assert_eq!(*digest, sha256(&image.path("boot.img")));
        assert_eq!(image.manifest["boot"]["boot_image_sha256"], *digest);
        let epoch = image.manifest["source_date_epoch"].as_i64().unwrap();
        assert_eq!(*time, format!("ts: {epoch}"));
        let signature = signature.strip_prefix("rsa2048: ").unwrap();
        let bytes: Vec<u8> = (0..signature.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&signature[at..at + 2], 16).unwrap())
            .collect();
        assert_eq!(bytes.len(), 256);
        let path = image.path("boot.sig.raw");
        fs::write(&path, bytes).unwrap();
        let (key, boot) = (key.to_str().unwrap(), image.path("boot.img"));
        let verify = ["dgst", "-sha256", "-verify", key, "-signature"];
        let files = [path.to_str().unwrap(), boot.to_str().unwrap()];
        tool("openssl", &[verify.as_slice(), &files].concat());
        let wrong = Command::new("openssl")
            .args(verify)
            .args([
                path.to_str().unwrap(),
                image.path("part1").to_str().unwrap(),
            ])
            .output();
        assert!(!wrong.unwrap().status.success());
    }
}

/// The firmware lays the overlay over the device tree that it takes, and the newer chip has the
/// device tree that the kernel has for it.
#[test]
fn fdtoverlay_makes_the_newer_chips_device_tree() {
    let image = pi5();
    let tree = image.copy_out("boot.img", "bcm2712-rpi-5-b.dtb", "c0.dtb");
    let overlay = image.copy_out("boot.img", "overlays/bcm2712d0.dtbo", "d0.dtbo");
    let made = image.path("made.dtb");
    let [tree, overlay, result] = [&tree, &overlay, &made].map(|path| path.to_str().unwrap());
    tool("fdtoverlay", &["-i", tree, "-o", result, overlay]);
    let folder = format!("/usr/lib/modules/{}/dtb/broadcom", image.kernel());
    let wanted = image.of_root(&format!("{folder}/bcm2712-d-rpi-5-b.dtb"), "d0.dtb");
    let source = |path: &str| tool("dtc", &["-q", "-s", "-I", "dtb", "-O", "dts", path]);
    assert_eq!(source(result), source(wanted.to_str().unwrap()));
    assert_ne!(source(result), source(tree));
    // It is the kernel's own, to the byte.
    let plain = image.of_root(&format!("{folder}/bcm2712-rpi-5-b.dtb"), "plain.dtb");
    assert_eq!(fs::read(tree).unwrap(), fs::read(plain).unwrap());
    // What the difference comes to, as far as the start depends on it.
    let get = |path: &str, node: &str, property: &str| {
        tool("fdtget", &["-t", "x", path, node, property])
            .trim()
            .to_owned()
    };
    let serial = "/soc@107c000000/serial@7d001000";
    assert_ne!(
        get(tree, serial, "interrupts"),
        get(result, serial, "interrupts")
    );
    assert_eq!(get(result, serial, "interrupts"), "0 78 4");
}

#[test]
fn the_initrd_has_what_the_board_needs_to_find_its_root() {
    let needed: [(&Image, &[&str]); 2] = [
        (
            pi5(),
            &[
                "dm-verity",
                "ext4",
                "nvme",
                "sdhci-brcmstb",
                "pinctrl-brcmstb-bcm2712",
                "rp1_pci",
                "gpio-brcmstb",
                "fixed",
                "gpio-regulator",
                "irq-bcm2712-mip",
                "clk-rp1",
                "pinctrl-rp1",
                "macb",
                "usb-storage",
                "uas",
                "bcm2835_wdt",
                "dwc3",
                "vfat",
                "dm-crypt",
            ],
        ),
        (
            pi4(),
            &[
                "dm-verity",
                "ext4",
                "sdhci-iproc",
                "fixed",
                "gpio-regulator",
                "reset-raspberrypi",
                "xhci-pci",
                "usb-storage",
                "uas",
                "bcm2835_wdt",
                "vfat",
                "dm-crypt",
            ],
        ),
    ];
    for (image, modules) in needed {
        let initrd = image.copy_out("boot.img", "initrd", "initrd-of-modules");
        let list = "zstd -dcq \"$1\" | cpio --list --quiet";
        let list = tool("sh", &["-euc", list, "sh", initrd.to_str().unwrap()]);
        for module in modules {
            let file = format!("/{module}.ko");
            assert!(list.lines().any(|path| path.ends_with(&file)), "{module}");
        }
    }
}

#[test]
fn the_same_bytes_on_one_core_in_another_time_zone() {
    let (output, reference) = (folder(), pi5());
    let store = target_folder().join("test-store");
    Program::under(
        &["taskset", "-c", "0"],
        &arguments("pi5", output.path(), &[]),
    )
    .bare()
    .variable("FORTRESS_STORE", &store)
    .variable("FORTRESS_KEYS", test_keys())
    .variable("TZ", "Pacific/Kiritimati")
    .variable("RAYON_NUM_THREADS", "1")
    .run()
    .success();
    for name in names(output.path()) {
        let (one, other) = (output.path().join(&name), reference.path(&name));
        assert_eq!(sha256(&one), sha256(&other), "{name}");
    }
}

#[test]
fn signing_later_gives_what_signing_at_once_gives() {
    let (output, reference) = (folder(), pi5());
    let public = public_halves(test_keys());
    Program::new(&arguments("pi5", output.path(), &["--sign", "later"]))
        .variable("FORTRESS_KEYS", public.path())
        .run()
        .success();
    let image = output.path().join(format!("{}.img", reference.stem));
    assert_ne!(sha256(&image), sha256(&reference.image()));
    Program::new(&["sign", image.to_str().unwrap()])
        .run()
        .success();
    assert_eq!(sha256(&image), sha256(&reference.image()));
    // A stranger's image differs in what a stranger signed, and in nothing else.
    let keys = strangers_keys();
    let strange = folder();
    Program::new(&arguments("pi5", strange.path(), &[]))
        .variable("FORTRESS_KEYS", keys.path())
        .run()
        .success();
    let manifest = strange
        .path()
        .join(format!("{}.manifest.json", reference.stem));
    let manifest: Value = serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap();
    let different: Vec<&str> = manifest["partitions"]
        .as_array()
        .unwrap()
        .iter()
        .zip(reference.partitions())
        .filter(|(one, other)| one["sha256"] != other["sha256"])
        .map(|(one, _)| one["label"].as_str().unwrap())
        .collect();
    assert_eq!(different, ["boot_a"]);
    assert_eq!(manifest["boot"], reference.manifest["boot"]);
    assert_eq!(manifest["root_hash"], reference.manifest["root_hash"]);
}

/// What a build of a changed project says, that leaves nothing behind.
#[track_caller]
fn refusal(project: &ProjectCopy, more: &[&str], code: i32) -> String {
    let output = folder();
    let refused = Program::new(&arguments("pi5", output.path(), more))
        .variable("FORTRESS_PROJECT", project.path())
        .run()
        .refusal(code);
    assert_eq!(names(output.path()), <[&str; 0]>::default());
    refused
}

#[test]
fn what_could_not_start_is_refused_with_the_reason() {
    pi5();
    let copy = ProjectCopy::new();
    copy.replace(
        "boards/pi5.toml",
        "boot-image-limit = \"96M\"",
        "boot-image-limit = \"16M\"",
    );
    let text = refusal(&copy, &[], 3);
    assert!(
        text.contains("boot.img has ") && text.contains("16777216"),
        "{text}"
    );

    let copy = ProjectCopy::new();
    let trees = "device-trees = [\"bcm2712-rpi-5-b.dtb\"]";
    copy.replace(
        "boards/pi5.toml",
        trees,
        "device-trees = [\"bcm2799-rpi-9.dtb\"]",
    );
    let text = refusal(&copy, &[], 3);
    assert!(
        text.contains("bcm2799-rpi-9.dtb") && text.contains("device tree"),
        "{text}"
    );

    for line in ["device_tree=other.dtb", "dtoverlay=disable-bt"] {
        let copy = ProjectCopy::new();
        let config = format!("config = [\"{line}\"]");
        copy.replace("boards/pi5.toml", "config = [\"enable_uart=1\"]", &config);
        let text = refusal(&copy, &[], 3);
        assert!(text.contains(line), "{text}");
    }

    let copy = ProjectCopy::new();
    copy.replace("boards/pi5.toml", "\"rp1_pci\"", "\"rp1_pcie\"");
    let text = refusal(&copy, &[], 3);
    assert!(
        text.contains("rp1_pcie") && text.contains("rp1_pci"),
        "{text}"
    );

    let copy = ProjectCopy::new();
    let text = refusal(&copy, &["--set", "kernel.page-size=16K"], 3);
    assert!(
        text.contains("pages of 4K") && text.contains("16K"),
        "{text}"
    );

    let text = refusal(&copy, &["--set", "var.encrypt=tpm2"], 3);
    assert!(text.contains("no TPM"), "{text}");
}

#[test]
fn verification_covers_what_a_raspberry_pi_starts_from() {
    for image in [pi5(), pi4()] {
        let path = image.image();
        let said = Program::new(&["verify", path.to_str().unwrap()])
            .run()
            .success();
        assert!(said.contains("boot.img is signed by you"), "{said}");
        assert!(said.contains("names the root hash"), "{said}");
    }
    let copy = folder();
    let path = copy.path().join(pi5().image().file_name().unwrap());
    tool(
        "cp",
        &[
            "--sparse=always",
            pi5().image().to_str().unwrap(),
            path.to_str().unwrap(),
        ],
    );
    for ending in [".manifest.json", ".manifest.json.minisig"] {
        let name = format!("{}{ending}", pi5().stem);
        fs::copy(pi5().path(&name), copy.path().join(name)).unwrap();
    }
    // In the middle of boot.img, whose file lies in one piece.
    let (offset, _) = region(&pi5().partitions()[1]);
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let mut byte = [0];
    let at = offset + (20 << 20);
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    let ran = Program::new(&["verify", path.to_str().unwrap()]).run();
    assert_eq!(ran.code, 21, "{}{}", ran.output, ran.errors);
    assert!(ran.output.contains("boot.img"), "{}", ran.output);
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
