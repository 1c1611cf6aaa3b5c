//! From what was seen to a verdict.

use crate::health::{Check, HealthReport, Outcome};
use crate::machine::{BootTest, Expectation, Firmware};
use crate::patterns::Finding;
use crate::report::{Boot, Verdict};
use crate::sockets::AllowedSocket;
use crate::watch::{End, Seen};

/// A verdict, why, and the checks that led to it.
#[derive(Debug)]
pub(crate) struct Judgement {
    pub(crate) verdict: Verdict,
    pub(crate) summary: String,
    pub(crate) checks: Vec<Check>,
}

/// Judges what was seen of a machine, and whether its image is what it was.
pub(crate) fn judge(test: &BootTest, seen: &Seen, unchanged: bool) -> Judgement {
    let mut judgement = match test.expectation {
        Expectation::Passes => judge_boot(test, seen),
        Expectation::Caught => judge_alteration(seen),
    };
    judgement.checks.push(check(
        "image unchanged",
        unchanged,
        if unchanged {
            "its SHA-256 is the same before and after"
        } else {
            "its SHA-256 differs before and after"
        },
    ));
    if !unchanged {
        judgement.verdict = Verdict::ImageChanged;
        judgement.summary =
            "the image file changed while it was tested; what was seen says nothing about it"
                .to_owned();
    }
    judgement
}

fn judge_boot(test: &BootTest, seen: &Seen) -> Judgement {
    let mut checks = Vec::new();
    for (at, boot) in seen.boots.iter().enumerate() {
        checks_of_boot(test, at + 1, boot, &mut checks);
    }
    compare_boots(test, &seen.boots, &mut checks);
    checks.push(console(seen));
    if !test.typed.is_empty() {
        let texts: Vec<String> = seen
            .untyped
            .iter()
            .map(|typing| format!("{:?} did not come", typing.after))
            .collect();
        checks.push(check("typed", texts.is_empty(), &list(&texts)));
    }
    let (verdict, summary) = match told(seen, seen.boots.len()) {
        Some(told) => told,
        None => {
            let failed: Vec<&str> = checks
                .iter()
                .filter(|check| check.outcome == Outcome::Failed)
                .map(|check| check.name.as_str())
                .collect();
            if failed.is_empty() {
                let boots = seen.boots.len();
                let plural = if boots == 1 { "" } else { "s" };
                (
                    Verdict::Passed,
                    format!("{boots} boot{plural} to a passed health report"),
                )
            } else {
                (
                    Verdict::Failed,
                    format!("{} failed: {}", count(failed.len()), failed.join(", ")),
                )
            }
        }
    };
    if verdict != Verdict::Passed && verdict != Verdict::Failed {
        checks.insert(0, check("plan", false, &summary));
    }
    Judgement {
        verdict,
        summary,
        checks,
    }
}

fn count(checks: usize) -> String {
    match checks {
        1 => "1 check".to_owned(),
        more => format!("{more} checks"),
    }
}

/// The verdict when the plan was not gone through to its last report.
fn told(seen: &Seen, boots: usize) -> Option<(Verdict, String)> {
    let stage = seen.boots.last().map_or("", |boot| boot.stage.as_str());
    let boot = format!("boot {boots}");
    Some(match &seen.end {
        End::Reported => return None,
        End::Malformed(why) => (Verdict::Failed, format!("{boot}: {why}")),
        End::Line(finding) => (
            Verdict::Crashed,
            format!(
                "{boot} ended in {stage}: {} ({})",
                finding.why, finding.line
            ),
        ),
        End::Restarted => (
            Verdict::Crashed,
            format!("{boot}: the guest restarted before it reported; it stood in {stage}"),
        ),
        End::WentDown => (
            Verdict::Crashed,
            format!(
                "{boot}: the guest switched itself off before it reported; it stood in {stage}"
            ),
        ),
        End::Stopped(state) => (
            Verdict::Crashed,
            format!("{boot}: the emulator stopped the machine ({state}); it stood in {stage}"),
        ),
        End::EmulatorEnded(said) => (
            Verdict::Crashed,
            format!("{boot}: the emulator ended; it said: {said}; the guest stood in {stage}"),
        ),
        End::Silent => (
            Verdict::Crashed,
            format!("{boot}: nothing came from the machine"),
        ),
        End::Timeout => (
            Verdict::Timeout,
            format!("{boot}: no health report in time; it stood in {stage}"),
        ),
        End::StayedUp => (
            Verdict::Timeout,
            format!("the guest did not go down after {boot}, as it was to"),
        ),
        End::Left => (
            Verdict::Failed,
            format!("{boot}: the console was left before the guest reported; it stood in {stage}"),
        ),
    })
}

