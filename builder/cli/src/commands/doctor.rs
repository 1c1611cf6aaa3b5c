//! `doctor`: what a boot test lacks, and the line that installs it.

use super::{print_json, table};
use crate::arguments::Global;
use fortress_qemu::{Architecture, DoctorOptions, doctor};
use std::process::ExitCode;

/// Say what a boot test lacks on this machine, and the line that installs it
///
/// Building needs nothing: only boot tests use other programs.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Look for what arm64 images need, too
    #[arg(long)]
    arm64: bool,
}

pub(crate) fn run(options: &Options, global: &Global) -> anyhow::Result<ExitCode> {
    let mut architectures = vec![Architecture::X86_64];
    if options.arm64 {
        architectures.push(Architecture::Aarch64);
    }
    let needs = doctor(&DoctorOptions { architectures });
    let is_ready = needs.iter().all(|need| need.present || need.optional);
    if global.json {
        print_json(&needs)?;
    } else {
        let rows: Vec<Vec<String>> = needs
            .iter()
            .map(|need| {
                let state = match (need.present, need.optional) {
                    (true, _) => "ok",
                    (false, true) => "absent",
                    (false, false) => "missing",
                };
                vec![state.into(), need.what.clone(), need.detail.clone()]
            })
            .collect();
        table::print(&rows);
        let mut lines: Vec<&String> = needs
            .iter()
            .filter_map(|need| need.install.as_ref())
            .collect();
        lines.dedup();
        if !lines.is_empty() {
            println!();
        }
        for line in lines {
            println!("{line}");
        }
    }
    Ok(if is_ready {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(13)
    })
}
