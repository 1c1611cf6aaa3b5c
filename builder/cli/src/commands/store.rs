//! `store`: looks after what is kept between builds.

use super::print_json;
use crate::context;
use crate::options::Global;
use anyhow::bail;
use clap::Subcommand;
use fortress_store::Policy;
use std::process::ExitCode;
use std::time::Duration;

/// Look after the store of downloads and of what is kept between builds
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Remove what no build has used lately
    Gc {
        /// Keep what was used in so many days
        #[arg(long, value_name = "DAYS", default_value_t = 30)]
        days: u32,
        /// Then remove the longest unused until so many MiB are left
        #[arg(long, value_name = "MIB")]
        most: Option<u64>,
    },
    /// Read everything again, and name what is damaged
    Verify {
        /// Remove what is damaged; the next build downloads it again
        #[arg(long)]
        remove: bool,
    },
    /// Print where the store is
    Path,
}

pub(crate) fn run(options: &Options, global: &Global) -> anyhow::Result<ExitCode> {
    let mut store = context::store(global)?;
    let terminal = context::terminal(global)?;
    match &options.command {
        Command::Path => println!("{}", store.path().display()),
        Command::Gc { days, most } => {
            let policy = Policy {
                unused_for: Some(Duration::from_secs(u64::from(*days) * 86400)),
                at_most: most.map(|mib| mib << 20),
                ..Policy::default()
            };
            let collected = store.gc(&policy)?;
            match global.json {
                true => print_json(&collected)?,
                false => println!("{collected}"),
            }
        }
        Command::Verify { remove } => {
            let verified = store.verify(*remove, &terminal)?;
            match global.json {
                true => print_json(&verified)?,
                false => println!("{verified}"),
            }
            if !verified.damaged.is_empty() && !remove {
                bail!("{} files of the store are damaged", verified.damaged.len());
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
