//! The store's folder: opening it, reading and adding blobs.
//!
//! ```text
//! STORE/format        "1"; every user of the store holds a shared lock on it, gc the exclusive one
//! STORE/blobs/AB/…    blobs, by the digest of their content
//! STORE/partial/…     downloads that were cut off, by the digest of what they are to become
//! STORE/derived/…     things computed from blobs
//! STORE/documents/…   small named documents
//! STORE/temporary/…   what is being written just now
//! STORE/scratch/…     work folders of builds
//! ```
//! Whatever enters is written in `temporary` or `partial`, checked, and then renamed into its
//! place, so that a process killed at any moment leaves nothing that looks whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};

use crate::{Blob, Digest, Error, Hasher, Result};

const FORMAT: &str = "1\n";

/// Says to backup programs that the store can be made anew (bford.info/cachedir).
const CACHE_TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # The store of fortress-build: verified downloads and what was computed from them.\n";

const FOLDERS: [&str; 6] = [
    "blobs",
    "partial",
    "derived",
    "documents",
    "temporary",
    "scratch",
];

/// A cut-off download that nobody came back to is dropped after this.
const PARTIAL_AGE: Duration = Duration::from_secs(14 * 24 * 3600);

/// How exactly the last use of a thing is kept.
const TOUCH_AGE: Duration = Duration::from_secs(3600);

/// A content-addressed store of verified blobs in a folder, shared by all builds of a user.
///
/// Any number of processes and threads may use one store at once.
#[derive(Debug)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

/// What downloads that run beside their caller share with it.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) root: PathBuf,
    writable: bool,
    /// The open `format` file, with a lock on it: for as long as it lives, nothing is collected.
    pub(crate) lock: Option<File>,
    /// Takes what is computed while the store can only be read; gone with it.
    aside: OnceLock<tempfile::TempDir>,
}

