//! A boot of the host image under emulation, beside its kernel's alone.

use crate::figures::{Series, Table, Target, Unit};
use crate::place::Place;
use anyhow::{Context as _, Result, bail, ensure};
use fortress_package::{Archive, Options, unpack};
use fortress_pipeline::manifest::Manifest;
use fortress_progress::Silent;
use fortress_qemu::{
    Acceleration, AllowedSocket, Boot, BootTest, Firmware, Protocol, RebootBy, Step, Tpm,
    bare_kernel,
};
use fortress_tree::{Spool, Tree, TreePath};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) fn measure(place: &Place, rounds: usize, table: &mut Table) -> Result<()> {
    eprintln!("building the host image");
    place.build("host")?;
    let (image, manifest) = place.image("host")?;
    let work = place.folder("boot")?;
    let kernel = kernel(place, &manifest, &work)?;
    let mut test = test(&image, &manifest, &work)?;
    test.firmware = Firmware::Uefi { secure_boot: true };
    test.tpm = Some(Tpm { state: None });
    // The first boot makes the encrypted state; the second one is what a machine does from then on.
    test.plan = vec![Step::Boot, Step::Reboot(RebootBy::Reset)];
    let mut first = Series::default();
    let mut bare = Series::default();
    let mut report = Series::default();
    let mut stages: [Series; 3] = Default::default();
    let mut log = String::new();
    for round in 1..=rounds {
        eprintln!("boot, round {round} of {rounds}");
        let alone = bare_kernel(&kernel, "", &test, &Silent)?;
        bare.time(alone.time);
        let result = fortress_qemu::run(&test, &Silent)?;
        ensure!(result.exit_code() == 0, "the boot failed: {result}");
        let [one, two] = result.boots.as_slice() else {
            bail!("the machine did not boot twice: {result}");
        };
        let times = |boot: &Boot| Some(boot.health.as_ref()?.times);
        let begun = times(one).context("the first boot gave no report")?;
        first.time(Duration::from_millis(begun.report));
        let times = times(two).context("the second boot gave no report")?;
        let ends = [times.initrd, times.user_space, times.report];
        let mut begin = 0;
        for (stage, end) in stages.iter_mut().zip(ends) {
            stage.time(Duration::from_millis(end.saturating_sub(begin)));
            begin = end;
        }
        report.time(Duration::from_millis(times.report));
        log = fs::read_to_string(&result.serial_log).context("cannot read the console's log")?;
    }
    let kernel = &manifest.kernel;
    table.add(
        &format!("Kernel {kernel} alone, to its panic for want of a root"),
        &bare,
        Unit::Seconds,
        Target::None,
    );
    table.add(
        "Host image's first boot, which makes the encrypted state, to the health report",
        &first,
        Unit::Seconds,
        Target::None,
    );
    table.add(
        "Host image, from the kernel's start to the health report",
        &report,
        Unit::Seconds,
        Target::None,
    );
    let names = ["in the kernel", "in the initrd", "in the root's user space"];
    for (name, stage) in names.iter().zip(&stages) {
        table.add(&format!("… {name}"), stage, Unit::Seconds, Target::None);
    }
    table.add(
        "Health report over the kernel alone",
        &report.over(&bare),
        Unit::Times,
        Target::AtMost(5.0),
    );
    let longest: Vec<String> = jobs(&log)
        .into_iter()
        .take(8)
        .map(|(name, seconds)| format!("{name} {seconds:.1} s"))
        .collect();
    table.note(format!(
        "Longest jobs of the last boot, many of them side by side: {}.",
        longest.join(", ")
    ));
    Ok(())
}

/// Units by the time that they took to start, the longest first, as the console tells it:
/// `[ seconds] Starting UNIT - …` and `[ seconds] [ OK ] Started UNIT - …` (or `Finished`), where
/// long names are cut by an ellipsis.
fn jobs(log: &str) -> Vec<(String, f64)> {
    let mut open: Vec<(&str, f64)> = Vec::new();
    let mut done: Vec<(String, f64)> = Vec::new();
    for line in log.lines() {
        let Some((time, text)) = line.trim_start_matches('[').split_once(']') else {
            continue;
        };
        let Ok(time) = time.trim().parse::<f64>() else {
            continue;
        };
        let text = text.trim().trim_start_matches("[  OK  ]").trim();
        let Some((verb, rest)) = text.split_once(' ') else {
            continue;
        };
        let name = rest.split([' ', '…']).next().unwrap_or_default();
        match verb {
            "Starting" => open.push((name, time)),
            "Started" | "Finished" => {
                let same = |(other, _): &(&str, f64)| {
                    let length = other.len().min(name.len());
                    length > 8 && other.get(..length) == name.get(..length)
                };
                if let Some(at) = open.iter().position(same) {
                    let (longer, begin) = open.remove(at);
                    let longer = if longer.len() > name.len() {
                        longer
                    } else {
                        name
                    };
                    done.push((longer.to_owned(), time - begin));
                }
            }
            _ => {}
        }
    }
    done.sort_by(|a, b| b.1.total_cmp(&a.1));
    done
}

/// The kernel of an image, out of its package.
fn kernel(place: &Place, manifest: &Manifest, folder: &Path) -> Result<PathBuf> {
    let spool = Spool::new(folder)?;
    let packages = place.packages(manifest).into_iter();
    let packages: Vec<Archive> = packages
        .filter(|package| package.name.starts_with("linux-image-"))
        .collect();
    let mut tree = Tree::new(0);
    unpack(&packages, &mut tree, &spool, &Options::default(), &Silent)?;
    let path = TreePath::new(&format!("/boot/vmlinuz-{}", manifest.kernel))?;
    let file = folder.join("vmlinuz");
    let mut out = File::create(&file).context("cannot write the kernel")?;
    std::io::copy(&mut tree.content(&path)?.reader()?, &mut out)
        .context("cannot write the kernel")?;
    Ok(file)
}

/// A test of one boot, as `fortress-build test --once` makes it, under emulation.
pub(crate) fn test(image: &Path, manifest: &Manifest, work: &Path) -> Result<BootTest> {
    let mut test = BootTest::new(image, work);
    test.memory = u32::try_from(manifest.machine.memory >> 20).context("too much memory")?;
    test.processors = manifest.machine.processors;
    test.acceleration = Acceleration::Emulation;
    test.allowed_sockets = manifest
        .machine
        .sockets
        .iter()
        .map(|socket| {
            let (protocol, port) = socket.split_once(':').unwrap_or_default();
            Ok(AllowedSocket {
                protocol: match protocol {
                    "tcp" => Protocol::Tcp,
                    _ => Protocol::Udp,
                },
                address: None,
                port: port
                    .parse()
                    .with_context(|| format!("{socket} has no port"))?,
            })
        })
        .collect::<Result<_>>()?;
    Ok(test)
}
