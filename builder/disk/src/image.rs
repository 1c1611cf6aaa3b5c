//! The image file while it is being made: a sparse file that gets its name when it is whole.

use crate::{Error, Result};
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// A sparse image under a temporary name in its output folder. It takes its own name in
/// [`ImageFile::finish`], when all of it is on the disk; dropped before, it is removed. A build
/// that is killed leaves a file `.NAME.….partial` and never one that looks whole.
#[derive(Debug)]
pub struct ImageFile {
    temporary: NamedTempFile,
    path: PathBuf,
}

impl ImageFile {
    /// A file of `length` bytes, all of them a hole, to become `path`.
    ///
    /// # Errors
    /// When the folder is missing, cannot be written to, or takes no file of that length.
    pub fn create(path: &Path, length: u64) -> Result<Self> {
        let failed = |source| Error::io("make", path.display().to_string(), source);
        let name = path
            .file_name()
            .ok_or_else(|| failed(std::io::ErrorKind::InvalidFilename.into()))?;
        let mut prefix = std::ffi::OsString::from(".");
        prefix.push(name);
        prefix.push(".");
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let temporary = tempfile::Builder::new()
            .prefix(&prefix)
            .suffix(".partial")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(failed)?;
        temporary.as_file().set_len(length).map_err(failed)?;
        Ok(Self {
            temporary,
            path: path.to_owned(),
        })
    }

    /// The open file, to read and write at offsets.
    pub fn file(&self) -> &File {
        self.temporary.as_file()
    }

    /// Where it is while it is being made.
    pub fn temporary_path(&self) -> &Path {
        self.temporary.path()
    }

    /// Where it will be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until what was written so far is on the disk: done beside other work, it leaves
    /// [`ImageFile::finish`] less to wait for.
    ///
    /// # Errors
    /// When the disk is full or fails. The image is lost then: finishing it may not tell again.
    pub fn write_back(&self) -> Result<()> {
        let name = || self.path.display().to_string();
        self.file()
            .sync_data()
            .map_err(|source| Error::io("write", name(), source))
    }

    /// Waits until all of it is on the disk, then gives it its name, in the place of what had
    /// that name before.
    ///
    /// # Errors
    /// When the disk is full, or the name cannot be given.
    pub fn finish(self) -> Result<PathBuf> {
        let name = self.path.display().to_string();
        self.file()
            .sync_all()
            .map_err(|source| Error::io("write", &name, source))?;
        self.temporary
            .persist(&self.path)
            .map_err(|error| Error::io("name", &name, error.error))?;
        if let Some(folder) = self
            .path
            .parent()
            .filter(|path| !path.as_os_str().is_empty())
        {
            // The new name itself must survive a power failure too. Not every file system can
            // do this for a folder, and the image is whole in any case.
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
        Ok(self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_name_appears_only_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host.raw");
        std::fs::write(&path, "the last build").unwrap();
        let image = ImageFile::create(&path, 1 << 30).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"the last build");
        assert!(
            image
                .temporary_path()
                .to_str()
                .unwrap()
                .ends_with(".partial")
        );
        image.finish().unwrap();
        assert_eq!(names(folder.path()), ["host.raw"]);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 1 << 30);
    }

    #[test]
    fn what_is_given_up_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        drop(ImageFile::create(&folder.path().join("host.raw"), 4096).unwrap());
        assert_eq!(names(folder.path()), [""; 0]);
    }

    #[test]
    fn a_missing_folder_is_an_error_that_names_it() {
        let error = ImageFile::create(Path::new("/missing/folder/host.raw"), 4096).unwrap_err();
        assert_eq!(error.to_string(), "cannot make /missing/folder/host.raw");
    }
}
