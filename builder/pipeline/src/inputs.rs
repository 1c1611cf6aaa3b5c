//! From a plan to inputs: sources, the lock, the packages' files.

use crate::{Error, LockMode, Result, Settings};
use fortress_archive::{Excluded, Index, LoadOptions, Lock, Request, Snapshot, Source, resolve};
use fortress_disk::PartialFile;
use fortress_package::Archive;
use fortress_recipe::{Mirror, Plan};
use fortress_store::{Digest, mirrors};
use serde::Serialize;
use std::fs;
use std::io::Write;
use std::path::Path;

/// Everything that decides what a lock holds: another digest means another lock.
#[derive(Serialize)]
struct Asked<'a> {
    format: u32,
    architecture: &'a str,
    suites: Vec<AskedSuite<'a>>,
    roots: &'a [String],
    excluded: Vec<&'a str>,
    recommends: bool,
}

/// What a suite gives.
#[derive(Serialize)]
struct AskedSuite<'a> {
    archive: &'a str,
    suite: &'a str,
    components: Vec<&'a str>,
    only: Vec<&'a str>,
    priority: i32,
}

/// The archives' sources, with mirrors in the order in which they are tried.
pub fn sources(plan: &Plan, settings: &Settings<'_>) -> Result<Vec<Source>> {
    let archives = plan.base.archives.iter();
    archives
        .map(|archive| {
            let keys = archive.keys.iter().map(|key| {
                fs::read(&key.path).map_err(|source| Error::io("read the key", &key.path, source))
            });
            Ok(Source {
                name: archive.name.value.clone(),
                mirrors: mirrors_of(&archive.mirror, settings),
                suite: archive.suite.value.clone(),
                components: values(&archive.components),
                keys: keys.collect::<Result<_>>()?,
                only: values(&archive.only),
                priority: archive.priority.value,
                grace: i64::from(archive.grace.value) * 86_400,
            })
        })
        .collect()
}

/// What is asked for on the command line, else the machine's own mirrors, else the public default.
fn mirrors_of(mirror: &Mirror, settings: &Settings<'_>) -> Vec<String> {
    let asked = settings.mirrors.iter();
    let asked: Vec<String> = asked
        .filter(|(name, _)| *name == mirror.name.value)
        .map(|(_, url)| url.trim_end_matches('/').to_owned())
        .collect();
    if !asked.is_empty() {
        return asked;
    }
    let mut found = mirrors::machine_mirrors(
        &settings.machine_configuration,
        &mirror.distribution,
        *mirror.security,
    );
    if found.is_empty() {
        found.push(mirror.url.value.clone());
    }
    found
}

fn values(of: &[fortress_recipe::Sourced<String>]) -> Vec<String> {
    of.iter().map(|one| one.value.clone()).collect()
}

fn request(plan: &Plan) -> Request {
    Request {
        roots: plan
            .packages
            .iter()
            .map(|package| package.name.clone())
            .collect(),
        excluded: plan
            .left_out
            .iter()
            .map(|package| Excluded {
                name: package.name.clone(),
                reason: package.reason.clone(),
            })
            .collect(),
        essential: true,
        recommends: *plan.recommends,
        phased: false,
    }
}

fn digest(plan: &Plan, request: &Request) -> Digest {
    let archives = plan.base.archives.iter();
    let asked = Asked {
        format: 1,
        architecture: plan.board.architecture.as_str(),
        suites: archives
            .map(|archive| AskedSuite {
                archive: &archive.name,
                suite: &archive.suite,
                components: archive
                    .components
                    .iter()
                    .map(|name| name.as_str())
                    .collect(),
                only: archive.only.iter().map(|name| name.as_str()).collect(),
                priority: archive.priority.value,
            })
            .collect(),
        roots: &request.roots,
        excluded: request
            .excluded
            .iter()
            .map(|package| package.name.as_str())
            .collect(),
        recommends: request.recommends,
    };
    // Strings, numbers and lists of them: there is nothing that JSON cannot say.
    Digest::of(&serde_json::to_vec(&asked).unwrap_or_default())
}

