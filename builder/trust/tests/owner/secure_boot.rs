//! Variables of Secure Boot, judged by efitools, openssl and virt-firmware.

use crate::support::{keys, run, signer, stranger, text, write};
use fortress_trust::secure_boot::{self, Enrolment, Microsoft, Variable};
use fortress_trust::{Blank, Certificate, Refusal, Role};
use proptest::prelude::*;
use std::fs;
use std::sync::LazyLock;

/// 2026-11-22 00:00:00 UTC.
const TIME: u64 = 20_779 * 86_400;

static ENROLMENT: LazyLock<Enrolment> = LazyLock::new(|| {
    let keys = keys();
    secure_boot::enrolment(keys.public(), &signer(keys), TIME, true).unwrap()
});

fn file(variable: Variable) -> &'static [u8] {
    match variable {
        Variable::Pk => &ENROLMENT.pk,
        Variable::Kek => &ENROLMENT.kek,
        Variable::Db => &ENROLMENT.db,
    }
}

fn certificate(role: Role) -> &'static Certificate {
    keys().public().certificate(role).unwrap()
}

/// The same as sign-efi-sig-list makes of the same lists, keys and time, to the byte, but for the
/// attributes and order in which openssl writes its message: so header, content and what is signed
/// are compared.
#[test]
fn files_are_those_of_efitools() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys();
    for variable in Variable::ALL {
        let name = variable.name();
        let by = variable.signed_by();
        let content = secure_boot::content(keys.public(), variable, true).unwrap();
        let list = write(&folder, "list.esl", &content);
        let signed = text(&folder.path().join("theirs.auth")).to_owned();
        let private = text(&keys.folder().join(format!("{by}.key.pem"))).to_owned();
        let public = text(&keys.folder().join(format!("{by}.crt"))).to_owned();
        run(
            "sign-efi-sig-list",
            [
                "-t",
                "2026-11-22 00:00:00",
                "-k",
                &private,
                "-c",
                &public,
                name,
                &list,
                &signed,
            ],
        );
        let theirs = fs::read(&signed).unwrap();
        let parsed = secure_boot::read(&theirs).unwrap();
        let ours = secure_boot::read(file(variable)).unwrap();
        assert_eq!(ours.time, parsed.time, "{name}");
        assert_eq!(ours.content, parsed.content, "{name}");
        assert_eq!(ours.content, content, "{name}");
        assert_eq!(file(variable)[20..40], theirs[20..40], "{name}: the header");
        // We accept theirs: what is signed is the same.
        let accepted = [certificate(by)];
        secure_boot::verify(variable, &theirs, &accepted).unwrap();
        secure_boot::verify(variable, file(variable), &accepted).unwrap();
        // And the signature itself, which is the end of both messages, is the same bytes.
        let end = |signature: &[u8]| signature[signature.len() - 256..].to_vec();
        assert_eq!(end(ours.signature), end(parsed.signature), "{name}");
    }
}

/// openssl takes the message, put into the wrapping that UEFI leaves away.
#[test]
fn openssl_verifies_the_signatures() {
    let folder = tempfile::tempdir().unwrap();
    for variable in Variable::ALL {
        let by = variable.signed_by();
        let parsed = secure_boot::read(file(variable)).unwrap();
        let mut signed: Vec<u8> = variable
            .name()
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let vendor = match variable {
            Variable::Db => "cbb219d73a3d9645a3bcdad00e67656f",
            _ => "61dfe48bca93d211aa0d00e098032b8c",
        };
        signed
            .extend((0..16).map(|at| u8::from_str_radix(&vendor[at * 2..at * 2 + 2], 16).unwrap()));
        signed.extend([0x27, 0, 0, 0]);
        signed.extend(parsed.time);
        signed.extend(parsed.content);
        let content = write(&folder, "content", &signed);
        let message = write(&folder, "message", wrapped(parsed.signature));
        let public = text(&keys().folder().join(format!("{by}.crt"))).to_owned();
        let verify = |content: &str| {
            crate::support::try_run(
                "openssl",
                [
                    "cms",
                    "-verify",
                    "-binary",
                    "-inform",
                    "DER",
                    "-in",
                    &message,
                    "-content",
                    content,
                    "-certfile",
                    &public,
                    "-CAfile",
                    &public,
                    "-purpose",
                    "any",
                    "-partial_chain",
                    "-out",
                    "/dev/null",
                ],
            )
        };
        let good = verify(&content);
        assert!(
            good.status.success(),
            "{}",
            String::from_utf8_lossy(&good.stderr)
        );
        signed[3] ^= 1;
        assert!(!verify(&write(&folder, "changed", &signed)).status.success());
    }
}

