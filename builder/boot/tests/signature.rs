//! Signatures of EFI programs judged by sbsign, sbverify and sbattach, and by damage.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use fortress_boot::pe::signature::{self, AuthenticodeHasher, Program};
use fortress_boot::pe::{Error, Image};
use fortress_progress::Silent;
use fortress_tests::{Oracle, Outcome};
use fortress_trust::{Certificate, KeySet, NewKeys, Refusal, Role, authenticode};
use proptest::prelude::*;
use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::sync::OnceLock;

fn program(oracle: &Oracle, name: &str) -> Vec<u8> {
    fs::read(oracle.root().join("usr/lib/systemd/boot/efi").join(name)).unwrap()
}

fn keys(folder: &Path) -> KeySet {
    let new = NewKeys {
        owner: "Owner".into(),
        passphrase: None,
    };
    KeySet::generate(&folder.join("keys"), &new).unwrap()
}

fn examine(bytes: &[u8]) -> Result<Program, Error> {
    signature::examine(&mut &bytes[..]).unwrap()
}

fn sign(bytes: &[u8], keys: &KeySet) -> (Vec<u8>, Vec<u8>) {
    let signer = keys.signer(&|| unreachable!(), &Silent).unwrap();
    let program = examine(bytes).unwrap();
    let message = authenticode::sign(keys.public(), &signer, "a test", &program.digest).unwrap();
    let attachment = program.attachment(&message).unwrap();
    let mut signed = Vec::new();
    attachment.copy(&mut &bytes[..], &mut signed).unwrap();
    assert_eq!(signed.len() as u64, attachment.signed_length());
    let mut in_place = Cursor::new([b"before", bytes].concat());
    attachment.apply(&mut in_place, 6).unwrap();
    assert!(in_place.into_inner()[6..] == signed);
    (signed, message)
}

/// Whether a program is signed by the owner of the certificates.
fn verify(bytes: &[u8], accepted: &[&Certificate]) -> Result<(), String> {
    let program = examine(bytes).map_err(|error| error.to_string())?;
    let mut refusal = Refusal::Unsigned;
    for message in &program.signatures {
        match authenticode::verify(message, &program.digest, accepted) {
            Ok(_) => return Ok(()),
            Err(error) => refusal = error,
        }
    }
    Err(refusal.to_string())
}

/// Without the header's checksum, which sbsign sets and we do not.
fn without_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    let at = Image::parse(&bytes).unwrap().checksum_offset();
    bytes[at..at + 4].fill(0);
    bytes
}

struct Tools<'a> {
    oracle: &'a Oracle,
    folder: &'a Path,
}

impl Tools<'_> {
    fn inside(&self, name: &str) -> String {
        self.oracle.inside(&self.folder.join(name))
    }

    /// What a tool says of a file with that content.
    fn run(&self, before: &[&str], name: &str, content: &[u8], after: &[&str]) -> Outcome {
        fs::write(self.folder.join(name), content).unwrap();
        let path = self.inside(name);
        self.oracle.run(&[before, &[&path], after].concat())
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.join(name)).unwrap()
    }
}

/// Programs of all kinds: with and without a symbol table, a stub with nothing appended, the boot
/// loader, and a kernel.
fn programs(oracle: &Oracle) -> Vec<(String, Vec<u8>)> {
    let mut programs: Vec<_> = [
        "systemd-bootx64.efi",
        "linuxx64.efi.stub",
        "addonx64.efi.stub",
    ]
    .into_iter()
    .map(|name| (name.to_owned(), program(oracle, name)))
    .collect();
    let boot = fs::read_dir(oracle.root().join("boot")).unwrap();
    let kernels = boot.map(|entry| entry.unwrap().path());
    for path in kernels.filter(|path| path.to_string_lossy().contains("vmlinuz")) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        programs.push((name, fs::read(path).unwrap()));
    }
    assert_eq!(programs.len(), 4);
    programs
}

