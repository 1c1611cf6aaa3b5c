//! How long a kernel alone takes: what a boot's time is measured against.

use crate::accelerator;
use crate::bench::Bench;
use crate::error::{Error, Result};
use crate::machine::{BootTest, Expectation, Firmware, Network, Step};
use crate::report::Accelerator;
use crate::run::watch;
use crate::stage::guest_seconds;
use fortress_progress::Observer;
use std::path::Path;
use std::time::Duration;

/// How long a kernel may take to its panic; one that takes longer will not come to it.
const LONGEST: Duration = Duration::from_secs(180);

/// What a kernel alone took.
#[derive(Debug, Clone, PartialEq)]
pub struct BareKernel {
    /// From its start to its panic for want of a root, by its own clock, as a health report's
    /// `times.report` counts too.
    pub time: Duration,
    /// What executed it.
    pub accelerator: Accelerator,
}

/// Starts a kernel without an initrd in the machine of a test, and takes the time to its panic.
///
/// `command_line` must name no `root=` that the kernel could wait for.
///
/// # Errors
/// When the machine cannot be started, or the kernel does not get as far.
pub fn bare_kernel(
    kernel: &Path,
    command_line: &str,
    like: &BootTest,
    observer: &dyn Observer,
) -> Result<BareKernel> {
    let mut test = like.clone();
    let direct = test.direct_console();
    let device_tree = match &like.firmware {
        Firmware::Direct { device_tree, .. } => device_tree.clone(),
        Firmware::Uefi { .. } => None,
    };
    test.firmware = Firmware::Direct {
        device_tree,
        kernel: kernel.to_owned(),
        initrd: None,
        // The last console is the one that gets the panic, and it must bear its time.
        command_line: format!("{command_line} console={direct} printk.time=1"),
    };
    test.plan = vec![Step::Boot];
    test.timeout = test.timeout.min(LONGEST);
    test.expectation = Expectation::Passes;
    test.alterations = Vec::new();
    test.network = Network::None;
    test.variables = None;
    test.tpm = None;
    test.drives = Vec::new();
    test.typed = Vec::new();
    test.maker_strings = Vec::new();
    test.interactive = false;
    test.keep = false;
    test.screen = false;
    let bench = Bench::prepare(&test, observer)?;
    let outcome = watch(&bench, observer);
    bench.clean()?;
    let (seen, choice) = outcome?;
    seen.findings
        .iter()
        .find(|finding| {
            finding.pattern == "kernel-panic" && finding.line.contains("Unable to mount root fs")
        })
        .and_then(|finding| guest_seconds(&finding.line))
        .map(|seconds| BareKernel {
            time: Duration::from_secs_f64(seconds),
            accelerator: accelerator::tell(&choice),
        })
        .ok_or_else(|| Error::Plan {
            why: format!(
                "{} did not come to its panic for want of a root; its last line: {}",
                kernel.display(),
                seen.last_lines.last().map_or("none", String::as_str)
            ),
        })
}