impl Store {
    /// `$XDG_CACHE_HOME/fortress/store`, or else `~/.cache/fortress/store`.
    pub fn default_path() -> Result<PathBuf> {
        let absolute = |name: &str| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        absolute("XDG_CACHE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
            .map(|cache| cache.join("fortress/store"))
            .ok_or(Error::NoHome)
    }

    /// Opens the store at `path`, and makes it when there is none. When nobody else uses it, what
    /// killed builds left behind is removed. A store that may not be written to can be read from;
    /// what is computed goes to a temporary folder then, and is gone with the returned value.
    pub fn open(path: &Path) -> Result<Self> {
        let inner = match Inner::open_writable(path) {
            Err(Error::Io { source, .. })
                if matches!(
                    source.kind(),
                    io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied
                ) && path.join("blobs").is_dir() =>
            {
                Inner::open_read_only(path)?
            }
            other => other?,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.inner.root
    }

    /// Whether anything can be added to it.
    pub fn is_writable(&self) -> bool {
        self.inner.writable
    }

    /// The blob with this digest, if it is there.
    pub fn get(&self, digest: &Digest) -> Result<Option<Blob>> {
        self.inner.get(digest)
    }

    /// Adds these bytes.
    pub fn insert(&self, bytes: &[u8]) -> Result<Blob> {
        let digest = Digest::of(bytes);
        match self.get(&digest)? {
            Some(blob) => Ok(blob),
            None => self.insert_from(bytes, Some(digest), bytes.len() as u64),
        }
    }

    /// Adds what `reader` gives, at most `limit` bytes; nothing is added when it is not what was
    /// expected.
    pub fn insert_from(
        &self,
        mut reader: impl Read,
        expected: Option<Digest>,
        limit: u64,
    ) -> Result<Blob> {
        let mut file = self.inner.temporary()?;
        let path = file.path().to_path_buf();
        let mut hasher = Hasher::new();
        let mut buffer = vec![0; 128 << 10];
        let mut length = 0u64;
        loop {
            let read = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(Error::Source { source }),
            };
            length += read as u64;
            if length > limit {
                return Err(Error::TooLarge { limit });
            }
            hasher.update(&buffer[..read]);
            file.write_all(&buffer[..read])
                .map_err(|source| Error::io("write", &path, source))?;
        }
        let got = hasher.finish();
        if let Some(expected) = expected.filter(|expected| *expected != got) {
            return Err(Error::Mismatch { expected, got });
        }
        let (file, path) = file.into_parts();
        self.inner.publish(&file, &path, &got)
    }

    /// A new empty folder on the store's file system for a build's own use; removed when dropped,
    /// or, if the build is killed, by a later [`Store::open`] or [`Store::gc`]. The store is to be
    /// kept open for as long as the folder is used: that is what protects it.
    pub fn scratch(&self) -> Result<tempfile::TempDir> {
        let folder = self.inner.work()?.join("scratch");
        tempfile::Builder::new()
            .prefix("build-")
            .tempdir_in(&folder)
            .map_err(|source| Error::io("create a folder in", &folder, source))
    }
}

impl Inner {
    fn open_writable(root: &Path) -> Result<Self> {
        fs::create_dir_all(root).map_err(|source| Error::io("create", root, source))?;
        let path = root.join("format");
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let mut lock = match options.open(&path) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Another process may be making the same store: its file is welcome.
                let empty = fs::read_dir(root)
                    .map_err(|source| Error::io("read", root, source))?
                    .filter_map(|entry| entry.ok())
                    .all(|entry| entry.file_name() == "format");
                if !empty && !path.exists() {
                    return Err(Error::NotAStore { path: root.into() });
                }
                options
                    .create(true)
                    .truncate(false)
                    .open(&path)
                    .map_err(|source| Error::io("create", &path, source))?
            }
            Err(source) => return Err(Error::io("open", &path, source)),
        };
        let alone = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
        if !alone {
            lock_shared(&lock, &path)?;
        }
        let found = read_format(&mut lock, &path)?;
        if found.is_empty() {
            lock.seek(SeekFrom::Start(0))
                .and_then(|_| lock.write_all(FORMAT.as_bytes()))
                .map_err(|source| Error::io("write", &path, source))?;
        } else if found != FORMAT {
            return Err(Error::Format {
                path: root.into(),
                found: found.trim_end().into(),
            });
        }
        for name in FOLDERS {
            let folder = root.join(name);
            fs::create_dir_all(&folder).map_err(|source| Error::io("create", &folder, source))?;
        }
        let tag = root.join("CACHEDIR.TAG");
        if !tag.exists() {
            fs::write(&tag, CACHE_TAG).map_err(|source| Error::io("write", &tag, source))?;
        }
        let inner = Self {
            root: root.into(),
            writable: true,
            lock: Some(lock),
            aside: OnceLock::new(),
        };
        if alone {
            inner.clean_up(Some(PARTIAL_AGE))?;
            inner.share()?;
        }
        Ok(inner)
    }

    fn open_read_only(root: &Path) -> Result<Self> {
        let path = root.join("format");
        let mut lock = match File::open(&path) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NotAStore { path: root.into() });
            }
            Err(source) => return Err(Error::io("open", &path, source)),
        };
        let found = read_format(&mut lock, &path)?;
        if found != FORMAT {
            return Err(Error::Format {
                path: root.into(),
                found: found.trim_end().into(),
            });
        }
        lock_shared(&lock, &path)?;
        Ok(Self {
            root: root.into(),
            writable: false,
            lock: Some(lock),
            aside: OnceLock::new(),
        })
    }

    /// Lets others in again after exclusive use.
    pub(crate) fn share(&self) -> Result<()> {
        match &self.lock {
            Some(lock) => lock_shared(lock, &self.root.join("format")),
            None => Ok(()),
        }
    }

    pub(crate) fn must_be_writable(&self) -> Result<()> {
        if self.writable {
            return Ok(());
        }
        Err(Error::ReadOnly {
            path: self.root.clone(),
        })
    }

    /// Where what is computed goes: the store, or a temporary folder of the same form.
    pub(crate) fn work(&self) -> Result<&Path> {
        if self.writable {
            return Ok(&self.root);
        }
        if let Some(aside) = self.aside.get() {
            return Ok(aside.path());
        }
        let parent = temporary_folder();
        let failed = |source| Error::io("create a folder in", &parent, source);
        let made = tempfile::Builder::new()
            .prefix("fortress-build-")
            .tempdir_in(&parent)
            .map_err(failed)?;
        for name in FOLDERS {
            fs::create_dir(made.path().join(name)).map_err(failed)?;
        }
        // Another thread may have been quicker: then this one's goes again.
        Ok(self.aside.get_or_init(|| made).path())
    }

    /// The temporary folder that stands in for the store, if there is one.
    pub(crate) fn aside(&self) -> Option<&Path> {
        self.aside.get().map(tempfile::TempDir::path)
    }

    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.root.join("blobs").join(&name[..2]).join(name)
    }

    pub(crate) fn get(&self, digest: &Digest) -> Result<Option<Blob>> {
        let path = self.blob_path(digest);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => {
                self.touch(&path, &metadata);
                Ok(Some(Blob::new(*digest, metadata.len(), path)))
            }
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::io("read", &path, source)),
        }
    }

    /// Notes that this was used now, which is what [`Store::gc`] goes by.
    pub(crate) fn touch(&self, path: &Path, metadata: &fs::Metadata) {
        let recent = metadata
            .modified()
            .ok()
            .and_then(|time| time.elapsed().ok())
            .is_some_and(|age| age < TOUCH_AGE);
        if self.writable && !recent {
            // Somebody else's file in a shared store: it merely looks less used than it is.
            let _ = File::open(path).and_then(|file| file.set_modified(SystemTime::now()));
        }
    }

    pub(crate) fn temporary(&self) -> Result<tempfile::NamedTempFile> {
        self.must_be_writable()?;
        let folder = self.root.join("temporary");
        tempfile::NamedTempFile::new_in(&folder)
            .map_err(|source| Error::io("create a file in", &folder, source))
    }

    /// Makes a file that was written and checked a blob. `path` may be a temporary file's path:
    /// it is gone then.
    pub(crate) fn publish(&self, file: &File, path: &Path, digest: &Digest) -> Result<Blob> {
        let to = self.blob_path(digest);
        let folder = to.parent().unwrap_or(&self.root);
        file.set_permissions(fs::Permissions::from_mode(0o444))
            .and_then(|()| file.sync_all())
            .map_err(|source| Error::io("write", path, source))?;
        fs::create_dir_all(folder).map_err(|source| Error::io("create", folder, source))?;
        fs::rename(path, &to).map_err(|source| Error::io("create", &to, source))?;
        sync_folder(folder)?;
        let length = file
            .metadata()
            .map_err(|source| Error::io("read", &to, source))?
            .len();
        Ok(Blob::new(*digest, length, to))
    }

    /// Removes what killed builds left. Only for whoever has the store alone.
    pub(crate) fn clean_up(&self, partial_age: Option<Duration>) -> Result<(u64, u64)> {
        let mut removed = (0, 0);
        let mut remove = |path: &Path| -> Result<()> {
            let size = size_of(path)?;
            remove_any(path)?;
            removed.0 += 1;
            removed.1 += size;
            Ok(())
        };
        for name in ["temporary", "scratch"] {
            for (path, _) in entries(&self.root.join(name))? {
                remove(&path)?;
            }
        }
        for (path, metadata) in entries(&self.root.join("partial"))? {
            let old = partial_age.is_none_or(|limit| age(&metadata) > limit);
            if old {
                remove(&path)?;
            }
        }
        Ok(removed)
    }
}

