//! What the firmware starts: kernel images that were changed, or that others signed, and what a
//! person at the machine can say to them.

use crate::attack::{Esp, flip, refused, resigned, section, stayed_closed, uki_of};
use crate::fixture::machine;
use fortress_qemu::{SecureBoot, Typing};
use fortress_tests::{strangers_keys, test_keys};

/// In the kernel, in the initrd, in the command line: the signature covers each of them.
#[test]
fn a_kernel_image_with_a_flipped_bit_is_refused_by_the_firmware() {
    for name in [".linux", ".initrd", ".cmdline"] {
        let word = format!("flipped{}", name.replace('.', "-"));
        let scratch = machine().scratch(&word);
        let test = machine().attacked(&word, |disk| {
            Esp::of(disk).change_uki(&scratch, |uki| {
                flip(uki, section(uki, name) + 200);
                uki.to_owned()
            });
        });
        let report = refused(test, "secure-boot-loader", "the boot loader");
        assert_eq!(report.secure_boot, SecureBoot::On, "{report}");
        stayed_closed(&report);
    }
}

#[test]
fn a_kernel_image_that_nobody_signed_or_a_stranger_is_refused_by_the_firmware() {
    let stranger = strangers_keys();
    for (name, keys) in [("unsigned", None), ("strangers", Some(stranger.path()))] {
        let scratch = machine().scratch(name);
        let test = machine().attacked(name, |disk| {
            Esp::of(disk).change_uki(&scratch, |uki| resigned(uki, keys));
        });
        stayed_closed(&refused(test, "secure-boot-loader", "the boot loader"));
    }
}

/// Whoever has the key of db and not the one of the policy can start a kernel image. It does not
/// get the state.
#[test]
fn a_kernel_image_without_the_owners_policy_starts_and_does_not_get_the_state() {
    // The policy is there, and signed by somebody else.
    let stranger = strangers_keys();
    let mixed = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(test_keys()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        let other = name.to_string_lossy().starts_with("pcr.");
        let from = if other { stranger.path() } else { test_keys() };
        std::fs::copy(from.join(&name), mixed.path().join(&name)).unwrap();
    }
    let scratch = machine().scratch("policy");
    let other = uki_of(&machine().build("1", Some(mixed.path())), &scratch);
    let test = machine().attacked("policy", |disk| {
        Esp::of(disk).change_uki(&scratch, |_| other);
    });
    let report = refused(test, "state-sealed", "the initrd");
    assert!(report.boots[0].secure_boot, "{report}");
    stayed_closed(&report);

    // The policy is the owner's, and the kernel image is not the one that it was made for.
    let scratch = machine().scratch("uncovered");
    let test = machine().attacked("uncovered", |disk| {
        Esp::of(disk).change_uki(&scratch, |uki| {
            let bytes = std::fs::read(uki).unwrap();
            let place = section(uki, ".osrel") as usize;
            // A letter of os-release, which nothing in the initrd reads: the system starts as before.
            let text = b"BUG_REPORT_URL";
            let at = bytes[place..]
                .windows(text.len())
                .position(|own| own == text)
                .unwrap();
            let mut bytes = bytes;
            bytes[place + at..][..text.len()].copy_from_slice(b"BUG_REPORT_URI");
            std::fs::write(uki, bytes).unwrap();
            resigned(uki, Some(test_keys()))
        });
    });
    let report = refused(test, "state-sealed", "the initrd");
    assert!(report.boots[0].secure_boot, "{report}");
    stayed_closed(&report);
}

/// By an entry of the boot loader, and by its editor. The kernel gets none of it, which the initrd sees;
/// but it was measured, and so the state stays closed.
#[test]
fn nobody_adds_to_the_command_line() {
    let scratch = machine().scratch("command-line");
    let mut test = machine().attacked("command-line", |disk| {
        let esp = Esp::of(disk);
        let uki = esp.ukis()[0].clone();
        let text = "timeout 20\neditor yes\ndefault evil.conf\n";
        esp.put_text(text, "/loader/loader.conf", &scratch);
        esp.make_folder("/loader/entries");
        let text = format!("title An evil entry\nefi {uki}\noptions fortress.entry=1\n");
        esp.put_text(&text, "/loader/entries/evil.conf", &scratch);
    });
    test.typed = [
        ("An evil entry", "e"),
        // The editor shows what the entry gives, its cursor before it.
        ("fortress.entry=1", "fortress.typed=1 \r"),
    ]
    .map(|(after, text)| Typing {
        after: after.to_owned(),
        text: text.to_owned(),
    })
    .into();
    let report = refused(test, "state-sealed", "the initrd");
    assert!(report.boots[0].secure_boot, "{report}");
    stayed_closed(&report);
    let log = std::fs::read_to_string(&report.serial_log).unwrap();
    assert!(log.contains("fortress.typed=1"), "nothing was typed: {log}");
    assert!(
        log.contains("Finished systemd-veritysetup@root"),
        "the initrd compares the command line before it opens the root: {log}"
    );
}

/// systemd-stub takes what the machine's maker, or a hypervisor, left in its SMBIOS, Secure Boot or
/// not. The initrd goes no further then; what would start another one gets no key, since the addition
/// is measured.
#[test]
fn a_command_line_in_the_machines_smbios_does_not_start() {
    let mut test = machine().attacked("maker", |_| {});
    test.maker_strings = vec!["io.systemd.stub.kernel-cmdline-extra=fortress.maker=1".to_owned()];
    stayed_closed(&refused(test, "state-command-line", "the initrd"));
}