#[test]
fn the_field_signs_the_same_digest_and_accepts_ours() {
    let oracle = Oracle::open();
    let folder = oracle.folder();
    let tools = Tools {
        oracle: &oracle,
        folder: folder.path(),
    };
    let keys = keys(folder.path());
    let certificate = keys.public().certificate(Role::Db).unwrap();
    let (key, cert) = (tools.inside("keys/db.key.pem"), tools.inside("keys/db.crt"));
    let other = tools.inside("keys/pk.crt");
    for (name, bytes) in programs(&oracle) {
        // sbsign's signature, which carries a time and more, is over the same digest.
        let theirs = tools.inside("theirs");
        let sbsign = [
            "sbsign", "--key", &key, "--cert", &cert, "--output", &theirs,
        ];
        tools.run(&sbsign, "program", &bytes, &[]).success();
        let theirs = tools.read("theirs");
        verify(&theirs, &[certificate]).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (unsigned, signed) = (examine(&bytes).unwrap(), examine(&theirs).unwrap());
        assert_eq!(unsigned.digest, signed.digest, "{name}");
        assert_eq!(
            unsigned.signatures.len() + 1,
            signed.signatures.len(),
            "{name}"
        );
        if !unsigned.signatures.is_empty() {
            continue;
        }
        // Ours is accepted with our certificate alone.
        let (ours, message) = sign(&bytes, &keys);
        let sbverify = ["sbverify", "--cert", &cert];
        tools.run(&sbverify, "ours", &ours, &[]).success();
        let stranger = tools.run(&["sbverify", "--cert", &other], "ours", &ours, &[]);
        assert_ne!(stranger.status, 0, "{name}");
        // It comes off, and sbattach puts it to the same place.
        let detached = tools.inside("detached");
        let detach = ["sbattach", "--detach", &detached];
        tools.run(&detach, "ours", &ours, &[]).success();
        assert!(tools.read("detached") == message, "{name}");
        let attach = ["sbattach", "--attach", &detached];
        tools.run(&attach, "program", &bytes, &[]).success();
        let (attached, bytes) = (tools.read("program"), without_checksum(bytes));
        assert!(
            without_checksum(attached) == without_checksum(ours.clone()),
            "{name}"
        );
        let mut unsigned = Vec::new();
        let detachment = examine(&ours).unwrap().detachment().unwrap();
        detachment.copy(&mut &ours[..], &mut unsigned).unwrap();
        assert!(without_checksum(unsigned) == bytes, "{name}");
    }
}

#[test]
fn a_signature_replaces_another() {
    let oracle = Oracle::open();
    let folder = oracle.folder();
    let keys = keys(folder.path());
    let bytes = program(&oracle, "systemd-bootx64.efi");
    let (once, _) = sign(&bytes, &keys);
    let (twice, _) = sign(&once, &keys);
    assert!(once == twice);
    let mut off = Vec::new();
    let detachment = examine(&twice).unwrap().detachment().unwrap();
    detachment.copy(&mut &twice[..], &mut off).unwrap();
    assert!(off == bytes);
}

/// A signed program, and the certificate that it is signed by.
fn signed() -> &'static (Vec<u8>, Certificate) {
    static SIGNED: OnceLock<(Vec<u8>, Certificate)> = OnceLock::new();
    SIGNED.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(folder.path());
        let certificate = keys.public().certificate(Role::Db).unwrap().clone();
        let bytes = program(&Oracle::open(), "systemd-bootx64.efi");
        (sign(&bytes, &keys).0, certificate)
    })
}

/// The data directory of signatures, and the bytes of the program without them.
fn layout(bytes: &[u8]) -> (usize, usize) {
    let image = Image::parse(bytes).unwrap();
    let directory = image.security_directory_offset().unwrap();
    (
        directory,
        image.security_directory().unwrap().address as usize,
    )
}

