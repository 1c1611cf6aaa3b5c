//! `attach`: puts published signatures on a rebuild.

use super::sign;
use crate::context;
use crate::failure::{NOT_SIGNED, Said};
use crate::options::Global;
use anyhow::Result;
use fortress_pipeline::Join;
use fortress_trust::Blank;
use std::path::PathBuf;
use std::process::ExitCode;

/// Put an owner's published signatures on an image that you have rebuilt
///
/// The image is built with '--sign later' and '--keys FOLDER', the public halves that the owner has
/// published ('fortress-build keys export'). If it is the same image, to the byte, the owner's
/// signatures fit, and what comes out is what the owner published. If it is not, this says which
/// signatures do not fit, and changes nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The image
    image: PathBuf,
    /// The owner's NAME.signatures.json
    signatures: PathBuf,
}

pub(crate) fn run(options: &Options, global: &Global) -> Result<ExitCode> {
    let keys = context::keys(global)?;
    let signatures = sign::read(&options.signatures)?;
    let terminal = context::terminal(global)?;
    let joined = fortress_pipeline::join(&Join {
        image: &options.image,
        keys: keys.public(),
        signatures: &signatures,
        signer: &Blank,
        holds: &[],
        observer: &terminal,
    })?;
    if let Some(pending) = &joined.requests {
        return Err(Said {
            code: NOT_SIGNED,
            message: format!(
                "cannot attach {}: it has no signature for what was built: {}",
                options.signatures.display(),
                sign::missing(pending)
            ),
            hint: Some(
                "the image differs from the one that was signed: compare the manifests; recipe, lock, \
                 builder and keys have to be the same"
                    .into(),
            ),
        }
        .into());
    }
    sign::tell(&options.image, &joined, global)?;
    Ok(ExitCode::SUCCESS)
}
