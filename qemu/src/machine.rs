//! What a boot test is to start: the machine, what is on its disk, what is to happen.

use crate::sockets::AllowedSocket;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A processor architecture, as QEMU and the Discoverable Partitions Specification know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    /// x86-64, on QEMU's `q35` machine.
    X86_64,
    /// 64-bit ARM, on QEMU's `virt` machine.
    Aarch64,
}

impl Architecture {
    /// QEMU's name for it, which is also the kernel's (`x86_64`, `aarch64`).
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// The program that emulates such a machine.
    pub fn emulator(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-system-x86_64",
            Self::Aarch64 => "qemu-system-aarch64",
        }
    }

    /// QEMU's machine type.
    pub(crate) fn machine(self) -> &'static str {
        match self {
            Self::X86_64 => "q35",
            Self::Aarch64 => "virt",
        }
    }

    /// The machine type's full name as firmware descriptors match it (`pc-q35-*`, `virt-*`).
    pub(crate) fn versioned_machine(self) -> &'static str {
        match self {
            Self::X86_64 => "pc-q35-10.0",
            Self::Aarch64 => "virt-10.0",
        }
    }
}

/// Which of QEMU's machines is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Machine {
    /// The architecture's usual one: `q35` or `virt`.
    #[default]
    Usual,
    /// A Raspberry Pi 3 (`raspi3b`): its SD card, serial line and watchdog, neither virtio nor
    /// network. Its health report comes over the console.
    RaspberryPi3,
    /// A Raspberry Pi 4 (`raspi4b`), on which Linux finds less than its device tree tells of. Its
    /// health report comes over the console too.
    RaspberryPi4,
}

impl Machine {
    /// QEMU's name for it on an architecture.
    pub fn name(self, architecture: Architecture) -> &'static str {
        match self {
            Self::Usual => architecture.machine(),
            Self::RaspberryPi3 => "raspi3b",
            Self::RaspberryPi4 => "raspi4b",
        }
    }

    /// Whether it is a Raspberry Pi, on which the command line of QEMU's usual machines is no use.
    pub(crate) fn is_raspberry_pi(self) -> bool {
        self != Self::Usual
    }
}

/// What runs first in the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Firmware {
    /// UEFI, found through QEMU's firmware descriptors; it boots from the disk.
    Uefi {
        /// Whether the firmware is to support Secure Boot. Unless [`BootTest::variables`] brings
        /// keys, it starts in setup mode, and systemd-boot enrols those of the image.
        secure_boot: bool,
    },
    /// No firmware to speak of: QEMU loads a kernel itself.
    Direct {
        /// The kernel.
        kernel: PathBuf,
        /// The initrd, if any.
        initrd: Option<PathBuf>,
        /// The kernel's command line.
        command_line: String,
        /// The device tree, for machines that do not make one themselves.
        device_tree: Option<PathBuf>,
    },
}

/// How the disk is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DiskInterface {
    /// virtio-blk (`/dev/vda`).
    #[default]
    Virtio,
    /// NVMe (`/dev/nvme0n1`).
    Nvme,
    /// A USB disk (`/dev/sda`).
    Usb,
    /// A Raspberry Pi's SD card (`/dev/mmcblk0`). Its size is rounded up to a power of two, as
    /// QEMU wants it.
    SdCard,
}

/// What executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acceleration {
    /// KVM where it truly works, emulation otherwise.
    #[default]
    Automatic,
    /// KVM or nothing.
    Kvm,
    /// Emulation (TCG), even where KVM works.
    Emulation,
}

/// One step of a test. Every step ends with a health report or the test ends with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Power on. It is the first step of every plan, and only the first.
    Boot,
    /// Bring the machine down and up again, the disk as the guest left it.
    Reboot(RebootBy),
}

