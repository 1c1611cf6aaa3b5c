//! `test`: boots an image under QEMU and reads its health report.

mod raspberry_pi;

use super::doctor::install_lines;
use super::print_json;
use crate::context;
use crate::failure::Said;
use crate::options::Global;
use anyhow::{Context as _, Result};
use fortress_pipeline::ListeningSocket;
use fortress_pipeline::manifest::{BootFacts, Manifest, UefiFacts};
use fortress_progress::Observer;
use fortress_qemu::raspberry_pi::RaspberryPiReport;
use fortress_qemu::{
    AllowedSocket, Alteration, Architecture, BootTest, DiskInterface, DoctorOptions, Expectation,
    Firmware, Protocol, RebootBy, Report, Step, Tpm, doctor, has_secure_boot, has_tpm,
};
use fortress_recipe::Plan;
use fortress_trust::{KeySet, PublicKeys};
use raspberry_pi::{BoardOption, MachineOption};
use serde::Serialize;
use std::fmt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Boot an image under QEMU and read its health report
///
/// The image is opened read-only: the machine writes to an overlay, and the image's hash is compared
/// before and after. The machine boots, reports, is reset, boots again and reports again. Of an image
/// for Raspberry Pis the board's firmware is played, and what it would start is started on machines
/// that stand in for the board.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The image; its manifest lies beside it
    image: PathBuf,
    /// Write a JUnit report
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    #[command(flatten)]
    boot: BootOptions,
}

/// How an image is booted.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct BootOptions {
    /// Where logs go [default: beside the image, with the ending .boot]
    #[arg(long, value_name = "FOLDER")]
    work: Option<PathBuf>,
    /// Seconds that one boot may take [default: 600, and 1800 with --machine raspi4b]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Boot once only
    #[arg(long)]
    once: bool,
    /// The Raspberry Pi whose firmware is played [default: the image's own board]
    #[arg(long, value_name = "BOARD", value_enum)]
    board: Option<BoardOption>,
    /// A machine that stands in for a Raspberry Pi; can be given more than once [default: raspi3b and
    /// virt]
    #[arg(long = "machine", value_name = "MACHINE", value_enum)]
    machines: Vec<MachineOption>,
    /// Flip a byte of the root partition in the machine's overlay, and expect that it is caught
    #[arg(long)]
    tamper: bool,
    /// Start with Secure Boot off, which else is on with the image's own keys (UEFI)
    #[arg(long)]
    no_secure_boot: bool,
    /// Give the machine no TPM
    #[arg(long)]
    no_tpm: bool,
    /// Keep the machine's disk overlay, firmware variables and TPM, and a picture of its screen
    #[arg(long)]
    keep: bool,
    /// Put the machine's console on this terminal; Ctrl-] ends it
    #[arg(long)]
    interactive: bool,
}

pub(crate) fn run(options: &Options, global: &Global) -> Result<ExitCode> {
    let manifest = read_manifest(&options.image)?;
    // The machine's console has the terminal to itself.
    let terminal = context::terminal(&Global {
        quiet: global.quiet || options.boot.interactive,
        ..global.clone()
    })?;
    let keys = match manifest.boot {
        BootFacts::RaspberryPi(_) => context::keys(global).ok(),
        _ => None,
    };
    let keys = keys.as_ref().map(KeySet::public);
    let report = boot(&options.image, &manifest, &options.boot, keys, &terminal)?;
    if let Some(path) = &options.junit {
        std::fs::write(path, report.to_junit())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    match global.json {
        true => print_json(&report)?,
        false => print!("{report}"),
    }
    Ok(report.exit_code().into())
}

/// Reads the manifest beside an image.
fn read_manifest(image: &Path) -> Result<Manifest> {
    if !image.is_file() {
        return Err(impossible(format!(
            "cannot boot {}: there is no such file",
            image.display()
        )));
    }
    let path = image.with_extension("manifest.json");
    let read = std::fs::read(&path).map_err(anyhow::Error::from);
    let manifest = read.and_then(|text| Ok(Manifest::from_json(&text)?));
    manifest.map_err(|error| {
        impossible(format!(
            "cannot read {}, the manifest that was written beside the image: {error}",
            path.display()
        ))
    })
}

/// An error for what keeps a boot test from being run.
fn impossible(message: String) -> anyhow::Error {
    Said {
        code: fortress_qemu::Error::EXIT_CODE,
        message,
        hint: None,
    }
    .into()
}

/// Says what a boot test lacks, before any work is done.
pub(crate) fn must_be_possible(plan: &Plan) -> Result<()> {
    let architectures = vec![architecture(plan.board.architecture.as_str())?];
    let needs = doctor(&DoctorOptions { architectures });
    let missing = || needs.iter().filter(|need| !need.present && !need.optional);
    if missing().next().is_some() {
        let names: Vec<String> = missing()
            .map(|need| format!("{} ({})", need.what, need.detail))
            .collect();
        return Err(Said {
            code: fortress_qemu::Error::EXIT_CODE,
            message: format!(
                "a boot test is not possible here, for want of {}",
                names.join(", ")
            ),
            hint: Some(install_lines(missing()).join("\n")),
        }
        .into());
    }
    Ok(())
}

fn architecture(name: &str) -> Result<Architecture> {
    match name {
        "amd64" => Ok(Architecture::X86_64),
        "arm64" => Ok(Architecture::Aarch64),
        other => Err(impossible(format!(
            "there is no boot test for architecture {other}"
        ))),
    }
}

/// What came of a boot test.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Tested {
    /// On one machine.
    Machine(Box<Report>),
    /// As a Raspberry Pi.
    RaspberryPi(Box<RaspberryPiReport>),
}

