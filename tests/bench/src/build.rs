//! A cold build beside what cannot be avoided.

use crate::figures::{Series, Table, Target, Unit};
use crate::floor;
use crate::place::Place;
use anyhow::Result;
use fortress_package::Archive;
use fortress_tree::{Content, TreePath};

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
/// The architectures differ in what packages hold, kernels most of all, and in whether modules are
/// compressed once more within them. So what is compared is builds' times over what decompressing all
/// of that takes for each.
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
            "The last of pi5 over that of x86",
            &pi.over_all().over(&x86.over_all()),
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
    modules: Vec<(TreePath, Content)>,
    floor: Series,
    inner: Series,
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
            modules: floor::modules(&packages)?,
            packages,
            floor: Series::default(),
            inner: Series::default(),
            build: Series::default(),
        })
    }

    fn round(&mut self, place: &Place) -> Result<()> {
        self.floor.time(floor::decompress(&self.packages)?);
        let inner = floor::decompress_modules(&self.modules)?;
        self.inner.time(inner);
        let took = place.build_cold_selected(self.name, &selection(self.board))?;
        self.build.time(took.time);
        Ok(())
    }

    fn over_all(&self) -> Series {
        self.build.over(&self.floor.and(&self.inner))
    }

    fn tell(&self, table: &mut Table) {
        let (board, count) = (self.board, self.packages.len());
        let what = format!("Decompressing {count} packages of {board} (the floor)");
        table.add(&what, &self.floor, Unit::Seconds, Target::None);
        let count = self.modules.len();
        let what = format!("Decompressing the {count} kernel modules compressed within them");
        table.add(&what, &self.inner, Unit::Seconds, Target::None);
        let what = format!("Cold build for {board}");
        table.add(&what, &self.build, Unit::Seconds, Target::None);
        // What x86 may take is said of the image that `measure` builds.
        let target = match board {
            "pi5" => Target::AtMost(1.5),
            _ => Target::None,
        };
        let what = format!("Cold build for {board} over its floor");
        table.add(&what, &self.build.over(&self.floor), Unit::Times, target);
        let what = format!("Cold build for {board} over its floor with modules");
        table.add(&what, &self.over_all(), Unit::Times, Target::None);
    }
}

fn selection(board: &str) -> [&str; 6] {
    ["--board", board, "--base", "debian-13", "--recipe", "pi"]
}
