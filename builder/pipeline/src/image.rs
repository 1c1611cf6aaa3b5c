//! The disk: where partitions go, and what is written into them.

use crate::identity::Identity;
use crate::manifest::{Covered, ImageFacts, PartitionFacts};
use crate::{Error, Result, Settings};
use fortress_disk::gpt::{self, partition_types};
use fortress_disk::gpt::{Attributes, DiskLayout, LayoutOptions, PartitionEntry, Placement};
use fortress_disk::verity::{self, RootHash, VerityOptions};
use fortress_disk::{ImageFile, Region};
use fortress_filesystem::ext4;
use fortress_progress::Observer;
use fortress_recipe::{Architecture, Partition, PartitionKind, PartitionSize, Plan, Slot};
use fortress_tree::Tree;
use std::path::Path;
use uuid::Uuid;

/// The root file system ends on a multiple of this, as its partition does.
const ROOT_ALIGNMENT: u64 = 1 << 20;

/// The disk, planned: partitions by what they are for.
#[derive(Debug)]
pub(crate) struct Disk {
    layout: DiskLayout,
    roles: Vec<(PartitionKind, Option<Slot>)>,
}

impl Disk {
    /// Places the plan's partitions, for a root file system of `root_size` bytes.
    pub(crate) fn plan(plan: &Plan, identity: &Identity, root_size: u64) -> Result<Self> {
        let partitions = &plan.board.partitions;
        let entries = partitions
            .iter()
            .map(|partition| entry(partition, plan, identity, root_size));
        let options = LayoutOptions {
            guid: identity.uuid("disk"),
            alignment: *plan.board.alignment,
        };
        Ok(Self {
            layout: gpt::layout(entries.collect::<Result<_>>()?, &options)?,
            roles: partitions
                .iter()
                .map(|partition| {
                    (
                        partition.kind.value,
                        partition.slot.as_ref().map(|slot| slot.value),
                    )
                })
                .collect(),
        })
    }

    /// Length of the disk in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.layout.length
    }

    /// Where the partition is that a new disk starts with.
    pub(crate) fn region(&self, kind: PartitionKind) -> Result<Region> {
        Ok(self.layout.partitions[self.index(kind)?].region())
    }

    /// The number of a partition in the table, from 1.
    pub(crate) fn number(&self, kind: PartitionKind, slot: Option<Slot>) -> Option<u32> {
        let index = self.roles.iter().position(|role| *role == (kind, slot))?;
        u32::try_from(index + 1).ok()
    }

    fn index(&self, kind: PartitionKind) -> Result<usize> {
        let wanted =
            |role: &(PartitionKind, Option<Slot>)| role.0 == kind && role.1 != Some(Slot::B);
        self.roles
            .iter()
            .position(wanted)
            .ok_or_else(|| Error::Partition {
                partition: format!("{kind:?}"),
                reason: "the board's layout has none".into(),
            })
    }

    /// Writes the hash tree of the root, and names the two partitions after its root hash.
    pub(crate) fn write_verity(
        &mut self,
        image: &ImageFile,
        identity: &Identity,
    ) -> Result<RootHash> {
        let options = VerityOptions {
            salt: verity_salt(identity),
            uuid: identity.uuid("verity"),
        };
        let data = self.index(PartitionKind::Root)?;
        let hash = self.index(PartitionKind::RootVerity)?;
        let partitions = &mut self.layout.partitions;
        let (data_region, hash_region) = (partitions[data].region(), partitions[hash].region());
        let root_hash = verity::format(image.file(), data_region, hash_region, &options)?;
        partitions[data].entry.guid = root_hash.data_partition();
        partitions[hash].entry.guid = root_hash.hash_partition();
        Ok(root_hash)
    }

    /// Writes the partition table, after everything else.
    pub(crate) fn write_table(&self, image: &ImageFile) -> Result<()> {
        Ok(gpt::write(image.file(), &self.layout)?)
    }

    /// The facts of image and partitions for the manifest, without digests.
    pub(crate) fn facts(&self, file: String) -> (ImageFacts, Vec<PartitionFacts>) {
        let facts = ImageFacts {
            file,
            length: self.layout.length,
            guid: self.layout.guid.to_string(),
            head_sha256: String::new(),
            tail_sha256: String::new(),
        };
        let partitions = self.layout.partitions.iter().zip(&self.roles);
        let partitions = partitions
            .map(|(partition, role)| partition_facts(partition, *role, self.covered(*role)))
            .collect();
        (facts, partitions)
    }

    fn covered(&self, (kind, slot): (PartitionKind, Option<Slot>)) -> Covered {
        match (kind, slot) {
            (_, Some(Slot::B)) => Covered::Empty,
            (PartitionKind::Root, _) => Covered::RootHash,
            _ => Covered::Digest,
        }
    }
}

/// What every block of the root is preceded by when it is hashed.
pub(crate) fn verity_salt(identity: &Identity) -> [u8; 32] {
    identity.bytes("verity salt")
}

