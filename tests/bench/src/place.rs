//! Where everything lies: the program, a store of its own, a copy of the project to be changed.

use crate::child::{self, Took};
use anyhow::{Context as _, Result, ensure};
use fortress_package::Archive;
use fortress_pipeline::manifest::Manifest;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What selects the image that is measured.
const IMAGE: [&str; 4] = ["--board", "x86", "--base", "debian-13"];

/// The folders of the benchmark, below `target/bench`.
#[derive(Debug)]
pub(crate) struct Place {
    program: PathBuf,
    folder: PathBuf,
}

impl Place {
    /// Builds the program, copies the project, and fills the store with the bench image's
    /// packages.
    pub(crate) fn prepare() -> Result<Self> {
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let project = project.canonicalize().context("cannot find the project")?;
        let status = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
            .args(["build", "--release", "--package", "fortress-build"])
            .current_dir(&project)
            .status()
            .context("cannot start cargo")?;
        ensure!(status.success(), "cargo could not build fortress-build");
        let own = std::env::current_exe().context("cannot find this program")?;
        let profile = own.parent().context("this program is in no folder")?;
        let target = profile.parent().context("this program is in no folder")?;
        let place = Self {
            program: profile.join("fortress-build"),
            folder: target.join("bench"),
        };
        let copy = place.project();
        remove(&copy)?;
        for name in ["boards", "recipes", "overlays", "keys"] {
            copy_folder(&project.join(name), &copy.join(name))?;
        }
        // Locks are made anew: those of the project may name what has left the mirrors.
        remove(&copy.join("recipes/locks"))?;
        eprintln!("getting the packages");
        place.build("bench")?;
        Ok(place)
    }

    /// The copy of the project.
    pub(crate) fn project(&self) -> PathBuf {
        self.folder.join("project")
    }

    /// A folder for something else.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }

    /// Writes a file of the copy of the project.
    pub(crate) fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.project().join(path);
        let folder = path.parent().context("it is in no folder")?;
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, text))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Builds the image of a recipe, in the place of one that is there.
    pub(crate) fn build(&self, recipe: &str) -> Result<Took> {
        let selection = [IMAGE.as_slice(), &["--recipe", recipe]].concat();
        self.build_selected(recipe, &selection)
    }

    /// Builds an image, in the place of one that is there.
    pub(crate) fn build_selected(&self, name: &str, selection: &[&str]) -> Result<Took> {
        // What other runs have left for the disk to do is not to be counted.
        rustix::fs::sync();
        child::run(
            Command::new(&self.program)
                .current_dir(self.project())
                .env_remove("FORTRESS_PROJECT")
                .env_remove("FORTRESS_STORE")
                .arg("--quiet")
                .arg("--store")
                .arg(self.folder.join("store"))
                .arg("--keys")
                .arg(self.folder.join("keys"))
                .arg("image")
                .args(selection)
                .arg("--output")
                .arg(self.output(name)),
        )
    }

    /// Verifies an image.
    pub(crate) fn verify(&self, image: &Path) -> Result<Took> {
        child::run(
            Command::new(&self.program)
                .current_dir(self.project())
                .arg("--quiet")
                .arg("--keys")
                .arg(self.folder.join("keys"))
                .arg("verify")
                .arg(image),
        )
    }

    /// Writes an image to a file, and reads it back.
    pub(crate) fn flash(&self, image: &Path, target: &Path) -> Result<Took> {
        child::run(
            Command::new(&self.program)
                .current_dir(self.project())
                .arg("--quiet")
                .arg("--keys")
                .arg(self.folder.join("keys"))
                .arg("flash")
                .args([image, target]),
        )
    }

    /// Builds the image of a recipe when the store has its packages, and there is nothing made from
    /// them.
    pub(crate) fn build_cold(&self, recipe: &str) -> Result<Took> {
        self.build_cold_selected(recipe, &[IMAGE.as_slice(), &["--recipe", recipe]].concat())
    }

    /// Builds an image into a new folder when the store has its packages, and there is nothing made
    /// from them.
    pub(crate) fn build_cold_selected(&self, name: &str, selection: &[&str]) -> Result<Took> {
        remove(&self.folder.join("store/derived"))?;
        remove(&self.output(name))?;
        self.build_selected(name, selection)
    }

    /// The same without a signature, kept under another name.
    pub(crate) fn build_unsigned_cold(&self, recipe: &str, name: &str) -> Result<Took> {
        let selection = [IMAGE.as_slice(), &["--recipe", recipe, "--sign", "later"]].concat();
        self.build_cold_selected(name, &selection)
    }

    /// Builds the image of a recipe into a new folder, with what earlier builds have kept.
    pub(crate) fn build_anew(&self, recipe: &str) -> Result<Took> {
        remove(&self.output(recipe))?;
        self.build(recipe)
    }

    fn output(&self, recipe: &str) -> PathBuf {
        self.folder.join("output").join(recipe)
    }

    /// The image that was built of a recipe, and its manifest.
    pub(crate) fn image(&self, recipe: &str) -> Result<(PathBuf, Manifest)> {
        let output = self.output(recipe);
        let folder =
            fs::read_dir(&output).with_context(|| format!("cannot read {}", output.display()))?;
        for entry in folder {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "img") {
                let manifest = path.with_extension("manifest.json");
                let text = fs::read_to_string(&manifest)
                    .with_context(|| format!("cannot read {}", manifest.display()))?;
                return Ok((path, serde_json::from_str(&text)?));
            }
        }
        anyhow::bail!("there is no image in {}", output.display())
    }

    /// The packages of an image, in the store.
    pub(crate) fn packages(&self, manifest: &Manifest) -> Vec<Archive> {
        let blobs = self.folder.join("store/blobs");
        manifest
            .packages
            .iter()
            .map(|package| Archive {
                name: package.name.clone(),
                path: blobs.join(&package.sha256[..2]).join(&package.sha256),
                // Their digests were checked when they came.
                sha256: None,
            })
            .collect()
    }
}

/// Removes a file or folder, if it is there.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    removed.with_context(|| format!("cannot remove {}", path.display()))
}

/// Copies a folder of plain files, links and folders.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    let failed = || format!("cannot copy {}", from.display());
    fs::create_dir_all(to).with_context(failed)?;
    for entry in fs::read_dir(from).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().with_context(failed)?;
        if kind.is_dir() {
            copy_folder(&from, &to)?;
        } else if kind.is_symlink() {
            let target = fs::read_link(&from).with_context(failed)?;
            std::os::unix::fs::symlink(target, to).with_context(failed)?;
        } else {
            fs::copy(&from, &to).with_context(failed)?;
        }
    }
    Ok(())
}
