//! `image`: builds one.

use super::{pack, print_json, test};
use crate::context::{self, Context, InputSettings};
use crate::failure::Said;
use crate::options::{Global, Inputs, Selection};
use crate::passphrase;
use fortress_pipeline::{Built, Signing};
use fortress_trust::{KeySet, Role};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Build a disk image
///
/// Resolves the recipe's packages (or takes the lock that fits), downloads and verifies what is not
/// in the store, unpacks, configures, writes the image and signs it. No package's code runs. Your keys
/// are made if there are none yet.
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
    /// When the image is signed: now, by your keys, or later, by whoever has them; for that the public
    /// halves are enough, and NAME.requests.json says what is to be signed
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = SignOption::Now)]
    sign: SignOption,
    /// Make these beside the image, to hand out, as 'fortress-build pack' does
    #[arg(long, value_name = "KIND", value_enum, value_delimiter = ',')]
    pack: Vec<pack::PackOption>,
    /// Boot the image afterwards, and read its health report
    #[arg(long)]
    test: bool,
}

/// When an image is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum SignOption {
    /// While it is built
    Now,
    /// By 'sign' or 'attach'
    Later,
}

pub(crate) fn run(options: &Options, global: &Global) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let context = Context::new(global, &options.inputs)?;
    let plan = context.plan(&options.selection)?;
    let keys = match options.sign {
        SignOption::Now => context::keys_or_new(global, &context.terminal)?,
        SignOption::Later => context::keys(global)?,
    };
    let signer;
    let signing = match options.sign {
        SignOption::Now => {
            must_have_private_halves(&keys, fortress_pipeline::roles(&plan))?;
            let passphrase = || passphrase::of_keys(global);
            signer = keys.signer(&passphrase, &context.terminal)?;
            Signing::Now(&signer)
        }
        SignOption::Later => Signing::Later,
    };
    let settings = context.settings(InputSettings {
        inputs: &options.inputs,
        plan: &plan,
        output: options.output.clone(),
        strict: options.strict,
        keys: keys.public(),
        signing,
    })?;
    if options.test {
        // Better now than after the build.
        test::must_be_possible(&plan)?;
    }
    let built = fortress_pipeline::build(&plan, &settings)?;
    if !global.json {
        summarize(&built, &settings.lock_path, started, options.test);
    }
    let packed = pack::make(
        &built.image,
        &built.manifest,
        &options.pack,
        &context.terminal,
    )?;
    if !global.json {
        pack::tell(&packed);
    }
    let report = match options.test {
        true => Some(test::boot(
            &built.image,
            &built.manifest,
            &test::BootOptions::default(),
            Some(keys.public()),
            &context.terminal,
        )?),
        false => None,
    };
    if global.json {
        print_json(&serde_json::json!({
            "image": built.image,
            "manifest": built.manifest_path,
            "requests": built.requests,
            "packed": pack::paths(&packed),
            "root_hash": built.manifest.root_hash,
            "seconds": started.elapsed().as_secs_f64(),
            "test": report,
        }))?;
    } else if let Some(report) = &report {
        print!("{report}");
    }
    Ok(report.map_or(ExitCode::SUCCESS, |report| report.exit_code().into()))
}

/// Refuses keys that cannot sign all of an image, before the work.
fn must_have_private_halves(keys: &KeySet, roles: &[Role]) -> anyhow::Result<()> {
    let missing: Vec<&str> = roles
        .iter()
        .filter(|role| !keys.has_private(**role))
        .map(|role| role.name())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Said {
        code: 1,
        message: format!(
            "cannot sign the image: the keys in {} have no private half for {}",
            keys.folder().display(),
            missing.join(", ")
        ),
        hint: Some(
            "'--sign later' builds it for these keys, and 'fortress-build sign' puts signatures in \
             that are made elsewhere"
                .into(),
        ),
    }
    .into())
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
    if let Some(requests) = &built.requests {
        println!("to sign    {}", requests.display());
    }
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
        let command = match built.requests {
            None => "test",
            Some(_) => "sign",
        };
        println!("next       {program} {command} {}", built.image.display());
    }
}