/// Where large temporary files go: where the environment says, else where they are not in memory.
fn temporary_folder() -> PathBuf {
    let large = Path::new("/var/tmp");
    match std::env::var_os("TMPDIR") {
        None if large.is_dir() => large.to_owned(),
        _ => std::env::temp_dir(),
    }
}

/// How long ago it was written or last used.
pub(crate) fn age(metadata: &fs::Metadata) -> Duration {
    metadata
        .modified()
        .ok()
        .and_then(|time| time.elapsed().ok())
        .unwrap_or_default()
}

/// What is in a folder, by name; nothing when there is no such folder.
pub(crate) fn entries(folder: &Path) -> Result<Vec<(PathBuf, fs::Metadata)>> {
    let failed = |source| Error::io("read", folder, source);
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed(source)),
    };
    let mut found = Vec::new();
    for entry in listing {
        let entry = entry.map_err(failed)?;
        match entry.metadata() {
            Ok(metadata) => found.push((entry.path(), metadata)),
            // Another process took it away in between.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(Error::io("read", &entry.path(), source)),
        }
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(found)
}

/// The bytes in a file, or in all files of a folder.
pub(crate) fn size_of(path: &Path) -> Result<u64> {
    let metadata = fs::symlink_metadata(path).map_err(|source| Error::io("read", path, source))?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    entries(path)?
        .iter()
        .try_fold(0, |sum, (path, _)| Ok(sum + size_of(path)?))
}

/// Removes a file, or a folder with all that is in it.
pub(crate) fn remove_any(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|source| Error::io("remove", path, source)),
    }
}

/// Makes a rename in `folder` last over a power cut.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| Error::io("write", folder, source))
}

fn lock_shared(lock: &File, path: &Path) -> Result<()> {
    rustix::io::retry_on_intr(|| flock(lock, FlockOperation::LockShared))
        .map_err(|error| Error::io("lock", path, error.into()))
}

fn read_format(lock: &mut File, path: &Path) -> Result<String> {
    let mut found = Vec::new();
    lock.take(100)
        .read_to_end(&mut found)
        .map_err(|source| Error::io("read", path, source))?;
    Ok(String::from_utf8_lossy(&found).into_owned())
}
