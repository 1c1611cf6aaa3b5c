//! The state: who gets it, and who does not.

use crate::attack::{Esp, copy, refused, stayed_closed, tool, uki_of};
use crate::fixture::{Machine, ROOT, SIGNATURE, SLOT, VERITY, machine};
use fortress_progress::Silent;
use fortress_qemu::{SecureBoot, Tpm, Verdict, run};
use std::io::Write;
use std::process::{Command, Stdio};

/// Set up once, then started with nobody present: the state is the same.
#[test]
fn the_untouched_image_starts_and_keeps_its_state() {
    let report = &machine().report;
    assert_eq!(report.boots.len(), 2, "{report}");
    assert_eq!(Machine::marker(report, 0), Machine::marker(report, 1));
    let first = report.boots[0].health.as_ref().unwrap();
    assert!(
        Machine::marker(report, 0).contains(&first.boot_id),
        "{report}"
    );
    let log = std::fs::read_to_string(&report.serial_log).unwrap();
    assert_eq!(log.matches("RECOVERY KEY").count(), 1, "{log}");
}

#[test]
fn another_tpm_does_not_open_the_state() {
    let mut test = machine().next("other-tpm");
    test.tpm = Some(Tpm::default());
    let report = run_refused(test);
    assert_eq!(report.secure_boot, SecureBoot::On, "{report}");
}

/// Another machine: it enrols the owner's keys, as it would with a new disk, and has another TPM.
#[test]
fn the_disk_in_another_machine_does_not_open_the_state() {
    let mut test = machine().next("other-machine");
    test.tpm = Some(Tpm::default());
    test.variables = None;
    let report = run_refused(test);
    assert_eq!(report.secure_boot, SecureBoot::Enrolled, "{report}");
}

fn run_refused(mut test: fortress_qemu::BootTest) -> fortress_qemu::Report {
    // The machine's own disk, which others start from, must stay where it is.
    let own = test.work_folder.with_extension("img");
    std::fs::hard_link(&test.image, &own).unwrap();
    test.image = own;
    let report = refused(test, "state-sealed", "the initrd");
    stayed_closed(&report);
    report
}

/// As an update would: the new version goes to slot B, its kernel image beside the old one.
#[test]
fn a_new_version_by_the_same_owner_opens_the_same_state() {
    let new = machine().build("2", None);
    let scratch = machine().scratch("new");
    let uki = uki_of(&new, &scratch);
    let mut test = machine().attacked("new", |disk| {
        for number in [ROOT, VERITY, SIGNATURE] {
            let place = SLOT + number;
            let (offset, length) = machine().built.partition(place);
            let theirs = new.partition(number);
            assert!(theirs.1 <= length, "the new version has no room in slot B");
            copy(&new.image, theirs, disk, offset);
            let guid = format!("--partition-guid={}:{}", place + 1, new.guid(number));
            tool(&["sgdisk", &guid, disk.to_str().unwrap()]);
        }
        Esp::of(disk).put(&uki, "/EFI/Linux/chain_2+3.efi");
    });
    test.command_line = Some(new.command_line());
    let report = run(&test, &Silent).unwrap();
    assert_eq!(report.verdict, Verdict::Passed, "{report}");
    let health = report.boots[0].health.as_ref().unwrap();
    assert_eq!(health.image, "chain 2");
    assert_eq!(
        Machine::marker(&report, 0),
        Machine::marker(&machine().report, 0)
    );
}

/// The recovery key is on the console once, opens the state, and is nowhere on the disk.
#[test]
fn the_recovery_key_opens_the_state_and_is_not_on_the_disk() {
    let key = &*machine().recovery_key();
    let disk = machine().disk.to_str().unwrap();
    let table: serde_json::Value =
        serde_json::from_str(&tool(&["sfdisk", "--json", disk])).unwrap();
    let partitions = table["partitiontable"]["partitions"].as_array().unwrap();
    let var = partitions.iter().find(|own| own["name"] == "var").unwrap();
    let [start, size] = ["start", "size"].map(|name| var[name].as_u64().unwrap() * 512);
    let scratch = machine().scratch("recovery");
    let volume = scratch.join("var");
    std::fs::File::create(&volume).unwrap();
    copy(&machine().disk, (start, size), &volume, 0);
    let volume = volume.to_str().unwrap();
    for (typed, opens) in [(key, true), (&key[1..], false)] {
        let mut child = Command::new("cryptsetup")
            .args(["open", "--test-passphrase", "--key-file=-", volume])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(typed.as_bytes())
            .unwrap();
        assert_eq!(child.wait().unwrap().success(), opens, "{typed}");
    }
    let found = Command::new("grep")
        .args(["--quiet", "--text", "--fixed-strings", key, disk])
        .status()
        .unwrap();
    assert_eq!(found.code(), Some(1));
}
