//! `verify`: whether an image is what its owner signed.

use super::{print_json, table};
use crate::context;
use crate::failure::Said;
use crate::options::Global;
use anyhow::{Context as _, Result};
use fortress_trust::{PublicKey, PublicKeys, Role, minisign};
use fortress_verification::{Outcome, Subject, Verdict, verify};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Check that an image is what you signed: signatures, partitions, hash tree, file systems
///
/// Takes an image, a disk that it was written to, or a compressed image (.zst, .xz), its manifest and
/// your public keys, and no privileges but to read them. All that is wrong is told, with the bytes
/// and the file that they belong to. docs/verify.md has the details.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The image, disk or compressed image
    image: PathBuf,
    /// Its manifest, with the signature beside it [default: NAME.manifest.json for NAME.img]
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// The public key of minisign that its manifest is signed with, as a file or the line itself, in
    /// place of a key set
    #[arg(long, value_name = "KEY")]
    public_key: Option<String>,
}

pub(crate) fn run(options: &Options, global: &Global) -> Result<ExitCode> {
    let keys = match &options.public_key {
        Some(key) => single(key)?,
        None => context::keys(global)?.public().clone(),
    };
    let terminal = context::terminal(global)?;
    let subject = Subject::open(&options.image, options.manifest.as_deref())?;
    let verdict = verify(&subject, &keys, &terminal)?;
    drop(terminal);
    match global.json {
        true => print_json(&verdict)?,
        false => print(&options.image, &verdict),
    }
    Ok(verdict.outcome.exit_code().into())
}

/// The public key of a manifest, from a file or as it is.
pub(super) fn single(key: &str) -> Result<PublicKeys> {
    let path = Path::new(key);
    let text = match path.is_file() {
        true => fs::read_to_string(path)
            .with_context(|| format!("cannot read the public key in {key}"))?,
        false => key.to_owned(),
    };
    let key = minisign::read_public_key(&text).map_err(|refusal| Said {
        code: 2,
        message: format!("--public-key {key}: {refusal}"),
        hint: Some("it takes a file of minisign's, or its line of 56 characters; 'fortress-build keys show' shows yours".into()),
    })?;
    let keys = BTreeMap::from([(Role::Manifest, PublicKey::Ed25519(key))]);
    Ok(PublicKeys::new(keys))
}

fn print(image: &Path, verdict: &Verdict) {
    let said = match verdict.outcome {
        Outcome::Good => "is what you signed",
        Outcome::NotSigned => "is not signed by you",
        Outcome::Damaged => "is damaged: it is not what you signed",
        Outcome::Foreign => "is not an image of fortress-build's",
    };
    println!("{} {said}", image.display());
    for finding in &verdict.findings {
        println!("  wrong: {finding}");
    }
    if verdict.more_findings > 0 {
        println!("  and {} more", verdict.more_findings);
    }
    let rows: Vec<Vec<String>> = verdict
        .checks
        .iter()
        .map(|check| vec![format!("  {}", check.what), check.result.clone()])
        .collect();
    table::print(&rows);
    for note in &verdict.notes {
        println!("  note: {note}");
    }
}
