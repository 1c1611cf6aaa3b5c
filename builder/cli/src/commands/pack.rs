//! `pack`: makes of an image what is handed out.

use super::print_json;
use crate::context;
use crate::options::Global;
use anyhow::{Context as _, Result};
use fortress_artefact::{Artefact, Kind};
use fortress_pipeline::manifest::Manifest;
use fortress_progress::Observer;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Make compressed copies and block maps of an image, to hand out
///
/// They are written beside the image, and are the same bytes on any machine. The image's manifest
/// vouches for compressed copies too: 'fortress-build verify NAME.img.zst' and 'flash' unpack them on
/// the way.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The image
    image: PathBuf,
    /// What to make
    #[arg(required = true, value_enum)]
    kinds: Vec<PackOption>,
}

/// What can be made of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PackOption {
    /// NAME.img.zst: compressed with Zstandard, quick to pack and unpack
    Zst,
    /// NAME.img.xz: compressed with xz, smaller and slow
    Xz,
    /// NAME.bmap: which blocks hold data, for bmaptool
    Bmap,
    /// NAME.os_list.json: an entry for Raspberry Pi Imager, pointing to the compressed copy made
    /// with it
    OsList,
}

impl PackOption {
    fn kind(self) -> Kind {
        match self {
            Self::Zst => Kind::Zstd,
            Self::Xz => Kind::Xz,
            Self::Bmap => Kind::BlockMap,
            Self::OsList => Kind::OsList,
        }
    }
}

pub(crate) fn run(options: &Options, global: &Global) -> Result<ExitCode> {
    let path = options.image.with_extension("manifest.json");
    let text = fs::read(&path).with_context(|| {
        format!(
            "cannot read {}, the manifest that belongs to the image",
            path.display()
        )
    })?;
    let manifest = Manifest::from_json(&text)
        .with_context(|| format!("cannot use the manifest {}", path.display()))?;
    let terminal = context::terminal(global)?;
    let made = make(&options.image, &manifest, &options.kinds, &terminal)?;
    drop(terminal);
    match global.json {
        true => print_json(&paths(&made))?,
        false => tell(&made),
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes artefacts beside an image.
pub(crate) fn make(
    image: &Path,
    manifest: &Manifest,
    kinds: &[PackOption],
    observer: &dyn Observer,
) -> Result<Vec<Artefact>> {
    let kinds: Vec<Kind> = kinds.iter().map(|kind| kind.kind()).collect();
    Ok(fortress_artefact::make(image, manifest, &kinds, observer)?)
}

/// Says what was made.
pub(crate) fn tell(made: &[Artefact]) {
    for artefact in made {
        println!(
            "packed     {} ({})",
            artefact.path.display(),
            crate::progress::bytes(artefact.length)
        );
    }
}

/// Where artefacts are, for JSON.
pub(crate) fn paths(made: &[Artefact]) -> Vec<&Path> {
    made.iter()
        .map(|artefact| artefact.path.as_path())
        .collect()
}
