//! Real boots of fixtures: Debian's kernel with an initrd of a shell and little more, which plays
//! one guest after the other. What they prove is the harness; images are booted elsewhere.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

mod fixture;

use fixture::Fixture;
use fortress_progress::{Observer, Silent, Stage, Unit};
use fortress_qemu::{
    Acceleration, Alteration, DiskInterface, Drive, Error, Expectation, Firmware, Outcome,
    RebootBy, Report, SecureBoot, Step, Tpm, Typing, Verdict, bare_kernel, run,
};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn failed(report: &Report) -> Vec<&str> {
    report
        .checks
        .iter()
        .filter(|check| check.outcome == Outcome::Failed)
        .map(|check| check.name.as_str())
        .collect()
}

/// Three boots of one machine: by reset, with a machine-id that stays.
#[test]
fn a_good_guest_passes_twice_and_its_image_stays() {
    let fixture = Fixture::new();
    let mut test = fixture.test("good");
    test.plan.push(Step::Reboot(RebootBy::Reset));
    let report = run(&test, &Silent).unwrap();
    assert_eq!(report.verdict, Verdict::Passed, "{report}");
    assert_eq!(report.exit_code(), 0);
    assert_eq!(report.boots.len(), 2);
    assert_eq!(report.digest_before, report.digest_after);
    for boot in &report.boots {
        let (kernel, end) = (boot.times.kernel.unwrap(), boot.times.report.unwrap());
        assert!(0.0 <= kernel && kernel < end, "{boot:?}");
    }
    let log = std::fs::read_to_string(&report.serial_log).unwrap();
    assert_eq!(log.matches("Linux version").count(), 2, "{log}");
    let junit = report.to_junit();
    assert!(junit.contains("failures=\"0\" errors=\"0\""), "{junit}");
    // Nothing but logs is left over.
    let mut left: Vec<_> = std::fs::read_dir(&test.work_folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, [".lock", "qemu.log", "serial.log"]);
}

#[test]
fn a_guest_that_reports_failure_fails_with_its_reasons() {
    let fixture = Fixture::new();
    let report = run(&fixture.test("sick"), &Silent).unwrap();
    assert_eq!(report.verdict, Verdict::Failed, "{report}");
    assert_eq!(report.exit_code(), 10);
    let failed = failed(&report);
    for name in [
        "boot 1: firewall",
        "boot 1: verified root",
        "boot 1: allowed sockets",
        "boot 1: failed units",
        "console",
    ] {
        assert!(failed.contains(&name), "{name} is not in {failed:?}");
    }
    assert!(report.to_string().contains("tcp 0.0.0.0 22"), "{report}");
}

#[test]
fn a_panic_ends_the_test_at_once() {
    let fixture = Fixture::new();
    let report = run(&fixture.test("panic"), &Silent).unwrap();
    assert_eq!(report.verdict, Verdict::Crashed, "{report}");
    assert_eq!(report.exit_code(), 12);
    assert!(report.summary.contains("the kernel gave up"), "{report}");
    assert!(report.to_junit().contains("errors=\"1\""));
}

#[test]
fn a_guest_that_hangs_runs_out_of_time_and_says_where_it_stood() {
    let fixture = Fixture::new();
    let mut test = fixture.test("hang");
    test.timeout = Duration::from_secs(60);
    let report = run(&test, &Silent).unwrap();
    assert_eq!(report.verdict, Verdict::Timeout, "{report}");
    assert_eq!(report.exit_code(), 11);
    assert!(
        report.summary.contains("last target reached: basic.target"),
        "{report}"
    );
}

#[test]
fn garbage_and_a_flood_are_no_report() {
    let fixture = Fixture::new();
    let report = run(&fixture.test("garbage"), &Silent).unwrap();
    assert_eq!(report.verdict, Verdict::Failed, "{report}");
    assert!(report.summary.contains("cannot be read"), "{report}");
    let report = run(&fixture.test("flood"), &Silent).unwrap();
    assert_eq!(report.verdict, Verdict::Failed, "{report}");
    assert!(report.summary.contains("longer than"), "{report}");
}

