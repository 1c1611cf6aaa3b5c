//! boot.img: what is in it, who signed it, and that it finds its root.

use crate::fixture::{Image, pi4, pi5, sha256};
use fortress_tests::{public_halves, test_keys, tool};
use std::fs;
use std::process::Command;

/// The largest boot.img that a Pi 5 is to need.
const SMALL_BOOT_IMAGE: u64 = 48 << 20;

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
