//! Files while they are being made: under a hidden name, until they are whole.

use rustix::fs::{FlockOperation, flock};
use rustix::io::retry_on_intr;
use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// How the names of such files end: `.NAME.CHANCE.fortress.partial`. No other program's do.
const ENDING: &str = ".fortress.partial";
/// How many characters are drawn by chance for it.
const CHANCE: usize = 6;

/// A file under a temporary name in the folder where it is to be. It takes its own name in
/// [`PartialFile::finish`]; dropped before, it is removed. A process that is killed leaves it behind;
/// whoever makes the next such file in that folder removes it, and never one of a process that still
/// runs.
#[derive(Debug)]
pub struct PartialFile {
    temporary: NamedTempFile,
    path: PathBuf,
}

impl PartialFile {
    /// An empty file, to become `path`. Others may read and write it as far as the umask lets them.
    ///
    /// # Errors
    /// When the folder is missing or cannot be written to, or `path` has no name.
    pub fn create(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
        let mut prefix = OsString::from(".");
        prefix.push(name);
        prefix.push(".");
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        remove_abandoned(folder);
        let temporary = loop {
            let temporary = tempfile::Builder::new()
                .prefix(&prefix)
                .rand_bytes(CHANCE)
                .suffix(ENDING)
                .permissions(Permissions::from_mode(0o666))
                .tempfile_in(folder)?;
            // The lock goes with the process, however that ends.
            retry_on_intr(|| flock(&temporary, FlockOperation::LockExclusive))?;
            // Before it had its lock, somebody else may have taken it for abandoned.
            if temporary.as_file().metadata()?.nlink() > 0 {
                break temporary;
            }
        };
        Ok(Self {
            temporary,
            path: path.to_owned(),
        })
    }

    /// The open file.
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

    /// Gives it its name, in the place of what had that name before. Whether it is on the disk by then
    /// is not seen to.
    ///
    /// # Errors
    /// When the name cannot be given.
    pub fn finish(self) -> io::Result<PathBuf> {
        match self.temporary.persist(&self.path) {
            Ok(_) => Ok(self.path),
            Err(error) => Err(error.error),
        }
    }
}

impl io::Write for PartialFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.temporary.as_file_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.temporary.as_file_mut().flush()
    }
}

/// Removes what killed processes have left in a folder: files that nobody holds a lock on. One that
/// cannot be removed is no reason to make nothing.
fn remove_abandoned(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if !is_file || !is_partial(entry.file_name().as_encoded_bytes()) {
            continue;
        }
        let Ok(file) = File::open(entry.path()) else {
            continue;
        };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Whether a name is of the form that [`PartialFile::create`] gives.
fn is_partial(name: &[u8]) -> bool {
    let inner = name.strip_prefix(b".");
    let inner = inner.and_then(|rest| rest.strip_suffix(ENDING.as_bytes()));
    let Some((name, chance)) = inner.and_then(|rest| rest.split_last_chunk::<CHANCE>()) else {
        return false;
    };
    name.len() > 1 && name.ends_with(b".") && chance.iter().all(u8::is_ascii_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

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
        let path = folder.path().join("list");
        std::fs::write(&path, "before").unwrap();
        let mut file = PartialFile::create(&path).unwrap();
        file.write_all(b"now").unwrap();
        let name = file.temporary_path().file_name().unwrap();
        assert!(is_partial(name.as_encoded_bytes()), "{name:?}");
        assert_eq!(std::fs::read(&path).unwrap(), b"before");
        file.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"now");
        assert_eq!(names(folder.path()), ["list"]);
        drop(PartialFile::create(&path).unwrap());
        assert_eq!(names(folder.path()), ["list"]);
    }

    #[test]
    fn many_at_once_do_not_take_each_other_for_abandoned() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let path = folder.path().join(format!("list-{number}"));
                scope.spawn(move || {
                    for round in 0..50 {
                        let mut file = PartialFile::create(&path).unwrap();
                        write!(file, "{round}").unwrap();
                        file.finish().unwrap();
                        assert_eq!(std::fs::read_to_string(&path).unwrap(), round.to_string());
                    }
                });
            }
        });
        assert_eq!(names(folder.path()).len(), 8);
    }

    #[test]
    fn what_killed_processes_left_goes_and_everything_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let abandoned = [
            ".guest.img.abc123.fortress.partial",
            ".host.img.killed.fortress.partial",
        ];
        let others = [
            "..killed.fortress.partial",
            ".host.img.kill.d.fortress.partial",
            ".host.img.killed.fortress.partial.gz",
            ".host.img.killed.partial",
            ".killed.fortress.partial",
            "host.img.killed.fortress.partial",
        ];
        for name in abandoned.iter().chain(&others) {
            std::fs::write(folder.path().join(name), "half of it").unwrap();
        }
        let empty = folder.path().join(".host.img.empty1.fortress.partial");
        File::create(&empty).unwrap();
        let link = folder.path().join(".link.linked.fortress.partial");
        std::os::unix::fs::symlink("host.img.killed.fortress.partial", link).unwrap();
        let path = folder.path().join("host.img");
        let first = PartialFile::create(&path).unwrap();
        // The first one is held.
        let second = PartialFile::create(&path).unwrap();
        assert!(first.temporary_path().exists());
        second.finish().unwrap();
        first.finish().unwrap();
        let mut expected = others.to_vec();
        expected.extend([".link.linked.fortress.partial", "host.img"]);
        expected.sort_unstable();
        assert_eq!(names(folder.path()), expected);
    }
}
