//! `lock`: which packages an image is made from, exactly.

use super::print_json;
use crate::context::{Context, InputSettings};
use crate::options::{Global, Inputs, Selection};
use fortress_pipeline::Signing;
use fortress_trust::PublicKeys;
use std::process::ExitCode;

/// Resolve the packages of an image and write them down: name, version, size and SHA-256 of each
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    inputs: Inputs,
}

pub(crate) fn run(options: &Options, global: &Global) -> anyhow::Result<ExitCode> {
    let context = Context::new(global, &options.inputs)?;
    let plan = context.plan(&options.selection)?;
    // Nothing is signed here.
    let keys = PublicKeys::default();
    let settings = context.settings(InputSettings {
        inputs: &options.inputs,
        plan: &plan,
        output: "output".into(),
        strict: false,
        keys: &keys,
        signing: Signing::Later,
    })?;
    let sources = fortress_pipeline::sources(&plan, &settings)?;
    let lock = fortress_pipeline::lock(&plan, &sources, &settings)?;
    if global.json {
        print_json(&lock)?;
    } else {
        let bytes: u64 = lock.packages.iter().map(|package| package.size).sum();
        println!(
            "{}: {} packages, {}",
            settings.lock_path.display(),
            lock.packages.len(),
            crate::progress::bytes(bytes)
        );
    }
    Ok(ExitCode::SUCCESS)
}
