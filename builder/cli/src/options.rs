//! Options that commands share.

use clap::Args;
use std::path::PathBuf;

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
    /// The folder of your keys [default: fortress/keys in your data folder]
    #[arg(long, global = true, value_name = "FOLDER", env = "FORTRESS_KEYS")]
    pub(crate) keys: Option<PathBuf>,
    /// Read the keys' passphrase from this file descriptor, up to the line's end, rather than ask
    /// for it, for example --passphrase-fd 3 3< <(pass fortress)
    #[arg(long, global = true, value_name = "NUMBER")]
    pub(crate) passphrase_fd: Option<u32>,
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