#[test]
fn damaged_signatures_are_told() {
    let (good, certificate) = signed();
    let (directory, end) = layout(good);
    let said = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        verify(&bytes, &[certificate]).unwrap_err()
    };
    let put = |at: usize, value: u32| {
        move |bytes: &mut Vec<u8>| bytes[at..at + 4].copy_from_slice(&value.to_le_bytes())
    };
    let length = (good.len() - end) as u32;
    for (change, expected) in [
        (&put(directory, 0) as &dyn Fn(&mut Vec<u8>), "overlap"),
        (&put(directory, 1024), "overlap"),
        (&put(directory, end as u32 - 8), "overlap"),
        (&put(directory, end as u32 + 4), "not aligned"),
        (&put(directory, end as u32 + 8), "does not end where"),
        (&put(directory, u32::MAX - 7), "does not end where"),
        (&put(directory + 4, 0), "are empty"),
        (&put(directory + 4, length - 8), "does not end where"),
        (&put(directory + 4, length + 8), "does not end where"),
        (&put(directory + 4, u32::MAX), "longer than 1 MiB"),
        (&put(end, 0), "longer than there is room"),
        (&put(end, 8), "longer than there is room"),
        (&put(end, length + 1), "longer than there is room"),
        (&put(end, u32::MAX), "longer than there is room"),
        (&put(end + 4, 0x0001_0200), "no PKCS#7"),
        (&put(end + 4, 0x0002_0100), "no PKCS#7"),
        (&|bytes| bytes.truncate(end + 4), "does not end where"),
        (&|bytes| bytes.truncate(end), "does not end where"),
        (&|bytes| bytes.truncate(end - 512), "cut off"),
        (&|bytes| bytes.truncate(600), "cut off"),
        (&|bytes| bytes.push(0), "does not end where"),
        (&|bytes| bytes.extend([0; 8]), "does not end where"),
        (&|bytes| bytes.clear(), "no EFI program"),
        // Nothing points to it any more: the signature is part of what is hashed, and there is none.
        (
            &|bytes| bytes[directory..directory + 8].fill(0),
            "is not signed",
        ),
    ] {
        let said = said(change);
        assert!(said.contains(expected), "{expected}: {said}");
    }
    // Only bytes that say nothing are between signatures.
    let padding = good.len() - 1;
    let message = examine(good).unwrap().signatures.remove(0);
    if !(8 + message.len()).is_multiple_of(8) {
        assert!(said(&|bytes| bytes[padding] = 1).contains("between its signatures"));
    }
}

#[test]
fn of_two_signatures_either_counts() {
    let (good, certificate) = signed();
    let folder = tempfile::tempdir().unwrap();
    let stranger = keys(folder.path());
    let (directory, end) = layout(good);
    let (theirs, _) = sign(&good[..], &stranger);
    assert!(verify(&theirs, &[certificate]).is_err());
    let mut both = [&good[..], &theirs[end..]].concat();
    let length = (both.len() - end) as u32;
    both[directory + 4..directory + 8].copy_from_slice(&length.to_le_bytes());
    let program = examine(&both).unwrap();
    assert_eq!(program.signatures.len(), 2);
    assert_eq!(program.length as usize, end);
    verify(&both, &[certificate]).unwrap();
    verify(&both, &[stranger.public().certificate(Role::Db).unwrap()]).unwrap();
}

#[test]
fn sections_that_hide_something_are_refused() {
    let bytes = program(&Oracle::open(), "linuxx64.efi.stub");
    let image = Image::parse(&bytes).unwrap();
    let raw_offset = image.section_headers + 20;
    let section = &image.sections[0];
    for offset in [section.raw_offset - 512, section.raw_offset + 512] {
        let mut changed = bytes.clone();
        changed[raw_offset..raw_offset + 4].copy_from_slice(&offset.to_le_bytes());
        let said = examine(&changed).unwrap_err().to_string();
        assert!(said.contains("one after another"), "{said}");
    }
    // What is behind the last section counts.
    let longer = [&bytes[..], &[1; 8]].concat();
    assert_ne!(
        examine(&longer).unwrap().digest,
        examine(&bytes).unwrap().digest
    );
    // A length that would have to be padded.
    let odd = examine(&longer[..longer.len() - 1]).unwrap();
    let said = odd.attachment(b"message").unwrap_err().to_string();
    assert!(said.contains("no multiple of 8"), "{said}");
}

