//! Unified kernel images judged by ukify, objdump, bootctl and sbverify; the reader of EFI
//! programs judged by damage.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use fortress_boot::pe::Image;
use fortress_boot::uki::{self, Error, SBAT, UkiSections};
use fortress_tests::Oracle;
use fortress_tree::Content;
use proptest::prelude::*;
use std::path::Path;
use std::sync::OnceLock;

const OS_RELEASE: &str = "ID=fortress\nVERSION_ID=0.1\nPRETTY_NAME=\"Fortress\"\n";
const COMMAND_LINE: &str = "roothash=00 console=ttyS0 lockdown=integrity";

fn stub(oracle: &Oracle) -> Vec<u8> {
    std::fs::read(
        oracle
            .root()
            .join("usr/lib/systemd/boot/efi/linuxx64.efi.stub"),
    )
    .unwrap()
}

/// The kernel of the oracle root, and its version.
fn kernel(oracle: &Oracle) -> (Content, String) {
    let boot = std::fs::read_dir(oracle.root().join("boot")).unwrap();
    let mut names = boot.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let name = names.find(|name| name.starts_with("vmlinuz-")).unwrap();
    let content = Content::host_file(&oracle.root().join("boot").join(&name)).unwrap();
    (content, name["vmlinuz-".len()..].to_owned())
}

/// Something that is no multiple of any alignment.
fn initrd() -> Vec<u8> {
    (0..5_000_003u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8)
        .collect()
}

fn sections<'a>(stub: &'a [u8], linux: Content, uname: &'a str) -> UkiSections<'a> {
    UkiSections {
        stub,
        os_release: OS_RELEASE.as_bytes(),
        command_line: COMMAND_LINE,
        device_tree: None,
        uname,
        pcr_public_key: b"",
        linux,
        initrd: initrd().into(),
        sbat: SBAT,
        pcr_signature: b"",
    }
}

fn build(sections: &UkiSections<'_>) -> Vec<u8> {
    let mut image = Vec::new();
    let length = uki::build(sections, &mut image).unwrap();
    assert_eq!(length, image.len() as u64);
    image
}

/// What ukify makes of the same inputs.
fn ukify(oracle: &Oracle, folder: &Path, uname: &str, more: &[&str]) -> Vec<u8> {
    std::fs::write(folder.join("initrd"), initrd()).unwrap();
    std::fs::write(folder.join("os-release"), OS_RELEASE).unwrap();
    let inside = |name: &str| oracle.inside(&folder.join(name));
    let linux = format!("--linux=/boot/vmlinuz-{uname}");
    let initrd = format!("--initrd={}", inside("initrd"));
    let os_release = format!("--os-release=@{}", inside("os-release"));
    let command_line = format!("--cmdline={COMMAND_LINE}");
    let uname = format!("--uname={uname}");
    let output = format!("--output={}", inside("theirs.efi"));
    let command = [
        "ukify",
        "build",
        &linux,
        &initrd,
        &os_release,
        &command_line,
        &uname,
        &output,
    ];
    oracle.run(&[&command[..], more].concat()).success();
    std::fs::read(folder.join("theirs.efi")).unwrap()
}

#[test]
fn the_bytes_are_those_of_ukify() {
    let oracle = Oracle::open();
    let folder = oracle.folder();
    let (linux, uname) = kernel(&oracle);
    let stub = stub(&oracle);
    let sections = sections(&stub, linux, &uname);
    let ours = build(&sections);
    assert!(
        ours == ukify(&oracle, folder.path(), &uname, &[]),
        "ukify makes other bytes"
    );
    // With a device tree and a key as well, which are empty most often.
    let mut more = sections.clone();
    more.device_tree = Some(Content::from(vec![0xd0; 5000]));
    more.pcr_public_key = b"a public key\n";
    std::fs::write(folder.path().join("tree"), vec![0xd0; 5000]).unwrap();
    std::fs::write(folder.path().join("key"), "a public key\n").unwrap();
    let tree = format!(
        "--devicetree={}",
        oracle.inside(&folder.path().join("tree"))
    );
    let key = format!("--pcrpkey={}", oracle.inside(&folder.path().join("key")));
    assert!(build(&more) == ukify(&oracle, folder.path(), &uname, &[&tree, &key]));
}

