//! `fortress-build verify` beside hashing the same bytes once on all cores.

use crate::figures::{Series, Table, Target, Unit};
use crate::place::Place;
use anyhow::{Context as _, Result};
use fortress_pipeline::manifest::Manifest;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// The images: a small one, and the one that people build.
const RECIPES: [&str; 2] = ["bench", "host"];
/// How much is hashed at once.
const PIECE: u64 = 1 << 20;

pub(crate) fn measure(place: &Place, rounds: usize, table: &mut Table) -> Result<()> {
    for recipe in RECIPES {
        place.build(recipe)?;
        let (image, manifest) = place.image(recipe)?;
        let regions = covered(&manifest);
        let bytes: u64 = regions.iter().map(|(_, length)| length).sum();
        let mut verify = Series::default();
        let mut memory = Series::default();
        let mut hash = Series::default();
        // Both are to find the image in the page cache.
        hash_on_all_cores(&image, &regions)?;
        for round in 1..=rounds {
            eprintln!("verify {recipe}, round {round} of {rounds}");
            hash.time(hash_on_all_cores(&image, &regions)?);
            let took = place.verify(&image)?;
            verify.time(took.time);
            memory.add(took.memory);
        }
        let size = bytes >> 20;
        let what = format!("Verifying the image of {recipe} ({size} MiB that a digest covers)");
        table.add(&what, &verify, Unit::Seconds, Target::None);
        let what = "Hashing the same bytes once on all cores";
        table.add(what, &hash, Unit::Seconds, Target::None);
        let what = "Verifying over hashing";
        table.add(what, &verify.over(&hash), Unit::Times, Target::AtMost(1.3));
        let what = "Peak memory of verifying";
        table.add(what, &memory, Unit::Mebibytes, Target::AtMost(200.0));
    }
    Ok(())
}

/// Offset and length of what digests and the root hash cover.
fn covered(manifest: &Manifest) -> Vec<(u64, u64)> {
    let partitions = manifest.partitions.iter();
    partitions
        .map(|partition| (partition.offset, partition.data_length))
        .collect()
}

/// SHA-256 of every MiB, on all cores.
pub(crate) fn hash_on_all_cores(image: &Path, regions: &[(u64, u64)]) -> Result<Duration> {
    let file = File::open(image).context("cannot open the image")?;
    let start = Instant::now();
    let pieces: Vec<(u64, u64)> = regions
        .iter()
        .flat_map(|(offset, length)| {
            let end = offset + length;
            let starts = (*offset..end).step_by(PIECE as usize);
            starts.map(move |at| (at, PIECE.min(end - at)))
        })
        .collect();
    pieces.par_iter().try_for_each_init(
        || vec![0; PIECE as usize],
        |buffer, (at, length)| {
            let buffer = &mut buffer[..*length as usize];
            file.read_exact_at(buffer, *at)
                .context("cannot read the image")?;
            std::hint::black_box(Sha256::digest(buffer));
            anyhow::Ok(())
        },
    )?;
    Ok(start.elapsed())
}
