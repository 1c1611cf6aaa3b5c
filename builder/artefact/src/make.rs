//! Makes artefacts, each whole or not at all.

use crate::compress::{self, Digests};
use crate::{Error, Result, block_map, list};
use fortress_disk::PartialFile;
use fortress_pipeline::manifest::Manifest;
use fortress_progress::{Observer, Unit};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// A kind of artefact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `NAME.img.zst`: compressed with Zstandard (RFC 8878).
    Zstd,
    /// `NAME.img.xz`: compressed with xz, which every flashing tool knows.
    Xz,
    /// `NAME.bmap`: which blocks hold data, for bmaptool.
    BlockMap,
    /// `NAME.os_list.json`: an entry for the list of Raspberry Pi Imager.
    OsList,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Zstd, Self::Xz, Self::BlockMap, Self::OsList];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zst",
            Self::Xz => "xz",
            Self::BlockMap => "bmap",
            Self::OsList => "os-list",
        }
    }

    /// How its file's name ends, after that of the image without `.img`.
    pub fn ending(self) -> &'static str {
        let [zstd, xz, block_map, os_list] = fortress_pipeline::PACKED;
        match self {
            Self::Zstd => zstd,
            Self::Xz => xz,
            Self::BlockMap => block_map,
            Self::OsList => os_list,
        }
    }
}

/// An artefact that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artefact {
    /// What it is.
    pub kind: Kind,
    /// Where it is.
    pub path: PathBuf,
    /// Its length in bytes.
    pub length: u64,
}

/// Makes artefacts beside an image. An entry for the list needs a compressed copy to point to: the
/// xz one if that is asked for, else the Zstandard one, else the image itself.
///
/// # Errors
/// When the image cannot be read or is not of the manifest's length, a file cannot be written, or an
/// entry for the list is asked of an image for no Raspberry Pi.
pub fn make(
    image: &Path,
    manifest: &Manifest,
    kinds: &[Kind],
    observer: &dyn Observer,
) -> Result<Vec<Artefact>> {
    let file = File::open(image).map_err(Error::file("read", image))?;
    let length = file.metadata().map_err(Error::file("read", image))?.len();
    if length != manifest.image.length {
        return Err(Error::Length {
            path: image.to_owned(),
            found: length,
            expected: manifest.image.length,
        });
    }
    let wants = |kind| kinds.contains(&kind);
    if wants(Kind::OsList) {
        list::must_be_possible(manifest)?;
    }
    let mut made = Vec::new();
    let mut digests: Option<(Kind, Digests)> = None;
    for kind in [Kind::Zstd, Kind::Xz] {
        if !wants(kind) {
            continue;
        }
        let path = beside(image, kind);
        let name = format!("compress ({})", kind.name());
        let found = whole(&path, |out| {
            let stage = observer.stage(&name, Some(length), Unit::Bytes);
            compress::compress(&file, image, kind, out, &*stage, observer)
        })?;
        digests = Some((kind, found));
        made.push(artefact(kind, path)?);
    }
    if wants(Kind::BlockMap) {
        let path = beside(image, Kind::BlockMap);
        let text = block_map::text(&file, image, length, observer)?;
        whole(&path, |out| write(out, &path, &text))?;
        made.push(artefact(Kind::BlockMap, path)?);
    }
    if wants(Kind::OsList) {
        let path = beside(image, Kind::OsList);
        let (ending, digests) = match digests {
            Some((kind, digests)) => (kind.ending(), digests),
            None => (".img", compress::plain(&file, image, observer)?),
        };
        let text = list::text(manifest, ending, &digests);
        whole(&path, |out| write(out, &path, &text))?;
        made.push(artefact(Kind::OsList, path)?);
    }
    Ok(made)
}

/// The path of an artefact.
fn beside(image: &Path, kind: Kind) -> PathBuf {
    let name = image.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".img").unwrap_or(&name);
    image.with_file_name(format!("{stem}{}", kind.ending()))
}

fn artefact(kind: Kind, path: PathBuf) -> Result<Artefact> {
    let length = fs::metadata(&path)
        .map_err(Error::file("read", &path))?
        .len();
    Ok(Artefact { kind, path, length })
}

fn write(out: &mut dyn Write, path: &Path, text: &str) -> Result<()> {
    out.write_all(text.as_bytes())
        .map_err(Error::file("write", path))
}

/// Makes a file that appears when it is whole.
fn whole<T>(path: &Path, fill: impl FnOnce(&mut dyn Write) -> Result<T>) -> Result<T> {
    let failed = || Error::file("write", path);
    let file = PartialFile::create(path).map_err(failed())?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let value = fill(&mut out)?;
    let file = out
        .into_inner()
        .map_err(|error| failed()(error.into_error()))?;
    file.file().sync_all().map_err(failed())?;
    file.finish().map_err(failed())?;
    Ok(value)
}
