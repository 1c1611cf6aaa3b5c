//! What vouches for the verified root, and starts it. Each firmware has a module of its own.
//!
//! It is made in two steps, so that signatures may come later and from elsewhere: first everything
//! is written with zeros in place of signatures ([`write`]), then they are put in their places.

use crate::boot::Kernel;
use crate::identity::Identity;
use crate::image::Disk;
use crate::manifest::{BootFacts, Manifest, RaspberryPiFacts, UefiFacts};
use crate::{Error, Result, digests, page_size, raspberry_pi, root_signature, uefi};
use fortress_disk::verity::RootHash;
use fortress_recipe::{Firmware, PartitionKind, Plan};
use fortress_store::Store;
use fortress_tree::{Content, Tree};
use fortress_trust::{Blank, PublicKeys, Role, Signer, verity};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What boot partitions are made from.
#[derive(Debug)]
pub(crate) struct Boot<'a> {
    pub(crate) plan: &'a Plan,
    /// The root's tree, without its kernel.
    pub(crate) root: &'a Tree,
    pub(crate) kernel: &'a Kernel,
    /// The initrd, the same for every owner.
    pub(crate) initrd: Content,
    pub(crate) root_hash: &'a RootHash,
    pub(crate) identity: &'a Identity,
    /// Seconds since 1970 of every time.
    pub(crate) epoch: i64,
    pub(crate) disk: &'a Disk,
    /// The image, in which root and hash tree are already.
    pub(crate) image: &'a File,
    /// A folder for what is only needed until the image is written.
    pub(crate) scratch: &'a Path,
    /// Public halves of the owner's keys.
    pub(crate) keys: &'a PublicKeys,
}

/// Refuses what cannot become an image, before the work of writing one.
pub(crate) fn check(plan: &Plan, root: &Tree, kernel: &Kernel) -> Result<()> {
    page_size::check(plan, root, kernel)?;
    root_signature::check(plan, root, &kernel.release)?;
    match *plan.board.firmware {
        Firmware::Uefi => Ok(()),
        Firmware::RaspberryPi => raspberry_pi::check(plan, root, kernel),
    }
}

/// The kernel in the form that the firmware takes.
pub(crate) fn kernel(plan: &Plan, kernel: &Kernel, store: &Store) -> Result<Content> {
    match *plan.board.firmware {
        Firmware::Uefi => Ok(kernel.image.clone()),
        Firmware::RaspberryPi => raspberry_pi::kernel(&kernel.image, store),
    }
}

/// Writes the boot partitions of slot A, with zeros in place of signatures.
pub(crate) fn write(boot: &Boot<'_>) -> Result<BootFacts> {
    match *boot.plan.board.firmware {
        Firmware::Uefi => uefi::write(boot),
        Firmware::RaspberryPi => {
            raspberry_pi::write(boot)?;
            Ok(BootFacts::RaspberryPi(RaspberryPiFacts::default()))
        }
    }
}

/// The roles whose keys sign a plan's image.
pub fn roles(plan: &Plan) -> &'static [Role] {
    match *plan.board.firmware {
        Firmware::Uefi => &[
            Role::Manifest,
            Role::Pk,
            Role::Kek,
            Role::Db,
            Role::Verity,
            Role::Pcr,
        ],
        Firmware::RaspberryPi => &[Role::Manifest, Role::RaspberryPi],
    }
}

/// What is not known before the boot partitions are written.
pub(crate) fn no_facts(plan: &Plan) -> BootFacts {
    match *plan.board.firmware {
        Firmware::Uefi => BootFacts::Uefi(UefiFacts::default()),
        Firmware::RaspberryPi => BootFacts::RaspberryPi(RaspberryPiFacts::default()),
    }
}

/// Puts all signatures in their places in an image, and their facts and the digests of what holds
/// them into its manifest. A signature that the signer does not have stays zeros.
///
/// It can be done any number of times, and the last one counts.
pub(crate) fn sign(
    image: &File,
    manifest: &mut Manifest,
    keys: &PublicKeys,
    signer: &dyn Signer,
) -> Result<()> {
    let epoch = time(manifest.source_date_epoch);
    sign_root_hash(image, manifest, keys, signer)?;
    let region = |purpose: &str| {
        let partition = manifest.partition(purpose);
        let missing = || Error::Partition {
            partition: purpose.to_owned(),
            reason: "the image has none".into(),
        };
        Ok::<_, Error>(partition.ok_or_else(missing)?.region())
    };
    let mut programs = Vec::new();
    match manifest.boot.clone() {
        BootFacts::Uefi(mut facts) => {
            let esp = region(PartitionKind::Esp.as_str())?;
            uefi::sign(image, esp, &mut facts, epoch, keys, signer)?;
            programs = uefi::programs(image, esp, &facts)?;
            manifest.boot = BootFacts::Uefi(facts);
        }
        BootFacts::RaspberryPi(mut facts) => {
            let boot = region(PartitionKind::Boot.as_str())?;
            raspberry_pi::sign(image, boot, &mut facts, epoch, keys, signer)?;
            manifest.boot = BootFacts::RaspberryPi(facts);
        }
    }
    digests::fill(image, manifest, &programs)
}

/// Fills the partition that holds the signature of the root hash, if the image has one.
fn sign_root_hash(
    image: &File,
    manifest: &Manifest,
    keys: &PublicKeys,
    signer: &dyn Signer,
) -> Result<()> {
    let Some(partition) = manifest.partition(PartitionKind::RootVeritySig.as_str()) else {
        return Ok(());
    };
    let root_hash: RootHash = manifest.root_hash.parse()?;
    let mut bytes = verity::sign(keys, signer, "root hash", &root_hash.0)?;
    // A line, which the initrd's shell can read.
    bytes.push(b'\n');
    bytes.resize(bytes.len().next_multiple_of(4096), 0);
    if bytes.len() as u64 > partition.length {
        return Err(Error::Partition {
            partition: partition.label.clone(),
            reason: format!("the signature of the root hash takes {} bytes", bytes.len()),
        });
    }
    image
        .write_all_at(&bytes, partition.offset)
        .map_err(|source| Error::io("write", Path::new(&manifest.image.file), source))
}

/// A time as signatures have it. No image is older than 1970.
pub(crate) fn time(epoch: i64) -> u64 {
    u64::try_from(epoch).unwrap_or_default()
}

/// The signer for what contains signatures: as long as one of those is missing, nothing is to be
/// signed that will not stay as it is.
pub(crate) fn next_round(signer: &dyn Signer) -> &dyn Signer {
    match signer.missing() {
        0 => signer,
        _ => &Blank,
    }
}
