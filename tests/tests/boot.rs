//! The x86 host image, built from real packages and booted under QEMU: it starts, it says that it
//! is well, it keeps its identity, and it does not start once a byte of its root was changed.
//!
//! The test is one: boots are what takes long, and two at once on two cores take longer still.

use fortress_progress::Silent;
use fortress_qemu::{
    Alteration, BootTest, Expectation, Firmware, Outcome, RebootBy, Report, SecureBoot, Step, Tpm,
    Verdict,
};
use fortress_tests::{Program, target_folder};
use serde_json::Value;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Builds the host image; gives its path and its manifest.
fn built(output: &Path) -> (PathBuf, Value) {
    let arguments = [
        "image",
        "--board",
        "x86",
        "--base",
        "debian-13",
        "--json",
        "--output",
    ];
    let mut arguments: Vec<String> = arguments.map(str::to_owned).to_vec();
    arguments.push(output.display().to_string());
    let lock = target_folder().join("test-locks/host.toml");
    arguments.extend(["--lock".into(), lock.display().to_string()]);
    let result: Value = serde_json::from_str(&Program::new(&arguments).run().success()).unwrap();
    let manifest = std::fs::read_to_string(result["manifest"].as_str().unwrap()).unwrap();
    let image = result["image"].as_str().unwrap().into();
    (image, serde_json::from_str(&manifest).unwrap())
}

/// Where slot A's root partition begins, in bytes.
fn root_offset(manifest: &Value) -> u64 {
    let partitions = manifest["partitions"].as_array().unwrap();
    let root = partitions
        .iter()
        .find(|partition| partition["covered"] == "root-hash");
    root.unwrap()["offset"].as_u64().unwrap()
}

/// What debugfs says of the root file system.
fn debugfs(image: &Path, manifest: &Value, request: &str) -> String {
    let device = format!("{}?offset={}", image.display(), root_offset(manifest));
    let output = Command::new("debugfs")
        .args(["-R", request, &device])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A byte in the middle of a file's first block, flipped.
fn flipped(image: &Path, manifest: &Value, file: &str) -> Alteration {
    let blocks = debugfs(image, manifest, &format!("blocks {file}"));
    let block: u64 = blocks.split_whitespace().next().unwrap().parse().unwrap();
    let offset = root_offset(manifest) + block * 4096 + 100;
    let mut byte = [0];
    File::open(image)
        .unwrap()
        .read_exact_at(&mut byte, offset)
        .unwrap();
    Alteration {
        offset,
        bytes: vec![!byte[0]],
    }
}

fn boot(image: &Path, work: &str, change: impl FnOnce(&mut BootTest)) -> Report {
    let folder = target_folder().join("boot-tests").join(work);
    let mut test = BootTest::new(image, folder);
    test.timeout = Duration::from_secs(400);
    // The host's state is sealed in a TPM, and only where Secure Boot is on.
    test.firmware = Firmware::Uefi { secure_boot: true };
    test.tpm = Some(Tpm::default());
    change(&mut test);
    fortress_qemu::run(&test, &Silent).unwrap()
}

#[test]
fn the_host_image_boots_keeps_its_identity_and_notices_a_changed_byte() {
    let output = target_folder().join("boot-tests/output");
    let (image, manifest) = built(&output);

    // The state is made on the machine: the image brings none.
    let var = debugfs(&image, &manifest, "ls -p /var");
    let entries: Vec<&str> = var
        .lines()
        .filter_map(|line| line.split('/').nth(5))
        .filter(|name| !matches!(*name, "." | ".."))
        .collect();
    assert!(entries.is_empty(), "/var has {entries:?}");

    let report = boot(&image, "healthy", |test| {
        test.plan.push(Step::Reboot(RebootBy::Reset))
    });
    assert_eq!(report.verdict, Verdict::Passed, "{report}");
    assert_eq!(report.digest_before, report.digest_after);
    assert_eq!(report.boots.len(), 2);
    assert_eq!(report.secure_boot, SecureBoot::Enrolled, "{report}");
    let [first, second] = [0, 1].map(|boot| report.boots[boot].health.as_ref().unwrap());
    assert_eq!(first.machine_id, second.machine_id);
    assert_eq!(first.machine_id.len(), 32);
    assert_ne!(first.boot_id, second.boot_id);
    for health in [first, second] {
        assert!(health.root.verity && health.root.read_only);
        assert_eq!(
            health.root.root_hash,
            manifest["root_hash"].as_str().unwrap()
        );
        assert!(health.failed_units.is_empty());
        for name in ["root", "firewall", "sockets"] {
            let check = health.checks.iter().find(|check| check.name == name);
            assert_eq!(
                check.map(|check| check.outcome),
                Some(Outcome::Passed),
                "{name}"
            );
        }
    }

    // A program that every boot starts, and the file system's own first block.
    let journal = flipped(&image, &manifest, "/usr/lib/systemd/systemd-journald");
    for (work, alteration) in [
        ("changed-program", journal),
        (
            "changed-superblock",
            Alteration {
                offset: root_offset(&manifest) + 1024 + 0x78,
                bytes: b"X".to_vec(),
            },
        ),
    ] {
        let report = boot(&image, work, |test| {
            test.alterations = vec![alteration];
            test.expectation = Expectation::Caught;
        });
        assert_eq!(report.verdict, Verdict::Passed, "{work}: {report}");
        assert!(
            report.boots.iter().all(|boot| boot.health.is_none()),
            "{work}: {report}"
        );
    }
}
