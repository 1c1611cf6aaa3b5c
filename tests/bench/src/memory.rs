//! Peak memory and time of images that are larger: with the same packages, and real files of this
//! machine beside them.

use crate::figures::{Series, Table, Target, Unit};
use crate::place::{Place, remove};
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// Where files are taken from.
const SOURCE: &str = "/usr";
/// How many times the bench image's root the images hold.
const SIZES: [u64; 2] = [3, 5];

pub(crate) fn measure(place: &Place, rounds: usize, table: &mut Table) -> Result<()> {
    let root = root_bytes(place, "bench")?;
    let mut recipes = vec![("bench".to_owned(), 1)];
    for size in SIZES {
        let name = format!("bench-{size}");
        let recipe = format!(
            "description = \"The bench image, {size} times as large\"\nversion = \"1\"\n\
             base = \"debian-13\"\ninclude = [\"bench\"]\noverlays = [\"{name}\"]\n"
        );
        place.write(&format!("recipes/{name}.toml"), &recipe)?;
        let folder = place.project().join("overlays").join(&name);
        fill(&folder.join("usr/share/bench"), root * (size - 1))?;
        recipes.push((name, size));
    }
    let mut times = vec![Series::default(); recipes.len()];
    let mut peaks = vec![Series::default(); recipes.len()];
    for round in 1..=rounds {
        for (at, (recipe, size)) in recipes.iter().enumerate() {
            eprintln!("{size} times the size, round {round} of {rounds}");
            let took = place.build_cold(recipe)?;
            times[at].time(took.time);
            peaks[at].add(took.memory);
        }
    }
    let mut roots = Vec::new();
    for ((recipe, size), peak) in recipes.iter().zip(&peaks) {
        let bytes = root_bytes(place, recipe)?;
        roots.push(bytes as f64 / f64::from(1 << 30));
        table.add(
            &format!(
                "Peak memory, {size} × the image (root of {} MiB)",
                bytes >> 20
            ),
            peak,
            Unit::Mebibytes,
            Target::AtMost(300.0),
        );
    }
    for ((_, size), time) in recipes.iter().zip(&times) {
        let what = format!("Cold build, {size} × the image");
        table.add(&what, time, Unit::Seconds, Target::None);
    }
    for at in 1..recipes.len() {
        let step = times[at].less(&times[at - 1]);
        let (from, to) = (recipes[at - 1].1, recipes[at].1);
        table.add(
            &format!("… for each further GiB, from {from} × to {to} ×"),
            &step.per(roots[at] - roots[at - 1]),
            Unit::Seconds,
            Target::None,
        );
    }
    for (_, size) in &recipes[1..] {
        remove(&place.project().join(format!("overlays/bench-{size}")))?;
        remove(&place.folder("output")?.join(format!("bench-{size}")))?;
    }
    Ok(())
}

/// Bytes of an image's root partition.
fn root_bytes(place: &Place, recipe: &str) -> Result<u64> {
    use fortress_pipeline::manifest::Covered;
    let (_, manifest) = place.image(recipe)?;
    let mut partitions = manifest.partitions.iter();
    let root = partitions.find(|partition| partition.covered == Covered::RootHash);
    Ok(root.context("the manifest names no root")?.length)
}

/// Links or copies files of this machine into a folder, until they are so many bytes.
fn fill(folder: &Path, bytes: u64) -> Result<()> {
    let mut files = Vec::new();
    list(Path::new(SOURCE), &mut files);
    files.sort();
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut total = 0;
    for (number, file) in files.iter().enumerate() {
        if total >= bytes {
            return Ok(());
        }
        let to = folder.join(format!("{:03}", number / 500));
        fs::create_dir_all(&to).with_context(|| format!("cannot make {}", to.display()))?;
        let to = to.join(format!("{number}"));
        // Some may not be readable for everybody.
        total += fs::copy(file, &to).unwrap_or(0).next_multiple_of(4096);
    }
    ensure!(total >= bytes, "{SOURCE} has only {total} bytes of files");
    Ok(())
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => list(&entry.path(), files),
            Ok(kind) if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
}
