//! Boots of the Raspberry Pi 5's image on the machines that stand in for it, beside its kernel's alone.

use crate::boot;
use crate::figures::{Series, Table, Target, Unit};
use crate::place::Place;
use anyhow::{Context as _, Result, bail, ensure};
use fortress_package::{Archive, Options, unpack};
use fortress_pipeline::manifest::Manifest;
use fortress_progress::Silent;
use fortress_qemu::raspberry_pi::{Board, FirmwareOutcome, RaspberryPiTest, Situation, run};
use fortress_qemu::{
    Architecture, Boot, BootTest, DiskInterface, Firmware, Machine, RebootBy, bare_kernel,
};
use fortress_tree::{Spool, Tree, TreePath};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the image is kept as.
const NAME: &str = "pi5";

pub(crate) fn measure(place: &Place, rounds: usize, table: &mut Table) -> Result<()> {
    eprintln!("building the image for the Raspberry Pi 5");
    // Nobody is there to bring a key.
    let selection = ["--board", "pi5", "--set", "var.encrypt=none"];
    place.build_selected(NAME, &selection)?;
    let (image, manifest) = place.image(NAME)?;
    let work = place.folder("boot-raspberry-pi")?;
    let device_tree = device_tree(place, &manifest, &work)?;
    for machine in [Machine::RaspberryPi3, Machine::Usual] {
        let name = machine.name(Architecture::Aarch64);
        let test = RaspberryPiTest {
            common: boot::test(&image, &manifest, &work)?,
            situation: Situation::new(Board::Pi5),
            device_tree: Some(device_tree.clone()),
            machines: vec![machine],
            // The first boot makes the state; the second one is what a board does from then on.
            reboot: Some(RebootBy::Reset),
        };
        let mut first = Series::default();
        let mut bare = Series::default();
        let mut report = Series::default();
        for round in 1..=rounds {
            eprintln!("boot on {name}, round {round} of {rounds}");
            let result = run(&test, &Silent)?;
            ensure!(result.exit_code() == 0, "the boot failed: {result}");
            let FirmwareOutcome::Started(started) = &result.firmware else {
                anyhow::bail!("the board would not start: {result}");
            };
            let alone = alone(&test, machine, &started.kernel);
            bare.time(bare_kernel(&started.kernel, "", &alone, &Silent)?.time);
            let boots = result
                .machines
                .first()
                .map(|own| own.report.boots.as_slice());
            let Some([one, two]) = boots else {
                bail!("the machine did not boot twice: {result}");
            };
            let time = |boot: &Boot| {
                let health = boot.health.as_ref().context("a boot gave no report")?;
                Ok::<_, anyhow::Error>(Duration::from_millis(health.times.report))
            };
            first.time(time(one)?);
            report.time(time(two)?);
        }
        table.add(
            &format!("Kernel {} alone on {name}, to its panic", manifest.kernel),
            &bare,
            Unit::Seconds,
            Target::None,
        );
        table.add(
            &format!(
                "Raspberry Pi image's first boot on {name}, which makes the state, to the report"
            ),
            &first,
            Unit::Seconds,
            Target::None,
        );
        table.add(
            &format!("Raspberry Pi image on {name}, from the kernel's start to the health report"),
            &report,
            Unit::Seconds,
            Target::None,
        );
        table.add(
            &format!("Health report over the kernel alone, on {name}"),
            &report.over(&bare),
            Unit::Times,
            Target::AtMost(5.0),
        );
    }
    Ok(())
}

/// The machine of a test, to start a kernel alone in it.
fn alone(test: &RaspberryPiTest, machine: Machine, kernel: &Path) -> BootTest {
    let mut alone = test.common.clone();
    alone.architecture = Architecture::Aarch64;
    alone.machine = machine;
    let pi = machine != Machine::Usual;
    if pi {
        alone.disk = DiskInterface::SdCard;
    }
    alone.firmware = Firmware::Direct {
        kernel: kernel.to_owned(),
        initrd: None,
        command_line: String::new(),
        device_tree: test.device_tree.clone().filter(|_| pi),
    };
    alone
}

/// A Raspberry Pi 3's device tree, out of the kernel's packages.
fn device_tree(place: &Place, manifest: &Manifest, folder: &Path) -> Result<PathBuf> {
    let name = "bcm2837-rpi-3-b.dtb";
    let spool = Spool::new(folder)?;
    let packages = place.packages(manifest).into_iter();
    let packages: Vec<Archive> = packages
        .filter(|package| package.name.contains(&manifest.kernel))
        .collect();
    let mut tree = Tree::new(0);
    unpack(&packages, &mut tree, &spool, &Options::default(), &Silent)?;
    let path = format!("/usr/lib/modules/{}/dtb/broadcom/{name}", manifest.kernel);
    let file = folder.join(name);
    let mut out = File::create(&file).context("cannot write the device tree")?;
    let content = tree.content(&TreePath::new(&path)?)?;
    std::io::copy(&mut content.reader()?, &mut out).context("cannot write the device tree")?;
    Ok(file)
}