/// A ContentInfo around a SignedData.
fn wrapped(signed_data: &[u8]) -> Vec<u8> {
    let tagged = |tag: u8, content: &[u8]| {
        let length = (content.len() as u16).to_be_bytes();
        [&[tag, 0x82, length[0], length[1]], content].concat()
    };
    let oid = [
        0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02,
    ];
    tagged(0x30, &[&oid[..], &tagged(0xa0, signed_data)].concat())
}

#[test]
fn efitools_find_every_certificate() {
    let folder = tempfile::tempdir().unwrap();
    for (variable, roles, others) in [
        (Variable::Pk, &[Role::Pk][..], &[][..]),
        (Variable::Kek, &[Role::Kek], &Microsoft::KEK),
        (Variable::Db, &[Role::Db, Role::Verity], &Microsoft::DB),
    ] {
        let list = write(
            &folder,
            "list.esl",
            secure_boot::read(file(variable)).unwrap().content,
        );
        let base = text(&folder.path().join(variable.name())).to_owned();
        run("sig-list-to-certs", [&list, &base]);
        let mut wanted: Vec<Vec<u8>> = roles
            .iter()
            .map(|role| certificate(*role).der().to_vec())
            .collect();
        wanted.extend(
            others
                .iter()
                .map(|which| secure_boot::microsoft(*which).unwrap().der().to_vec()),
        );
        for (number, wanted) in wanted.iter().enumerate() {
            assert_eq!(fs::read(format!("{base}-{number}.der")).unwrap(), *wanted);
        }
        assert!(!fs::exists(format!("{base}-{}.der", wanted.len())).unwrap());
        let entries = secure_boot::read_lists(&fs::read(&list).unwrap()).unwrap();
        let found: Vec<_> = entries
            .into_iter()
            .map(|entry| entry.certificate.unwrap())
            .collect();
        assert!(
            found
                .iter()
                .map(Certificate::der)
                .eq(wanted.iter().map(Vec::as_slice))
        );
    }
    // The owner's list alone is that of cert-to-efi-sig-list, which wants the owner's number.
    let own = secure_boot::list(keys().public(), certificate(Role::Db)).unwrap();
    let owner = secure_boot::read_lists(&own).unwrap()[0].owner.to_string();
    let public = text(&keys().folder().join("db.crt")).to_owned();
    let theirs = text(&folder.path().join("theirs.esl")).to_owned();
    run("cert-to-efi-sig-list", ["-g", &owner, &public, &theirs]);
    assert_eq!(own, fs::read(theirs).unwrap());
}

/// virt-firmware, which fills firmware's variable stores, takes the lists.
#[test]
fn virt_firmware_accepts_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(
        &folder,
        "db.esl",
        secure_boot::read(file(Variable::Db)).unwrap().content,
    );
    let script = "import sys\nfrom virt.firmware.efi import siglist\n\
                  raw = open(sys.argv[1], 'rb').read()\n\
                  data = siglist.EfiSigDB(raw)\n\
                  assert bytes(data) == raw\n\
                  for l in data: print(l[0]['guid'], l.x509.subject.rfc4514_string())\n";
    let said = run("/usr/bin/python3", ["-c", script, &path]);
    assert_eq!(said.lines().count(), 6, "{said}");
    for name in [
        "velace db",
        "velace verity",
        "CN=Microsoft Corporation UEFI CA 2011",
        "CN=Microsoft UEFI CA 2023",
        "CN=Microsoft Windows Production PCA 2011",
        "CN=Windows UEFI CA 2023",
    ] {
        assert!(said.contains(name), "no {name} in {said}");
    }
}

