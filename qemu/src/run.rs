//! A test from its image's first digest to its report.

use crate::accelerator::{self, Choice};
use crate::bench::Bench;
use crate::digest;
use crate::error::{Error, Result};
use crate::evaluate::judge;
use crate::machine::{Acceleration, BootTest};
use crate::report::{Report, SecureBoot};
use crate::watch::{End, Seen, Watch};
use fortress_progress::Observer;
use std::time::Instant;

/// Runs a boot test.
///
/// The image is hashed before and after, its disk is an overlay in the test's folder, and the
/// machine ends when this returns, however it returns. The folder then holds `serial.log` and
/// `qemu.log`, and with [`BootTest::keep`] the overlay, the firmware's variables and `screen.ppm`.
///
/// # Errors
/// When it cannot be run. What goes wrong in the guest is told by the report's verdict.
pub fn run(test: &BootTest, observer: &dyn Observer) -> Result<Report> {
    let begun = Instant::now();
    let bench = Bench::prepare(test, observer)?;
    let digest_before = digest::of_file(&test.image, observer)?;
    let outcome = watch(&bench, observer);
    bench.clean()?;
    let (seen, choice) = outcome?;
    let digest_after = digest::of_file(&test.image, observer)?;
    let judgement = judge(test, &seen, digest_before == digest_after);
    Ok(Report {
        image: test.image.clone(),
        verdict: judgement.verdict,
        summary: judgement.summary,
        accelerator: accelerator::tell(&choice),
        firmware: bench.firmware(),
        secure_boot: match (bench.has_secure_boot(), seen.enrolled) {
            (false, _) => SecureBoot::Absent,
            (true, true) => SecureBoot::Enrolled,
            (true, false) if seen.boots.iter().any(|boot| boot.secure_boot) => SecureBoot::On,
            // A boot that was refused says so by that; variables without keys refuse nothing.
            (true, false) if seen.was_refused_by_firmware() => SecureBoot::On,
            (true, false) => SecureBoot::Off,
        },
        tpm: bench.tpm(),
        emulator: bench.version.clone(),
        boots: seen.boots,
        checks: judgement.checks,
        findings: seen.findings,
        digest_before,
        digest_after,
        serial_log: seen.log,
        last_lines: seen.last_lines,
        seconds: begun.elapsed().as_secs_f64(),
    })
}

/// Watches the machine, with KVM if that may work, else emulated.
pub(crate) fn watch(bench: &Bench<'_>, observer: &dyn Observer) -> Result<(Seen, Choice)> {
    let memory = accelerator::memory();
    let mut choice = bench.choose(memory.as_deref())?;
    if choice == Choice::Kvm {
        let seen = Watch::start(bench, &choice, observer)?.run()?;
        // What ends a machine from outside in its first boot is held for KVM's doing.
        let (why, lasting) = match &seen.end {
            _ if seen.boots.len() > 1 => return Ok((seen, choice)),
            End::EmulatorEnded(said) => (format!("the emulator ended: {said}"), true),
            End::Stopped(state) if state == "internal-error" => {
                ("the emulator met an internal error".to_owned(), true)
            }
            End::Silent => ("nothing came from the machine".to_owned(), false),
            _ => return Ok((seen, choice)),
        };
        if bench.test.acceleration == Acceleration::Kvm {
            return Err(Error::NoKvm { why });
        }
        if let Some(memory) = memory.filter(|_| lasting) {
            accelerator::remember(&memory, &bench.version, &why);
        }
        choice = Choice::Emulation(format!("KVM does not work here: {why}"));
    }
    if let Choice::Emulation(why) = &choice {
        observer.note(&format!("the machine is emulated (TCG): {why}"));
    }
    let seen = Watch::start(bench, &choice, observer)?.run()?;
    if let (End::EmulatorEnded(said), true) = (&seen.end, seen.last_lines.is_empty()) {
        return Err(Error::Emulator {
            emulator: bench.test.architecture.emulator().to_owned(),
            said: said.clone(),
        });
    }
    Ok((seen, choice))
}
