//! `fortress-build flash` to a file, beside `dd` with the same flush and the same reading back: of a
//! dense image, in which next to nothing is zeros, and of the bench image, most of which is zeros.

use crate::child;
use crate::figures::{Series, Table, Target, Unit};
use crate::place::{Place, remove};
use anyhow::{Context as _, Result};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The bench image without what is zeros in it: a second slot, and room in the ESP.
const DENSE: &str = "description = \"The bench image without a second slot, and with a small ESP\"\n\
                     version = \"1\"\nbase = \"debian-13\"\ninclude = [\"bench\"]\n\
                     [image]\nslots = 1\nesp-size = \"40M\"\nheadroom-percent = 0\n";
/// In what steps data is told from zeros.
const STEP: usize = 4096;

pub(crate) fn measure(place: &Place, rounds: usize, table: &mut Table) -> Result<()> {
    place.write("recipes/bench-dense.toml", DENSE)?;
    let target = place.folder("flash")?.join("target.img");
    for (recipe, kind) in [("bench-dense", "dense"), ("bench", "sparse")] {
        place.build(recipe)?;
        let (image, _) = place.image(recipe)?;
        let mut flash = Series::default();
        let mut memory = Series::default();
        let mut whole = Series::default();
        let mut skipping = Series::default();
        // All are to find the image in the page cache.
        let (data, length) = data(&image)?;
        for round in 1..=rounds {
            eprintln!("flash of a {kind} image, round {round} of {rounds}");
            remove(&target)?;
            rustix::fs::sync();
            let took = place.flash(&image, &target)?;
            flash.time(took.time);
            memory.add(took.memory);
            whole.time(dd(&image, &target, "conv=fsync")?);
            skipping.time(dd(&image, &target, "conv=fsync,sparse")?);
        }
        remove(&target)?;
        let what = format!(
            "Flashing the {kind} image to a file, reading it back ({data} MiB of data in {length} MiB)"
        );
        table.add(&what, &flash, Unit::Seconds, Target::None);
        let what = "dd of every byte, flush, cmp";
        table.add(what, &whole, Unit::Seconds, Target::None);
        if kind == "dense" {
            let what = "Flashing the dense image over dd";
            table.add(what, &flash.over(&whole), Unit::Times, Target::AtMost(1.1));
        } else {
            let what = "dd over flashing the sparse image";
            table.add(what, &whole.over(&flash), Unit::Times, Target::AtLeast(2.0));
            let what = "dd that skips zeros, flush, cmp";
            table.add(what, &skipping, Unit::Seconds, Target::None);
            let what = "Flashing the sparse image over dd that skips zeros";
            table.add(what, &flash.over(&skipping), Unit::Times, Target::None);
        }
        let what = format!("Peak memory of flashing the {kind} image");
        table.add(&what, &memory, Unit::Mebibytes, Target::AtMost(300.0));
    }
    Ok(())
}

/// How many MiB of an image are data, and how many there are at all.
fn data(image: &Path) -> Result<(u64, u64)> {
    let failed = || format!("cannot read {}", image.display());
    let mut file = File::open(image).with_context(failed)?;
    let mut buffer = vec![0; STEP];
    let (mut data, mut length) = (0, 0);
    loop {
        let read = file.read(&mut buffer).with_context(failed)?;
        if read == 0 {
            return Ok((data >> 20, length >> 20));
        }
        length += read as u64;
        if buffer[..read].iter().any(|byte| *byte != 0) {
            data += read as u64;
        }
    }
}

/// Copies with dd to a new file, lets the copy be forgotten, and compares it with the image.
fn dd(image: &Path, target: &Path, how: &str) -> Result<Duration> {
    remove(target)?;
    rustix::fs::sync();
    let copy = child::run(
        Command::new("dd")
            .arg(format!("if={}", image.display()))
            .arg(format!("of={}", target.display()))
            .args(["bs=4M", how]),
    )?;
    let forget = child::run(
        Command::new("dd")
            .arg(format!("if={}", target.display()))
            .args(["iflag=nocache", "count=0"]),
    )?;
    let compare = child::run(Command::new("cmp").arg(image).arg(target))?;
    Ok(copy.time + forget.time + compare.time)
}
