//! The boot test of images for Raspberry Pis.

use super::{BootOptions, impossible};
use crate::failure::Said;
use anyhow::{Context as _, Result};
use fortress_filesystem::ext4::{self, BlockOwner};
use fortress_filesystem::fat::{self, FatKind, FatOptions};
use fortress_pipeline::manifest::{Covered, Manifest};
use fortress_progress::Observer;
use fortress_qemu::raspberry_pi::{
    self, Board, RaspberryPiReport, RaspberryPiTest, RsaPublicKey, Situation,
};
use fortress_qemu::{BootTest, DiskInterface, Drive, Machine, RebootBy};
use fortress_tree::Tree;
use fortress_trust::{PublicKeys, Role};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The device tree of QEMU's Raspberry Pi 3, which the kernel's package brings.
const DEVICE_TREE: &str = "bcm2837-rpi-3-b.dtb";
/// Bytes in a block of the root's file system.
const BLOCK: u64 = 4096;
/// The largest device tree that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// A board whose firmware is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum BoardOption {
    /// Raspberry Pi 4
    Pi4,
    /// Raspberry Pi 5
    Pi5,
}

/// A machine of QEMU's that stands in for a Raspberry Pi.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum MachineOption {
    /// Raspberry Pi 3, with the image as its SD card
    Raspi3b,
    /// Raspberry Pi 4, with the image as its SD card, started once; for a 'pi4' alone, and slow
    Raspi4b,
    /// QEMU's own arm64 machine, with a network
    Virt,
}

impl MachineOption {
    fn machine(self) -> Machine {
        match self {
            Self::Raspi3b => Machine::RaspberryPi3,
            Self::Raspi4b => Machine::RaspberryPi4,
            Self::Virt => Machine::Usual,
        }
    }
}

/// How long a start of QEMU's Raspberry Pi 4 may take, which is the slowest, unless it is said.
const LONGEST_START: Duration = Duration::from_secs(1800);

/// The label of a stick that keys of states are put on (docs/state.md).
const STICK: &str = "FORTRESSKEY";
/// Its size in bytes.
const STICK_SIZE: u64 = 40 << 20;

/// Boots an image under the machines that stand in for a Raspberry Pi.
pub(super) fn boot(
    mut common: BootTest,
    manifest: &Manifest,
    options: &BootOptions,
    keys: Option<&PublicKeys>,
    observer: &dyn Observer,
) -> Result<RaspberryPiReport> {
    let board = match (options.board, manifest.board.as_str()) {
        (Some(BoardOption::Pi4), _) | (None, "pi4") => Board::Pi4,
        (Some(BoardOption::Pi5), _) | (None, "pi5") => Board::Pi5,
        (None, other) => {
            return Err(impossible(format!(
                "board {other:?} is no Raspberry Pi whose firmware is known here; say which one is \
                 to be played with --board"
            )));
        }
    };
    let machines = machines(&options.machines, board)?;
    if machines.contains(&Machine::RaspberryPi4) && options.timeout.is_none() {
        common.timeout = LONGEST_START;
    }
    let mut situation = Situation::new(board);
    situation.owner = owner(manifest, keys, observer)?;
    let folder = &common.work_folder;
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    let device_tree = machines
        .contains(&Machine::RaspberryPi3)
        .then(|| device_tree(&common.image, manifest, folder))
        .transpose()?;
    let stick = stick(folder)?;
    common.drives.push(stick);
    let test = RaspberryPiTest {
        common,
        situation,
        device_tree,
        machines,
        reboot: (!options.once).then_some(RebootBy::Reset),
    };
    Ok(raspberry_pi::run(&test, observer)?)
}

/// The machines that are started, in their order.
fn machines(asked: &[MachineOption], board: Board) -> Result<Vec<Machine>> {
    if asked.is_empty() {
        return Ok(vec![Machine::RaspberryPi3, Machine::Usual]);
    }
    if asked.contains(&MachineOption::Raspi4b) && board != Board::Pi4 {
        return Err(Said {
            code: fortress_qemu::Error::EXIT_CODE,
            message: format!(
                "raspi4b is a Raspberry Pi 4, and cannot stand in for a {}",
                board.name()
            ),
            hint: Some(
                "leave --machine raspi4b away, or test an image that was built with --board pi4"
                    .to_owned(),
            ),
        }
        .into());
    }
    let mut machines = Vec::new();
    for machine in asked.iter().map(|own| own.machine()) {
        if !machines.contains(&machine) {
            machines.push(machine);
        }
    }
    Ok(machines)
}

/// The key that is in the board's EEPROM: the owner's, if it is the one that the image was made for.
fn owner(
    manifest: &Manifest,
    keys: Option<&PublicKeys>,
    observer: &dyn Observer,
) -> Result<Option<RsaPublicKey>> {
    let own = keys.and_then(|keys| Some((keys, keys.key(Role::RaspberryPi).ok()?)));
    let Some((keys, own)) = own else {
        observer.warn("there are no keys of yours here: boot.sig is not looked at");
        return Ok(None);
    };
    let fingerprint = own.fingerprint()?;
    let mut made_for = manifest.keys.iter();
    match made_for.find(|own| own.role == Role::RaspberryPi) {
        Some(facts) if facts.sha256 == fingerprint => {
            Ok(Some(keys.rsa(Role::RaspberryPi)?.clone()))
        }
        _ => {
            observer
                .warn("this image was made for other keys than yours: boot.sig is not looked at");
            Ok(None)
        }
    }
}

/// A stick for the key of the state, for images that want one.
fn stick(folder: &Path) -> Result<Drive> {
    let path = folder.join("stick.img");
    let failed = || format!("cannot write {}", path.display());
    let file = File::create(&path).with_context(failed)?;
    file.set_len(STICK_SIZE).with_context(failed)?;
    let options = FatOptions {
        kind: FatKind::Fat32,
        size: STICK_SIZE,
        sectors_per_cluster: None,
        volume_id: 1,
        label: STICK.into(),
        epoch: 1 << 30,
    };
    fat::write(&Tree::new(options.epoch), &options, &file, 0).with_context(failed)?;
    Ok(Drive {
        image: path,
        serial: "stick".into(),
        interface: DiskInterface::Usb,
    })
}

/// Copies a Raspberry Pi 3's device tree out of the image's root.
fn device_tree(image: &Path, manifest: &Manifest, folder: &Path) -> Result<PathBuf> {
    let root = manifest
        .partitions
        .iter()
        .find(|partition| partition.covered == Covered::RootHash)
        .context("the manifest names no root partition")?;
    let file = File::open(image).with_context(|| format!("cannot read {}", image.display()))?;
    let structure = ext4::read(&file, root.offset, root.length)?;
    let mut bytes = Vec::new();
    for block in 0..structure.blocks() {
        let BlockOwner::Contents {
            path,
            offset,
            length,
        } = structure.owner(block)
        else {
            continue;
        };
        if path.rsplit('/').next() != Some(DEVICE_TREE) || length > LARGEST || offset >= length {
            continue;
        }
        bytes.resize(length as usize, 0);
        let end = length.min(offset + BLOCK);
        let piece = &mut bytes[offset as usize..end as usize];
        file.read_exact_at(piece, root.offset + block * BLOCK)
            .with_context(|| format!("cannot read {}", image.display()))?;
    }
    if bytes.is_empty() {
        return Err(impossible(format!(
            "the image's root has no {DEVICE_TREE}, which the kernel's package brings and QEMU's \
             Raspberry Pi 3 needs"
        )));
    }
    let path = folder.join(DEVICE_TREE);
    std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