#[test]
fn tools_find_what_was_put_in() {
    let oracle = Oracle::open();
    let folder = oracle.folder();
    let (linux, uname) = kernel(&oracle);
    let stub = stub(&oracle);
    let mut sections = sections(&stub, linux.clone(), &uname);
    sections.pcr_signature = b"{}";
    let bytes = build(&sections);
    let path = folder.path().join("ours.efi");
    std::fs::write(&path, &bytes).unwrap();
    let name = oracle.inside(&path);
    let kind = oracle.run(&["bootctl", "kernel-identify", &name]).success();
    assert_eq!(kind.trim(), "uki");
    let said = oracle.run(&["bootctl", "kernel-inspect", &name]).success();
    for expected in ["Kernel Type: uki", COMMAND_LINE, &uname, "Fortress"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let said = oracle
        .run(&["ukify", "inspect", &name, "--json=short"])
        .success();
    for section in [
        ".osrel", ".cmdline", ".uname", ".linux", ".initrd", ".sbat", ".pcrsig",
    ] {
        assert!(
            said.contains(&format!("\"{section}\"")),
            "{section}: {said}"
        );
    }
    assert!(
        said.contains(&format!("\"size\": {}", linux.length())),
        "{said}"
    );
    let outcome = oracle.run(&["sbverify", "--list", &name]);
    let said = format!("{}{}", outcome.output, outcome.errors);
    assert!(
        said.contains("No signature table present") && !said.contains("warning"),
        "{said}"
    );
    // The reader agrees, and sections lie apart in the file and in memory.
    let image = Image::parse(&bytes).unwrap();
    let data = |name| image.section(name).unwrap().data(&bytes).unwrap();
    assert_eq!(data(".initrd"), initrd());
    assert_eq!(data(".linux"), linux.read().unwrap());
    assert_eq!(data(".cmdline"), COMMAND_LINE.as_bytes());
    assert!(!image.is_signed());
    let sbat = String::from_utf8(data(".sbat").to_vec()).unwrap();
    assert_eq!(sbat.matches("sbat,1,SBAT Version").count(), 1, "{sbat}");
    assert!(
        sbat.contains("\nsystemd-stub,1,") && sbat.contains("\nuki,1,UKI"),
        "{sbat}"
    );
    for pair in image.sections.windows(2) {
        assert!(pair[0].virtual_address + pair[0].virtual_size <= pair[1].virtual_address);
        assert!(pair[0].raw_offset + pair[0].raw_size <= pair[1].raw_offset);
    }
    let last = image.sections.last().unwrap();
    assert!(last.virtual_address + last.virtual_size <= image.image_length);
    assert_eq!(
        u64::from(last.raw_offset + last.raw_size),
        bytes.len() as u64
    );
}

#[test]
fn a_signed_program_is_seen_as_signed() {
    let oracle = Oracle::open();
    let folder = oracle.folder();
    let inside = |name: &str| oracle.inside(&folder.path().join(name));
    let (key, certificate, signed) = (inside("key"), inside("certificate"), inside("signed.efi"));
    let stub = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";
    let request = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=test",
        "-keyout",
        &key,
        "-out",
        &certificate,
    ];
    oracle.run(&request).success();
    let sign = [
        "sbsign",
        "--key",
        &key,
        "--cert",
        &certificate,
        "--output",
        &signed,
        stub,
    ];
    oracle.run(&sign).success();
    let bytes = std::fs::read(folder.path().join("signed.efi")).unwrap();
    assert!(Image::parse(&bytes).unwrap().is_signed());
    let (linux, uname) = kernel(&oracle);
    let error = uki::build(&sections(&bytes, linux, &uname), &mut std::io::sink()).unwrap_err();
    assert!(error.to_string().contains("it is signed"), "{error}");
}