fn checks_of_boot(test: &BootTest, number: usize, boot: &Boot, checks: &mut Vec<Check>) {
    let Some(health) = &boot.health else {
        return;
    };
    let name = |name: &str| format!("boot {number}: {name}");
    for own in &health.checks {
        checks.push(Check {
            name: name(&own.name),
            ..own.clone()
        });
    }
    // What the guest calls well is looked at again where the report lets it be seen from outside.
    let contradicts = health.verdict != Outcome::Passed
        && !health
            .checks
            .iter()
            .any(|own| own.outcome == Outcome::Failed);
    if contradicts {
        checks.push(check(
            &name("verdict"),
            false,
            "the guest says that it failed, and no check of it says why",
        ));
    }
    checks.push(root(&name("verified root"), health));
    if test.firmware == (Firmware::Uefi { secure_boot: true }) {
        let detail = match boot.secure_boot {
            true => "on, as the guest says",
            false => "not on: the image brought no keys to enrol, or they were not taken",
        };
        checks.push(check(&name("Secure Boot"), boot.secure_boot, detail));
    }
    if let Some(wanted) = &test.command_line {
        let same = health.command_line == *wanted;
        let detail = match same {
            true => "what the image gives, and nothing else".to_owned(),
            false => format!("the kernel got {:?}", health.command_line),
        };
        checks.push(check(&name("command line"), same, &detail));
    }
    checks.push(sockets(&name("allowed sockets"), test, health));
    checks.push(check(
        &name("failed units"),
        health.failed_units.is_empty(),
        &list(&health.failed_units),
    ));
}

fn root(name: &str, health: &HealthReport) -> Check {
    let root = &health.root;
    let digits =
        root.root_hash.len() >= 64 && root.root_hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut lacks = Vec::new();
    if !root.verity {
        lacks.push("is not a verity device");
    }
    if !root.read_only {
        lacks.push("can be written");
    }
    if !digits {
        lacks.push("has no root hash");
    }
    let detail = if lacks.is_empty() {
        format!("{} is read-only, root hash {}", root.device, root.root_hash)
    } else {
        format!("the root {:?} {}", root.device, lacks.join(", "))
    };
    check(name, lacks.is_empty(), &detail)
}

fn sockets(name: &str, test: &BootTest, health: &HealthReport) -> Check {
    let others: Vec<String> = health
        .sockets
        .iter()
        .filter(|socket| {
            !test
                .allowed_sockets
                .iter()
                .any(|allowed: &AllowedSocket| allowed.allows(socket))
        })
        .map(ToString::to_string)
        .collect();
    check(name, others.is_empty(), &list(&others))
}

fn list(items: &[String]) -> String {
    if items.is_empty() {
        "none".to_owned()
    } else {
        items.join(", ")
    }
}

/// What must be the same, and what must differ, from boot to boot.
fn compare_boots(test: &BootTest, boots: &[Boot], checks: &mut Vec<Check>) {
    if test.plan.len() < 2 {
        return;
    }
    let reports: Vec<&HealthReport> = boots
        .iter()
        .filter_map(|boot| boot.health.as_ref())
        .collect();
    if reports.len() < 2 {
        let detail = "the machine did not report twice";
        checks.push(Check {
            name: "machine-id kept".to_owned(),
            outcome: Outcome::Skipped,
            detail: detail.to_owned(),
        });
        return;
    }
    let pairs = || reports.windows(2);
    let id = |report: &HealthReport| report.machine_id.clone();
    let ids: Vec<String> = reports.iter().map(|report| id(report)).collect();
    checks.push(check(
        "machine-id kept",
        pairs().all(|pair| pair[0].machine_id == pair[1].machine_id),
        &ids.join(", then "),
    ));
    checks.push(check(
        "boot-id new",
        pairs().all(|pair| pair[0].boot_id != pair[1].boot_id),
        "each boot has its own",
    ));
    checks.push(check(
        "root hash kept",
        pairs().all(|pair| pair[0].root.root_hash == pair[1].root.root_hash),
        &reports[0].root.root_hash,
    ));
}

fn console(seen: &Seen) -> Check {
    let failing: Vec<&Finding> = seen
        .findings
        .iter()
        .filter(|finding| finding.allowed.is_none())
        .collect();
    let detail = match failing.as_slice() {
        [] => "no line that fails a boot".to_owned(),
        [first, ..] => format!(
            "{} lines that fail a boot, the first: {}: {}",
            failing.len() + seen.left_out,
            first.pattern,
            first.line
        ),
    };
    check("console", failing.is_empty(), &detail)
}

fn judge_alteration(seen: &Seen) -> Judgement {
    let passed = seen
        .boots
        .iter()
        .any(|boot| boot.health.as_ref().is_some_and(HealthReport::passed));
    let evidence = seen
        .findings
        .iter()
        .find(|finding| finding.tells_of_verification());
    let detail = match (passed, evidence) {
        (true, _) => "the altered image reached a passed health report".to_owned(),
        (false, Some(finding)) => format!("{}: {}", finding.why, finding.line),
        (false, None) => {
            let end = told(seen, seen.boots.len()).map_or(String::new(), |told| told.1);
            format!(
                "the altered image did not pass, but no line of its console says that \
                 verification failed; {end}"
            )
        }
    };
    let caught = !passed && evidence.is_some();
    let word = if caught { "caught" } else { "not caught" };
    Judgement {
        verdict: if caught {
            Verdict::Passed
        } else {
            Verdict::Failed
        },
        summary: format!("the alteration was {word}: {detail}"),
        checks: vec![check("alteration caught", caught, &detail)],
    }
}

fn check(name: &str, holds: bool, detail: &str) -> Check {
    Check {
        name: name.to_owned(),
        outcome: if holds {
            Outcome::Passed
        } else {
            Outcome::Failed
        },
        detail: detail.to_owned(),
    }
}
