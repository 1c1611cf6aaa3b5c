//! The boot test of an image for Raspberry Pis: the played firmware, then machines that start what it
//! chose.

use super::{Board, Refusal, Situation, Started, device_tree, resolve};
use crate::error::{Error, Result};
use crate::health::CONSOLE_ARGUMENT;
use crate::machine::{
    Architecture, BootTest, DiskInterface, Expectation, Firmware, Machine, Network, RebootBy, Step,
};
use crate::report::{Report, Verdict};
use fortress_progress::Observer;
use serde::{Serialize, Serializer};
use std::path::{Path, PathBuf};

/// By how many bytes an SD card is larger than the image, at least.
const SD_CARD_SPACE: u64 = 512 << 20;

/// A boot test of an image for a Raspberry Pi.
#[derive(Debug, Clone)]
pub struct RaspberryPiTest {
    /// What all machines have in common. Architecture, machine, firmware, plan, and how disk and drives
    /// are attached are set for each of them; its work folder gets a folder for each.
    pub common: BootTest,
    /// The board, and how it is started.
    pub situation: Situation,
    /// The device tree of a Raspberry Pi 3 B that comes with the image's kernel, which QEMU's Raspberry
    /// Pi 3 is started with; others need none.
    pub device_tree: Option<PathBuf>,
    /// The machines, in their order. QEMU's Raspberry Pi 4 stands in for a Raspberry Pi 4 alone, and is
    /// started with a changed copy of the device tree that the firmware chose.
    pub machines: Vec<Machine>,
    /// How each machine is brought to start a second time; `None` starts it once, and so is a Raspberry
    /// Pi 4 in any case: it takes minutes.
    pub reboot: Option<RebootBy>,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct RaspberryPiReport {
    /// The image.
    pub image: PathBuf,
    /// The board whose firmware was played.
    pub board: Board,
    /// The test in a word: the worst of its parts.
    pub verdict: Verdict,
    /// Why, in a line or two.
    pub summary: String,
    /// What the board would start, or why it would not.
    pub firmware: FirmwareOutcome,
    /// The machines that were started with it.
    pub machines: Vec<MachineReport>,
    /// What this shows of no board.
    pub limits: &'static str,
}

/// What the played firmware came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirmwareOutcome {
    /// The board would start this.
    Started(Box<Started>),
    /// It would not start, for this reason.
    Refused(String),
}

impl Serialize for FirmwareOutcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "kebab-case")]
        enum Form<'a> {
            Started(&'a Started),
            Refused(&'a str),
        }
        match self {
            Self::Started(started) => Form::Started(started),
            Self::Refused(why) => Form::Refused(why),
        }
        .serialize(serializer)
    }
}

/// A machine, and what it showed.
#[derive(Debug, Clone, Serialize)]
pub struct MachineReport {
    /// QEMU's name for it.
    pub machine: &'static str,
    /// What it can show, in words.
    pub shows: &'static str,
    /// What was added to the image's command line, so that it can be seen.
    pub added: String,
    /// What is different in its device tree from the one that the firmware chose, and what was to be and
    /// is not there: a line each. None where it is another board's.
    pub changed: Vec<String>,
    /// What came of it.
    pub report: Report,
}

impl RaspberryPiReport {
    /// The exit status of a program that ran this test: see [`Verdict::exit_code`].
    pub fn exit_code(&self) -> u8 {
        self.verdict.exit_code()
    }
}

/// Plays the firmware, and starts the machines with what it chose.
///
/// # Errors
/// When the test cannot be run. What is wrong with the image is told by the report's verdict.
pub fn run(test: &RaspberryPiTest, observer: &dyn Observer) -> Result<RaspberryPiReport> {
    let board = test.situation.board;
    if board != Board::Pi4 && test.machines.contains(&Machine::RaspberryPi4) {
        return Err(Error::Plan {
            why: "QEMU's Raspberry Pi 4 stands in for no other board".to_owned(),
        });
    }
    let folder = test.common.work_folder.join("firmware");
    let mut report = RaspberryPiReport {
        image: test.common.image.clone(),
        board,
        verdict: Verdict::Passed,
        summary: String::new(),
        firmware: FirmwareOutcome::Refused(String::new()),
        machines: Vec::new(),
        limits: limits(board, &test.machines),
    };
    match resolve(&test.common.image, &test.situation, &folder) {
        Ok(started) => report.firmware = FirmwareOutcome::Started(Box::new(started)),
        Err(refusal) => {
            let why = judged(refusal)?;
            report.verdict = Verdict::Failed;
            report.summary = format!("the board would not start: {why}");
            report.firmware = FirmwareOutcome::Refused(why);
            return Ok(report);
        }
    }
    if let FirmwareOutcome::Started(started) = &report.firmware {
        for machine in &test.machines {
            let part = match part(test, started, *machine) {
                Ok(part) => part,
                Err(refusal) => {
                    report.verdict = Verdict::Failed;
                    report.summary = format!(
                        "{}: {}",
                        machine.name(Architecture::Aarch64),
                        judged(refusal)?
                    );
                    return Ok(report);
                }
            };
            let machine_report = crate::run(&part.test, observer)?;
            let verdict = machine_report.verdict;
            report.machines.push(MachineReport {
                machine: machine.name(Architecture::Aarch64),
                shows: shows(*machine),
                added: part.added,
                changed: part.changed,
                report: machine_report,
            });
            if verdict != Verdict::Passed {
                break;
            }
        }
    }
    let failed = report
        .machines
        .iter()
        .find(|own| own.report.verdict != Verdict::Passed);
    (report.verdict, report.summary) = match failed {
        Some(own) => (
            own.report.verdict,
            format!("{}: {}", own.machine, own.report.summary),
        ),
        None => {
            let each = |own: &MachineReport| format!("{}: {}", own.machine, own.report.summary);
            let parts: Vec<String> = report.machines.iter().map(each).collect();
            (Verdict::Passed, parts.join("; "))
        }
    };
    Ok(report)
}

