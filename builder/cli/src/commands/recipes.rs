//! `recipes`: what images there are, and from what they can be made.

use super::{print_json, table};
use crate::context;
use crate::options::Global;
use std::process::ExitCode;

/// List the recipes, and the bases that they can be built from
#[derive(Debug, clap::Args)]
pub(crate) struct Options {}

pub(crate) fn run(_options: &Options, global: &Global) -> anyhow::Result<ExitCode> {
    let library = context::library(global)?;
    let (recipes, bases) = (library.recipes()?, library.bases()?);
    if global.json {
        print_json(&serde_json::json!({ "recipes": recipes, "bases": bases }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![
        ["RECIPE", "VERSION", "HOME BASE", "DESCRIPTION"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(recipes.into_iter().map(|recipe| {
        let version = recipe.version.unwrap_or_else(|| "(part)".into());
        vec![
            recipe.name,
            version,
            recipe.base.unwrap_or_default(),
            recipe.description,
        ]
    }));
    table::print(&rows);
    println!();
    let mut rows = vec![
        ["BASE", "RELEASE", "DESCRIPTION"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(
        bases
            .into_iter()
            .map(|base| vec![base.name, base.release, base.description]),
    );
    table::print(&rows);
    Ok(ExitCode::SUCCESS)
}
