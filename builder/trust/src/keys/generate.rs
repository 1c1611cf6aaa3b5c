//! Makes key sets.

use super::{FORMAT, KeySet, Settings, certificate, files};
use crate::private::PrivateKey;
use crate::{Error, Passphrase, PublicKey, Request, Result, Role, Signer};
use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;

/// What decides a new key set; the rest is chance.
#[derive(Debug, Clone)]
pub struct NewKeys {
    /// The owner's name, as certificates have it.
    pub owner: String,
    /// What the private halves are encrypted by; without it, file permissions alone guard them.
    pub passphrase: Option<Passphrase>,
}

/// A key set, and whether it is new.
#[derive(Debug)]
pub struct Made {
    /// The key set.
    pub keys: KeySet,
    /// Whether it was made just now.
    pub new: bool,
}

impl KeySet {
    /// Makes a key set in a folder that does not exist, or is empty. It is there whole or not at all.
    ///
    /// # Errors
    /// When something is there already, the owner's name cannot stand in certificates, or files
    /// cannot be written.
    pub fn generate(folder: &Path, new: &NewKeys) -> Result<Self> {
        certificate::check_owner(&new.owner)?;
        let there = || Error::AlreadyThere {
            folder: folder.to_owned(),
        };
        if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(there());
        }
        let draft = Draft::beside(folder)?;
        let mut keys: BTreeMap<Role, (PrivateKey, PublicKey)> = BTreeMap::new();
        // RSA keys take a while to find.
        let made = thread::scope(|scope| {
            let makers: Vec<_> = Role::ALL
                .into_iter()
                .map(|role| (role, scope.spawn(move || make(&new.owner, role, folder))))
                .collect();
            makers
                .into_iter()
                .map(|(role, maker)| match maker.join() {
                    Ok(key) => Ok((role, key?)),
                    Err(panic) => std::panic::resume_unwind(panic),
                })
                .collect::<Result<Vec<_>>>()
        })?;
        keys.extend(made);
        let settings = Settings {
            format: FORMAT,
            owner: new.owner.clone(),
            roles: BTreeMap::new(),
        };
        write_settings(draft.path(), &settings)?;
        for (role, (private, public)) in &keys {
            files::write_public(draft.path(), *role, public)?;
            write_private(draft.path(), *role, private, new.passphrase.as_ref())?;
        }
        draft.publish(folder).map_err(|error| match error.kind() {
            // Somebody else was quicker.
            ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
                there()
            }
            _ => Error::file("make", folder, error),
        })?;
        Self::open(folder)
    }

    /// Opens the key set in a folder, or makes one if there is none.
    ///
    /// # Errors
    /// As [`Self::open`] and [`Self::generate`].
    pub fn open_or_generate(folder: &Path, new: &dyn Fn() -> NewKeys) -> Result<Made> {
        match Self::open(folder) {
            Err(Error::NoKeySet { .. }) => match Self::generate(folder, &new()) {
                // Another build made it meanwhile; if it is something else, opening it says so.
                Err(Error::AlreadyThere { .. }) => {
                    Self::open(folder).map(|keys| Made { keys, new: false })
                }
                made => made.map(|keys| Made { keys, new: true }),
            },
            opened => opened.map(|keys| Made { keys, new: false }),
        }
    }
}

/// Makes a key, and its certificate if its role has one. `folder` is for messages.
pub(super) fn make(owner: &str, role: Role, folder: &Path) -> Result<(PrivateKey, PublicKey)> {
    let path = files::private_path(folder, role);
    let private =
        PrivateKey::generate(role.algorithm()).map_err(|reason| Error::key(&path, reason))?;
    let public = private.public();
    let certificate = match role.has_certificate() {
        true => {
            let signer = Alone(&private, &path);
            Some(certificate::self_signed(owner, role, &public, &signer)?)
        }
        false => None,
    };
    Ok((private, public.with_certificate(certificate)))
}

/// Signs with one key.
struct Alone<'a>(&'a PrivateKey, &'a Path);

impl Signer for Alone<'_> {
    fn sign(&self, request: &Request<'_>) -> Result<Vec<u8>> {
        self.0.sign(request, self.1)
    }
}

pub(super) fn write_private(
    folder: &Path,
    role: Role,
    key: &PrivateKey,
    passphrase: Option<&Passphrase>,
) -> Result<()> {
    let path = files::private_path(folder, role);
    let pem = key
        .to_pem(passphrase)
        .map_err(|reason| Error::key(&path, reason))?;
    files::write(&path, pem.as_bytes(), true)
}

pub(super) fn write_settings(folder: &Path, settings: &Settings) -> Result<()> {
    let path = folder.join(files::SETTINGS);
    let text = toml::to_string(settings).map_err(|error| Error::key(&path, error))?;
    files::write(&path, text.as_bytes(), false)
}

/// A folder beside the one that it is to become. Nothing in it counts before that, and it is gone
/// if that never happens.
pub(super) struct Draft {
    folder: tempfile::TempDir,
    parent: PathBuf,
}

impl Draft {
    pub(super) fn beside(folder: &Path) -> Result<Self> {
        let parent = match folder.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).map_err(|error| Error::file("make", parent, error))?;
        let folder = tempfile::Builder::new()
            .prefix(".fortress-keys-")
            // For the owner alone, from the first moment.
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(parent)
            .map_err(|error| Error::file("make a folder in", parent, error))?;
        Ok(Self {
            folder,
            parent: parent.to_owned(),
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Gives it its name, in one step.
    pub(super) fn publish(self, folder: &Path) -> std::io::Result<()> {
        sync(self.path())?;
        fs::rename(self.path(), folder)?;
        // It has moved: there is nothing to clean up.
        let _ = self.folder.keep();
        sync(&self.parent)
    }

    /// Takes a folder's place, in one step where the file system can do that; what was there before
    /// is removed.
    pub(super) fn replace(self, folder: &Path) -> std::io::Result<()> {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        sync(self.path())?;
        match renameat_with(CWD, self.path(), CWD, folder, RenameFlags::EXCHANGE) {
            // NFS cannot, for example.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => self.replace_in_steps(folder)?,
            done => done?,
        }
        sync(&self.parent)?;
        self.folder.close()
    }

    /// The same in steps: whoever is killed between them finds the old folder beside its place.
    fn replace_in_steps(&self, folder: &Path) -> std::io::Result<()> {
        let mut aside = self.path().as_os_str().to_owned();
        aside.push("-before");
        fs::rename(folder, &aside)?;
        if let Err(error) = fs::rename(self.path(), folder) {
            fs::rename(&aside, folder)?;
            return Err(error);
        }
        fs::rename(&aside, self.path())
    }
}

/// Sees to it that a folder's names are on the disk.
pub(super) fn sync(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_replaced_where_folders_cannot_change_places() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("keys");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("old"), "").unwrap();
        let draft = Draft::beside(&folder).unwrap();
        fs::write(draft.path().join("new"), "").unwrap();
        draft.replace_in_steps(&folder).unwrap();
        assert!(folder.join("new").exists() && draft.path().join("old").exists());
        draft.folder.close().unwrap();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);

        // If it cannot be done, all is as it was.
        let draft = Draft::beside(&folder).unwrap();
        fs::remove_dir(draft.path()).unwrap();
        draft.replace_in_steps(&folder).unwrap_err();
        assert!(folder.join("new").exists());
    }
}
