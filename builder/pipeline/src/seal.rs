//! What vouches for the verified root, and starts it. Each firmware has a module of its own.
//!
//! It is made in two steps, so that signatures may come later and from elsewhere: first everything
//! is written with zeros in place of signatures ([`write`]), then they are put in their places.

use crate::boot::Kernel;
use crate::identity::Identity;
use crate::image::Disk;
use crate::{Result, raspberry_pi, uefi};
use fortress_disk::verity::RootHash;
use fortress_recipe::{Firmware, Plan};
use fortress_tree::{Content, Tree};
use std::fs::File;
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
}

/// Writes the boot partitions of slot A, with zeros in place of signatures.
pub(crate) fn write(boot: &Boot<'_>) -> Result<()> {
    match *boot.plan.board.firmware {
        Firmware::Uefi => uefi::write(boot),
        Firmware::RaspberryPi => raspberry_pi::write(boot),
    }
}
