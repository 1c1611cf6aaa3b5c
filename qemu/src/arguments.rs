//! QEMU's command line for a test.

use crate::accelerator::Choice;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::firmware::{Found, Placement};
use crate::machine::{Architecture, BootTest, DiskInterface, Firmware, Machine, Network};
use std::ffi::OsString;
use std::path::Path;

/// The processor that boots a stock x86-64 kernel soonest under emulation: `max` has much that
/// is slow to emulate (AVX2 above all), plain `qemu64` lacks x2APIC, which makes each interrupt
/// dear, and the instructions for SHA-256 and CRC, which verity and ext4 live on. It counts as an
/// AMD processor, so the kernel does not turn on page table isolation.
const EMULATED_X86: &str =
    "qemu64,+x2apic,+ssse3,+sse4.1,+sse4.2,+popcnt,+aes,+pclmulqdq,+sha-ni,+rdrand,+rdseed";

/// A processor of the Raspberry Pi 4, for QEMU's own machine.
const EMULATED_ARM: &str = "cortex-a72";

/// Everything but the sockets.
pub(crate) fn arguments(
    test: &BootTest,
    firmware: Option<&Found>,
    disks: &[Disk],
    choice: &Choice,
) -> Result<Vec<OsString>> {
    let mut list = List::default();
    list.add("-nodefaults -no-user-config -no-shutdown");
    list.pair("-name", "fortress");
    list.pair("-machine", machine(test, firmware));
    let emulated = matches!(choice, Choice::Emulation(_));
    list.pair(
        "-accel",
        match (emulated, test.machine) {
            (false, _) => "kvm",
            (true, Machine::Usual) => "tcg,thread=multi,tb-size=512",
            // Its idle processors spin until the kernel wants them: each with a thread of its own,
            // they starve the first one on a busy machine, and its clocks and console fail.
            (true, _) => "tcg,thread=single,tb-size=512",
        },
    );
    match test.machine {
        Machine::Usual => {
            list.pair(
                "-cpu",
                match (emulated, test.architecture) {
                    (false, _) => "host",
                    (true, Architecture::X86_64) => EMULATED_X86,
                    (true, Architecture::Aarch64) => EMULATED_ARM,
                },
            );
            list.pair("-smp", test.processors.to_string());
            list.pair("-m", format!("{}M", test.memory));
            list.add("-device virtio-rng-pci");
        }
        // Processors are a model's own.
        Machine::RaspberryPi3 => list.add("-m 1G"),
        Machine::RaspberryPi4 => list.add("-m 2G"),
    }
    list.pair("-display", "none");
    if test.screen && !test.machine.is_raspberry_pi() {
        // A screen to take a picture of.
        list.pair(
            "-device",
            match test.architecture {
                Architecture::X86_64 => "VGA",
                Architecture::Aarch64 => "virtio-gpu-pci",
            },
        );
    }
    let usb = |interface| interface == DiskInterface::Usb;
    let drives = || test.drives.iter().map(|drive| drive.interface);
    // A Raspberry Pi has one of its own.
    if !test.machine.is_raspberry_pi() && std::iter::once(test.disk).chain(drives()).any(usb) {
        list.add("-device qemu-xhci");
    }
    let serials = std::iter::once("fortress").chain(test.drives.iter().map(|own| &*own.serial));
    let interfaces = std::iter::once(test.disk).chain(test.drives.iter().map(|own| own.interface));
    for (at, ((disk, serial), interface)) in disks.iter().zip(serials).zip(interfaces).enumerate() {
        if interface == DiskInterface::SdCard {
            // It is the one device that QEMU plugs in by itself, given the older option.
            let file = format!("json:{}", disk.block_device());
            list.pair("-drive", format!("if=sd,file={}", file.replace(',', ",,")));
            continue;
        }
        list.pair("-blockdev", disk.block_device().to_string());
        let mut device = disk_device(interface, disk.node(), serial);
        if at == 0 {
            device.push_str(",bootindex=1");
        }
        list.pair("-device", device);
    }
    for text in &test.maker_strings {
        // QEMU takes a comma for the end of an option unless there are two.
        list.pair(
            "-smbios",
            format!("type=11,value={}", text.replace(',', ",,")),
        );
    }
    network(&mut list, &test.network);
    match &test.firmware {
        Firmware::Uefi { .. } => {
            if let Some(found) = firmware {
                place(&mut list, found, &test.work_folder);
            }
        }
        Firmware::Direct {
            kernel,
            initrd,
            command_line,
            device_tree,
        } => {
            list.path("-kernel", kernel)?;
            if let Some(initrd) = initrd {
                list.path("-initrd", initrd)?;
            }
            if let Some(device_tree) = device_tree {
                list.path("-dtb", device_tree)?;
            }
            list.pair("-append", command_line);
        }
    }
    Ok(list.0)
}

