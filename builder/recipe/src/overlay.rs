//! Finding overlays, and refusing those that are not inside of the project.

use std::path::{Component, Path, PathBuf};

use crate::check;
use crate::error::{ErrorKind, Result, nearest};
use crate::plan::{Overlay, ProjectFile};
use crate::source::Located;

/// A folder with overlays in it.
#[derive(Debug, Clone)]
pub(crate) struct OverlayFolder {
    pub(crate) path: PathBuf,
    /// As shown to people.
    pub(crate) shown: String,
}

/// Finds an overlay in the first of the folders that has it.
pub(crate) fn find(name: Located<String>, folders: &[&OverlayFolder]) -> Result<Located<Overlay>> {
    let leaves = |why: &str| {
        name.mark.error(ErrorKind::OverlayLeaves {
            name: name.value.clone(),
            why: why.to_owned(),
        })
    };
    let path = Path::new(&name.value);
    if path.is_absolute() {
        return Err(leaves("it is an absolute path; an overlay is a name"));
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(leaves("it has '..' in it; an overlay is a name"));
    }
    let plain = check::name(&name.value).is_ok();
    for folder in folders {
        let path = folder.path.join(&name.value);
        if !plain || !path.is_dir() {
            continue;
        }
        // Links may lead from one overlay to another, but not out.
        let real = std::fs::canonicalize(&path);
        let home = std::fs::canonicalize(&folder.path);
        if let (Ok(real), Ok(home)) = (real, home)
            && !real.starts_with(&home)
        {
            return Err(leaves("it is a symbolic link that leads out of it"));
        }
        let shown = format!("{}/{}", folder.shown, name.value);
        return Ok(name.map(|name| Overlay {
            name,
            folder: ProjectFile { shown, path },
        }));
    }
    let mut known: Vec<String> = folders
        .iter()
        .flat_map(|folder| names(&folder.path))
        .collect();
    known.sort();
    known.dedup();
    Err(name.mark.error(ErrorKind::Unknown {
        what: "overlay",
        nearest: nearest(&name.value, known.iter().map(String::as_str)),
        name: name.value,
        known,
    }))
}

/// Names of the overlays in a folder.
fn names(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| check::name(name).is_ok())
        .collect()
}
