//! `doctor`: what a boot test lacks, and the line that installs it.

use super::{print_json, table};
use crate::options::Global;
use fortress_qemu::{Architecture, DoctorOptions, Need, doctor};
use std::collections::BTreeSet;
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
        let lines = install_lines(&needs);
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

/// The lines that install what is not there, with one for all packages.
pub(super) fn install_lines<'a>(needs: impl IntoIterator<Item = &'a Need>) -> Vec<String> {
    const APT: &str = "sudo apt-get install ";
    let mut packages: Vec<&str> = Vec::new();
    let mut others = Vec::new();
    for line in needs.into_iter().filter_map(|need| need.install.as_deref()) {
        match line.strip_prefix(APT) {
            Some(names) => packages.extend(names.split(' ')),
            None => others.push(line.to_owned()),
        }
    }
    let mut seen = BTreeSet::new();
    packages.retain(|name| seen.insert(*name));
    others.dedup();
    if !packages.is_empty() {
        others.insert(0, format!("{APT}{}", packages.join(" ")));
    }
    others
}