impl Tested {
    /// The program's exit status.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Machine(report) => report.exit_code(),
            Self::RaspberryPi(report) => report.exit_code(),
        }
    }

    fn to_junit(&self) -> String {
        match self {
            Self::Machine(report) => report.to_junit(),
            Self::RaspberryPi(report) => report.to_junit(),
        }
    }
}

impl fmt::Display for Tested {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine(report) => report.fmt(out),
            Self::RaspberryPi(report) => report.fmt(out),
        }
    }
}

/// Boots an image. `keys` are those of a board's owner, by which a Raspberry Pi knows what to start.
pub(crate) fn boot(
    image: &Path,
    manifest: &Manifest,
    options: &BootOptions,
    keys: Option<&PublicKeys>,
    observer: &dyn Observer,
) -> Result<Tested> {
    let raspberry_pi = matches!(manifest.boot, BootFacts::RaspberryPi(_));
    if !raspberry_pi && !options.machines.is_empty() {
        return Err(Said {
            code: fortress_qemu::Error::EXIT_CODE,
            message: format!(
                "--machine names what stands in for a Raspberry Pi, and this image is for board {:?}",
                manifest.board
            ),
            hint: Some("leave --machine away: this board has one machine".to_owned()),
        }
        .into());
    }
    let work = options
        .work
        .clone()
        .unwrap_or_else(|| image.with_extension("boot"));
    let machine = &manifest.machine;
    let mut test = BootTest::new(image, work);
    test.architecture = architecture(&manifest.architecture)?;
    if let Some(seconds) = options.timeout {
        test.timeout = Duration::from_secs(seconds);
    }
    test.memory = u32::try_from(machine.memory >> 20).unwrap_or(u32::MAX);
    test.processors = machine.processors;
    test.disk = match machine.disk.as_str() {
        "virtio-blk" => DiskInterface::Virtio,
        "nvme" => DiskInterface::Nvme,
        "sd" => DiskInterface::SdCard,
        other => {
            return Err(impossible(format!(
                "there is no boot test with disk {other:?}; it can be virtio-blk, nvme or sd"
            )));
        }
    };
    test.allowed_sockets = machine
        .sockets
        .iter()
        .map(|text| socket(text))
        .collect::<Result<_>>()?;
    test.keep = options.keep;
    test.screen = options.keep;
    test.interactive = options.interactive;
    if options.tamper {
        test.expectation = Expectation::Caught;
        test.alterations = vec![flipped_byte(image, manifest)?];
    } else if !options.once {
        test.plan.push(Step::Reboot(RebootBy::Reset));
    }
    if let BootFacts::Uefi(facts) = &manifest.boot {
        secure(&mut test, facts, options, observer);
        test.command_line = Some(manifest.command_line.clone());
    }
    if raspberry_pi {
        let report = raspberry_pi::boot(test, manifest, options, keys, observer)?;
        return Ok(Tested::RaspberryPi(Box::new(report)));
    }
    Ok(Tested::Machine(Box::new(fortress_qemu::run(
        &test, observer,
    )?)))
}

/// Gives a machine with UEFI Secure Boot and a TPM, if this machine has what plays them, and says
/// what it cannot have.
fn secure(test: &mut BootTest, facts: &UefiFacts, options: &BootOptions, observer: &dyn Observer) {
    let enrolls = matches!(facts.enroll.as_str(), "if-safe" | "force");
    if options.no_secure_boot {
        observer.note("Secure Boot is off, as asked for");
    } else if !enrolls {
        observer.note(&format!(
            "Secure Boot is off: the image does not enrol its keys by itself \
             (trust.secure-boot.enroll is {:?})",
            facts.enroll
        ));
    } else if let Err(line) = has_secure_boot(test.architecture) {
        observer.warn(&format!(
            "Secure Boot is off: no firmware with it is installed ({line})"
        ));
    } else {
        test.firmware = Firmware::Uefi { secure_boot: true };
    }
    if options.no_tpm {
        observer.note("the machine has no TPM, as asked for");
    } else if let Err(line) = has_tpm() {
        observer.warn(&format!(
            "the machine has no TPM: swtpm is not installed ({line})"
        ));
    } else {
        test.tpm = Some(Tpm::default());
    }
}

/// A socket that may listen, as the manifest writes it: `udp:51820`.
fn socket(text: &str) -> Result<AllowedSocket> {
    let socket: ListeningSocket = text.parse()?;
    Ok(AllowedSocket {
        protocol: match socket.protocol.as_str() {
            "tcp" => Protocol::Tcp,
            _ => Protocol::Udp,
        },
        address: socket.address,
        port: socket.port,
    })
}

/// The first byte of the root file system's superblock that says something, flipped.
fn flipped_byte(image: &Path, manifest: &Manifest) -> Result<Alteration> {
    use fortress_pipeline::manifest::Covered;
    let root = manifest
        .partitions
        .iter()
        .find(|partition| partition.covered == Covered::RootHash)
        .context("the manifest names no root partition")?;
    // The superblock begins 1024 bytes into the file system.
    let offset = root.offset + 1024;
    let mut byte = [0];
    std::fs::File::open(image)
        .and_then(|file| file.read_exact_at(&mut byte, offset))
        .with_context(|| format!("cannot read {}", image.display()))?;
    Ok(Alteration {
        offset,
        bytes: vec![!byte[0]],
    })
}