fn disk_device(interface: DiskInterface, node: &str, serial: &str) -> String {
    let driver = match interface {
        DiskInterface::Virtio => "virtio-blk-pci",
        DiskInterface::Nvme => "nvme",
        DiskInterface::Usb => "usb-storage",
        DiskInterface::SdCard => "sd-card",
    };
    format!("{driver},drive={node},serial={serial}")
}

fn machine(test: &BootTest, firmware: Option<&Found>) -> String {
    let mut machine = test.machine.name(test.architecture).to_owned();
    if test.architecture == Architecture::X86_64 {
        // vmport is VMware's port, for nobody here.
        machine.push_str(",vmport=off");
    }
    match firmware {
        Some(found) if found.needs_smm => machine.push_str(",smm=on"),
        _ if test.architecture == Architecture::X86_64 => machine.push_str(",smm=off"),
        _ => {}
    }
    if let Some(Found {
        placement: Placement::Flash { variables, .. },
        ..
    }) = firmware
    {
        machine.push_str(",pflash0=firmware-code");
        if variables.is_some() {
            machine.push_str(",pflash1=firmware-variables");
        }
    }
    machine
}

/// The copy of the variable store that belongs to this test.
pub(crate) const VARIABLES: &str = "firmware-variables.fd";

fn place(list: &mut List, found: &Found, work_folder: &Path) {
    match &found.placement {
        Placement::Flash {
            executable,
            format,
            variables,
        } => {
            list.pair(
                "-blockdev",
                serde_json::json!({
                    "node-name": "firmware-code",
                    "driver": format,
                    "read-only": true,
                    "file": {"driver": "file", "filename": executable.to_string_lossy(),
                             "read-only": true},
                })
                .to_string(),
            );
            if let Some((_, format)) = variables {
                let copy = work_folder.join(VARIABLES);
                list.pair(
                    "-blockdev",
                    serde_json::json!({
                        "node-name": "firmware-variables",
                        "driver": format,
                        "file": {"driver": "file", "filename": copy.to_string_lossy()},
                    })
                    .to_string(),
                );
            }
            if found.needs_smm {
                list.pair("-global", "driver=cfi.pflash01,property=secure,value=on");
            }
        }
        Placement::Memory(file) => list.pair("-bios", file.to_string_lossy()),
    }
}

fn network(list: &mut List, network: &Network) {
    match network {
        Network::None => list.add("-nic none"),
        Network::User { forwards } => {
            let mut user = "user,id=network".to_owned();
            for forward in forwards {
                user.push_str(&format!(
                    ",hostfwd={}:127.0.0.1:{}-:{}",
                    forward.protocol, forward.host, forward.guest
                ));
            }
            list.pair("-netdev", user);
            // Without an option ROM: the firmware is not to boot from the network.
            list.pair("-device", "virtio-net-pci,netdev=network,romfile=");
        }
    }
}

#[derive(Default)]
struct List(Vec<OsString>);

impl List {
    /// Options without blanks in them.
    fn add(&mut self, options: &str) {
        self.0.extend(options.split(' ').map(OsString::from));
    }

    fn pair(&mut self, option: &str, value: impl AsRef<str>) {
        self.0.push(option.into());
        self.0.push(value.as_ref().into());
    }

    fn path(&mut self, option: &str, path: &Path) -> Result<()> {
        let path = path.canonicalize().map_err(Error::file("open", path))?;
        self.0.push(option.into());
        self.0.push(path.into());
        Ok(())
    }
}
