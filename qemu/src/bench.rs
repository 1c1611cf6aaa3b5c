//! What a test needs before a machine can start: its folder, programs, firmware and disk.

use crate::accelerator::{self, Choice};
use crate::arguments;
use crate::disk::{self, Disk};
use crate::emulator::{Emulator, Start};
use crate::error::{Error, Result};
use crate::firmware::{self, Found, Placement};
use crate::machine::{Acceleration, Architecture, BootTest, DiskInterface, Firmware, Step};
use crate::program;
use crate::tpm::{self, TpmStart};
use fortress_progress::Observer;
use std::fs::File;
use std::path::{Path, PathBuf};

/// A test's place of work, of which it is the only user.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    pub(crate) test: &'a BootTest,
    pub(crate) version: String,
    emulator: PathBuf,
    firmware: Option<Found>,
    /// The one that the machine starts from, then the others.
    disks: Vec<Disk>,
    tpm: Option<(TpmStart, String)>,
    _lock: File,
}

/// The line that installs an emulator.
pub(crate) fn install_line(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "sudo apt-get install qemu-system-x86 qemu-utils ovmf",
        Architecture::Aarch64 => "sudo apt-get install qemu-system-arm qemu-utils qemu-efi-aarch64",
    }
}

impl<'a> Bench<'a> {
    pub(crate) fn prepare(test: &'a BootTest, observer: &dyn Observer) -> Result<Self> {
        check(test)?;
        let install = install_line(test.architecture);
        let emulator = program::need(test.architecture.emulator(), install)?;
        program::need("qemu-img", install)?;
        let version = program::version(&emulator).unwrap_or_default();
        let firmware = match test.firmware {
            Firmware::Uefi { secure_boot } => Some(firmware::find(
                &firmware::folders(),
                test.architecture,
                secure_boot,
                &mut |line| observer.warn(line),
            )?),
            Firmware::Direct { .. } => None,
        };
        let tpm = match &test.tpm {
            Some(_) => Some(program::need("swtpm", tpm::INSTALL)?),
            None => None,
        };
        let folder = &test.work_folder;
        std::fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
        let folder = folder.canonicalize().map_err(Error::file("open", folder))?;
        let lock = lock(&folder)?;
        let space = test.extra_space;
        let mut disks = vec![Disk::new("disk", &test.image, &folder, space, test.disk)?];
        for (at, drive) in test.drives.iter().enumerate() {
            let node = format!("drive-{}", at + 1);
            disks.push(Disk::new(&node, &drive.image, &folder, 0, drive.interface)?);
        }
        let tpm = tpm.map(|program| {
            let version = program::version(&program).unwrap_or_default();
            let work_folder = folder.clone();
            let start = TpmStart {
                program,
                work_folder,
            };
            (start, version)
        });
        Ok(Self {
            disks,
            tpm,
            test,
            version,
            emulator,
            firmware,
            _lock: lock,
        })
    }

