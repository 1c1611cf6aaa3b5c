//! Owners of keys, made for this run.

use fortress_progress::Silent;
use fortress_trust::{KeySet, NewKeys, OwnerSigner, PublicKeys, Role};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// An owner, and the files of their keys.
pub(crate) struct Owner {
    pub(crate) signer: OwnerSigner<'static>,
    keys: &'static KeySet,
    files: BTreeMap<String, Vec<u8>>,
}

impl Owner {
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let new = NewKeys {
            owner: name.into(),
            passphrase: None,
        };
        let keys = KeySet::generate(&folder.path().join("keys"), &new).unwrap();
        let keys: &'static KeySet = Box::leak(Box::new(keys));
        let entries = fs::read_dir(keys.folder()).unwrap();
        let files = entries.map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        });
        Self {
            signer: keys.signer(&|| unreachable!(), &Silent).unwrap(),
            keys,
            files: files.collect(),
        }
    }

    pub(crate) fn public(&self) -> &'static PublicKeys {
        self.keys.public()
    }

    /// A file of the key set, for tools that want one.
    pub(crate) fn file(&self, name: &str, folder: &Path) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, &self.files[name]).unwrap();
        path
    }
}

/// Whoever signs here.
pub(crate) fn owner() -> &'static Owner {
    static OWNER: OnceLock<Owner> = OnceLock::new();
    OWNER.get_or_init(|| Owner::new("Owner of the tests"))
}

/// Somebody else, who happens to have the same name.
pub(crate) fn stranger() -> &'static Owner {
    static STRANGER: OnceLock<Owner> = OnceLock::new();
    STRANGER.get_or_init(|| Owner::new("Owner of the tests"))
}

/// The certificates that a role's signatures count by.
pub(crate) fn accepted(role: Role) -> [&'static fortress_trust::Certificate; 1] {
    [owner().public().certificate(role).unwrap()]
}