/// How a machine is brought down for a reboot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RebootBy {
    /// The power button (ACPI): the guest shuts down in order, then is powered on again. It needs
    /// something in the guest that answers the button, such as systemd-logind.
    PowerButton,
    /// The reset line: what the guest had not written is lost. A Raspberry Pi's plug is pulled instead:
    /// its machine is started anew with the disks as they are.
    Reset,
    /// The guest's own doing: something in the image restarts the machine after its report.
    Guest,
}

/// Bytes of the disk that differ from the image in this test. They are written into the
/// overlay; the image is not touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alteration {
    /// Where, in bytes from the disk's start.
    pub offset: u64,
    /// What is there instead.
    pub bytes: Vec<u8>,
}

/// A TPM 2.0, which swtpm plays. The test works with a copy, in the folder `tpm` of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tpm {
    /// The folder `tpm` that an earlier test kept; a TPM fresh from the factory when `None`.
    pub state: Option<PathBuf>,
}

/// A disk besides the one that the machine starts from, such as a data drive or a stick with keys.
/// Like that one it is opened read-only; what is written goes to `drive-1.qcow2` and so on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drive {
    /// The disk, raw or qcow2.
    pub image: PathBuf,
    /// Its serial number, by which the guest can tell drives apart (at most 20 characters).
    pub serial: String,
    /// How it is attached.
    pub interface: DiskInterface,
}

/// What is typed on the guest's serial console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typing {
    /// It is typed as soon as a line, or the start of one, has this text.
    pub after: String,
    /// What is typed, as the keys send it: `\r` for Enter.
    pub text: String,
}

/// What is to come of the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expectation {
    /// Every step ends with a passed health report, and no log pattern fails it.
    #[default]
    Passes,
    /// The disk was altered, and that must be caught: no passed health report, and a line on the
    /// console that says that verification failed. Silence is not enough.
    Caught,
}

/// The network that the guest sees.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Network {
    /// None.
    #[default]
    None,
    /// QEMU's user network, which reaches what this machine reaches.
    User {
        /// Ports of this machine's loopback address that lead into the guest.
        forwards: Vec<Forward>,
    },
}

/// A port of this machine that leads to one of the guest's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// Protocol.
    pub protocol: crate::sockets::Protocol,
    /// Port on 127.0.0.1.
    pub host: u16,
    /// Port in the guest.
    pub guest: u16,
}

/// A boot test: what [`crate::run`] starts and judges.
#[derive(Debug, Clone)]
pub struct BootTest {
    /// The image, raw or qcow2. It is opened read-only and stays as it is.
    pub image: PathBuf,
    /// The machine's architecture.
    pub architecture: Architecture,
    /// Which machine it is. A Raspberry Pi has the memory and the processors of its model.
    pub machine: Machine,
    /// What runs first.
    pub firmware: Firmware,
    /// Memory in MiB.
    pub memory: u32,
    /// Processors.
    pub processors: u32,
    /// How the disk is attached.
    pub disk: DiskInterface,
    /// By how many bytes the machine's disk is larger than the image, so that state finds room.
    pub extra_space: u64,
    /// How long each step may take.
    pub timeout: Duration,
    /// What happens, in this order.
    pub plan: Vec<Step>,
    /// What is to come of it.
    pub expectation: Expectation,
    /// Bytes to alter.
    pub alterations: Vec<Alteration>,
    /// Sockets that may listen in the guest; any other that its health report names fails the test.
    pub allowed_sockets: Vec<AllowedSocket>,
    /// The command line that the kernel must have got, to the letter; any when `None`.
    pub command_line: Option<String>,
    /// Log findings that do not fail this test: the name of a pattern (see [`crate::patterns`]),
    /// or `name: text` for lines of it that contain the text.
    pub allowed_findings: Vec<String>,
    /// The guest's network.
    pub network: Network,
    /// The firmware's variables, as an earlier test kept them (`firmware-variables.fd`): with keys
    /// enrolled, Secure Boot is on from the start. Empty ones when `None`. The file is copied.
    pub variables: Option<PathBuf>,
    /// The machine's TPM, if it has one.
    pub tpm: Option<Tpm>,
    /// Disks besides the first.
    pub drives: Vec<Drive>,
    /// What is typed on the console, in this order: each waits for the one before.
    pub typed: Vec<Typing>,
    /// Strings that the machine's maker left in its SMBIOS tables (type 11). systemd takes
    /// credentials from them, and without Secure Boot its stub takes a command line.
    pub maker_strings: Vec<String>,
    /// What executes the guest's instructions.
    pub acceleration: Acceleration,
    /// Keep what the machine has written: its disks' overlays, its firmware's variables and its TPM.
    pub keep: bool,
    /// Give the machine a screen, and keep a last picture of it. It costs a second or two of a
    /// boot.
    pub screen: bool,
    /// Put the guest's console on this terminal, without a timeout; Ctrl-] ends it.
    pub interactive: bool,
    /// Where logs go, and all else that the test makes. Made when missing.
    pub work_folder: PathBuf,
}

