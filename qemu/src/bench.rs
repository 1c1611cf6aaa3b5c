//! What a test needs before a machine can start: its folder, programs, firmware and disk.

use crate::accelerator::{self, Choice};
use crate::arguments;
use crate::disk::{self, Disk};
use crate::emulator::{Emulator, Start};
use crate::error::{Error, Result};
use crate::firmware::{self, Found, Placement};
use crate::machine::{Architecture, BootTest, Firmware, Step};
use crate::program;
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
    disk: Disk,
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
        let folder = &test.work_folder;
        std::fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
        let folder = folder.canonicalize().map_err(Error::file("open", folder))?;
        let lock = lock(&folder)?;
        Ok(Self {
            disk: Disk::new(&test.image, &folder, test.extra_space)?,
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
        accelerator::choose(
            self.test.acceleration,
            self.test.architecture,
            &self.version,
            memory,
        )
    }

    /// Starts the machine, its disk and variables fresh.
    pub(crate) fn start(&self, choice: &Choice) -> Result<Emulator> {
        self.disk.reset(&self.test.alterations)?;
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
            let bytes = std::fs::read(template).map_err(Error::file("read", template))?;
            std::fs::write(&copy, bytes).map_err(Error::file("write", &copy))?;
        }
        Emulator::start(Start {
            program: &self.emulator,
            arguments: arguments::arguments(self.test, self.firmware.as_ref(), &self.disk, choice)?,
            errors: self.path("qemu.log"),
            raw: self.test.interactive,
        })
    }

    /// Removes what only a running machine needs.
    pub(crate) fn clean(&self) -> Result<()> {
        if self.test.keep {
            return Ok(());
        }
        disk::remove(self.disk.overlay())?;
        disk::remove(&self.path(arguments::VARIABLES))
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
    if test.processors == 0 || test.memory < 64 {
        return refuse("a machine needs a processor, and 64 MiB of memory");
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