#[test]
fn what_does_not_suit_is_refused_with_the_reason() {
    let oracle = Oracle::open();
    let (linux, uname) = kernel(&oracle);
    let stub = stub(&oracle);
    let refused = |sections: &UkiSections<'_>| {
        uki::build(sections, &mut std::io::sink())
            .unwrap_err()
            .to_string()
    };
    let good = sections(&stub, linux.clone(), &uname);
    let script = sections(&stub, Content::from("#!/bin/sh\n"), &uname);
    assert_eq!(
        refused(&script),
        "cannot use the kernel: it is no EFI program: there is no DOS header"
    );
    let cut = sections(&stub[..stub.len() - 512], linux.clone(), &uname);
    assert!(refused(&cut).contains("systemd-stub: its sections are out of order"));
    // A kernel for ARM64: the machine is four bytes into the PE header.
    let mut other = linux.read().unwrap();
    let header = u32::from_le_bytes(other[0x3c..0x40].try_into().unwrap()) as usize;
    other[header + 4..header + 6].copy_from_slice(&0xaa64u16.to_le_bytes());
    let said = refused(&sections(&stub, other.into(), &uname));
    assert_eq!(
        said,
        "cannot use the kernel: it is for machine type 0xaa64, systemd-stub for 0x8664"
    );
    let long = format!("{SBAT}{}", "x,1,y\n".repeat(100));
    let mut sbat = good.clone();
    sbat.sbat = &long;
    assert!(refused(&sbat).contains("section .sbat of the unified kernel image does not fit"));
    let folder = tempfile::tempdir().unwrap();
    let host = folder.path().join("initrd");
    std::fs::File::create(&host)
        .unwrap()
        .set_len(4 << 30)
        .unwrap();
    let mut large = good.clone();
    large.initrd = Content::host_file(&host).unwrap();
    assert!(refused(&large).contains("passes 4 GiB"));
    std::fs::write(&host, "long").unwrap();
    let mut lost = good.clone();
    lost.initrd = Content::host_file(&host).unwrap();
    std::fs::write(&host, "cut").unwrap();
    assert!(refused(&lost).contains("cannot read what is to be section .initrd"));
    let mut full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    assert!(matches!(uki::build(&good, &mut full), Err(Error::Write(_))));
}

/// A real stub; the sections' data is of no matter to the reader.
fn real_stub() -> &'static [u8] {
    static STUB: OnceLock<Vec<u8>> = OnceLock::new();
    STUB.get_or_init(|| stub(&Oracle::open()))
}

proptest! {
    #[test]
    fn a_damaged_program_never_panics(
        damage in prop::collection::vec((0usize..1024, any::<u8>()), 1..12), length in 0usize..4096,
    ) {
        let mut stub = real_stub().to_vec();
        for (at, value) in damage {
            stub[at] = value;
        }
        for bytes in [&stub[..], &stub[..length]] {
            if let Ok(image) = Image::parse(bytes) {
                for section in &image.sections {
                    let _ = section.data(bytes);
                }
            }
        }
        let linux = Content::from(stub.clone());
        let sections = UkiSections { linux, initrd: Content::from("initrd"), ..sections(&stub, Content::from(""), "1") };
        let mut image = Vec::new();
        if uki::build(&sections, &mut image).is_ok() {
            prop_assert!(Image::parse(&image).is_ok());
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
        let _ = Image::parse(&bytes);
        if bytes.len() > 64 {
            bytes[..2].copy_from_slice(b"MZ");
            bytes[0x3c..0x40].copy_from_slice(&[64, 0, 0, 0]);
            if let Some(place) = bytes.get_mut(64..68) {
                place.copy_from_slice(b"PE\0\0");
            }
            let _ = Image::parse(&bytes);
        }
    }
}