/// The lock to build from: the one that is there if it fits, else (where that is allowed) a new
/// one, which is written to its place.
pub fn lock(plan: &Plan, sources: &[Source], settings: &Settings<'_>) -> Result<Lock> {
    let request = request(plan);
    let digest = digest(plan, &request);
    let path = &settings.lock_path;
    let old = read_lock(path)?;
    let refuse = |reason: &str| {
        Err(Error::Lock {
            path: path.clone(),
            reason: reason.into(),
        })
    };
    match (&old, settings.lock_mode) {
        (Some(old), LockMode::Keep | LockMode::Locked) if old.fits(&digest) => {
            return Ok(old.clone());
        }
        (Some(_), LockMode::Locked) => {
            return refuse("was made for other packages or suites than the recipe now asks for");
        }
        (None, LockMode::Locked) => return refuse("there is no lock"),
        _ => {}
    }
    let observer = settings.observer;
    let options = LoadOptions {
        now: settings.now,
        offline: settings.client.options().offline,
    };
    let index = Index::load(
        sources,
        plan.board.architecture.as_str(),
        settings.store,
        settings.client,
        &options,
        observer,
    )?;
    let resolution = resolve(&index, &request).map_err(|error| Error::from(error).placed(plan))?;
    let lock = Lock::new(&index, &resolution, &plan.base.name, digest);
    match &old {
        Some(old) => {
            let changes = lock.compare(old);
            observer.note(&format!(
                "{} changed: {} packages",
                path.display(),
                changes.len()
            ));
            for change in &changes {
                observer.note(&format!("  {change}"));
            }
        }
        None => observer.note(&format!(
            "{} made; keep it, and the same image can be built again",
            path.display()
        )),
    }
    write_lock(path, &lock)?;
    Ok(lock)
}

/// The lock file; none if there is none.
fn read_lock(path: &Path) -> Result<Option<Lock>> {
    match fs::read_to_string(path) {
        Ok(text) => match Lock::from_toml(&text) {
            Ok(lock) => Ok(Some(lock)),
            Err(error) => Err(Error::Lock {
                path: path.to_owned(),
                reason: error.to_string(),
            }),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path, error)),
    }
}

/// Writes the lock whole or not at all.
fn write_lock(path: &Path, lock: &Lock) -> Result<()> {
    let failed = |source| Error::io("write", path, source);
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed)?;
    let mut file = PartialFile::create(path).map_err(failed)?;
    file.write_all(lock.to_toml().as_bytes()).map_err(failed)?;
    file.file().sync_all().map_err(failed)?;
    file.finish().map_err(failed)?;
    Ok(())
}

/// Fetches what the lock names and is not in the store; gives the files in the lock's order.
pub fn fetch(
    lock: &Lock,
    plan: &Plan,
    sources: &[Source],
    settings: &Settings<'_>,
) -> Result<Vec<Archive>> {
    let archives = plan.base.archives.iter();
    let snapshots: Vec<Snapshot> = archives
        .filter_map(|archive| {
            let template = archive.mirror.snapshot.as_ref()?;
            Some(Snapshot {
                source: archive.name.value.clone(),
                url: template.value.clone(),
            })
        })
        .collect();
    let downloads = lock.downloads(sources, &snapshots)?;
    let blobs = settings
        .store
        .fetch(&downloads, settings.client, settings.observer)?;
    let archives = lock.packages.iter().zip(&blobs);
    Ok(archives
        .map(|(package, blob)| Archive {
            name: format!(
                "{} {} {}",
                package.name, package.version, package.architecture
            ),
            path: blob.path().to_owned(),
            sha256: Some(*package.sha256.as_bytes()),
        })
        .collect())
}
