//! Downloads under way, and those that were cut off, to be resumed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::client::TICK;
use crate::store::Inner;
use crate::transfer::{Sink, Watch};
use crate::{Blob, Digest, Error, Hasher, Result};

/// The file of a download that is under way. It is locked, so that one process works on it at a
/// time, and keeps what it has when the process ends.
#[derive(Debug)]
pub(crate) struct Partial {
    file: File,
    path: PathBuf,
    position: u64,
    hasher: Hasher,
}

/// What there is when the lock is had.
#[derive(Debug)]
pub(crate) enum Acquired {
    /// Another process has downloaded it.
    Present(Blob),
    /// It is ours to download.
    Ours(Partial),
}

impl Partial {
    /// Waits until nobody else downloads the blob, and takes it over.
    pub(crate) fn acquire<T>(
        store: &Inner,
        digest: &Digest,
        watch: &Watch<'_, T>,
        mut waiting: impl FnMut(),
    ) -> Result<Acquired> {
        let path = store.root.join("partial").join(digest.to_string());
        let failed = |source| Error::io("open", &path, source);
        let mut told = false;
        loop {
            if let Some(blob) = store.get(digest)? {
                return Ok(Acquired::Present(blob));
            }
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            let file = options.open(&path).map_err(failed)?;
            while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
                if !matches!(error, Errno::WOULDBLOCK | Errno::INTR) {
                    return Err(Error::io("lock", &path, error.into()));
                }
                if !told {
                    waiting();
                    told = true;
                }
                watch.wait(TICK)?;
            }
            // Whoever had the lock may have renamed or removed the file that we opened.
            let ours = file.metadata().map_err(failed)?;
            match fs::symlink_metadata(&path) {
                Ok(there) if there.ino() == ours.ino() && there.dev() == ours.dev() => {}
                Ok(_) => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(failed(source)),
            }
            let mut partial = Self {
                file,
                path,
                position: 0,
                hasher: Hasher::new(),
            };
            partial.take_in()?;
            return Ok(Acquired::Ours(partial));
        }
    }

    /// Hashes what an earlier run has left.
    fn take_in(&mut self) -> Result<()> {
        let mut buffer = vec![0; 128 << 10];
        loop {
            let read = match self.file.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(Error::io("read", &self.path, source)),
            };
            self.hasher.update(&buffer[..read]);
            self.position += read as u64;
        }
        Ok(())
    }

    /// SHA-256 of what is there.
    pub(crate) fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }

    /// Makes it the blob with this digest, which the caller has compared.
    pub(crate) fn publish(self, store: &Inner, digest: &Digest) -> Result<Blob> {
        store.publish(&self.file, &self.path, digest)
    }

    /// Gives up for now: what is there is kept for a later run, an empty file is not.
    pub(crate) fn leave(self) {
        if self.position == 0 {
            // It is only litter.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Sink for Partial {
    fn position(&self) -> u64 {
        self.position
    }

    fn restart(&mut self) -> Result<()> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .map_err(|source| Error::io("write", &self.path, source))?;
        self.position = 0;
        self.hasher = Hasher::new();
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all(bytes)
            .map_err(|source| Error::io("write", &self.path, source))?;
        self.hasher.update(bytes);
        self.position += bytes.len() as u64;
        Ok(())
    }
}