/// Why the image is not started, unless a file's trouble kept it from being judged.
fn judged(refusal: Refusal) -> Result<String> {
    match refusal {
        Refusal::File {
            action,
            path,
            source,
        } => Err(Error::File {
            action,
            path,
            source,
        }),
        refusal => Ok(refusal.to_string()),
    }
}

/// The test on one machine.
struct Part {
    test: BootTest,
    /// What is added to the command line.
    added: String,
    /// What is changed in the device tree.
    changed: Vec<String>,
}

fn part(
    test: &RaspberryPiTest,
    started: &Started,
    machine: Machine,
) -> std::result::Result<Part, Refusal> {
    let mut part = test.common.clone();
    let pi = machine.is_raspberry_pi();
    part.machine = machine;
    let mut added = format!("console={},115200", part.direct_console());
    if pi {
        added.push_str(&format!(" {CONSOLE_ARGUMENT}"));
    }
    let command_line = format!("{} {added}", started.command_line);
    part.architecture = Architecture::Aarch64;
    part.disk = match pi {
        true => DiskInterface::SdCard,
        false => DiskInterface::Virtio,
    };
    for drive in &mut part.drives {
        drive.interface = match pi {
            true => DiskInterface::Usb,
            false => DiskInterface::Virtio,
        };
    }
    // More than this machine has only wait for each other.
    let own = std::thread::available_parallelism().map_or(1, |own| own.get());
    part.processors = part.processors.min(u32::try_from(own).unwrap_or(u32::MAX));
    if pi {
        // QEMU's card takes long to erase what becomes the state.
        part.extra_space = part.extra_space.min(SD_CARD_SPACE);
    }
    part.network = match pi {
        true => Network::None,
        false => Network::User {
            forwards: Vec::new(),
        },
    };
    part.work_folder = test
        .common
        .work_folder
        .join(machine.name(Architecture::Aarch64));
    let mut changed = Vec::new();
    let device_tree = match machine {
        Machine::Usual => None,
        Machine::RaspberryPi3 => test.device_tree.clone(),
        Machine::RaspberryPi4 => {
            let (path, log) = changed_device_tree(&started.device_tree, &part.work_folder)?;
            changed = log;
            Some(path)
        }
    };
    part.command_line = Some(command_line.clone());
    part.firmware = Firmware::Direct {
        kernel: started.kernel.clone(),
        initrd: started.initrd.clone(),
        command_line,
        device_tree,
    };
    part.plan = vec![Step::Boot];
    if part.expectation == Expectation::Passes && machine != Machine::RaspberryPi4 {
        part.plan.extend(test.reboot.map(Step::Reboot));
    }
    Ok(Part {
        test: part,
        added,
        changed,
    })
}

/// Writes a copy of a Raspberry Pi 4's device tree with which QEMU's starts, into a folder.
fn changed_device_tree(
    original: &Path,
    folder: &Path,
) -> std::result::Result<(PathBuf, Vec<String>), Refusal> {
    let length = std::fs::metadata(original).map_err(Refusal::file("read", original))?;
    if length.len() > device_tree::LARGEST {
        return Err(Refusal::DeviceTree("it is larger than any"));
    }
    let bytes = std::fs::read(original).map_err(Refusal::file("read", original))?;
    let (bytes, log) = device_tree::change(&bytes, device_tree::RASPBERRY_PI_4)?;
    std::fs::create_dir_all(folder).map_err(Refusal::file("create", folder))?;
    let path = folder.join("device-tree.dtb");
    std::fs::write(&path, bytes).map_err(Refusal::file("write", &path))?;
    Ok((path, log))
}

/// What a machine can show of a Raspberry Pi.
fn shows(machine: Machine) -> &'static str {
    match machine {
        Machine::Usual => {
            "this kernel, initrd and root on an arm64 machine with a network, on a virtio disk"
        }
        Machine::RaspberryPi3 => {
            "this kernel, initrd and root on a Raspberry Pi 3 with the image as its SD card, without \
             network"
        }
        Machine::RaspberryPi4 => {
            "this kernel, initrd, root and, but for what is changed, the board's own device tree on a \
             Raspberry Pi 4 with the image as its SD card, which QEMU has in the wireless chip's place; \
             without PCIe and network, started once"
        }
    }
}

fn limits(board: Board, machines: &[Machine]) -> &'static str {
    match board {
        Board::Pi5 => {
            "no Raspberry Pi 5 was emulated, since QEMU has none: its drivers, its device tree and \
             its real firmware were not run"
        }
        Board::Pi4 if machines.contains(&Machine::RaspberryPi4) => {
            "the board's real firmware, its card slot with a card in it, its PCIe, with the USB sockets \
             behind it, and its network were not run, since QEMU has none of them"
        }
        Board::Pi4 => {
            "no Raspberry Pi 4 was emulated: its device tree, the drivers of its SD card, PCIe, USB and \
             network, and its real firmware were not run"
        }
    }
}
