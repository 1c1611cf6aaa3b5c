//! What a guest says in a boot test: its health report, and lines on its console.
#![no_main]

use fortress_qemu::{HealthReport, patterns};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(report) = HealthReport::read(data) {
        let _ = (report.passed(), report.says_secure_boot());
    }
    patterns::find(&String::from_utf8_lossy(data));
});
