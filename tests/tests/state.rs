//! The state that a machine keeps: encrypted at the first boot, opened at each later one by who is
//! to have the key and by nobody else. The volumes are judged by cryptsetup.
//!
//! Boots are what takes long, so one machine's life is one test, and one test runs at a time.

use fortress_progress::Silent;
use fortress_qemu::{
    BootTest, DiskInterface, Drive, Firmware, Outcome, RebootBy, Report, Step, Tpm, Typing, Verdict,
};
use fortress_tests::{Program, ProjectCopy, target_folder};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// What [`RECOVERY_KEY`] stands before on the console.
const SHOWN: &str = "RECOVERY KEY of this machine";
const SHOWN_OF_TANK: &str = "RECOVERY KEY of the data drive tank";

const RECIPE: &str = r#"
description = "A machine whose state is looked into"
version = "1"
base = "debian-13"
include = ["common"]
overlays = ["probe"]

[kernel]
flavour = "virtual"

[units]
enable = ["probe.service"]

[data]
drives = ["tank"]

[swap]
size = "64M"
"#;

/// Looks from inside, as root: who gets the keys now, and where they can be read.
const PROBE: &str = r#"#!/bin/sh
tank=/dev/disk/by-partlabel/fortress-data-tank
tries=90
while [ -e $tank ] && [ ! -e /dev/mapper/data-tank ] && [ $tries -gt 0 ]; do
    sleep 1
    tries=$((tries - 1))
done
exec > /run/probe
[ ! -b /dev/mapper/data-tank ] || echo "tank is open"
while read -r device type _; do
    case $device in /dev/dm-* | /dev/mapper/*) echo "swap on $type" ;; esac
done < /proc/swaps
state=$(cryptsetup status var | sed -n 's/^ *device: *//p')
for volume in $state $tank; do
    [ -e "$volume" ] && [ -e /dev/tpmrm0 ] || continue
    if said=$(systemd-cryptenroll --unlock-tpm2-device=auto --recovery-key $volume 2>&1 > /dev/null); then
        echo "the TPM released ${volume##*/}"
    else
        echo "the TPM kept ${volume##*/}:" $said
    fi
done
key='([cbdefghijklnrtuv]{8}-){7}[cbdefghijklnrtuv]{8}'
echo "lines of the journal with a key:" $(journalctl -b -q --no-pager | grep -cE "$key")
echo "files with a key:" $(grep -raElI "$key" /run /var 2> /dev/null | wc -l)
"#;

/// Puts what the probe saw into the health report.
const CHECK: &str = r#"said=
while IFS= read -r line; do said="$said$line; "; done < /run/probe
passed probe "$said"
"#;

const UNIT: &str = "[Unit]\nDescription=Probe of the State\nBefore=fortress-health.service\n\
    [Service]\nType=oneshot\nExecStart=/usr/lib/fortress/probe\n\
    [Install]\nWantedBy=multi-user.target\n";

/// One machine runs at a time.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(|failed| failed.into_inner())
}

/// Builds an image with these settings.
fn built(name: &str, settings: &[&str]) -> PathBuf {
    let project = ProjectCopy::new();
    project
        .write("recipes/kept.toml", RECIPE)
        .write("overlays/probe/usr/lib/fortress/probe", PROBE)
        .write("overlays/probe/usr/lib/fortress/health.d/90-probe", CHECK)
        .write("overlays/probe/usr/lib/systemd/system/probe.service", UNIT);
    let program = project.path().join("overlays/probe/usr/lib/fortress/probe");
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    let output = folder(name);
    let lock = target_folder().join("test-locks/state.toml");
    let mut arguments = vec![
        "image".to_owned(),
        "--json".into(),
        "--board=x86".into(),
        "--recipe=kept".into(),
        format!("--output={}", output.display()),
        format!("--lock={}", lock.display()),
    ];
    for setting in settings {
        arguments.push(format!("--set={setting}"));
    }
    let built = Program::new(&arguments).within(project.path()).run();
    let result: Value = serde_json::from_str(&built.success()).unwrap();
    result["image"].as_str().unwrap().into()
}

