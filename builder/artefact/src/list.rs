//! An entry for the list of Raspberry Pi Imager
//! (<https://github.com/raspberrypi/rpi-imager>, its repository format).

use crate::compress::Digests;
use crate::{Error, Result};
use fortress_pipeline::manifest::{BootFacts, Manifest};
use serde::Serialize;

/// A list: `rpi-imager --repo FILE` takes it.
#[derive(Debug, Serialize)]
struct List<'a> {
    os_list: [Entry<'a>; 1],
}

/// An entry, by the format's own names.
#[derive(Debug, Serialize)]
struct Entry<'a> {
    name: String,
    description: String,
    /// The file's name alone: whoever publishes it puts the address before it.
    url: String,
    extract_size: u64,
    extract_sha256: &'a str,
    image_download_size: u64,
    image_download_sha256: &'a str,
    release_date: String,
    /// `none`: the imager is to put no user or network settings into the image, which could not take
    /// them.
    init_format: &'static str,
    devices: [String; 1],
}

/// Refuses images that are for other boards than Raspberry Pis.
pub(crate) fn must_be_possible(manifest: &Manifest) -> Result<()> {
    match &manifest.boot {
        BootFacts::RaspberryPi(_) => Ok(()),
        _ => Err(Error::Board {
            board: manifest.board.clone(),
        }),
    }
}

/// The list with the one entry of an image, of which the file with this ending is handed out.
pub(crate) fn text(manifest: &Manifest, ending: &str, digests: &Digests) -> String {
    let list = List {
        os_list: [Entry {
            name: format!("{} {}", manifest.name, manifest.version),
            description: format!(
                "{} {} for {}, made from {}",
                manifest.name, manifest.version, manifest.board, manifest.base
            ),
            url: format!("{}{ending}", manifest.stem()),
            extract_size: manifest.image.length,
            extract_sha256: &digests.image,
            image_download_size: digests.length,
            image_download_sha256: &digests.copy,
            release_date: fortress_trust::day(manifest.source_date_epoch.max(0) as u64),
            init_format: "none",
            devices: [format!("{}-64bit", manifest.board)],
        }],
    };
    // Texts and numbers alone: nothing that has no JSON.
    let mut text = serde_json::to_string_pretty(&list).unwrap_or_default();
    text.push('\n');
    text
}
