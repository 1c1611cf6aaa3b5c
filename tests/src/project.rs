//! Projects to build from, and the image that most tests look at.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use crate::program::{Program, project_folder, target_folder};

/// A copy of the project's own boards, recipes, overlays and keys, to be changed.
#[derive(Debug)]
pub struct ProjectCopy {
    folder: tempfile::TempDir,
}

impl Default for ProjectCopy {
    fn default() -> Self {
        Self::new()
    }
}

impl ProjectCopy {
    /// As the project is.
    ///
    /// # Panics
    /// When it cannot be copied.
    #[track_caller]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["boards", "recipes", "overlays", "keys"] {
            copy(&project_folder().join(name), &folder.path().join(name));
        }
        // Locks are made for the tests: those of the project may name what has left the mirrors.
        let _ = fs::remove_dir_all(folder.path().join("recipes/locks"));
        Self { folder }
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file of it.
    ///
    /// # Panics
    /// When it cannot be written.
    #[track_caller]
    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) -> &Self {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// Replaces a text in a file of it.
    ///
    /// # Panics
    /// When the file has no such text.
    #[track_caller]
    pub fn replace(&self, path: &str, old: &str, new: &str) -> &Self {
        let text = fs::read_to_string(self.path().join(path)).unwrap();
        assert!(text.contains(old), "{path} has no {old:?}");
        self.write(path, text.replace(old, new))
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&entry.path(), &to);
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path()).unwrap(), to).unwrap();
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Files in a folder, sorted by name.
///
/// # Panics
/// When it cannot be read.
#[track_caller]
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The lock of the bench image. It is made once, and lies beside the store that holds what it
/// names, so that it is good for as long as that is.
///
/// # Panics
/// When it cannot be made.
#[track_caller]
pub fn bench_lock() -> &'static Path {
    static LOCK: OnceLock<PathBuf> = OnceLock::new();
    LOCK.get_or_init(|| {
        let path = target_folder().join("test-locks/bench-x86-debian-13.toml");
        let mut arguments = vec!["lock"];
        arguments.extend(BENCH);
        arguments.extend(["--lock", path.to_str().unwrap()]);
        Program::new(&arguments).run().success();
        path
    })
}

/// What selects the bench image.
pub const BENCH: [&str; 6] = ["--board", "x86", "--base", "debian-13", "--recipe", "bench"];

/// The arguments that build the bench image into a folder.
///
/// # Panics
/// When its lock cannot be made.
#[track_caller]
pub fn bench_arguments(output: &Path) -> Vec<String> {
    let mut arguments = vec!["image".to_owned()];
    arguments.extend(BENCH.map(str::to_owned));
    for (name, path) in [("--lock", bench_lock()), ("--output", output)] {
        arguments.extend([name.to_owned(), path.to_str().unwrap().to_owned()]);
    }
    arguments
}

/// The bench image's file name.
pub const BENCH_IMAGE: &str = "bench_1_x86_debian-13.img";
/// Its manifest's.
pub const BENCH_MANIFEST: &str = "bench_1_x86_debian-13.manifest.json";
/// The names of all documents beside it, once it is signed; sorted.
pub const BENCH_DOCUMENTS: [&str; 7] = [
    BENCH_MANIFEST,
    "bench_1_x86_debian-13.manifest.json.minisig",
    "bench_1_x86_debian-13.sha256",
    "bench_1_x86_debian-13.sha256.minisig",
    "bench_1_x86_debian-13.signatures.json",
    "bench_1_x86_debian-13.spdx.json",
    "bench_1_x86_debian-13.spdx.json.minisig",
];

/// A copy of the shared store with its downloads alone: nothing is unpacked in it.
///
/// # Panics
/// When the bench image's packages cannot be had, or the copy cannot be made.
#[track_caller]
pub fn store_of_downloads() -> tempfile::TempDir {
    static FILLED: OnceLock<()> = OnceLock::new();
    FILLED.get_or_init(|| {
        let folder = tempfile::tempdir_in(target_folder()).unwrap();
        Program::new(&bench_arguments(folder.path()))
            .run()
            .success();
    });
    let shared = target_folder().join("test-store");
    // On the same file system, so that files need no copies.
    let copy = tempfile::tempdir_in(target_folder()).unwrap();
    fs::set_permissions(copy.path(), PermissionsExt::from_mode(0o755)).unwrap();
    for name in ["CACHEDIR.TAG", "format"] {
        fs::copy(shared.join(name), copy.path().join(name)).unwrap();
    }
    for name in ["derived", "partial", "scratch", "temporary"] {
        fs::create_dir(copy.path().join(name)).unwrap();
    }
    for name in ["blobs", "documents"] {
        link_all(&shared.join(name), &copy.path().join(name));
    }
    copy
}

fn link_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => link_all(&entry.path(), &to),
            false => fs::hard_link(entry.path(), to).unwrap(),
        }
    }
}

/// The names of the bench image and of all that belongs to it, sorted.
pub fn bench_names() -> Vec<&'static str> {
    let mut names = BENCH_DOCUMENTS.to_vec();
    names.push(BENCH_IMAGE);
    names.sort_unstable();
    names
}

/// What makes two images the same: the names of the bench image and of all documents beside it, the
/// SHA-256 of the image, and what the documents say.
///
/// # Panics
/// When the image is not there.
#[track_caller]
pub fn bench_bytes(folder: &Path) -> BTreeMap<String, String> {
    let stem = BENCH_IMAGE.strip_suffix("img").unwrap();
    let mut files: BTreeMap<String, String> = names(folder)
        .into_iter()
        .filter(|name| name.starts_with(stem) && name != BENCH_IMAGE)
        .map(|name| {
            let text = fs::read_to_string(folder.join(&name)).unwrap();
            (name, text)
        })
        .collect();
    let mut file = fs::File::open(folder.join(BENCH_IMAGE)).unwrap();
    let mut hasher = Sha256::new();
    std::io::copy(&mut file, &mut hasher).unwrap();
    let digest = hasher.finalize();
    let digest = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    files.insert(BENCH_IMAGE.into(), digest);
    files
}

/// The same of a build that nothing disturbed.
///
/// # Panics
/// When it cannot be built.
#[track_caller]
pub fn bench_reference() -> &'static BTreeMap<String, String> {
    static REFERENCE: OnceLock<BTreeMap<String, String>> = OnceLock::new();
    REFERENCE.get_or_init(|| {
        let folder = tempfile::tempdir_in(target_folder()).unwrap();
        Program::new(&bench_arguments(folder.path()))
            .run()
            .success();
        bench_bytes(folder.path())
    })
}
