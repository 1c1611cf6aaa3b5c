//! `flash`: writes an image to a disk.

use super::verify::single;
use super::{print_json, table};
use crate::context;
use crate::failure::Said;
use crate::options::Global;
use crate::progress::bytes;
use anyhow::{Context as _, Result};
use fortress_flash::{Consent, Disk, Error, Flashed, Image, Place, Refusal, System, Use, flash};
use fortress_progress::Observer;
use fortress_trust::PublicKeys;
use serde_json::json;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Most findings that are told when an image is not what it should be.
const MOST_FINDINGS: usize = 10;

/// Write an image to a disk or card, and read it back
///
/// The image may be compressed (.zst, .xz). Your signature is checked first; the start of the disk is
/// erased first and written last, when all else is on it and is what you signed. Without DEVICE the
/// disks are listed that it may go to, and one is asked for. docs/flash.md has the details.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The image, or a compressed one
    #[arg(required_unless_present = "list")]
    image: Option<PathBuf>,
    /// The disk that is overwritten, for example /dev/sdb; or a file, which is treated like one
    device: Option<PathBuf>,
    /// List the disks that may be written to, and why others may not
    #[arg(long)]
    list: bool,
    /// Write to this disk though it is not removable, or larger than 128 GB
    #[arg(long, value_name = "NAME")]
    force_device: Option<String>,
    /// Unmount what is mounted of the disk
    #[arg(long)]
    unmount: bool,
    /// Do not read back what was written
    #[arg(long)]
    no_read_back: bool,
    /// Its manifest, with the signature beside it [default: NAME.manifest.json for NAME.img]
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// The public key of minisign that its manifest is signed with, as a file or the line itself, in
    /// place of a key set
    #[arg(long, value_name = "KEY")]
    public_key: Option<String>,
}

pub(crate) fn run(options: &Options, global: &Global) -> Result<ExitCode> {
    let system = System::here();
    let Some(path) = options.image.as_deref().filter(|_| !options.list) else {
        list(&system.disks()?, options, global)?;
        return Ok(ExitCode::SUCCESS);
    };
    let keys = match &options.public_key {
        Some(key) => single(key)?,
        None => context::keys(global)?.public().clone(),
    };
    let chosen = prepare(options, global, path, &system, &keys);
    // Only now: while a question waits for its answer, Ctrl-C ends the program.
    let terminal = context::terminal(global)?;
    let done = chosen.and_then(|(image, place, consent)| {
        let target = system.open(&place, &image, &consent)?;
        let how = fortress_flash::Options {
            read_back: !options.no_read_back,
        };
        let flashed = flash(image, &keys, target, &how, &terminal)?;
        Ok((place, flashed))
    });
    if let Err(error) = &done {
        tell_findings(error, &terminal);
    }
    let (place, flashed) = done?;
    drop(terminal);
    match global.json {
        true => print_json(&json!({
            "image": path,
            "device": place.path(),
            "disk": match &place {
                Place::Disk { disk, .. } => Some(disk),
                Place::File { .. } => None,
            },
            "flashed": flashed,
        }))?,
        false => print(path, &place, &flashed),
    }
    Ok(ExitCode::SUCCESS)
}

/// Opens the image, and finds out where it is to go.
fn prepare(
    options: &Options,
    global: &Global,
    path: &Path,
    system: &System,
    keys: &PublicKeys,
) -> Result<(Image, Place, Consent)> {
    let image = Image::open(path, options.manifest.as_deref(), keys)?;
    let mut consent = Consent {
        name: options.force_device.clone(),
        unmount: options.unmount,
    };
    let can_ask = !global.json && io::stdin().is_terminal() && io::stderr().is_terminal();
    let place = match &options.device {
        Some(device) => system.place(device)?,
        None => {
            let device = choose(&system.disks()?, &image, &mut consent, can_ask)?;
            system.place(&device)?
        }
    };
    if let Some(Refusal::NeedsName { name, reason }) = place.refusal(&image, &consent)
        && can_ask
    {
        let what = described(&place);
        let question = format!(
            "{what}: {reason}, and everything on it will be lost.\nType its name, {name}, to go on: "
        );
        if ask(&question)? == name {
            consent.name = Some(name);
        }
    }
    Ok((image, place, consent))
}

/// Says what is wrong with an image or with what was written.
fn tell_findings(error: &anyhow::Error, observer: &dyn Observer) {
    let Some(Error::NotVerified { verdict, .. }) = error.downcast_ref::<Error>() else {
        return;
    };
    for finding in verdict.findings.iter().take(MOST_FINDINGS) {
        observer.warn(&finding.to_string());
    }
    let left = verdict.findings.len().saturating_sub(MOST_FINDINGS) as u64 + verdict.more_findings;
    if left > 0 {
        observer.warn(&format!("and {left} more"));
    }
}

