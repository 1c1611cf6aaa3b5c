//! The commands, a file each.

pub(crate) mod boards;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod image;
pub(crate) mod lock;
pub(crate) mod manual;
pub(crate) mod plan;
pub(crate) mod recipes;
pub(crate) mod store;
mod table;
pub(crate) mod test;

use crate::arguments::{Arguments, Command};
use std::process::ExitCode;

/// Runs what the command line says.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let global = &arguments.global;
    match &arguments.command {
        Command::Image(options) => image::run(options, global),
        Command::Test(options) => test::run(options, global),
        Command::Plan(options) => plan::run(options, global),
        Command::Boards(options) => boards::run(options, global),
        Command::Recipes(options) => recipes::run(options, global),
        Command::Lock(options) => lock::run(options, global),
        Command::Store(options) => store::run(options, global),
        Command::Doctor(options) => doctor::run(options, global),
        Command::Completions(options) => completions::run(options),
        Command::Manual(options) => manual::run(options),
    }
}

/// Prints a result as JSON.
fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
