//! Reads key sets.

use super::{FORMAT, Holder, KeySet, Settings, files};
use crate::private::{self, PrivateKey};
use crate::{Certificate, Error, Passphrase, PublicKey, PublicKeys, Result, RetiredKey, Role};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

impl KeySet {
    /// Opens the key set in a folder, one made by [`KeySet::generate`] or one of public halves
    /// alone.
    ///
    /// # Errors
    /// When there is none, a file in it is not what it should be, others can read a private half,
    /// or a certificate is for another key.
    pub fn open(folder: &Path) -> Result<Self> {
        let settings = read_settings(folder)?;
        let mut keys = BTreeMap::new();
        let mut holders = BTreeMap::new();
        for role in Role::ALL {
            let Some(key) = read_public(folder, role)? else {
                continue;
            };
            keys.insert(role, key);
            let holder = match settings.roles.get(&role) {
                Some(settings) => Holder::Command(settings.command.clone()),
                None => read_holder(folder, role)?,
            };
            holders.insert(role, holder);
        }
        if keys.is_empty() {
            return Err(Error::NoKeySet {
                folder: folder.to_owned(),
            });
        }
        if holders
            .values()
            .any(|holder| matches!(holder, Holder::File { .. }))
        {
            files::check_folder(folder)?;
        }
        Ok(Self {
            folder: folder.to_owned(),
            settings,
            public: PublicKeys::new(keys).with_retired(read_retired(folder)?),
            holders,
        })
    }

    /// Opens the private half of a key.
    pub(super) fn private(
        &self,
        role: Role,
        path: &Path,
        passphrase: Option<&Passphrase>,
    ) -> Result<PrivateKey> {
        let pem = read_required(path)?;
        let key = PrivateKey::from_pem(path, &pem, role.algorithm(), passphrase)?;
        match key.public().is_same_key(self.public.key(role)?) {
            true => Ok(key),
            false => Err(Error::Mismatch {
                role,
                path: path.to_owned(),
            }),
        }
    }
}

fn read_settings(folder: &Path) -> Result<Settings> {
    let path = folder.join(files::SETTINGS);
    let Some(text) = files::read(&path)? else {
        return Err(Error::NoKeySet {
            folder: folder.to_owned(),
        });
    };
    let settings: Settings = toml::from_str(&text).map_err(|error| Error::key(&path, error))?;
    if settings.format != FORMAT {
        let reason = format!("format {} is not known here, {FORMAT} is", settings.format);
        return Err(Error::key(&path, reason));
    }
    Ok(settings)
}

fn read_required(path: &Path) -> Result<zeroize::Zeroizing<String>> {
    files::read(path)?.ok_or_else(|| Error::file("read", path, Errno::NOENT.into()))
}

/// The public half of a key, with its certificate.
fn read_public(folder: &Path, role: Role) -> Result<Option<PublicKey>> {
    let path = files::public_path(folder, role);
    let Some(pem) = files::read(&path)? else {
        return Ok(None);
    };
    let key =
        PublicKey::from_pem(&pem, role.algorithm()).map_err(|reason| Error::key(&path, reason))?;
    if !role.has_certificate() {
        return Ok(Some(key));
    }
    let path = files::certificate_path(folder, role);
    let certificate =
        Certificate::from_pem(&read_required(&path)?).map_err(|error| Error::key(&path, error))?;
    check_certificate(&certificate, &key).map_err(|reason| Error::key(&path, reason))?;
    Ok(Some(key.with_certificate(Some(certificate))))
}

/// Whether a certificate is for a key.
pub(super) fn check_certificate(certificate: &Certificate, key: &PublicKey) -> Result<(), String> {
    let of_certificate = PublicKey::Rsa {
        key: certificate.rsa().map_err(|error| error.to_string())?,
        certificate: None,
    };
    match of_certificate.is_same_key(key) {
        true => Ok(()),
        false => Err("the certificate is for another key".into()),
    }
}

fn read_holder(folder: &Path, role: Role) -> Result<Holder> {
    let path = files::private_path(folder, role);
    let Some(pem) = files::read(&path)? else {
        return Ok(Holder::Elsewhere);
    };
    files::check_private(&path)?;
    let encrypted = private::is_encrypted(&pem);
    Ok(Holder::File { path, encrypted })
}

/// The keys in `retired/`: `ROLE-DATE-FINGERPRINT`, where a date is `2026-11-22`.
fn read_retired(folder: &Path) -> Result<Vec<RetiredKey>> {
    let folder = folder.join(files::RETIRED);
    let failed = |error| Error::file("read", &folder, error);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(failed)?.file_name());
    }
    names.sort();
    let mut retired = Vec::new();
    for name in names {
        let path = folder.join(&name);
        let parts = name.to_str().and_then(|name| {
            let (name, _fingerprint) = name.rsplit_once('-')?;
            let (role, date) = name.split_at_checked(name.len().checked_sub(10)?)?;
            Some((role.strip_suffix('-')?.parse::<Role>().ok()?, date))
        });
        let Some((role, date)) = parts else {
            return Err(Error::key(&path, "not named ROLE-DATE-FINGERPRINT"));
        };
        let key = read_public(&path, role)?.ok_or_else(|| {
            let path = files::public_path(&path, role);
            Error::file("read", &path, Errno::NOENT.into())
        })?;
        let date = date.to_owned();
        retired.push(RetiredKey { role, date, key });
    }
    Ok(retired)
}
