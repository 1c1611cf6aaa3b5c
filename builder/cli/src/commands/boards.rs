//! `boards`: the machines that images can be built for.

use super::{print_json, table};
use crate::context;
use crate::options::Global;
use std::process::ExitCode;

/// List the machines that images can be built for
#[derive(Debug, clap::Args)]
pub(crate) struct Options {}

pub(crate) fn run(_options: &Options, global: &Global) -> anyhow::Result<ExitCode> {
    let boards = context::library(global)?.boards()?;
    if global.json {
        print_json(&boards)?;
    } else {
        let rows = boards.into_iter().map(|board| {
            vec![
                board.name,
                board.architecture.as_str().to_owned(),
                board.recipe.unwrap_or_default(),
                board.description,
            ]
        });
        let head = ["BOARD", "ARCHITECTURE", "RECIPE", "DESCRIPTION"].map(str::to_owned);
        table::print(
            &std::iter::once(head.to_vec())
                .chain(rows)
                .collect::<Vec<_>>(),
        );
    }
    Ok(ExitCode::SUCCESS)
}
