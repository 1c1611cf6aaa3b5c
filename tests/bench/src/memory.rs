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
        for (place_in, (recipe, size)) in recipes.iter().enumerate() {
            eprintln!("{size} times the size, round {round} of {rounds}");
            let took = place.build_cold(recipe)?;
            times[place_in].time(took.time);
            peaks[place_in].add(took.memory);
        }
    }
    for (place_in, (recipe, size)) in recipes.iter().enumerate() {
        let bytes = root_bytes(place, recipe)? >> 20;
        table.add(
            &format!("Peak memory, {size} × the image (root of {bytes} MiB)"),
            &peaks[place_in],
            Unit::Mebibytes,
            Target::AtMost(300.0),
        );
    }
    for (place_in, (_, size)) in recipes.iter().enumerate() {
        table.add(
            &format!("Cold build, {size} × the image"),
            &times[place_in],
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
        total += fs::copy(file, &to).unwrap_or(0);
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
