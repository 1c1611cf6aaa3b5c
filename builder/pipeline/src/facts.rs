//! What plan and lock say, as the manifest tells it.

use crate::manifest;
use fortress_archive::Lock;
use fortress_recipe::Plan;

/// The machine of a boot test: the board's, or a plain one.
pub(crate) fn machine(plan: &Plan) -> manifest::MachineFacts {
    let qemu = plan.board.qemu.as_ref();
    manifest::MachineFacts {
        memory: qemu.map_or(1 << 30, |qemu| *qemu.memory),
        processors: qemu.map_or(2, |qemu| *qemu.processors),
        disk: qemu
            .map_or("virtio-blk", |qemu| qemu.disk.as_str())
            .to_owned(),
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
