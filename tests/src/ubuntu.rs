//! A project whose Ubuntu is an archive made for a test.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::{FixtureArchive, FixturePackage, ProjectCopy};

/// What an image asks for when its recipe is `made`, from the base `ubuntu-24.04`; beside what
/// the board asks for.
const RECIPE: &str = "\
description = \"Made for a test\"
version = \"1\"
base = \"ubuntu-24.04\"

[packages]
install = [\"tool\"]

[kernel]
flavour = \"virtual\"

[var]
encrypt = \"none\"
";

/// A copy of the project with a recipe `made`, and an archive in Ubuntu's shape whose key takes
/// the place of Ubuntu's.
#[derive(Debug)]
pub struct UbuntuProject {
    /// The project.
    pub project: ProjectCopy,
    /// The archive.
    pub archive: FixtureArchive,
    folder: tempfile::TempDir,
}

impl Default for UbuntuProject {
    fn default() -> Self {
        Self::new()
    }
}

impl UbuntuProject {
    /// With empty pockets.
    ///
    /// # Panics
    /// When it cannot be made.
    #[track_caller]
    pub fn new() -> Self {
        let folder = tempfile::tempdir_in(crate::target_folder()).unwrap();
        let mut archive = FixtureArchive::new(&folder.path().join("ubuntu"), now() - 3600);
        for pocket in ["noble", "noble-updates", "noble-security"] {
            for component in ["main", "universe"] {
                archive.component(pocket, component);
            }
        }
        let project = ProjectCopy::new();
        project.write("recipes/made.toml", RECIPE);
        project.write("keys/archive/ubuntu-archive-2018.asc", archive.public_key());
        Self {
            project,
            archive,
            folder,
        }
    }

    /// With packages that can be resolved; no image can be made from them, for they are empty.
    #[must_use]
    pub fn with_empty_packages(mut self) -> Self {
        let essential = FixturePackage::new("base-files", "1").field("Essential", "yes");
        self.add("noble", essential);
        for name in ["linux-image-virtual", "systemd-boot-efi"] {
            self.add("noble", FixturePackage::new(name, "1"));
        }
        self.add("noble", FixturePackage::new("tool", "1.0"));
        self.archive.publish();
        self
    }

    /// Adds a package to main.
    pub fn add(&mut self, pocket: &str, package: FixturePackage) -> &mut Self {
        self.archive.add(pocket, "main", package);
        self
    }

    /// Where images go.
    pub fn output(&self) -> std::path::PathBuf {
        self.folder.path().join("output")
    }

    /// Where the lock is.
    pub fn lock(&self) -> std::path::PathBuf {
        self.folder.path().join("lock.toml")
    }

    /// A store of its own.
    pub fn store(&self) -> std::path::PathBuf {
        self.folder.path().join("store")
    }

    /// A file of the archive whose path ends so.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn file(&self, ending: &str) -> std::path::PathBuf {
        fn find(folder: &Path, ending: &str) -> Option<std::path::PathBuf> {
            fs::read_dir(folder).unwrap().find_map(|entry| {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => find(&path, ending),
                    false => path.to_str()?.ends_with(ending).then_some(path),
                }
            })
        }
        find(self.archive.root(), ending).unwrap()
    }

    /// A command for this project, archive, store and lock.
    pub fn arguments(&self, command: &str) -> Vec<String> {
        let url = self.archive.url();
        let folder = |path: &Path| path.to_str().unwrap().to_owned();
        let mut arguments = vec![command.to_owned()];
        let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        option("--board", "x86".into());
        option("--recipe", "made".into());
        option("--project", folder(self.project.path()));
        option("--store", folder(&self.store()));
        option("--lock", folder(&self.lock()));
        for mirror in ["main", "security"] {
            option("--mirror", format!("{mirror}={url}"));
        }
        if command == "image" {
            option("--output", folder(&self.output()));
        }
        arguments
    }
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs() as i64
}
