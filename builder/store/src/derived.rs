//! Folders of things that were computed from blobs, kept so as not to compute them again.
//!
//! An entry is `derived/KIND/DIGEST/`: the folder `files`, and the list `contents` of their paths
//! and lengths. Entries are written aside and renamed into their place. They are not synced to
//! the disk one by one, which would slow down each cold build; after a power cut the lengths tell
//! which ones are whole.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::store::{entries, remove_any};
use crate::{Digest, Error, Result, Store};

/// A folder of derived files that is in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DerivedFolder {
    path: PathBuf,
}

impl DerivedFolder {
    /// Where its files are. They are shared with other builds: not to be changed.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Store {
    /// What was derived under this key, if it is there and whole. The key is to cover everything
    /// that decides the content: the digests of what it is made from, and a version of the maker.
    pub fn derived(&self, kind: &str, key: &Digest) -> Result<Option<DerivedFolder>> {
        for root in [Some(self.path()), self.inner.aside()]
            .into_iter()
            .flatten()
        {
            let entry = entry(root, kind, key);
            if is_whole(&entry)? {
                if let Ok(metadata) = fs::symlink_metadata(&entry) {
                    self.inner.touch(&entry, &metadata);
                }
                let path = entry.join("files");
                return Ok(Some(DerivedFolder { path }));
            }
        }
        Ok(None)
    }

    /// Lets `fill` write files into an empty folder, and keeps that under this key. When another
    /// build was quicker, its folder is returned: both are the same. What cannot go into the store is
    /// kept for as long as the store is open.
    pub fn keep_derived<E: From<Error>>(
        &self,
        kind: &str,
        key: &Digest,
        fill: impl FnOnce(&Path) -> std::result::Result<(), E>,
    ) -> std::result::Result<DerivedFolder, E> {
        let parent = self.inner.work()?.join("temporary");
        let folder = tempfile::Builder::new()
            .prefix("derived-")
            .tempdir_in(&parent)
            .map_err(|source| Error::io("create a folder in", &parent, source))?;
        let files = folder.path().join("files");
        fs::create_dir(&files).map_err(|source| Error::io("create", &files, source))?;
        fill(&files)?;
        Ok(self.publish_derived(kind, key, folder)?)
    }

    fn publish_derived(
        &self,
        kind: &str,
        key: &Digest,
        folder: tempfile::TempDir,
    ) -> Result<DerivedFolder> {
        let contents = folder.path().join("contents");
        fs::write(&contents, list(&folder.path().join("files"))?)
            .map_err(|source| Error::io("write", &contents, source))?;
        let entry = entry(self.inner.work()?, kind, key);
        let kept = DerivedFolder {
            path: entry.join("files"),
        };
        if let Some(kinds) = entry.parent() {
            fs::create_dir_all(kinds).map_err(|source| Error::io("create", kinds, source))?;
        }
        // The second time a broken entry has been moved out of the way.
        for _ in 0..2 {
            match fs::rename(folder.path(), &entry) {
                Ok(()) => {
                    // It is not there any more, so there is nothing to remove.
                    let _ = folder.keep();
                    return Ok(kept);
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists
                    ) =>
                {
                    if is_whole(&entry)? {
                        return Ok(kept);
                    }
                    self.set_aside(&entry)?;
                }
                Err(source) => return Err(Error::io("create", &entry, source)),
            }
        }
        Err(Error::io(
            "create",
            &entry,
            io::Error::from(ErrorKind::AlreadyExists),
        ))
    }

    /// Removes an entry, such that nobody sees half of it.
    pub(crate) fn set_aside(&self, entry: &Path) -> Result<()> {
        let parent = self.inner.work()?.join("temporary");
        let aside = tempfile::Builder::new()
            .prefix("old-")
            .tempdir_in(&parent)
            .map_err(|source| Error::io("create a folder in", &parent, source))?;
        match fs::rename(entry, aside.path().join("entry")) {
            Ok(()) => remove_any(aside.path()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(source) => Err(Error::io("remove", entry, source)),
        }
    }
}

/// The folder of an entry in a store.
fn entry(root: &Path, kind: &str, key: &Digest) -> PathBuf {
    // Kinds are words of our own, but no kind may ever lead out of the store.
    let kind: String = kind
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter
            } else {
                '-'
            }
        })
        .collect();
    root.join("derived").join(kind).join(key.to_string())
}

/// Whether all files of an entry are there with their lengths.
pub(crate) fn is_whole(entry: &Path) -> Result<bool> {
    let contents = entry.join("contents");
    match fs::read(&contents) {
        Ok(listed) => Ok(listed.ends_with(b"end\n") && listed == list(&entry.join("files"))?),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(false)
        }
        Err(source) => Err(Error::io("read", &contents, source)),
    }
}

/// The paths and lengths of all files below a folder, in order, and a last line.
fn list(files: &Path) -> Result<Vec<u8>> {
    fn add(folder: &Path, top: &Path, lines: &mut Vec<u8>) -> Result<()> {
        for (path, metadata) in entries(folder)? {
            if metadata.is_dir() {
                add(&path, top, lines)?;
                continue;
            }
            let name = path.strip_prefix(top).unwrap_or(&path);
            lines.extend_from_slice(format!("{} {name:?}\n", metadata.len()).as_bytes());
        }
        Ok(())
    }
    let mut lines = Vec::new();
    add(files, files, &mut lines)?;
    lines.extend_from_slice(b"end\n");
    Ok(lines)
}
