//! Artefacts get their names.

use crate::manifest::Manifest;
use crate::{Built, Error, Result};
use fortress_disk::ImageFile;
use fortress_package::Archive;
use std::fs;
use std::path::Path;

/// Gives the artefacts their names: the manifest last, so that one never stands without its image.
pub(crate) fn publish(
    image: ImageFile,
    manifest: Manifest,
    path: &Path,
    archives: &[Archive],
) -> Result<Built> {
    use std::os::unix::fs::MetadataExt;
    // An old manifest must not stand beside a new image.
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io("replace", path, error));
        }
        _ => {}
    }
    let image = image.finish()?;
    let text =
        serde_json::to_string_pretty(&manifest).map_err(|error| Error::Kept(error.to_string()))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let failed = |source| Error::io("write", path, source);
    let mut file = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(failed)?;
    std::io::Write::write_all(&mut file, format!("{text}\n").as_bytes()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    let allocated = fs::metadata(&image).map_or(0, |metadata| metadata.blocks() * 512);
    let downloads = archives
        .iter()
        .filter_map(|archive| fs::metadata(&archive.path).ok());
    Ok(Built {
        image,
        manifest_path: path.to_owned(),
        manifest,
        allocated,
        downloads: downloads.map(|metadata| metadata.len()).sum(),
    })
}