    /// A path in the test's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.test.work_folder.join(name)
    }

    /// Chooses what the machine is to be tried with.
    pub(crate) fn choose(&self, memory: Option<&Path>) -> Result<Choice> {
        if self.test.machine.is_raspberry_pi() {
            let why = "no processor runs a Raspberry Pi's machine for QEMU";
            return match self.test.acceleration {
                Acceleration::Kvm => Err(Error::NoKvm {
                    why: why.to_owned(),
                }),
                _ => Ok(Choice::Emulation(why.to_owned())),
            };
        }
        accelerator::choose(
            self.test.acceleration,
            self.test.architecture,
            &self.version,
            memory,
        )
    }

    /// Starts the machine, its disks, variables and TPM as the test brings them.
    pub(crate) fn start(&self, choice: &Choice) -> Result<Emulator> {
        for (at, disk) in self.disks.iter().enumerate() {
            disk.reset(match at {
                0 => &self.test.alterations,
                _ => &[],
            })?;
        }
        if let Some(tpm) = &self.test.tpm {
            tpm::reset(tpm, &self.test.work_folder)?;
        }
        if let Some(Found {
            placement:
                Placement::Flash {
                    variables: Some((template, _)),
                    ..
                },
            ..
        }) = &self.firmware
        {
            let copy = self.path(arguments::VARIABLES);
            disk::remove(&copy)?;
            let template = self.test.variables.as_ref().unwrap_or(template);
            let bytes = std::fs::read(template).map_err(Error::file("read", template))?;
            std::fs::write(&copy, bytes).map_err(Error::file("write", &copy))?;
        }
        self.start_again(choice)
    }

    /// Starts the machine with what an earlier start left on its disks.
    pub(crate) fn start_again(&self, choice: &Choice) -> Result<Emulator> {
        Emulator::start(Start {
            program: &self.emulator,
            arguments: arguments::arguments(
                self.test,
                self.firmware.as_ref(),
                &self.disks,
                choice,
            )?,
            tpm: self
                .tpm
                .clone()
                .map(|(start, _)| (start, tpm::device(self.test.architecture))),
            errors: self.path("qemu.log"),
            console: self.test.serial_line(),
            health_port: !self.test.machine.is_raspberry_pi(),
            raw: self.test.interactive,
            prompts: !self.test.typed.is_empty(),
        })
    }

    /// Removes what only a running machine needs.
    pub(crate) fn clean(&self) -> Result<()> {
        if self.test.keep {
            return Ok(());
        }
        for disk in &self.disks {
            disk::remove(disk.overlay())?;
        }
        tpm::remove(&self.test.work_folder)?;
        disk::remove(&self.path(arguments::VARIABLES))
    }

    /// The TPM, in words.
    pub(crate) fn tpm(&self) -> Option<String> {
        let (_, version) = self.tpm.as_ref()?;
        let age = match self.test.tpm.as_ref()?.state {
            Some(_) => "as an earlier test kept it",
            None => "fresh from the factory",
        };
        // `TPM emulator version 0.7.1, Copyright …`
        let version = version.split(',').next().unwrap_or_default();
        Some(format!("swtpm ({version}), {age}"))
    }

    /// Whether the firmware supports Secure Boot.
    pub(crate) fn has_secure_boot(&self) -> bool {
        self.test.firmware == Firmware::Uefi { secure_boot: true }
    }

    /// The firmware, in words.
    pub(crate) fn firmware(&self) -> String {
        match &self.firmware {
            Some(found) => format!("{} ({})", found.file().display(), found.description),
            None => "direct kernel boot".to_owned(),
        }
    }
}

/// Refuses what makes no sense before anything is made.
fn check(test: &BootTest) -> Result<()> {
    let refuse = |why: &str| {
        Err(Error::Plan {
            why: why.to_owned(),
        })
    };
    match test.plan.split_first() {
        Some((Step::Boot, rest)) if !rest.contains(&Step::Boot) => {}
        _ => return refuse("its plan must begin with a boot, and have only reboots after it"),
    }
    let pi = test.machine.is_raspberry_pi();
    if pi && (test.architecture != Architecture::Aarch64 || test.disk != DiskInterface::SdCard) {
        return refuse("a Raspberry Pi is arm64, and starts from an SD card");
    }
    if !pi && test.disk == DiskInterface::SdCard {
        return refuse("only a Raspberry Pi has an SD card");
    }
    let brings_device_tree = matches!(
        &test.firmware,
        Firmware::Direct {
            device_tree: Some(_),
            ..
        }
    );
    if pi && !brings_device_tree {
        return refuse("QEMU's Raspberry Pis start a kernel directly, and need a device tree");
    }
    if test.processors == 0 || test.memory < 64 {
        return refuse("a machine needs a processor, and 64 MiB of memory");
    }
    let uefi = matches!(test.firmware, Firmware::Uefi { .. });
    if test.variables.is_some() && !uefi {
        return refuse("firmware's variables are given, and no UEFI firmware to have them");
    }
    for drive in &test.drives {
        let fits = |own: char| own.is_ascii_alphanumeric() || own == '-' || own == '_';
        if drive.serial.len() > 20 || !drive.serial.chars().all(fits) {
            return refuse(&format!(
                "{:?} is no serial number: up to 20 letters, digits, \"-\" and \"_\"",
                drive.serial
            ));
        }
        if !drive.image.is_file() {
            return refuse(&format!("{} is no file", drive.image.display()));
        }
    }
    if !test.image.is_file() {
        return refuse(&format!("{} is no file", test.image.display()));
    }
    Ok(())
}

/// Takes the folder for one test; the lock goes with the file.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(".lock");
    let file = File::create(&path).map_err(Error::file("create", &path))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Plan {
            why: format!("another test works in {}", folder.display()),
        }),
        Err(error) => Err(Error::file("lock", path)(error.into())),
    }
}
