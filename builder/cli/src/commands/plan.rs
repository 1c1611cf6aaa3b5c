//! `plan`: everything that a build would do, and where each value comes from.

use super::{print_json, table};
use crate::arguments::{Global, Selection};
use crate::context;
use std::process::ExitCode;

/// Show everything that a build would do, and where each value comes from, without doing it
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    selection: Selection,
}

pub(crate) fn run(options: &Options, global: &Global) -> anyhow::Result<ExitCode> {
    let plan = context::plan(&options.selection, global)?;
    if global.json {
        print_json(&plan)?;
    } else {
        let head = ["KEY", "VALUE", "FROM"].map(str::to_owned).to_vec();
        let rows = plan
            .explain()
            .into_iter()
            .map(|(key, value, origin)| vec![key, value, origin]);
        table::print(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
    }
    Ok(ExitCode::SUCCESS)
}
