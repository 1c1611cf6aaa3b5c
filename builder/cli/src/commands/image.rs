//! `image`: builds one.

use super::{print_json, test};
use crate::context::{Context, InputSettings};
use crate::options::{Global, Inputs, Selection};
use fortress_pipeline::Built;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Build a disk image
///
/// Resolves the recipe's packages (or takes the lock that fits), downloads and verifies what is not
/// in the store, unpacks, configures and writes the image. No package's code runs.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    inputs: Inputs,
    /// The folder that the image goes to
    #[arg(long, short, value_name = "FOLDER", default_value = "output")]
    output: PathBuf,
    /// Refuse packages with maintainer scripts that nobody has reviewed
    #[arg(long)]
    strict: bool,
    /// Boot the image afterwards, and read its health report
    #[arg(long)]
    test: bool,
}

pub(crate) fn run(options: &Options, global: &Global) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let context = Context::new(global, &options.inputs)?;
    let plan = context.plan(&options.selection)?;
    let settings = context.settings(InputSettings {
        inputs: &options.inputs,
        plan: &plan,
        output: options.output.clone(),
        strict: options.strict,
    })?;
    if options.test {
        // Better now than after the build.
        test::must_be_possible(&plan)?;
    }
    let built = fortress_pipeline::build(&plan, &settings)?;
    if !global.json {
        summarize(&built, &settings.lock_path, started, options.test);
    }
    let report = match options.test {
        true => Some(test::boot(
            &built.image,
            &built.manifest,
            &test::BootOptions::default(),
            &context.terminal,
        )?),
        false => None,
    };
    if global.json {
        print_json(&serde_json::json!({
            "image": built.image,
            "manifest": built.manifest_path,
            "root_hash": built.manifest.root_hash,
            "seconds": started.elapsed().as_secs_f64(),
            "test": report,
        }))?;
    } else if let Some(report) = &report {
        print!("{report}");
    }
    Ok(report.map_or(ExitCode::SUCCESS, |report| report.exit_code().into()))
}

fn summarize(built: &Built, lock: &Path, started: Instant, tested: bool) {
    let manifest = &built.manifest;
    let size = crate::progress::bytes;
    println!("image      {}", built.image.display());
    println!(
        "size       {} ({} on the disk)",
        size(manifest.image.length),
        size(built.allocated)
    );
    println!("manifest   {}", built.manifest_path.display());
    println!(
        "packages   {} ({})",
        manifest.packages.len(),
        size(built.downloads)
    );
    println!("lock       {}", lock.display());
    println!("kernel     {}", manifest.kernel);
    println!("root hash  {}", manifest.root_hash);
    println!("time       {:.1} s", started.elapsed().as_secs_f64());
    if !tested {
        let program = std::env::args().next().unwrap_or_default();
        println!("next       {program} test {}", built.image.display());
    }
}
