//! The image file while it is being made: a sparse file that gets its name when it is whole.

use crate::region::is_hole;
use crate::{Error, PartialFile, Region, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// How much is copied at once.
const PIECE: u64 = 1 << 20;

/// A sparse image under a temporary name in its output folder. It takes its own name in
/// [`ImageFile::finish`], when all of it is on the disk; dropped before, it is removed. A build
/// that is killed leaves a [`PartialFile`], which the next one removes, and never one that looks
/// whole.
#[derive(Debug)]
pub struct ImageFile(PartialFile);

impl ImageFile {
    /// A file of `length` bytes, all of them a hole, to become `path`.
    ///
    /// # Errors
    /// When the folder is missing, cannot be written to, or takes no file of that length.
    pub fn create(path: &Path, length: u64) -> Result<Self> {
        let failed = |source| Error::io("make", path.display().to_string(), source);
        let partial = PartialFile::create(path).map_err(failed)?;
        partial.file().set_len(length).map_err(failed)?;
        Ok(Self(partial))
    }

    /// The open file, to read and write at offsets.
    pub fn file(&self) -> &File {
        self.0.file()
    }

    /// Where it is while it is being made.
    pub fn temporary_path(&self) -> &Path {
        self.0.temporary_path()
    }

    /// Where it will be.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes the contents of another file, holes left out.
    ///
    /// # Errors
    /// When reading or writing fails, or that file is longer.
    pub fn fill_from(&self, from: &File) -> Result<()> {
        let name = || self.path().display().to_string();
        let unreadable = |source| Error::io("read", name(), source);
        let length = from.metadata().map_err(unreadable)?.len();
        let room = self.file().metadata().map_err(unreadable)?.len();
        if length > room {
            return Err(Error::Region {
                what: "a copy",
                region: Region::new(0, room),
                reason: format!("too short for {length} bytes"),
            });
        }
        let mut buffer = vec![0; PIECE as usize];
        let mut at = 0;
        while at < length {
            let piece = Region::new(at, (length - at).min(PIECE));
            if !is_hole(from, piece)? {
                let bytes = &mut buffer[..piece.length as usize];
                from.read_exact_at(bytes, at).map_err(unreadable)?;
                if bytes.iter().any(|byte| *byte != 0) {
                    self.file()
                        .write_all_at(bytes, at)
                        .map_err(|source| Error::io("write", name(), source))?;
                }
            }
            at += piece.length;
        }
        Ok(())
    }

    /// Waits until what was written so far is on the disk: done beside other work, it leaves
    /// [`ImageFile::finish`] less to wait for.
    ///
    /// # Errors
    /// When the disk is full or fails. The image is lost then: finishing it may not tell again.
    pub fn write_back(&self) -> Result<()> {
        let name = || self.path().display().to_string();
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
        let name = self.path().display().to_string();
        self.file()
            .sync_all()
            .map_err(|source| Error::io("write", &name, source))?;
        let path = self
            .0
            .finish()
            .map_err(|source| Error::io("name", &name, source))?;
        if let Some(folder) = path.parent().filter(|path| !path.as_os_str().is_empty()) {
            // The new name itself must survive a power failure too. Not every file system can
            // do this for a folder, and the image is whole in any case.
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
        Ok(path)
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
    fn a_copy_has_the_same_bytes_and_the_same_holes() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("from");
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&from)
            .unwrap();
        file.set_len(64 << 20).unwrap();
        file.write_all_at(b"in the middle", (32 << 20) - 5).unwrap();
        file.write_all_at(b"end", (64 << 20) - 3).unwrap();
        let copy = ImageFile::create(&folder.path().join("to"), 64 << 20).unwrap();
        copy.fill_from(&file).unwrap();
        let to = copy.finish().unwrap();
        assert!(std::fs::read(&from).unwrap() == std::fs::read(&to).unwrap());
        assert!(std::fs::metadata(&to).unwrap().blocks() * 512 < 8 << 20);
        let short = ImageFile::create(&folder.path().join("short"), 4096).unwrap();
        assert!(short.fill_from(&file).is_err());
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