#[test]
fn a_guest_that_restarts_or_goes_down_has_crashed() {
    let fixture = Fixture::new();
    let report = run(&fixture.test("restart"), &Silent).unwrap();
    assert_eq!(report.verdict, Verdict::Crashed, "{report}");
    assert!(report.summary.contains("restarted before"), "{report}");
    let report = run(&fixture.test("off"), &Silent).unwrap();
    assert_eq!(report.verdict, Verdict::Crashed, "{report}");
    assert!(report.summary.contains("switched itself off"), "{report}");
}

/// Firmware, its handover, and a byte that differs in the overlay alone.
#[test]
fn an_image_boots_by_uefi_and_an_alteration_that_nobody_notices_is_not_caught() {
    let fixture = Fixture::new();
    let mut test = fixture.uefi("good");
    let offset = std::fs::metadata(&test.image).unwrap().len() - 512;
    test.alterations = vec![Alteration {
        offset,
        bytes: b"altered".to_vec(),
    }];
    let report = run(&test, &Silent).unwrap();
    assert_eq!(report.verdict, Verdict::Passed, "{report}");
    let times = report.boots[0].times;
    assert!(
        times.handover.unwrap() <= times.kernel.unwrap(),
        "{times:?}"
    );
    test.expectation = Expectation::Caught;
    test.acceleration = Acceleration::Emulation;
    test.firmware = Firmware::Uefi { secure_boot: true };
    let report = run(&test, &Silent).unwrap();
    assert_eq!(report.verdict, Verdict::Failed, "{report}");
    assert!(report.summary.contains("not caught"), "{report}");
    assert!(report.firmware.contains("secboot"), "{report}");
}

#[test]
fn a_changed_byte_below_verity_is_caught_and_none_is_not() {
    let fixture = Fixture::new();
    let mut test = fixture.verified();
    let report = run(&test, &Silent).unwrap();
    assert_eq!(report.verdict, Verdict::Passed, "{report}");
    test.alterations = vec![Alteration {
        offset: 1_234_567,
        bytes: vec![0xff],
    }];
    test.expectation = Expectation::Caught;
    let report = run(&test, &Silent).unwrap();
    assert_eq!(report.verdict, Verdict::Passed, "{report}");
    assert!(report.summary.contains("is corrupted"), "{report}");
    assert_eq!(report.digest_before, report.digest_after);
}

/// Someone who meddles as soon as the machine runs.
struct Meddler {
    image: Option<PathBuf>,
    booting: AtomicBool,
}

impl Observer for Meddler {
    fn stage(&self, name: &str, _total: Option<u64>, _unit: Unit) -> Box<dyn Stage> {
        if name == "boot" {
            self.booting.store(true, Ordering::Relaxed);
            if let Some(image) = &self.image {
                let mut file = std::fs::File::options().append(true).open(image).unwrap();
                file.write_all(&[1; 512]).unwrap();
            }
        }
        Box::new(Silent)
    }
    fn note(&self, _line: &str) {}
    fn warn(&self, _line: &str) {}
    fn cancelled(&self) -> bool {
        self.image.is_none() && self.booting.load(Ordering::Relaxed)
    }
}

#[test]
fn an_image_that_changes_meanwhile_is_not_judged() {
    let fixture = Fixture::new();
    let test = fixture.test("panic");
    let meddler = Meddler {
        image: Some(test.image.clone()),
        booting: AtomicBool::new(false),
    };
    let report = run(&test, &meddler).unwrap();
    assert_eq!(report.verdict, Verdict::ImageChanged, "{report}");
    assert_eq!(report.exit_code(), 14);
}

#[test]
fn a_cancelled_test_leaves_no_machine_and_no_disk() {
    let fixture = Fixture::new();
    let test = fixture.test("hang");
    let meddler = Meddler {
        image: None,
        booting: AtomicBool::new(false),
    };
    assert!(matches!(run(&test, &meddler), Err(Error::Cancelled)));
    assert!(!test.work_folder.join("disk.qcow2").exists());
    let folder = test.work_folder.to_string_lossy().into_owned();
    let running = std::fs::read_dir("/proc").unwrap().any(|entry| {
        let path = entry.unwrap().path().join("cmdline");
        let line = std::fs::read(path).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains("qemu-system") && line.contains(&folder)
    });
    assert!(!running);
}