#[test]
fn a_signed_unified_kernel_image_is_accepted() {
    use fortress_boot::uki::{self, SBAT, UkiSections};
    let oracle = Oracle::open();
    let folder = oracle.folder();
    let tools = Tools {
        oracle: &oracle,
        folder: folder.path(),
    };
    let keys = keys(folder.path());
    let (_, kernel) = programs(&oracle).pop().unwrap();
    let sections = UkiSections {
        stub: &program(&oracle, "linuxx64.efi.stub"),
        os_release: b"ID=fortress\n",
        command_line: "quiet",
        device_tree: None,
        uname: "6.12",
        pcr_public_key: b"",
        linux: kernel.into(),
        initrd: "initrd".into(),
        sbat: SBAT,
        pcr_signature: b"",
    };
    let mut image = Vec::new();
    uki::build(&sections, &mut image).unwrap();
    let (signed, _) = sign(&image, &keys);
    let cert = tools.inside("keys/db.crt");
    let sbverify = ["sbverify", "--cert", &cert];
    let outcome = tools.run(&sbverify, "uki", &signed, &[]);
    assert!(
        outcome.status == 0 && !outcome.errors.contains("warning"),
        "{outcome:?}"
    );
    let said = tools
        .run(&["sbverify", "--list"], "uki", &signed, &[])
        .success();
    assert!(
        said.contains("CN=Owner db") && !said.contains("signature 2"),
        "{said}"
    );
    // A byte of the command line, and one of the initrd.
    let image = Image::parse(&signed).unwrap();
    for name in [".cmdline", ".initrd"] {
        let mut changed = signed.clone();
        changed[image.section(name).unwrap().raw_offset as usize] ^= 1;
        assert_ne!(
            tools.run(&sbverify, "uki", &changed, &[]).status,
            0,
            "{name}"
        );
        assert!(verify(&changed, &[keys.public().certificate(Role::Db).unwrap()]).is_err());
    }
    let said = oracle
        .run(&["ukify", "inspect", &tools.inside("uki")])
        .success();
    assert!(said.contains(".cmdline"), "{said}");
}

proptest! {
    /// Whatever byte is changed, the signature no longer holds; but for the header's checksum, and
    /// what nobody signs in the signature itself.
    #[test]
    fn every_byte_counts(at in any::<prop::sample::Index>(), change in 1..=255u8) {
        let (good, certificate) = signed();
        let (_, end) = layout(good);
        let checksum = Image::parse(good).unwrap().checksum_offset();
        let at = at.index(end);
        let mut bytes = good.clone();
        bytes[at] ^= change;
        let verified = verify(&bytes, &[certificate]);
        prop_assert_eq!(verified.is_ok(), (checksum..checksum + 4).contains(&at), "{}", at);
    }

    /// In headers and signatures, where there is something to be misread.
    #[test]
    fn a_changed_structure_never_panics(
        damage in prop::collection::vec((any::<bool>(), 0usize..2000, any::<u8>()), 1..8),
        length in any::<prop::sample::Index>(),
    ) {
        let (good, _) = signed();
        let (_, end) = layout(good);
        let mut bytes = good.clone();
        for (signature, at, value) in damage {
            let at = if signature { end + at } else { at };
            if let Some(place) = bytes.get_mut(at) {
                *place = value;
            }
        }
        for bytes in [&bytes[..], &bytes[..length.index(bytes.len())]] {
            if let Ok(program) = examine(bytes) {
                prop_assert!(program.length <= bytes.len() as u64);
                if let Ok(attachment) = program.attachment(b"message") {
                    let mut out = Vec::new();
                    attachment.copy(&mut &bytes[..], &mut out).unwrap();
                    let again = examine(&out).unwrap();
                    prop_assert_eq!(again.digest, program.digest);
                    prop_assert_eq!(again.signatures, vec![b"message".to_vec()]);
                }
            }
        }
    }

    /// Pieces of any length give the same.
    #[test]
    fn it_does_not_matter_how_it_comes(pieces in prop::collection::vec(1usize..100_000, 1..20)) {
        let (good, _) = signed();
        let mut hasher = AuthenticodeHasher::new();
        let mut rest = &good[..];
        for piece in pieces.into_iter().cycle() {
            let (piece, after) = rest.split_at(piece.min(rest.len()));
            hasher.update(piece);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(hasher.finish().unwrap(), examine(good).unwrap());
    }
}
