//! A build after one file of an overlay has changed.

use crate::figures::{Series, Table, Target, Unit};
use crate::place::{Place, remove};
use anyhow::{Context as _, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) fn measure(place: &Place, rounds: usize, table: &mut Table) -> Result<()> {
    const RECIPE: &str = "description = \"The bench image, with an overlay\"\nversion = \"1\"\n\
         base = \"debian-13\"\ninclude = [\"bench\"]\noverlays = [\"bench\"]\n";
    place.write("recipes/bench-overlay.toml", RECIPE)?;
    let change = |text: String| place.write("overlays/bench/etc/bench", &text);
    change("before\n".into())?;
    place.build("bench-overlay")?;
    let mut cold = Series::default();
    let mut rebuild = Series::default();
    let mut replacing = Series::default();
    let mut reference = Series::default();
    for round in 1..=rounds {
        eprintln!("rebuild, round {round} of {rounds}");
        cold.time(place.build_cold("bench-overlay")?.time);
        change(format!("changed for round {round}\n"))?;
        rebuild.time(place.build_anew("bench-overlay")?.time);
        change(format!("changed again for round {round}\n"))?;
        replacing.time(place.build("bench-overlay")?.time);
        let (image, _) = place.image("bench-overlay")?;
        reference.time(hash_and_copy(&image)?);
    }
    table.add(
        "Rebuild after an overlay change",
        &rebuild,
        Unit::Seconds,
        Target::None,
    );
    table.add(
        "Rebuild over a cold build",
        &rebuild.over(&cold),
        Unit::Times,
        Target::AtMost(0.25),
    );
    table.add(
        "Hashing the image once and copying it once",
        &reference,
        Unit::Seconds,
        Target::None,
    );
    table.add(
        "Rebuild over hashing and copying",
        &rebuild.over(&reference),
        Unit::Times,
        Target::AtMost(3.0),
    );
    // Freeing what an old image takes is the file system's work, and on some disks a lot of it.
    table.add(
        "Rebuild in the place of the old image",
        &replacing,
        Unit::Seconds,
        Target::None,
    );
    Ok(())
}

/// SHA-256 of an image (its holes are not read, but hashed), and a copy of its data.
fn hash_and_copy(image: &Path) -> Result<Duration> {
    rustix::fs::sync();
    let copy = image.with_extension("copy");
    let start = Instant::now();
    let from = File::open(image).context("cannot open the image")?;
    fortress_disk::digest::whole(&from)?;
    let to = File::create(&copy).context("cannot make a copy")?;
    let length = from.metadata().context("cannot examine the image")?.len();
    to.set_len(length).context("cannot make a copy")?;
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    while let Ok(data) = rustix::fs::seek(&from, rustix::fs::SeekFrom::Data(at)) {
        let hole = rustix::fs::seek(&from, rustix::fs::SeekFrom::Hole(data))
            .context("cannot examine the image")?;
        at = data;
        while at < hole {
            let piece = &mut buffer[..(hole - at).min(1 << 20) as usize];
            from.read_exact_at(piece, at)
                .context("cannot read the image")?;
            to.write_all_at(piece, at)
                .context("cannot write the copy")?;
            at += piece.len() as u64;
        }
    }
    let time = start.elapsed();
    remove(&copy)?;
    Ok(time)
}