fn folder(name: &str) -> PathBuf {
    let folder = target_folder().join("state-tests").join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn machine(image: &Path, work: &str) -> BootTest {
    let mut test = BootTest::new(image, folder(work));
    test.timeout = Duration::from_secs(400);
    test.extra_space = 1 << 30;
    test.keep = true;
    test
}

fn run(test: &BootTest) -> Report {
    fortress_qemu::run(test, &Silent).unwrap()
}

fn typing(after: &str, text: &str) -> Typing {
    Typing {
        after: after.into(),
        text: format!("{text}\r"),
    }
}

/// What a passed check of a boot told.
fn told(report: &Report, boot: usize, name: &str) -> String {
    let health = report.boots[boot].health.as_ref();
    let health = health.unwrap_or_else(|| panic!("boot {boot} has no health: {report}"));
    let check = health.checks.iter().find(|check| check.name == name);
    let check = check.unwrap_or_else(|| panic!("no check {name}: {report}"));
    assert_eq!(check.outcome, Outcome::Passed, "{}", check.detail);
    check.detail.clone()
}

/// The recovery key that the console shows after a line with this text, which it has once.
fn shown(report: &Report, after: &str) -> String {
    let log = String::from_utf8_lossy(&fs::read(&report.serial_log).unwrap()).into_owned();
    assert_eq!(log.matches(after).count(), 1, "{log}");
    let (_, rest) = log.split_once(after).unwrap();
    let is_key = |word: &&str| word.len() == 71 && word.matches('-').count() == 7;
    rest.split_whitespace().find(is_key).unwrap().to_owned()
}

fn command(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// The head of a partition of a disk that a machine wrote to, which holds all of LUKS's keys.
fn head(work: &str, disk: &str, label: &str) -> PathBuf {
    let folder = folder(work);
    let raw = folder.join("disk.raw");
    let disk = folder.join(disk);
    command(
        "qemu-img",
        &[
            "convert",
            "-O",
            "raw",
            disk.to_str().unwrap(),
            raw.to_str().unwrap(),
        ],
    );
    let table = command("sfdisk", &["--json", raw.to_str().unwrap()]);
    let table: Value = serde_json::from_slice(&table).unwrap();
    let partitions = table["partitiontable"]["partitions"].as_array().unwrap();
    let partition = partitions.iter().find(|one| one["name"] == label);
    let start = partition.unwrap()["start"].as_u64().unwrap() * 512;
    let mut bytes = vec![0; 17 << 20];
    fs::File::open(&raw)
        .unwrap()
        .read_exact_at(&mut bytes, start)
        .unwrap();
    fs::remove_file(raw).unwrap();
    let head = folder.join(format!("{label}.luks"));
    fs::write(&head, bytes).unwrap();
    head
}

/// Whether cryptsetup opens a volume with a key.
fn opens(volume: &Path, key: &str) -> bool {
    let file = volume.with_extension("key");
    fs::write(&file, key).unwrap();
    let status = Command::new("cryptsetup")
        .args(["open", "--test-passphrase", "--key-file"])
        .args([&file, volume])
        .output()
        .unwrap()
        .status;
    match status.code() {
        Some(0) => true,
        // "No key available with this passphrase"
        Some(2) => false,
        other => panic!("cryptsetup ends with {other:?}"),
    }
}

/// The types of a volume's tokens, sorted, and how many keys open it.
fn tokens(volume: &Path) -> (Vec<Value>, usize) {
    let dump = ["luksDump", "--dump-json-metadata", volume.to_str().unwrap()];
    let dump: Value = serde_json::from_slice(&command("cryptsetup", &dump)).unwrap();
    let tokens = dump["tokens"].as_object().unwrap().values().cloned();
    let mut tokens: Vec<Value> = tokens.collect();
    tokens.sort_by_key(|token| token["type"].to_string());
    (tokens, dump["keyslots"].as_object().unwrap().len())
}

/// A blank drive with one partition of this GPT label.
fn blank_drive(work: &str) -> PathBuf {
    let drive = folder(work).join("tank.img");
    fs::File::create(&drive).unwrap().set_len(64 << 20).unwrap();
    let path = drive.to_str().unwrap();
    command("sgdisk", &["-n1:0:0", "-c1:fortress-data-tank", path]);
    drive
}

fn drive(image: PathBuf) -> Drive {
    Drive {
        image,
        serial: "second".into(),
        interface: DiskInterface::Virtio,
    }
}

/// A recovery key that differs from this one in its first letter.
fn nearly(key: &str) -> String {
    let first = if key.starts_with('c') { 'b' } else { 'c' };
    format!("{first}{}", &key[1..])
}

#[test]
fn a_tpm_keeps_the_state_closed_to_all_but_what_the_owner_signed() {
    let _turn = turn();
    let image = built("tpm", &[]);
    let mut test = machine(&image, "tpm/first");
    test.firmware = Firmware::Uefi { secure_boot: true };
    test.tpm = Some(Tpm::default());
    test.drives = vec![drive(blank_drive("tpm"))];
    test.plan.push(Step::Reboot(RebootBy::Reset));
    let report = run(&test);
    assert_eq!(report.verdict, Verdict::Passed, "{report}");
    // The second boot asked nobody anything, and found what the first one left.
    let machine_ids = [0, 1].map(|boot| told(&report, boot, "machine-id"));
    assert_eq!(machine_ids[0], machine_ids[1]);
    for boot in [0, 1] {
        let state = told(&report, boot, "state");
        assert!(state.contains("encrypted, opened by tpm2"), "{state}");
        let probe = told(&report, boot, "probe");
        assert!(probe.contains("tank is open; "), "{probe}");
        assert!(probe.contains("swap on partition; "), "{probe}");
        // The running system cannot have the state's key; the same question is answered for the
        // drive, so it is not the question that is wrong.
        assert!(probe.contains("the TPM kept vda8: "), "{probe}");
        assert!(
            probe.contains("the TPM released fortress-data-tank; "),
            "{probe}"
        );
        assert!(
            probe.contains("lines of the journal with a key: 0; files with a key: 0; "),
            "{probe}"
        );
    }

    let key = shown(&report, SHOWN);
    let state = head("tpm/first", "disk.qcow2", "var");
    assert!(opens(&state, &key));
    assert!(!opens(&state, &nearly(&key)));
    let (found, slots) = tokens(&state);
    let types: Vec<&str> = found
        .iter()
        .filter_map(|one| one["type"].as_str())
        .collect();
    assert_eq!(types, ["systemd-recovery", "systemd-tpm2"]);
    assert_eq!(slots, 2, "{found:?}");
    assert_eq!(found[1]["tpm2-pcrs"], serde_json::json!([7, 12, 15]));
    assert_eq!(found[1]["tpm2_pubkey_pcrs"], serde_json::json!([11]));
    let swap = head("tpm/first", "disk.qcow2", "swap");
    assert_eq!(tokens(&swap).1, 1);

    let tank = head("tpm/first", "drive-1.qcow2", "fortress-data-tank");
    let key_of_tank = shown(&report, SHOWN_OF_TANK);
    assert!(opens(&tank, &key_of_tank) && !opens(&tank, &key));
    let (found, _) = tokens(&tank);
    let sealed = found.iter().find(|one| one["type"] == "systemd-tpm2");
    assert_eq!(sealed.unwrap()["tpm2_pubkey_pcrs"], serde_json::json!([11]));
    for overlay in ["disk.qcow2", "drive-1.qcow2"] {
        let bytes = fs::read(folder("tpm/first").join(overlay)).unwrap();
        for key in [&key, &key_of_tank] {
            let found = bytes.windows(key.len()).any(|part| part == key.as_bytes());
            assert!(!found, "{overlay} has a recovery key in the clear");
        }
    }

    // Without its TPM the machine does not come up.
    let mut test = machine(&image, "tpm/none");
    test.firmware = Firmware::Uefi { secure_boot: true };
    let test = test.continuing(&folder("tpm/first"));
    let report = run(&test);
    assert_eq!(report.verdict, Verdict::Crashed, "{report}");
    assert!(report.boots[0].health.is_none(), "{report}");
    let found = &report.findings;
    assert!(
        found.iter().any(|one| one.line.contains("has no TPM 2")),
        "{report}"
    );

    // With another one it asks for the recovery keys, and from then on has the keys again.
    let mut test = machine(&image, "tpm/other");
    test.firmware = Firmware::Uefi { secure_boot: true };
    test.tpm = Some(Tpm::default());
    let mut test = test.continuing(&folder("tpm/first"));
    test.tpm = Some(Tpm::default());
    test.allowed_findings = vec!["state-sealed".into()];
    test.typed = vec![
        typing("Recovery key of this machine", "not the key"),
        typing("Recovery key of this machine", &key),
        typing("Recovery key of the data drive tank", &key_of_tank),
    ];
    test.drives = vec![drive(folder("tpm/first").join("drive-1.qcow2"))];
    test.plan.push(Step::Reboot(RebootBy::Reset));
    let report = run(&test);
    assert_eq!(report.verdict, Verdict::Passed, "{report}");
    assert!(told(&report, 0, "state").contains("opened by recovery"));
    assert!(told(&report, 1, "state").contains("opened by tpm2"));
    for boot in [0, 1] {
        assert!(told(&report, boot, "probe").contains("tank is open; "));
    }
    assert_eq!(told(&report, 1, "machine-id"), machine_ids[0]);
}

#[test]
fn a_passphrase_is_chosen_once_and_asked_for_at_every_boot() {
    let _turn = turn();
    let image = built("passphrase", &["var.encrypt=passphrase"]);
    let mut test = machine(&image, "passphrase/machine");
    test.plan.push(Step::Reboot(RebootBy::Reset));
    test.typed = vec![
        typing("New passphrase", "correct horse"),
        typing("The same passphrase again", "correct house"),
        typing("New passphrase", "correct horse"),
        typing("The same passphrase again", "correct horse"),
        typing("Passphrase of this machine", "correct house"),
        typing("Passphrase of this machine", "correct horse"),
    ];
    let report = run(&test);
    assert_eq!(report.verdict, Verdict::Passed, "{report}");
    for boot in [0, 1] {
        let state = told(&report, boot, "state");
        assert!(state.contains("encrypted, opened by passphrase"), "{state}");
    }
    assert_eq!(
        told(&report, 0, "machine-id"),
        told(&report, 1, "machine-id")
    );
    let state = head("passphrase/machine", "disk.qcow2", "var");
    assert!(opens(&state, "correct horse") && !opens(&state, "correct house"));
    assert_eq!(tokens(&state).1, 1);
}

#[test]
fn a_stick_gets_the_key_and_opens_the_state() {
    let _turn = turn();
    let image = built("key-file", &["var.encrypt=key-file"]);
    let stick = folder("key-file").join("stick.img");
    fs::File::create(&stick).unwrap().set_len(8 << 20).unwrap();
    command("mkfs.vfat", &["-n", "FORTRESSKEY", stick.to_str().unwrap()]);
    let mut test = machine(&image, "key-file/machine");
    test.drives = vec![drive(stick)];
    test.plan.push(Step::Reboot(RebootBy::Reset));
    let report = run(&test);
    assert_eq!(report.verdict, Verdict::Passed, "{report}");
    for boot in [0, 1] {
        let state = told(&report, boot, "state");
        assert!(state.contains("encrypted, opened by key-file"), "{state}");
    }
    let state = head("key-file/machine", "disk.qcow2", "var");
    assert!(opens(&state, &shown(&report, SHOWN)));
    let uuid = command("cryptsetup", &["luksUUID", state.to_str().unwrap()]);
    let uuid = String::from_utf8(uuid).unwrap();
    let folder = folder("key-file/machine");
    let (overlay, raw) = (folder.join("drive-1.qcow2"), folder.join("stick.raw"));
    let [overlay, raw] = [&overlay, &raw].map(|path| path.to_str().unwrap());
    command("qemu-img", &["convert", "-O", "raw", overlay, raw]);
    let file = format!("::fortress-{}.key", uuid.trim());
    let key = command("mtype", &["-i", raw, &file]);
    assert!(opens(&state, std::str::from_utf8(&key).unwrap()));

    // Without the stick it waits for somebody, and stays closed.
    let mut test = machine(&image, "key-file/alone").continuing(&folder);
    test.typed = vec![
        typing("Recovery key of this machine", "one"),
        typing("Recovery key of this machine", "two"),
        typing("Recovery key of this machine", "three"),
    ];
    let report = run(&test);
    assert_eq!(report.verdict, Verdict::Crashed, "{report}");
    assert!(report.boots[0].health.is_none(), "{report}");
}
