//! `fortress-build`: signed, dm-verity protected disk images from TOML recipes.
//!
//! This crate is the command line alone: one file a command, what they share in `options` and `context`, how
//! errors look in `failure`. The work is done by the libraries.

// First: its macros are for all that follow.
#[macro_use]
mod output;

mod arguments;
mod commands;
mod context;
mod failure;
mod options;
mod passphrase;
mod progress;

use arguments::{Arguments, Command};
use clap::{CommandFactory, Parser};
use commands::{
    attach, boards, completions, doctor, flash, image, keys, lock, manual, pack, plan, recipes,
    sign, store, test, verify,
};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => failure::report(&error, &arguments.global),
    }
}

/// Runs what the command line says.
fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let global = &arguments.global;
    match &arguments.command {
        Command::Image(options) => image::run(options, global),
        Command::Sign(options) => sign::run(options, global),
        Command::Attach(options) => attach::run(options, global),
        Command::Flash(options) => flash::run(options, global),
        Command::Verify(options) => verify::run(options, global),
        Command::Test(options) => test::run(options, global),
        Command::Pack(options) => pack::run(options, global),
        Command::Plan(options) => plan::run(options, global),
        Command::Boards(options) => boards::run(options, global),
        Command::Recipes(options) => recipes::run(options, global),
        Command::Lock(options) => lock::run(options, global),
        Command::Keys(options) => keys::run(options, global),
        Command::Store(options) => store::run(options, global),
        Command::Doctor(options) => doctor::run(options, global),
        Command::Completions(options) => completions::run(options, Arguments::command()),
        Command::Manual(options) => manual::run(options, Arguments::command()),
    }
}
