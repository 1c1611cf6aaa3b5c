//! A program run to its end: how long it took, and how much memory at its peak.

use anyhow::{Context as _, Result, bail};
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a run took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Took {
    /// From its start to its end.
    pub(crate) time: Duration,
    /// The most memory that it had resident (`VmHWM`), in MiB.
    pub(crate) memory: f64,
}

/// Runs a command whose success counts.
pub(crate) fn run(command: &mut Command) -> Result<Took> {
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    // The kernel keeps the peak for as long as the process has memory; it is gone at its end, so
    // it is asked for again and again.
    let status = format!("/proc/{}/status", child.id());
    let watcher = std::thread::spawn(move || {
        let mut peak: u64 = 0;
        while let Ok(text) = fs::read_to_string(&status) {
            let Some(line) = text.lines().find(|line| line.starts_with("VmHWM:")) else {
                break;
            };
            let kibibytes = line.split_whitespace().nth(1).and_then(|n| n.parse().ok());
            peak = peak.max(kibibytes.unwrap_or(0));
            std::thread::sleep(Duration::from_millis(4));
        }
        peak
    });
    let mut errors = String::new();
    if let Some(pipe) = &mut child.stderr {
        std::io::Read::read_to_string(pipe, &mut errors).context("its errors")?;
    }
    let status = child.wait().context("cannot wait for it")?;
    let time = start.elapsed();
    let peak = watcher.join().unwrap_or_default();
    if !status.success() {
        bail!("{command:?}: {status}\n{errors}");
    }
    Ok(Took {
        time,
        memory: peak as f64 / 1024.0,
    })
}