/// keys/README.md has their digests; here they are as Microsoft publishes them
/// (<https://learn.microsoft.com/windows-hardware/manufacture/desktop/windows-secure-boot-key-creation-and-management-guidance>).
#[test]
fn the_certificates_are_microsofts() {
    let published = [
        (
            Microsoft::KekCa2011,
            "31590bfd89c9d74ed087dfac66334b3931254b30",
        ),
        (
            Microsoft::Kek2kCa2023,
            "459ab6fb5e284d272d5e3e6abc8ed663829d632b",
        ),
        (
            Microsoft::UefiCa2011,
            "46def63b5ce61cf8ba0de2e6639c1019d0ed14f3",
        ),
        (
            Microsoft::UefiCa2023,
            "b5eeb4a6706048073f0ed296e7f580a790b59eaa",
        ),
        (
            Microsoft::WindowsProductionPca2011,
            "580a6f4cc4e4b669b9ebdc1b2b3e087b80d0678d",
        ),
        (
            Microsoft::WindowsUefiCa2023,
            "45a0fa32604773c82433c3b7d59e7466b3ac0c67",
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    let readme = fortress_tests::project_folder().join("keys/README.md");
    let readme = fs::read_to_string(readme).unwrap();
    for (which, digest) in published {
        let certificate = secure_boot::microsoft(which).unwrap();
        let path = write(&folder, "certificate.der", certificate.der());
        let said = run(
            "openssl",
            [
                "x509",
                "-inform",
                "DER",
                "-in",
                &path,
                "-noout",
                "-fingerprint",
                "-sha1",
            ],
        );
        assert!(
            said.replace(':', "").to_lowercase().contains(digest),
            "{which:?}: {said}"
        );
        assert!(
            readme.contains(&certificate.fingerprint()),
            "{which:?} is not in keys/README.md"
        );
    }
}

#[test]
fn without_microsoft_there_is_nobody_else() {
    let keys = keys();
    let enrolment = secure_boot::enrolment(keys.public(), &signer(keys), TIME, false).unwrap();
    for (content, count) in [(&enrolment.pk, 1), (&enrolment.kek, 1), (&enrolment.db, 2)] {
        let lists = secure_boot::read(content).unwrap().content;
        assert_eq!(secure_boot::read_lists(lists).unwrap().len(), count);
    }
}

#[test]
fn what_is_wrong_is_told_apart() {
    let good = file(Variable::Db);
    let kek = certificate(Role::Kek);
    let verify = |variable, file: &[u8], accepted| secure_boot::verify(variable, file, &[accepted]);
    assert_eq!(verify(Variable::Db, good, kek).unwrap(), kek);
    let other = stranger().public().certificate(Role::Kek).unwrap();
    assert!(matches!(
        verify(Variable::Db, good, other),
        Err(Refusal::Stranger { .. })
    ));
    assert!(
        verify(Variable::Kek, good, kek).is_err(),
        "a file for another variable"
    );
    for at in [0, good.len() - 1] {
        let mut changed = good.to_vec();
        changed[at] ^= 1;
        assert!(verify(Variable::Db, &changed, kek).is_err(), "byte {at}");
    }
    let keys = keys();
    let blank = secure_boot::enrolment(keys.public(), &Blank, TIME, true).unwrap();
    assert_eq!(blank.db.len(), good.len());
    assert!(matches!(
        verify(Variable::Db, &blank.db, kek),
        Err(Refusal::Unsigned)
    ));
    for length in [0, 15, 16, 20, 39, 40, 100] {
        assert!(
            verify(Variable::Db, &good[..length], kek).is_err(),
            "{length} bytes"
        );
    }
}

proptest! {
    #[test]
    fn any_bytes_may_be_read(bytes: Vec<u8>) {
        let _ = secure_boot::read(&bytes);
        let _ = secure_boot::read_lists(&bytes);
    }

    #[test]
    fn no_change_is_accepted(at: prop::sample::Index, bit in 0..8_u8) {
        let mut bytes = file(Variable::Db).to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let signature = 40..bytes.len() - secure_boot::read(file(Variable::Db)).unwrap().content.len();
        let verified = secure_boot::verify(Variable::Db, &bytes, &[certificate(Role::Kek)]);
        // Parts of the message say nothing: the copy of the certificate, for example.
        if !signature.contains(&at) {
            prop_assert!(verified.is_err());
        }
    }

    #[test]
    fn changed_lists_may_be_read(at: prop::sample::Index, byte: u8) {
        let content = secure_boot::read(file(Variable::Db)).unwrap().content;
        let mut bytes = content.to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = secure_boot::read_lists(&bytes);
    }
}
