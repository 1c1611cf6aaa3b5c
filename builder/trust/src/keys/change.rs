//! Replaces keys of a set.

use super::generate::{Draft, make, write_private, write_settings};
use super::open::check_certificate;
use super::{Holder, KeySet, RoleSettings, certificate, files};
use crate::date::day;
use crate::signer::CommandSigner;
use crate::{Certificate, Error, Passphrase, PublicKey, Result, Role};
use fortress_progress::Observer;
use std::fs;
use std::io;
use std::path::Path;

impl KeySet {
    /// Makes new keys for roles, in files. What was there before goes to `retired/`. `time`, in
    /// seconds since 1970, is when; `passphrase` has to be that of the set's encrypted keys, if it has
    /// any, and encrypts the new ones.
    ///
    /// # Errors
    /// When files cannot be written. The set is then as it was.
    pub fn rotate(
        &self,
        roles: &[Role],
        time: u64,
        passphrase: Option<&Passphrase>,
    ) -> Result<Self> {
        self.check_passphrase(roles, passphrase)?;
        let date = day(time);
        let mut settings = self.settings.clone();
        let draft = self.draft()?;
        for role in roles {
            self.retire(draft.path(), *role, &date)?;
            settings.roles.remove(role);
            let (private, public) = make(self.owner(), *role, &self.folder)?;
            files::write_public(draft.path(), *role, &public)?;
            write_private(draft.path(), *role, &private, passphrase)?;
        }
        self.finish(draft, &settings)
    }

    /// Has a command sign for a role from now on, with the private half of `public`. If the role has
    /// certificates and none is given, the command signs one here. A key that was there before, if
    /// it is another one, goes to `retired/`.
    ///
    /// # Errors
    /// When the command does not sign as that key does, or files cannot be written. The set is then
    /// as it was.
    pub fn use_command(
        &self,
        role: Role,
        command: &[String],
        public: &PublicKey,
        given: Option<Certificate>,
        time: u64,
        observer: &dyn Observer,
    ) -> Result<Self> {
        for other in self.public.roles().filter(|other| *other != role) {
            if self.public.key(other)?.is_same_key(public) {
                return Err(Error::KeyInUse { role, other });
            }
        }
        let signer = CommandSigner::new(command, public, observer);
        let key = match (role.has_certificate(), given) {
            (true, Some(given)) => {
                check_certificate(&given, public).map_err(|reason| {
                    Error::key(&files::certificate_path(&self.folder, role), reason)
                })?;
                prove(role, &signer)?;
                public.clone().with_certificate(Some(given))
            }
            (true, None) => {
                let own = certificate::self_signed(self.owner(), role, public, &signer)?;
                public.clone().with_certificate(Some(own))
            }
            (false, _) => {
                prove(role, &signer)?;
                public.clone()
            }
        };
        let draft = self.draft()?;
        self.retire(draft.path(), role, &day(time))?;
        files::write_public(draft.path(), role, &key)?;
        let mut settings = self.settings.clone();
        let command = command.to_vec();
        settings.roles.insert(role, RoleSettings { command });
        self.finish(draft, &settings)
    }

    /// Holds the passphrase against a key that stays: all of a set's keys have the same one.
    fn check_passphrase(&self, roles: &[Role], passphrase: Option<&Passphrase>) -> Result<()> {
        let mut staying = self
            .holders
            .iter()
            .filter(|(role, _)| !roles.contains(role));
        let encrypted = staying.find_map(|(role, holder)| match holder {
            Holder::File {
                path,
                encrypted: true,
            } => Some((*role, path)),
            _ => None,
        });
        match encrypted {
            Some((role, path)) => self.private(role, path, passphrase).map(drop),
            None => Ok(()),
        }
    }

    /// A copy of the set, to be changed.
    fn draft(&self) -> Result<Draft> {
        let folder = self.real_folder()?;
        let draft = Draft::beside(&folder)?;
        copy(&folder, draft.path())?;
        Ok(draft)
    }

    fn finish(&self, draft: Draft, settings: &super::Settings) -> Result<Self> {
        let path = draft.path().join(files::SETTINGS);
        fs::remove_file(&path).map_err(|error| Error::file("replace", &path, error))?;
        write_settings(draft.path(), settings)?;
        // What is there now is read before it counts.
        Self::open(draft.path())?;
        let folder = self.real_folder()?;
        draft
            .replace(&folder)
            .map_err(|error| Error::file("replace", &folder, error))?;
        Self::open(&self.folder)
    }

    /// Where the set is when links are followed: that folder is what changes places.
    fn real_folder(&self) -> Result<std::path::PathBuf> {
        self.folder
            .canonicalize()
            .map_err(|error| Error::file("read", &self.folder, error))
    }

    /// Moves the files of a role's key to `retired/`, in a copy of the set.
    fn retire(&self, draft: &Path, role: Role, date: &str) -> Result<()> {
        let Ok(key) = self.public.key(role) else {
            return Ok(());
        };
        let folder = files::retired_folder(&draft.join(files::RETIRED), role, date, key)?;
        fs::create_dir_all(&folder).map_err(|error| Error::file("make", &folder, error))?;
        for path in [
            files::public_path(draft, role),
            files::certificate_path(draft, role),
            files::private_path(draft, role),
        ] {
            let Some(name) = path.file_name() else {
                continue;
            };
            match fs::rename(&path, folder.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::file("move to retired/", &path, error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Has a command sign something of no meaning, so that one that does not work is told at once.
fn prove(role: Role, signer: &CommandSigner<'_>) -> Result<()> {
    use crate::{Request, Signer as _};
    use sha2::{Digest, Sha256};
    let payload = Sha256::digest("fortress: does this key sign?");
    let request = Request {
        role,
        what: "a trial",
        payload: &payload,
    };
    signer.sign(&request).map(drop)
}

/// Copies a folder of files and folders.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let failed = |error| Error::file("read", from, error);
    for entry in fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let target = to.join(entry.file_name());
        if entry.file_type().map_err(failed)?.is_dir() {
            fs::create_dir(&target).map_err(|error| Error::file("make", &target, error))?;
            copy(&entry.path(), &target)?;
        } else {
            // With its permissions.
            fs::copy(entry.path(), &target)
                .map_err(|error| Error::file("copy", &entry.path(), error))?;
        }
    }
    Ok(())
}
