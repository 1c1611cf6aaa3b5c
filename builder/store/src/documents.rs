//! Small named documents: what cannot be named by its digest, such as the last verified index.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::PathBuf;

use crate::store::sync_folder;
use crate::{Digest, Error, Result, Store};

/// A document may be at most this long, in bytes.
const LARGEST: u64 = 64 << 20;

impl Store {
    /// Keeps a document under this name, in place of an earlier one.
    pub fn remember(&self, key: &str, bytes: &[u8]) -> Result<()> {
        if bytes.len() as u64 > LARGEST {
            return Err(Error::TooLarge { limit: LARGEST });
        }
        let path = self.document(key);
        let mut file = self.inner.temporary()?;
        file.write_all(seal(key, bytes).to_string().as_bytes())
            .and_then(|()| file.write_all(b"\n"))
            .and_then(|()| file.write_all(bytes))
            .and_then(|()| file.as_file().sync_all())
            .map_err(|source| Error::io("write", &path, source))?;
        let (_, temporary) = file.into_parts();
        fs::rename(&temporary, &path).map_err(|source| Error::io("create", &path, source))?;
        sync_folder(&self.inner.root.join("documents"))
    }

    /// The document last kept under this name; none when there is none, or a damaged one.
    pub fn recall(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let path = self.document(key);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::io("open", &path, source)),
        };
        let mut found = Vec::new();
        file.take(LARGEST + 65)
            .read_to_end(&mut found)
            .map_err(|source| Error::io("read", &path, source))?;
        let Some((head, [b'\n', bytes @ ..])) = found.split_at_checked(64) else {
            return Ok(None);
        };
        let whole = seal(key, bytes).to_string().as_bytes() == head;
        if whole && let Ok(metadata) = fs::symlink_metadata(&path) {
            self.inner.touch(&path, &metadata);
        }
        Ok(whole.then(|| bytes.to_vec()))
    }

    fn document(&self, key: &str) -> PathBuf {
        let name = Digest::of(key.as_bytes()).to_string();
        self.inner.root.join("documents").join(name)
    }
}

/// What stands before a document: it ties content and name together.
fn seal(key: &str, bytes: &[u8]) -> Digest {
    let mut both = Digest::of(key.as_bytes()).as_bytes().to_vec();
    both.extend_from_slice(Digest::of(bytes).as_bytes());
    Digest::of(&both)
}
