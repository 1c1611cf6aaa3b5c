//! The part of a Raspberry Pi's firmware that decides what is started, on an image file.
//!
//! QEMU emulates no VideoCore, so nothing in it reads `config.txt`. This does, as the boards' EEPROM
//! and `start4.elf` are documented to: partition table, FAT, `autoboot.txt`, `boot.img` and its
//! signature, `config.txt` with its filters. What comes out is what a board would start, and every file
//! of it is from the image. It is stricter than the real one where that guesses, cuts or goes on in
//! silence.
//!
//! Sources: the documentation of `config.txt` and `autoboot.txt` in raspberrypi/documentation, and
//! `rpi-eeprom-digest` for the form of `boot.sig`.

mod configuration;
mod device_tree;
mod fat;
mod kernel;
mod partitions;
mod refusal;
mod render;
mod resolver;
mod signature;
mod test;

pub use refusal::Refusal;
pub use resolver::resolve;
/// The form in which a board's owner is known.
pub use rsa::RsaPublicKey;
pub use test::{FirmwareOutcome, MachineReport, RaspberryPiReport, RaspberryPiTest, run};

use serde::Serialize;
use std::path::PathBuf;

/// A board whose firmware is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Board {
    /// Raspberry Pi 4 Model B.
    Pi4,
    /// Raspberry Pi 5.
    Pi5,
}

impl Board {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pi4 => "Raspberry Pi 4",
            Self::Pi5 => "Raspberry Pi 5",
        }
    }

    /// The largest `boot.img` that the board is held to load, in bytes: firmware of a Pi 4 loaded 64
    /// MiB at first, then 96, then 128; that of a Pi 5 was seen to load 160.
    pub fn largest_boot_image(self) -> u64 {
        match self {
            Self::Pi4 => 96 << 20,
            Self::Pi5 => 160 << 20,
        }
    }

    /// The filters of `config.txt` that hold for it.
    fn models(self) -> &'static [&'static str] {
        match self {
            Self::Pi4 => &["pi4"],
            Self::Pi5 => &["pi5"],
        }
    }

    /// The type in its revision code.
    fn kind(self) -> u32 {
        match self {
            Self::Pi4 => 0x11,
            Self::Pi5 => 0x17,
        }
    }

    /// The device tree that its firmware loads unless told otherwise.
    fn device_tree(self) -> &'static str {
        match self {
            Self::Pi4 => "bcm2711-rpi-4-b.dtb",
            Self::Pi5 => "bcm2712-rpi-5-b.dtb",
        }
    }

    /// The kernels that its firmware looks for unless told otherwise.
    fn kernels(self) -> &'static [&'static str] {
        match self {
            Self::Pi4 => &["kernel8.img"],
            Self::Pi5 => &["kernel_2712.img", "kernel8.img"],
        }
    }
}

/// A board as it stands before somebody switches it on.
#[derive(Debug, Clone)]
pub struct Situation {
    /// Which board it is.
    pub board: Board,
    /// Whether it restarts to try the other slot (`reboot "0 tryboot"`).
    pub tryboot: bool,
    /// Whether a Raspberry Pi 5 has the newer stepping (D0) of its processor.
    pub newer_stepping: bool,
    /// The owner's key, if it is in the board's EEPROM: then only what it signed is started.
    pub owner: Option<RsaPublicKey>,
}

impl Situation {
    /// A board as it is bought: no key in it, an ordinary start.
    pub fn new(board: Board) -> Self {
        Self {
            board,
            tryboot: false,
            newer_stepping: false,
            owner: None,
        }
    }
}

/// What a board would start, its files copied out of the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Started {
    /// The partition that was started from, from 1.
    pub partition: u32,
    /// SHA-256 of `boot.img`, hexadecimal, if the files are in one.
    pub boot_image: Option<String>,
    /// Whether `boot.sig` was verified with the owner's key.
    pub signed: bool,
    /// The kernel, unpacked: an arm64 `Image`.
    pub kernel: PathBuf,
    /// The initrd.
    pub initrd: Option<PathBuf>,
    /// The board's device tree, overlays not applied. QEMU's Raspberry Pi 4 starts with a changed copy.
    pub device_tree: PathBuf,
    /// The overlays that the firmware would apply, in their order.
    pub overlays: Vec<PathBuf>,
    /// The kernel's command line, as the image says it.
    pub command_line: String,
    /// What was read, and what was decided by it, a line each.
    pub log: Vec<String>,
}
