//! What signing adds to a build, and what its hash tree takes beside hashing the image.

use crate::figures::{Series, Table, Target, Unit};
use crate::place::{Place, remove};
use crate::verify::hash_on_all_cores;
use anyhow::{Context as _, Result, ensure};
use fortress_disk::Region;
use fortress_disk::verity::{VerityOptions, format, hash_length};
use fortress_pipeline::manifest::Manifest;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What the image without signatures is kept as.
const UNSIGNED: &str = "bench-unsigned";

pub(crate) fn measure(place: &Place, rounds: usize, table: &mut Table) -> Result<()> {
    let mut signed = Series::default();
    let mut unsigned = Series::default();
    for round in 1..=rounds {
        eprintln!("signing, round {round} of {rounds}");
        // Whoever comes first may find the disk busy, so they take turns in that too.
        let first = round % 2 == 1;
        for now in [first, !first] {
            match now {
                true => signed.time(place.build_cold("bench")?.time),
                false => unsigned.time(place.build_unsigned_cold("bench", UNSIGNED)?.time),
            }
        }
    }
    let what = "Cold build, signed with keys in files";
    table.add(what, &signed, Unit::Seconds, Target::None);
    let what = "Cold build with `--sign later`";
    table.add(what, &unsigned, Unit::Seconds, Target::None);
    let what = "Signed over unsigned";
    let over = signed.over(&unsigned);
    table.add(what, &over, Unit::Times, Target::AtMost(1.05));
    verity(place, rounds, table)
}

/// The root's hash tree, beside hashing the same bytes, and the whole image with its zeros.
fn verity(place: &Place, rounds: usize, table: &mut Table) -> Result<()> {
    let (image, manifest) = place.image("bench")?;
    let file = File::open(&image).context("cannot open the image")?;
    let length = file.metadata().context("cannot examine the image")?.len();
    let root = root(&manifest)?;
    let work = place.folder("signing")?.join("root");
    let mut tree = Series::default();
    let mut same = Series::default();
    let mut all = Series::default();
    copy(&file, root, &work)?;
    for round in 1..=rounds {
        eprintln!("hash tree, round {round} of {rounds}");
        tree.time(hash_tree(&manifest, root.length, &work)?);
        same.time(hash_on_all_cores(&image, &[(root.offset, root.length)])?);
        all.time(hash_on_all_cores(&image, &[(0, length)])?);
    }
    remove(&work)?;
    let size = root.length >> 20;
    let what = format!("Making the hash tree of a root of {size} MiB");
    table.add(&what, &tree, Unit::Seconds, Target::None);
    let what = "Hashing the root's bytes once on all cores";
    table.add(what, &same, Unit::Seconds, Target::None);
    let size = length >> 20;
    let what = format!("Hashing the image's {size} MiB once on all cores");
    table.add(&what, &all, Unit::Seconds, Target::None);
    let what = "Hash tree over hashing the root";
    table.add(what, &tree.over(&same), Unit::Times, Target::None);
    let what = "Hash tree over hashing the image";
    let over = tree.over(&all);
    table.add(what, &over, Unit::Times, Target::AtMost(1.0));
    Ok(())
}

/// Where the root lies.
fn root(manifest: &Manifest) -> Result<Region> {
    let root = manifest.partition("root").context("there is no root")?;
    Ok(root.region())
}

/// Copies a region to a new file, so that both are in the page cache.
fn copy(image: &File, region: Region, to: &PathBuf) -> Result<()> {
    remove(to)?;
    let mut out = File::create(to).context("cannot make a copy")?;
    let mut buffer = vec![0; 1 << 20];
    let mut at = region.offset;
    while at < region.end() {
        let piece = &mut buffer[..(region.end() - at).min(1 << 20) as usize];
        image
            .read_exact_at(piece, at)
            .context("cannot read the image")?;
        io::Write::write_all(&mut out, piece).context("cannot write the copy")?;
        at += piece.len() as u64;
    }
    Ok(())
}

/// How long it takes to make the hash tree behind a root that begins the file, as the build does.
fn hash_tree(manifest: &Manifest, length: u64, file: &Path) -> Result<Duration> {
    let mut salt = [0; 32];
    for (index, byte) in salt.iter_mut().enumerate() {
        let digits = manifest.verity_salt.get(index * 2..index * 2 + 2);
        *byte = u8::from_str_radix(digits.context("the salt is short")?, 16)?;
    }
    let options = VerityOptions {
        salt,
        // The root hash does not depend on it.
        uuid: Default::default(),
    };
    let file = File::options().read(true).write(true).open(file);
    let file = file.context("cannot open the copy")?;
    // What the round before has written goes, as no tree is there in a build.
    file.set_len(length).context("cannot change the copy")?;
    let hashes = Region::new(length, hash_length(length));
    file.set_len(hashes.end())
        .context("cannot change the copy")?;
    // Nor is the disk to be busy with it.
    file.sync_all().context("cannot sync the copy")?;
    let start = Instant::now();
    let root_hash = format(&file, Region::new(0, length), hashes, &options)?;
    let time = start.elapsed();
    let same = root_hash.to_string() == manifest.root_hash;
    ensure!(same, "the root hash is not the image's");
    Ok(time)
}