/// The root in its place in the image, and what verifies it.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) disk: Disk,
    pub(crate) image: ImageFile,
    pub(crate) root_hash: RootHash,
}

/// Makes the image file, writes the root into it, and the root's hash tree.
pub(crate) fn seal_root(
    plan: &Plan,
    tree: &Tree,
    identity: &Identity,
    epoch: i64,
    path: &Path,
    settings: &Settings<'_>,
) -> Result<Sealed> {
    let mut disk = Disk::plan(plan, identity, root_size(plan, tree)?)?;
    let image = ImageFile::create(path, disk.length())?;
    let root = disk.region(PartitionKind::Root)?;
    let options = ext4::Ext4Options {
        size: root.length,
        uuid: identity.uuid("root"),
        hash_seed: identity.uuid("root hash seed"),
        label: "root".into(),
        epoch,
    };
    ext4::write(tree, &options, image.file(), root.offset, settings.observer)?;
    check(settings.observer)?;
    let root_hash = disk.write_verity(&image, identity)?;
    Ok(Sealed {
        disk,
        image,
        root_hash,
    })
}

/// Size of the root file system: what the tree takes, and the headroom.
fn root_size(plan: &Plan, tree: &Tree) -> Result<u64> {
    let headroom = ext4::Headroom {
        percent: *plan.image.headroom_percent,
        bytes: *plan.image.headroom_bytes,
    };
    Ok(ext4::plan(tree, headroom)?.next_multiple_of(ROOT_ALIGNMENT))
}

/// Stops a build whose observer asks for it.
pub(crate) fn check(observer: &dyn Observer) -> Result<()> {
    match observer.cancelled() {
        true => Err(Error::Cancelled),
        false => Ok(()),
    }
}

fn partition_facts(
    partition: &Placement,
    (kind, slot): (PartitionKind, Option<Slot>),
    covered: Covered,
) -> PartitionFacts {
    PartitionFacts {
        label: partition.entry.name.clone(),
        purpose: kind.as_str().to_owned(),
        slot: slot.map(|slot| match slot {
            Slot::A => "a".to_owned(),
            Slot::B => "b".to_owned(),
        }),
        kind: partition.entry.kind.to_string(),
        guid: partition.entry.guid.to_string(),
        offset: partition.offset,
        length: partition.entry.length,
        data_length: match covered {
            Covered::RootHash => partition.entry.length,
            _ => 0,
        },
        sha256: None,
        covered,
    }
}

fn entry(
    partition: &Partition,
    plan: &Plan,
    identity: &Identity,
    root_size: u64,
) -> Result<PartitionEntry> {
    let kind = partition.kind.value;
    let slot = partition.slot.as_ref().map(|slot| slot.value);
    let has_content = slot != Some(Slot::B);
    let purpose = format!("partition {kind:?} {slot:?}");
    let name = match (&partition.label, has_content) {
        (Some(label), true) => label.value.clone(),
        (None, true) => format!("{}_{}", plan.name.value, plan.version.value),
        // What systemd-sysupdate looks for when it wants room for a new version.
        (_, false) => "_empty".into(),
    };
    let length = match *partition.size {
        PartitionSize::Bytes(bytes) => bytes,
        PartitionSize::Content => content_length(kind, plan, root_size)?,
    };
    let mut attributes = 0;
    if matches!(
        kind,
        PartitionKind::Root | PartitionKind::RootVerity | PartitionKind::RootVeritySig
    ) {
        attributes |= Attributes::READ_ONLY;
    }
    if slot == Some(Slot::B) {
        attributes |= Attributes::NO_AUTO;
    }
    Ok(PartitionEntry {
        kind: type_of(kind, *plan.board.architecture),
        guid: identity.uuid(&purpose),
        name,
        length,
        attributes,
    })
}

fn content_length(kind: PartitionKind, plan: &Plan, root_size: u64) -> Result<u64> {
    let missing = |reason: &str| Error::Partition {
        partition: format!("{kind:?}"),
        reason: reason.into(),
    };
    match kind {
        PartitionKind::Root => Ok(root_size),
        PartitionKind::RootVerity => Ok(verity::hash_length(root_size)),
        PartitionKind::RootVeritySig => Ok(16 << 10),
        PartitionKind::Esp => plan
            .image
            .esp_size
            .as_ref()
            .map(|size| size.value)
            .ok_or_else(|| missing("neither board nor recipe says how large it is")),
        PartitionKind::BootSelect | PartitionKind::Boot => {
            Err(missing("the board must say how large it is"))
        }
    }
}

fn type_of(kind: PartitionKind, architecture: Architecture) -> Uuid {
    let types = match architecture {
        Architecture::Amd64 => partition_types::X86_64,
        Architecture::Arm64 => partition_types::ARM64,
    };
    match kind {
        PartitionKind::Esp => partition_types::ESP,
        PartitionKind::Root => types.root,
        PartitionKind::RootVerity => types.root_verity,
        PartitionKind::RootVeritySig => types.root_verity_signature,
        PartitionKind::BootSelect | PartitionKind::Boot => partition_types::ESP,
    }
}