impl BootTest {
    /// QEMU's arguments for the serial line that is the console.
    ///
    /// Not a PL011 where a Raspberry Pi 5's kernel may be started: its command line names one that only
    /// it has (`ttyAMA10`), after which Linux takes no other for a console.
    pub(crate) fn serial_line(&self) -> &'static [&'static str] {
        let direct = matches!(self.firmware, Firmware::Direct { .. });
        match (self.machine, self.architecture) {
            (Machine::Usual, Architecture::Aarch64) if direct => {
                &["-device", "pci-serial,chardev=console"]
            }
            // A Raspberry Pi 4's Linux hangs in QEMU's small UART.
            (Machine::Usual | Machine::RaspberryPi4, _) => &["-serial", "chardev:console"],
            // The second one is the small UART.
            (Machine::RaspberryPi3, _) => &["-serial", "null", "-serial", "chardev:console"],
        }
    }

    /// That line's name in a kernel that is started directly.
    pub(crate) fn direct_console(&self) -> &'static str {
        match self.machine {
            Machine::Usual => "ttyS0",
            Machine::RaspberryPi3 => "ttyS1",
            Machine::RaspberryPi4 => "ttyAMA0",
        }
    }

    /// A test of an image with what is usual: UEFI without Secure Boot, 1 GiB of memory, two
    /// processors, a disk 4 GiB larger than the image, no network, ten minutes for one boot.
    pub fn new(image: impl Into<PathBuf>, work_folder: impl Into<PathBuf>) -> Self {
        Self {
            image: image.into(),
            architecture: Architecture::X86_64,
            machine: Machine::default(),
            firmware: Firmware::Uefi { secure_boot: false },
            memory: 1024,
            processors: 2,
            disk: DiskInterface::default(),
            extra_space: 4 << 30,
            timeout: Duration::from_secs(600),
            plan: vec![Step::Boot],
            expectation: Expectation::default(),
            alterations: Vec::new(),
            allowed_sockets: AllowedSocket::usual(),
            command_line: None,
            allowed_findings: Vec::new(),
            network: Network::default(),
            variables: None,
            tpm: None,
            drives: Vec::new(),
            typed: Vec::new(),
            maker_strings: Vec::new(),
            acceleration: Acceleration::default(),
            keep: false,
            screen: false,
            interactive: false,
            work_folder: work_folder.into(),
        }
    }
    /// Lets the machine of an earlier test go on, which was kept in `folder` ([`BootTest::keep`]):
    /// its disk is this one's image, with its variables, and its TPM if this machine has one.
    #[must_use]
    pub fn continuing(mut self, folder: &Path) -> Self {
        self.image = folder.join(crate::disk::OVERLAY);
        self.extra_space = 0;
        self.variables = Some(folder.join(crate::arguments::VARIABLES));
        self.tpm = self.tpm.map(|_| Tpm {
            state: Some(folder.join(crate::tpm::FOLDER)),
        });
        self
    }
}
