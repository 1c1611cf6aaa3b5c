//! `manual`: man pages.

use anyhow::Context;
use clap::Command;
use std::path::PathBuf;
use std::process::ExitCode;

/// Write man pages, one a command, into a folder
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The folder, for example ~/.local/share/man/man1
    folder: PathBuf,
}

pub(crate) fn run(options: &Options, command: Command) -> anyhow::Result<ExitCode> {
    std::fs::create_dir_all(&options.folder)
        .with_context(|| format!("cannot create {}", options.folder.display()))?;
    clap_mangen::generate_to(command, &options.folder)
        .with_context(|| format!("cannot write man pages into {}", options.folder.display()))?;
    Ok(ExitCode::SUCCESS)
}
