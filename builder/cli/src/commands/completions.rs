//! `completions`: for shells.

use clap::Command;
use clap_complete::Shell;
use std::process::ExitCode;

/// Print completions for a shell
///
/// For bash: fortress-build completions bash > ~/.local/share/bash-completion/completions/fortress-build
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(options: &Options, mut command: Command) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut command, "fortress-build", &mut script);
    print!("{}", String::from_utf8_lossy(&script));
    Ok(ExitCode::SUCCESS)
}
