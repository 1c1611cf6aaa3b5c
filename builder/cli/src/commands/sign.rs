//! `sign`: puts signatures into an image that was built without them.

use super::print_json;
use crate::failure::NOT_SIGNED;
use crate::options::Global;
use crate::{context, passphrase};
use anyhow::{Context as _, Result};
use fortress_pipeline::{Join, Joined, Pending};
use fortress_trust::{KeySet, Role, Signatures};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Sign an image that was built with '--sign later'
///
/// Puts in the signatures that were made elsewhere ('--signatures'), and makes those that your keys
/// can make. If some are missing still, NAME.requests.json says which: sign them where the keys are, by
/// 'fortress-build keys sign NAME.requests.json' or any other means, and come back with the signatures. Some
/// signatures cover others, so this can take several rounds. The result is the same, to the byte,
/// as if the image had been signed while it was built.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The image
    image: PathBuf,
    /// Signatures that were made elsewhere
    #[arg(long, value_name = "FILE")]
    signatures: Vec<PathBuf>,
}

pub(crate) fn run(options: &Options, global: &Global) -> Result<ExitCode> {
    let keys = context::keys(global)?;
    let mut signatures = Signatures::default();
    for path in &options.signatures {
        signatures.extend(read(path)?);
    }
    let terminal = context::terminal(global)?;
    let signer = keys.signer(&|| passphrase::of_keys(global), &terminal)?;
    let joined = fortress_pipeline::join(&Join {
        image: &options.image,
        keys: keys.public(),
        signatures: &signatures,
        signer: &signer,
        holds: &held(&keys),
        observer: &terminal,
    })?;
    if let Some(pending) = &joined.requests {
        pending.write()?;
    }
    tell(&options.image, &joined, global)?;
    Ok(match joined.requests {
        None => ExitCode::SUCCESS,
        Some(_) => NOT_SIGNED.into(),
    })
}

/// The roles whose private halves can be used from here.
fn held(keys: &KeySet) -> Vec<Role> {
    let roles = Role::ALL.into_iter();
    roles.filter(|role| keys.has_private(*role)).collect()
}

/// Says what came of it.
pub(super) fn tell(image: &Path, joined: &Joined, global: &Global) -> Result<()> {
    if global.json {
        let missing = joined.requests.as_ref().map(|pending| {
            let requests = pending.requests.iter();
            let requests = requests.map(
                |(request, _)| serde_json::json!({ "role": request.role, "what": request.what }),
            );
            requests.collect::<Vec<_>>()
        });
        return print_json(&serde_json::json!({
            "image": image,
            "manifest": joined.manifest_path,
            "signatures": joined.signatures,
            "missing": missing,
            "requests": joined.requests.as_ref().map(|pending| &pending.requests_path),
        }));
    }
    println!("image       {}", image.display());
    println!("signatures  {}", joined.signatures);
    match &joined.requests {
        None => println!("manifest    {}", joined.manifest_path.display()),
        Some(pending) => {
            println!("missing     {}", missing(pending));
            println!("to sign     {}", pending.requests_path.display());
            println!(
                "next        sign these, then: fortress-build sign {} --signatures FILE",
                image.display()
            );
        }
    }
    Ok(())
}

/// The missing signatures in a line.
pub(super) fn missing(pending: &Pending) -> String {
    let names: Vec<String> = pending
        .requests
        .iter()
        .map(|(request, _)| format!("{} on {}", request.role, request.what))
        .collect();
    names.join(", ")
}

/// Reads a list of signatures.
pub(super) fn read(path: &Path) -> Result<Signatures> {
    let cannot = || format!("cannot read signatures from {}", path.display());
    let bytes = std::fs::read(path).with_context(cannot)?;
    Signatures::from_json(&bytes).with_context(cannot)
}
