//! What is signed and starts: EFI programs, the unified kernel image and its initrd, the root hash.

use crate::fixture::{hexadecimal, image};
use fortress_tests::{target_folder, test_keys, tool};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs;
use std::process::Command;

#[test]
fn every_program_is_signed_and_nothing_else_of_it_is_changed() {
    let image = image();
    let esp = image.path("esp");
    let esp = esp.to_str().unwrap();
    let certificate = test_keys().join("db.crt");
    let certificate = certificate.to_str().unwrap();
    let shipped = image.path("tree/usr/lib/systemd/boot/efi/systemd-bootx64.efi");
    let shipped = fs::read(shipped).unwrap();
    let programs = image.manifest["boot"]["programs"].as_array().unwrap();
    let mut loaders = 0;
    for program in programs {
        let name = program["path"].as_str().unwrap();
        let signed = image.path("program.efi");
        let signed = signed.to_str().unwrap();
        tool(
            "mcopy",
            &["-n", "-o", "-i", esp, &format!("::/{name}"), signed],
        );
        tool("sbverify", &["--cert", certificate, signed]);
        let bytes = fs::read(signed).unwrap();
        assert_eq!(
            program["sha256"],
            hexadecimal(&Sha256::digest(&bytes)),
            "{name}"
        );
        tool("sbattach", &["--remove", signed]);
        if name.contains("Linux") {
            continue;
        }
        // sbattach gives programs a checksum, which nobody asks for; the format has it 64 bytes into
        // the optional header.
        let mut bytes = fs::read(signed).unwrap();
        let header = u32::from_le_bytes(bytes[0x3c..0x40].try_into().unwrap()) as usize;
        let checksum = header + 24 + 64;
        bytes[checksum..checksum + 4].copy_from_slice(&shipped[checksum..checksum + 4]);
        assert!(bytes == shipped, "{name}");
        loaders += 1;
    }
    assert_eq!(loaders, 2);
    assert_eq!(programs.len(), 3);
}

#[test]
fn the_root_hash_is_signed_as_systemd_wants_it() {
    let image = image();
    let partition = fs::read(image.path("signature")).unwrap();
    let end = partition.iter().position(|byte| *byte == 0).unwrap();
    assert!(partition[end..].iter().all(|byte| *byte == 0));
    let json: Value = serde_json::from_slice(&partition[..end]).unwrap();
    assert_eq!(json["rootHash"], image.text("root_hash"));
    // What is signed are the digits.
    for (name, text) in [
        ("signature.pem", json["signature"].as_str().unwrap()),
        ("root-hash", image.text("root_hash")),
    ] {
        let text = match name {
            "root-hash" => text.to_owned(),
            _ => format!("-----BEGIN PKCS7-----\n{text}\n-----END PKCS7-----\n"),
        };
        fs::write(image.path(name), text).unwrap();
    }
    let at = |name: &str| image.path(name).to_str().unwrap().to_owned();
    let certificate = test_keys().join("verity.crt");
    let certificate = certificate.to_str().unwrap();
    let verify = |content: &str| {
        let arguments = [
            "cms",
            "-verify",
            "-binary",
            "-inform",
            "PEM",
            "-in",
            &at("signature.pem"),
            "-content",
            &at(content),
            "-certfile",
            certificate,
            "-nointern",
            "-noverify",
            "-out",
            "/dev/null",
        ]
        .map(str::to_owned);
        Command::new("openssl").args(arguments).output().unwrap()
    };
    let ran = verify("root-hash");
    assert!(ran.status.success(), "{ran:?}");
    fs::write(image.path("another"), "00".repeat(32)).unwrap();
    assert!(!verify("another").status.success());
}

