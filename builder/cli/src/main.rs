//! `fortress-build`: signed, dm-verity protected disk images from TOML recipes.
//!
//! This crate is the command line alone: one file a command, what they share in `context`, how
//! errors look in `failure`. The work is done by the libraries.

// First: its macros are for all that follow.
#[macro_use]
mod output;

mod arguments;
mod commands;
mod context;
mod failure;
mod progress;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = arguments::Arguments::parse();
    match commands::run(&arguments) {
        Ok(code) => code,
        Err(error) => failure::report(&error, &arguments.global),
    }
}
