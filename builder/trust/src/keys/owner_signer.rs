//! Signs with the keys of a set.

use super::{Holder, KeySet};
use crate::private::PrivateKey;
use crate::signer::CommandSigner;
use crate::{Error, Passphrase, Request, Result, Role, Signer};
use fortress_progress::Observer;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::thread;

/// Signs with the keys of a set: from files, and by commands.
pub struct OwnerSigner<'a> {
    keys: &'a KeySet,
    files: BTreeMap<Role, (PathBuf, PrivateKey)>,
    commands: BTreeMap<Role, CommandSigner<'a>>,
}

impl<'a> OwnerSigner<'a> {
    pub(super) fn open(
        keys: &'a KeySet,
        passphrase: Option<&Passphrase>,
        observer: &'a dyn Observer,
    ) -> Result<Self> {
        let mut commands = BTreeMap::new();
        let mut paths: Vec<(Role, &Path)> = Vec::new();
        for (role, holder) in &keys.holders {
            match holder {
                Holder::File { path, .. } => paths.push((*role, path)),
                Holder::Command(command) => {
                    let public = keys.public.key(*role)?;
                    commands.insert(*role, CommandSigner::new(command, public, observer));
                }
                Holder::Elsewhere => {}
            }
        }
        // Side by side, for a passphrase takes its time on purpose.
        let files = thread::scope(|scope| {
            let readers: Vec<_> = paths
                .into_iter()
                .map(|(role, path)| {
                    scope.spawn(move || {
                        let key = keys.private(role, path, passphrase)?;
                        Ok((role, (path.to_owned(), key)))
                    })
                })
                .collect();
            let keys = readers.into_iter().map(|reader| match reader.join() {
                Ok(key) => key,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            keys.collect::<Result<BTreeMap<_, _>>>()
        })?;
        Ok(Self {
            keys,
            files,
            commands,
        })
    }
}

impl Signer for OwnerSigner<'_> {
    fn sign(&self, request: &Request<'_>) -> Result<Vec<u8>> {
        request.check()?;
        if let Some((path, key)) = self.files.get(&request.role) {
            return key.sign(request, path);
        }
        match self.commands.get(&request.role) {
            Some(command) => command.sign(request),
            None => Err(Error::NoPrivateKey {
                role: request.role,
                what: request.what.to_owned(),
                folder: self.keys.folder.clone(),
            }),
        }
    }
}

impl fmt::Debug for OwnerSigner<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("OwnerSigner")
            .field("folder", &self.keys.folder)
            .finish_non_exhaustive()
    }
}