#[test]
fn the_unified_kernel_image_names_the_root_hash() {
    let image = image();
    let uki = image.inside("uki");
    let kind = image.oracle.run(&["bootctl", "kernel-identify", &uki]);
    assert_eq!(kind.success().trim(), "uki");
    let sections = image
        .oracle
        .run(&["ukify", "inspect", &uki, "--json=short"])
        .success();
    let sections: Value = serde_json::from_str(&sections).unwrap();
    let text = |name: &str| sections[name]["text"].as_str().unwrap();
    let root_hash = format!("roothash={}", image.text("root_hash"));
    assert!(
        text(".cmdline")
            .split(' ')
            .any(|word| word == root_hash.as_str()),
        "{}",
        text(".cmdline")
    );
    assert_eq!(text(".cmdline"), image.text("command_line"));
    assert_eq!(text(".uname"), image.text("kernel"));
    let os_release = fs::read_to_string(image.path("tree/usr/lib/os-release")).unwrap();
    assert_eq!(text(".osrel"), os_release);
    assert!(os_release.ends_with("IMAGE_ID=bench\nIMAGE_VERSION=1\n"));
    assert!(text(".sbat").starts_with("sbat,1,"));
    // The kernel is the one of the locked package, to the byte.
    let packages = image.manifest["packages"].as_array().unwrap();
    let name = format!("linux-image-{}", image.text("kernel"));
    let package = packages.iter().find(|one| one["name"] == name).unwrap();
    let digest = package["sha256"].as_str().unwrap();
    let blobs = target_folder().join("test-store/blobs");
    let deb = blobs.join(&digest[..2]).join(digest);
    let script = r#"dpkg-deb --fsys-tarfile "$0" | tar -xO "./boot/vmlinuz-$1" | sha256sum"#;
    let (deb, release) = (deb.to_str().unwrap(), image.text("kernel"));
    let shipped = tool("sh", &["-euc", script, deb, release]);
    assert_eq!(sections[".linux"]["sha256"], shipped[..64]);
}

#[test]
fn the_initrd_holds_what_the_root_needs() {
    let image = image();
    let section = image.section(".initrd");
    // Two archives: one that is the same for every owner, and a small one with what is the owner's,
    // where the kernel looks for a second one.
    let tail = section.len() - 8192;
    let magic = section[tail..].windows(6).position(|one| one == b"070701");
    let (common, owners) = section.split_at(tail + magic.unwrap());
    assert_eq!(common.len() % 4, 0);
    fs::write(image.path("initrd.owner"), owners).unwrap();
    let file = image.path("initrd.owner");
    let extract = [
        "--extract",
        "--quiet",
        "--to-stdout",
        "--file",
        file.to_str().unwrap(),
        "usr/lib/verity.d/fortress.crt",
    ];
    let certificate = tool("cpio", &extract);
    let kept = fs::read_to_string(test_keys().join("verity.crt")).unwrap();
    assert_eq!(certificate, kept);
    let padding = common.iter().rev().take_while(|byte| **byte == 0).count();
    // The kernel skips up to three zeros; one that is zstd's own does no harm where it is.
    let ends = (0..=padding.min(3)).rev().map(|zeros| common.len() - zeros);
    let found = ends.into_iter().find(|end| {
        fs::write(image.path("initrd.zst"), &common[..*end]).unwrap();
        let path = image.path("initrd.zst");
        let ran = Command::new("zstd").arg("-tq").arg(path).output().unwrap();
        ran.status.success()
    });
    assert!(found.is_some(), "it is no zstd");
    let (packed, plain) = (image.path("initrd.zst"), image.path("initrd"));
    let (packed, plain) = (packed.to_str().unwrap(), plain.to_str().unwrap());
    tool("zstd", &["-dqf", packed, "-o", plain]);
    let list = tool("cpio", &["-itv", "--quiet", "--file", plain]);
    // Whatever the machine that built it, all of it is root's.
    for line in list.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[2..4], ["root", "root"], "{line}");
    }
    let release = image.text("kernel");
    for needed in [
        " init -> usr/lib/systemd/systemd",
        " usr/lib/systemd/systemd-veritysetup",
        " etc/initrd-release",
        &format!(" usr/lib/modules/{release}/kernel/drivers/md/dm-verity.ko"),
        &format!(" usr/lib/modules/{release}/kernel/drivers/block/virtio_blk.ko"),
        &format!(" usr/lib/modules/{release}/modules.dep.bin"),
    ] {
        assert!(list.lines().any(|line| line.ends_with(needed)), "{needed}");
    }
    // No more than that: the root has thousands of modules.
    let modules = list.lines().filter(|line| line.ends_with(".ko")).count();
    assert!(modules < 30, "{modules} modules");
}
