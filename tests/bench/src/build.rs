//! A cold build beside what cannot be avoided.

use crate::figures::{Series, Table, Target, Unit};
use crate::floor;
use crate::place::Place;
use anyhow::Result;
use fortress_package::Archive;

/// The Raspberry Pi 5 and x86 with the same recipe on the same base, and what they are kept as.
const BOARDS: [(&str, &str); 2] = [("pi5", "build-pi5"), ("x86", "build-pi-x86")];

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

/// The same for the Raspberry Pi 5's image, beside an x86 one of the same recipe.
///
/// The architectures differ in what packages hold, kernels most of all. So what is compared is a
/// build's time for each GiB of its packages' data, decompressed.
pub(crate) fn measure_raspberry_pi(place: &Place, rounds: usize, table: &mut Table) -> Result<()> {
    let mut images = Vec::new();
    for (board, name) in BOARDS {
        images.push(Measured::new(place, board, name)?);
    }
    for round in 1..=rounds {
        eprintln!("cold builds for pi5 and x86, round {round} of {rounds}");
        for image in &mut images {
            image.round(place)?;
        }
    }
    for image in &images {
        image.tell(table);
    }
    if let [pi, x86] = images.as_slice() {
        table.add(
            "Cold build for pi5 over x86, for each GiB decompressed",
            &pi.for_each_gibibyte().over(&x86.for_each_gibibyte()),
            Unit::Times,
            Target::AtMost(1.0),
        );
    }
    Ok(())
}

/// An image of the recipe `pi`, and what was measured of it.
struct Measured {
    board: &'static str,
    name: &'static str,
    packages: Vec<Archive>,
    /// What they are decompressed, in bytes.
    length: u64,
    floor: Series,
    build: Series,
}

impl Measured {
    fn new(place: &Place, board: &'static str, name: &'static str) -> Result<Self> {
        place.build_selected(name, &selection(board))?;
        let (_, manifest) = place.image(name)?;
        let packages = place.packages(&manifest);
        Ok(Self {
            board,
            name,
            length: floor::decompressed(&packages)?,
            packages,
            floor: Series::default(),
            build: Series::default(),
        })
    }

    fn round(&mut self, place: &Place) -> Result<()> {
        self.floor.time(floor::decompress(&self.packages)?);
        let took = place.build_cold_selected(self.name, &selection(self.board))?;
        self.build.time(took.time);
        Ok(())
    }

    fn for_each_gibibyte(&self) -> Series {
        self.build.per(self.length as f64 / f64::from(1 << 30))
    }

    fn tell(&self, table: &mut Table) {
        let (board, count, size) = (self.board, self.packages.len(), self.length >> 20);
        let what = format!("Decompressing {count} packages of {board} to {size} MiB (the floor)");
        table.add(&what, &self.floor, Unit::Seconds, Target::None);
        let what = format!("Cold build for {board}");
        table.add(&what, &self.build, Unit::Seconds, Target::None);
        // What x86 may take is said of the image that `measure` builds.
        let target = match board {
            "pi5" => Target::AtMost(1.5),
            _ => Target::None,
        };
        let what = format!("Cold build for {board} over its floor");
        table.add(&what, &self.build.over(&self.floor), Unit::Times, target);
        let what = format!("Cold build for {board}, for each GiB decompressed");
        let each = self.for_each_gibibyte();
        table.add(&what, &each, Unit::Seconds, Target::None);
    }
}

fn selection(board: &str) -> [&str; 6] {
    ["--board", board, "--base", "debian-13", "--recipe", "pi"]
}
