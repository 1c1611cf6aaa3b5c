//! What plan and lock say, as the manifest tells it.

use crate::digests::hexadecimal;
use crate::{Result, manifest};
use fortress_archive::Lock;
use fortress_recipe::Plan;
use fortress_trust::PublicKeys;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// Where values are said that are no machine's own: a site file may lie anywhere.
const PROJECT_FOLDERS: [&str; 2] = ["boards/", "recipes/"];
/// Keys that decide nothing but where packages are looked for.
const MIRROR: &str = ".mirror.";

/// The recipe: its values, and the files that say them.
pub(crate) fn recipe(plan: &Plan) -> manifest::RecipeFacts {
    let mut hasher = Sha256::new();
    let mut files = BTreeSet::new();
    for (key, value, place) in plan.explain() {
        if key.contains(MIRROR) {
            continue;
        }
        hasher.update(format!("{key} = {value}\n"));
        if let Some((file, _)) = place.rsplit_once(':')
            && PROJECT_FOLDERS
                .iter()
                .any(|folder| file.starts_with(folder))
        {
            files.insert(file.to_owned());
        }
    }
    manifest::RecipeFacts {
        name: plan.recipe.value.clone(),
        sha256: hexadecimal(&hasher.finalize()),
        files: files.into_iter().collect(),
    }
}

/// The owner's keys.
pub(crate) fn keys(keys: &PublicKeys) -> Result<Vec<manifest::KeyFacts>> {
    let facts = keys.roles().map(|role| {
        Ok(manifest::KeyFacts {
            role,
            sha256: keys.key(role)?.fingerprint()?,
            certificate_sha256: match role.has_certificate() {
                true => Some(keys.certificate(role)?.fingerprint()),
                false => None,
            },
        })
    });
    facts.collect()
}

/// SHA-256 of the lock.
pub(crate) fn lock(lock: &Lock) -> String {
    hexadecimal(&Sha256::digest(lock.to_toml()))
}

/// The machine of a boot test.
pub(crate) fn machine(plan: &Plan) -> manifest::MachineFacts {
    let qemu = &plan.board.qemu;
    manifest::MachineFacts {
        memory: *qemu.memory,
        processors: *qemu.processors,
        disk: qemu.disk.value.clone(),
        sockets: plan
            .health
            .sockets
            .iter()
            .map(|socket| socket.value.clone())
            .collect(),
    }
}

pub(crate) fn suites(lock: &Lock) -> Vec<manifest::SuiteFacts> {
    lock.suites
        .iter()
        .map(|suite| manifest::SuiteFacts {
            archive: suite.name.clone(),
            suite: suite.suite.clone(),
            date: suite.date,
            release_sha256: suite.release_sha256.to_string(),
        })
        .collect()
}

pub(crate) fn packages(lock: &Lock) -> Vec<manifest::PackageFacts> {
    lock.packages
        .iter()
        .map(|package| manifest::PackageFacts {
            name: package.name.clone(),
            version: package.version.clone(),
            architecture: package.architecture.clone(),
            sha256: package.sha256.to_string(),
            path: package.path.clone(),
        })
        .collect()
}