/// From setup mode to a refusal: keys are enrolled once, and a later test goes on with them.
#[test]
fn keys_are_enrolled_kept_and_enforced() {
    let fixture = Fixture::new();
    let (mut test, unsigned) = fixture.secured("good");
    test.tpm = Some(Tpm::default());
    test.keep = true;
    let report = run(&test, &Silent).unwrap();
    assert_eq!(report.verdict, Verdict::Passed, "{report}");
    assert_eq!(report.secure_boot, SecureBoot::Enrolled, "{report}");
    assert!(report.boots[0].secure_boot, "{report}");
    assert!(report.tpm.as_ref().unwrap().contains("fresh"), "{report}");
    let times = &report.boots[0].times;
    assert!(
        times.enrolled.unwrap() < times.handover.unwrap(),
        "{times:?}"
    );
    let text = report.to_string();
    assert!(text.contains("Secure Boot on,"), "{text}");
    assert!(report.to_junit().contains("swtpm"), "{}", report.to_junit());

    // The machine goes on with its variables and its TPM, and both stay as they were kept.
    let kept = test.work_folder.clone();
    let bytes = || {
        ["firmware-variables.fd", "tpm/tpm2-00.permall"]
            .map(|name| std::fs::read(kept.join(name)).unwrap())
    };
    let before = bytes();
    let mut refused = test.clone().continuing(&kept);
    refused.image = unsigned;
    refused.keep = false;
    refused.expectation = Expectation::Caught;
    refused.work_folder = kept.with_file_name("refused");
    let report = run(&refused, &Silent).unwrap();
    assert_eq!(report.verdict, Verdict::Passed, "{report}");
    assert_eq!(report.secure_boot, SecureBoot::On, "{report}");
    assert_eq!(report.findings[0].pattern, "secure-boot-loader", "{report}");
    assert!(report.tpm.unwrap().contains("kept"));
    assert_eq!(before, bytes());
    let mut left: Vec<_> = std::fs::read_dir(&refused.work_folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, [".lock", "qemu.log", "serial.log", "tpm.log"]);
}

#[test]
fn what_is_asked_on_the_console_is_answered() {
    let fixture = Fixture::new();
    let mut test = fixture.test("typed");
    test.timeout = Duration::from_secs(60);
    let answer = Typing {
        after: "The word:".to_owned(),
        text: "open sesame\r".to_owned(),
    };
    test.typed = vec![answer.clone(), answer.clone()];
    test.plan.push(Step::Reboot(RebootBy::Reset));
    let report = run(&test, &Silent).unwrap();
    assert_eq!(report.verdict, Verdict::Passed, "{report}");
    // What was to be typed and was not asked for is told.
    test.plan.pop();
    let report = run(&test, &Silent).unwrap();
    assert_eq!(report.verdict, Verdict::Failed, "{report}");
    assert_eq!(failed(&report), ["typed"]);
}

#[test]
fn a_bare_kernel_is_measured_by_its_own_clock() {
    let fixture = Fixture::new();
    let test = fixture.test("good");
    let bare = bare_kernel(fixture.kernel(), "quiet", &test, &Silent).unwrap();
    assert!(bare.time > Duration::from_millis(10), "{bare:?}");
    let missing = fixture.kernel().with_file_name("missing");
    let error = bare_kernel(&missing, "quiet", &test, &Silent).unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_made() {
    let fixture = Fixture::new();
    let mut test = fixture.test("good");
    test.plan = vec![Step::Reboot(RebootBy::Reset)];
    assert!(matches!(run(&test, &Silent), Err(Error::Plan { .. })));
    test.plan = vec![Step::Boot, Step::Boot];
    assert!(matches!(run(&test, &Silent), Err(Error::Plan { .. })));
    test.plan = vec![Step::Boot];
    test.image = test.image.with_file_name("missing.img");
    let error = run(&test, &Silent).unwrap_err();
    assert!(error.to_string().contains("missing.img"), "{error}");
    let mut test = fixture.test("good");
    test.variables = Some(test.image.clone());
    assert!(matches!(run(&test, &Silent), Err(Error::Plan { .. })));
    let mut test = fixture.test("good");
    test.drives = vec![Drive {
        image: test.image.clone(),
        serial: "a,b".to_owned(),
        interface: DiskInterface::Virtio,
    }];
    let error = run(&test, &Silent).unwrap_err();
    assert!(error.to_string().contains("serial number"), "{error}");
    assert!(!test.work_folder.exists());
}