/// Asks which disk it is to be. The name that is typed is consent too.
fn choose(disks: &[Disk], image: &Image, consent: &mut Consent, can_ask: bool) -> Result<PathBuf> {
    let named = |disk: &Disk| Consent {
        name: Some(disk.name.clone()),
        ..consent.clone()
    };
    let fit: Vec<&Disk> = disks
        .iter()
        .filter(|disk| disk.removable && disk.refusal(image.length(), &named(disk)).is_none())
        .collect();
    let rows: Vec<Vec<String>> = fit.iter().map(|disk| row(disk)).collect();
    if fit.is_empty() {
        return Err(said(
            1,
            "there is no removable disk that the image may be written to".into(),
            "'fortress-build flash --list' says of each disk why not",
        ));
    }
    if !can_ask {
        let names: Vec<String> = fit
            .iter()
            .map(|disk| format!("/dev/{} ({})", disk.name, disk.model))
            .collect();
        return Err(said(
            2,
            "it has to be said which disk is to be overwritten".into(),
            &format!("it may be {}", names.join(", ")),
        ));
    }
    eprint!("{}", table::render(&rows));
    let typed = ask(
        "Everything on it will be lost. Type the name of the disk to overwrite, or nothing to stop: ",
    )?;
    let typed = typed.strip_prefix("/dev/").unwrap_or(&typed);
    let chosen = fit.into_iter().find(|disk| disk.name == typed);
    let disk = chosen.ok_or_else(|| {
        said(
            2,
            "no disk was chosen; nothing was written".into(),
            "the names are in the first column",
        )
    })?;
    consent.name = Some(disk.name.clone());
    Ok(Path::new("/dev").join(&disk.name))
}

/// Asks on the terminal.
fn ask(question: &str) -> Result<String> {
    let failed = "cannot ask on the terminal";
    eprint!("{question}");
    io::stderr().flush().context(failed)?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context(failed)?;
    Ok(line.trim().to_owned())
}

fn said(code: u8, message: String, hint: &str) -> anyhow::Error {
    let hint = Some(hint.to_owned());
    Said {
        code,
        message,
        hint,
    }
    .into()
}

/// Lists the disks.
fn list(disks: &[Disk], options: &Options, global: &Global) -> Result<()> {
    let consent = Consent {
        name: options.force_device.clone(),
        unmount: options.unmount,
    };
    // Of no size: whether an image fits is told when there is one.
    let refusal = |disk: &Disk| disk.refusal(0, &consent);
    if global.json {
        let list: Vec<_> = disks
            .iter()
            .map(|disk| json!({"disk": disk, "refusal": refusal(disk).map(|why| why.to_string())}))
            .collect();
        return print_json(&list);
    }
    let heading = ["NAME", "SIZE", "BUS", "MODEL", ""].map(str::to_owned);
    let mut rows = vec![heading.to_vec()];
    // Loop devices and the like that nothing is in.
    let there = disks.iter().filter(|disk| disk.size > 0 || disk.removable);
    let (fit, unfit): (Vec<&Disk>, Vec<&Disk>) = there.partition(|disk| refusal(disk).is_none());
    for disk in fit.into_iter().chain(unfit) {
        let mut row = row(disk);
        row.push(match refusal(disk) {
            None => "may be written to".into(),
            Some(Refusal::NeedsName { name, reason }) => {
                format!("{reason}: --force-device {name}")
            }
            Some(why) => format!("no: {why}"),
        });
        rows.push(row);
    }
    match rows.len() {
        1 => println!("no disks were found"),
        _ => table::print(&rows),
    }
    Ok(())
}

fn row(disk: &Disk) -> Vec<String> {
    vec![
        disk.name.clone(),
        size(disk.size),
        disk.bus.to_string(),
        disk.model.clone(),
    ]
}

/// "/dev/sda (Samsung SSD 870, 500.1 GB, ATA)".
fn described(place: &Place) -> String {
    match place {
        Place::Disk { path, disk } => {
            let model = match disk.model.as_str() {
                "" => String::new(),
                model => format!("{model}, "),
            };
            let path = path.display();
            format!("{path} ({model}{}, {})", size(disk.size), disk.bus)
        }
        Place::File { path, .. } => path.display().to_string(),
    }
}

/// A disk's size as it is printed on it: "31.9 GB".
fn size(bytes: u64) -> String {
    match bytes as f64 / 1e9 {
        small if small < 1.0 => format!("{:.0} MB", small * 1e3),
        gigabytes if gigabytes < 1000.0 => format!("{gigabytes:.1} GB"),
        more => format!("{:.1} TB", more / 1e3),
    }
}

fn print(path: &Path, place: &Place, flashed: &Flashed) {
    let checked = match flashed.read_back {
        true => "it was read back, and is what you signed",
        false => "it was not read back",
    };
    println!(
        "{} is on {}: {}, {} of it written; {checked}",
        path.display(),
        described(place),
        bytes(flashed.length),
        bytes(flashed.written),
    );
    for note in &flashed.verdict.notes {
        println!("  note: {note}");
    }
    if let Place::Disk { disk, .. } = place
        && disk
            .uses
            .iter()
            .any(|one| matches!(one, Use::Mounted { .. }))
    {
        println!("  what was mounted of it was unmounted");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_on_the_label() {
        assert_eq!(size(31_914_983_424), "31.9 GB");
        assert_eq!(size(64 << 20), "67 MB");
        assert_eq!(size(2_000_398_934_016), "2.0 TB");
    }
}
