//! What the command line takes.

use crate::commands::{
    boards, completions, doctor, image, lock, manual, plan, recipes, store, test,
};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Exit codes, as `--help` and the manual tell them.
const EXIT_CODES: &str = "\
Exit codes:
  0    done, or the boot test passed
  1    the command failed
  2    the command line is wrong
  3    a recipe, board, base or overlay is wrong
  4    inputs cannot be had, or are not what they claim to be
  10   boot test: a check failed
  11   boot test: no report came in time
  12   boot test: the machine crashed
  13   boot test: it could not be run
  14   boot test: the image was changed
  130  interrupted";

const EXAMPLES: &str = "\
Examples:
  fortress-build image --board x86 --base debian-13 --test
  fortress-build plan --board x86 | less
  fortress-build test output/host_0.1.0_x86_debian-13.img";

/// Builds dm-verity protected disk images from TOML recipes, and boots them to prove it.
///
/// Needs no root and no other program: only the boot test uses QEMU ('fortress-build doctor' says
/// what it lacks).
#[derive(Debug, Parser)]
#[command(name = "fortress-build", version, after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// The project folder, with boards/, recipes/ and overlays/ in it [default: found upward
    /// from here]
    #[arg(long, global = true, value_name = "FOLDER", env = "FORTRESS_PROJECT")]
    pub(crate) project: Option<PathBuf>,
    /// The store of downloads [default: fortress/store in your cache folder]
    #[arg(long, global = true, value_name = "FOLDER", env = "FORTRESS_STORE")]
    pub(crate) store: Option<PathBuf>,
    /// Machine-readable output: JSON on standard output, progress as JSON lines on standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say nothing but results, warnings and errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Say more
    #[arg(long, short, global = true, conflicts_with = "quiet")]
    pub(crate) verbose: bool,
}

/// Which image is meant.
#[derive(Debug, Clone, Args)]
pub(crate) struct Selection {
    /// The machine that the image is for ('fortress-build boards' lists them)
    #[arg(long, short)]
    pub(crate) board: String,
    /// What is in the image [default: the board's own recipe]
    #[arg(long, short)]
    pub(crate) recipe: Option<String>,
    /// The distribution release that it is made from [default: the recipe's home base]
    #[arg(long)]
    pub(crate) base: Option<String>,
    /// A file with what differs from device to device
    #[arg(long, value_name = "FILE")]
    pub(crate) site: Option<PathBuf>,
    /// Override one value of the recipe, for example --set system.hostname=attic
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub(crate) sets: Vec<(String, String)>,
}

/// Where inputs come from.
#[derive(Debug, Clone, Args)]
pub(crate) struct Inputs {
    /// Use this address for a mirror of the base, for example --mirror main=file:///srv/debian;
    /// 'fortress-build plan' shows the names of the base's mirrors
    #[arg(long = "mirror", value_name = "MIRROR=URL", value_parser = key_and_value)]
    pub(crate) mirrors: Vec<(String, String)>,
    /// Touch no network: what is not in the store is an error
    #[arg(long)]
    pub(crate) offline: bool,
    /// The lock file [default: recipes/locks/RECIPE-BOARD-BASE.toml]
    #[arg(long, value_name = "FILE")]
    pub(crate) lock: Option<PathBuf>,
    /// Build from the lock as it is, or fail
    #[arg(long, conflicts_with = "update")]
    pub(crate) locked: bool,
    /// Make a new lock from today's archives
    #[arg(long)]
    pub(crate) update: bool,
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("it has to be KEY=VALUE".into()),
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Image(image::Options),
    Test(test::Options),
    Plan(plan::Options),
    Boards(boards::Options),
    Recipes(recipes::Options),
    Lock(lock::Options),
    Store(store::Options),
    Doctor(doctor::Options),
    Completions(completions::Options),
    Manual(manual::Options),
}
