//! A cold build beside what cannot be avoided.

use crate::figures::{Series, Table, Target, Unit};
use crate::floor;
use crate::place::Place;
use anyhow::Result;

pub(crate) fn measure(place: &Place, rounds: usize, table: &mut Table) -> Result<()> {
    let (_, manifest) = place.image("bench")?;
    let packages = place.packages(&manifest);
    let modules = floor::modules(&packages)?;
    let mut decompress = Series::default();
    let mut inner = Series::default();
    let mut dpkg = Series::default();
    let mut build = Series::default();
    for round in 1..=rounds {
        eprintln!("cold build, round {round} of {rounds}");
        decompress.time(floor::decompress(&packages)?);
        inner.time(floor::decompress_modules(&modules)?);
        if let Some(time) = floor::decompress_with_dpkg(&packages)? {
            dpkg.time(time);
        }
        build.time(place.build_cold("bench")?.time);
    }
    let count = packages.len();
    table.add(
        &format!("Decompressing {count} packages on all cores (the floor)"),
        &decompress,
        Unit::Seconds,
        Target::None,
    );
    table.add(
        &format!("Decompressing the {} kernel modules in them", modules.len()),
        &inner,
        Unit::Seconds,
        Target::None,
    );
    table.add("Cold build", &build, Unit::Seconds, Target::None);
    table.add(
        "Cold build over the floor",
        &build.over(&decompress),
        Unit::Times,
        Target::AtMost(1.5),
    );
    table.add(
        "Cold build over the floor with modules",
        &build.over(&decompress.and(&inner)),
        Unit::Times,
        Target::None,
    );
    if !dpkg.is_empty() {
        table.add(
            "Decompressing the packages with dpkg-deb on all cores",
            &dpkg,
            Unit::Seconds,
            Target::None,
        );
        table.add(
            "Cold build over dpkg-deb",
            &build.over(&dpkg),
            Unit::Times,
            Target::None,
        );
    }
    Ok(())
}
