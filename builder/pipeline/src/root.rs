//! The root's tree: packages unpacked (or taken from an earlier build), overlays, configuration.

use crate::{Error, Result};
use fortress_configuration::modules::{FactsCache, ModuleFacts};
use fortress_package::{Archive, Options, Package};
use fortress_progress::Observer;
use fortress_store::{Digest, Hasher, Store};
use fortress_tree::{Content, Spool, Tree, TreePath};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Mutex;

/// Goes up whenever unpacking gives another tree from the same packages.
const FORMAT: &str = "unpacked 2";
/// What the store calls kept trees.
const KIND: &str = "unpacked";

/// An unpacked tree as it is kept: contents lie in a file beside it.
#[derive(Serialize, Deserialize)]
struct Kept {
    tree: Tree,
    packages: Vec<Package>,
    spool_length: u64,
}

/// Unpacks packages, or takes what an earlier build unpacked from the same ones.
pub(crate) fn unpacked(
    archives: &[Archive],
    epoch: i64,
    store: &Store,
    options: &Options,
    observer: &dyn Observer,
) -> Result<(Tree, Vec<Package>)> {
    let key = key(archives, epoch, options);
    if let Some(folder) = store.derived(KIND, &key)? {
        match restore(folder.path()) {
            Ok(found) => return Ok(found),
            Err(error) => observer.note(&format!("unpacking again: {error}")),
        }
    }
    let mut made = None;
    let result = store.keep_derived::<Error>(KIND, &key, |folder| {
        made = Some(unpack_into(folder, archives, epoch, options, observer)?);
        Ok(())
    });
    match (result, made) {
        (Ok(_), Some(made)) => Ok(made),
        (Err(error), _) => Err(in_store(error, store)),
        (Ok(_), None) => Err(Error::Kept("the store did not ask for it".into())),
    }
}

/// The same error with the store that has no room left, if that is what is wrong.
fn in_store(error: Error, store: &Store) -> Error {
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(one) = cause {
        if let Some(source) = one.downcast_ref::<io::Error>()
            && let io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded = source.kind()
            && let Some(code) = source.raw_os_error()
        {
            return Error::Store(fortress_store::Error::Full {
                path: store.path().join(KIND),
                source: io::Error::from_raw_os_error(code),
            });
        }
        cause = one.source();
    }
    error
}

fn unpack_into(
    folder: &Path,
    archives: &[Archive],
    epoch: i64,
    options: &Options,
    observer: &dyn Observer,
) -> Result<(Tree, Vec<Package>)> {
    let path = folder.join("contents");
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .map_err(|source| Error::io("create", &path, source))?;
    let spool = Spool::over(file, 0);
    let mut tree = Tree::new(epoch);
    let packages = fortress_package::unpack(archives, &mut tree, &spool, options, observer)?;
    let kept = Kept {
        tree,
        packages,
        spool_length: spool.length(),
    };
    let bytes = postcard::to_stdvec(&kept).map_err(|error| Error::Kept(error.to_string()))?;
    let path = folder.join("tree");
    fs::write(&path, bytes).map_err(|source| Error::io("write", &path, source))?;
    Ok((kept.tree, kept.packages))
}

fn restore(folder: &Path) -> Result<(Tree, Vec<Package>)> {
    let path = folder.join("tree");
    let bytes = fs::read(&path).map_err(|source| Error::io("read", &path, source))?;
    let kept: Kept =
        postcard::from_bytes(&bytes).map_err(|error| Error::Kept(error.to_string()))?;
    let path = folder.join("contents");
    let file = File::open(&path).map_err(|source| Error::io("open", &path, source))?;
    let mut tree = kept.tree;
    tree.attach_spool(&Spool::over(file, kept.spool_length))?;
    Ok((tree, kept.packages))
}

/// Everything that decides what unpacking gives.
fn key(archives: &[Archive], epoch: i64, options: &Options) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(format!("{FORMAT}\0{epoch}\0{options:?}\0").as_bytes());
    for archive in archives {
        hasher.update(archive.name.as_bytes());
        hasher.update(&[0]);
        hasher.update(&archive.sha256.unwrap_or_default());
    }
    hasher.finish()
}

/// What kernel modules say of themselves, kept between builds by the unpacked tree that they
/// come from.
#[derive(Debug)]
pub(crate) struct KeptFacts<'a> {
    store: &'a Store,
    key: Digest,
    known: BTreeMap<String, ModuleFacts>,
    found: Mutex<BTreeMap<String, ModuleFacts>>,
}

/// What the store calls kept facts.
const FACTS: &str = "modules";

impl<'a> KeptFacts<'a> {
    /// What is known of the modules in packages with these digests.
    pub(crate) fn open(store: &'a Store, packages: &[Archive]) -> Result<Self> {
        let mut hasher = Hasher::new();
        hasher.update(b"modules 1\0");
        for archive in packages {
            hasher.update(&archive.sha256.unwrap_or_default());
        }
        let key = hasher.finish();
        let known = match store.derived(FACTS, &key)? {
            Some(folder) => fs::read(folder.path().join("facts"))
                .ok()
                .and_then(|bytes| postcard::from_bytes(&bytes).ok())
                .unwrap_or_default(),
            None => BTreeMap::new(),
        };
        Ok(Self {
            store,
            key,
            known,
            found: Mutex::new(BTreeMap::new()),
        })
    }

    /// Keeps what was found.
    pub(crate) fn close(self) -> Result<()> {
        let found = self.found.into_inner().unwrap_or_default();
        if found.is_empty() {
            return Ok(());
        }
        let bytes = postcard::to_stdvec(&found).map_err(|error| Error::Kept(error.to_string()))?;
        self.store
            .keep_derived::<Error>(FACTS, &self.key, |folder| {
                let path = folder.join("facts");
                fs::write(&path, bytes).map_err(|source| Error::io("write", &path, source))
            })?;
        Ok(())
    }
}

/// What the store calls kept hardware databases.
const HARDWARE: &str = "hardware";

impl FactsCache for KeptFacts<'_> {
    fn hardware(&self, sources: &[u8; 32]) -> Option<(Vec<u8>, usize)> {
        let kept = self.store.derived(HARDWARE, &Digest::from(*sources)).ok()?;
        let bytes = fs::read(kept?.path().join("compiled")).ok()?;
        postcard::from_bytes(&bytes).ok()
    }

    fn keep_hardware(&self, sources: &[u8; 32], compiled: &(Vec<u8>, usize)) {
        let Ok(bytes) = postcard::to_stdvec(compiled) else {
            return;
        };
        // What cannot be kept is compiled again next time: no reason to fail.
        let key = Digest::from(*sources);
        let _ = self.store.keep_derived::<Error>(HARDWARE, &key, |folder| {
            let path = folder.join("compiled");
            fs::write(&path, bytes).map_err(|source| Error::io("write", &path, source))
        });
    }

    fn get(&self, path: &TreePath, content: &Content) -> Option<ModuleFacts> {
        // Contents in memory are an overlay's: no package vouches for them.
        content.spool_offset()?;
        self.known.get(path.as_str()).cloned()
    }

    fn keep(&self, path: &TreePath, content: &Content, facts: &ModuleFacts) {
        if content.spool_offset().is_some()
            && let Ok(mut found) = self.found.lock()
        {
            found.insert(path.to_string(), facts.clone());
        }
    }
}
