//! `fortress-build flash` to a file, beside `dd` with the same flush and the same reading back.

use crate::child;
use crate::figures::{Series, Table, Target, Unit};
use crate::place::{Place, remove};
use anyhow::Result;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

pub(crate) fn measure(place: &Place, rounds: usize, table: &mut Table) -> Result<()> {
    place.build("bench")?;
    let (image, _) = place.image("bench")?;
    let target = place.folder("flash")?.join("target.img");
    let mut flash = Series::default();
    let mut memory = Series::default();
    let mut sparse = Series::default();
    let mut whole = Series::default();
    // All are to find the image in the page cache.
    remove(&target)?;
    place.flash(&image, &target)?;
    for round in 1..=rounds {
        eprintln!("flash, round {round} of {rounds}");
        remove(&target)?;
        rustix::fs::sync();
        let took = place.flash(&image, &target)?;
        flash.time(took.time);
        memory.add(took.memory);
        sparse.time(dd(&image, &target, "conv=fsync,sparse")?);
        whole.time(dd(&image, &target, "conv=fsync")?);
    }
    remove(&target)?;
    let what = "Flashing the image to a file, reading it back";
    table.add(what, &flash, Unit::Seconds, Target::None);
    let what = "dd that skips zeros, flush, cmp";
    table.add(what, &sparse, Unit::Seconds, Target::None);
    let what = "dd of every byte, flush, cmp";
    table.add(what, &whole, Unit::Seconds, Target::None);
    let what = "Flashing over dd that skips zeros";
    table.add(what, &flash.over(&sparse), Unit::Times, Target::AtMost(1.1));
    let what = "dd of every byte over flashing";
    table.add(what, &whole.over(&flash), Unit::Times, Target::AtLeast(2.0));
    let what = "Peak memory of flashing";
    table.add(what, &memory, Unit::Mebibytes, Target::AtMost(300.0));
    Ok(())
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
