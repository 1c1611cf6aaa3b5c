//! Measures what Fortress promises, each as a ratio to something measured in the same run, so
//! that a slow or busy machine changes the figures little:
//!
//! ```text
//! cargo run --release -p fortress-bench -- all
//! cargo run --release -p fortress-bench -- build rebuild --rounds 9
//! ```
//!
//! The tables that come out are Markdown, for `docs/benchmarks.md`.

mod boot;
mod build;
mod child;
mod figures;
mod flash;
mod floor;
mod memory;
mod mkosi;
mod place;
mod raspberry_pi;
mod rebuild;
mod signing;
mod verify;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use figures::Table;
use place::Place;

/// Measures builds and boots
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Options {
    /// What to measure
    #[arg(required = true)]
    measures: Vec<Measure>,
    /// How often; what is compared takes turns
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measure {
    /// A cold build beside decompressing its packages
    Build,
    /// The same for the Raspberry Pi 5, beside a cold build of its recipe for x86
    RaspberryPi,
    /// A build after a change to an overlay, beside a cold one, and hashing and copying the image
    Rebuild,
    /// Peak memory and time of larger images
    Memory,
    /// A boot, beside the kernel's alone
    Boot,
    /// The same for a Raspberry Pi, on the machines that stand in for it
    BootRaspberryPi,
    /// A cold build beside one without signatures, and a hash tree beside hashing the image
    Signing,
    /// Verifying an image, beside hashing the same bytes
    Verify,
    /// Writing an image to a file, beside dd
    Flash,
    /// A cold build beside mkosi's (needs root, and mmdebstrap)
    Mkosi,
    /// Everything
    All,
}

/// A measure: where, how often, and where its figures go.
type Measured = fn(&Place, usize, &mut Table) -> Result<()>;

fn main() -> Result<()> {
    let options = Options::parse();
    let wanted =
        |measure| options.measures.contains(&measure) || options.measures.contains(&Measure::All);
    let place = Place::prepare()?;
    let rounds = options.rounds.max(1);
    let measures = [
        (Measure::Build, build::measure as Measured, rounds),
        (Measure::RaspberryPi, build::measure_raspberry_pi, rounds),
        (Measure::Rebuild, rebuild::measure, rounds),
        (Measure::Memory, memory::measure, rounds.min(3)),
        (Measure::Boot, boot::measure, rounds.min(3)),
        (
            Measure::BootRaspberryPi,
            raspberry_pi::measure,
            rounds.min(3),
        ),
        (Measure::Signing, signing::measure, rounds),
        (Measure::Verify, verify::measure, rounds),
        (Measure::Flash, flash::measure, rounds),
        (Measure::Mkosi, mkosi::measure, rounds.min(3)),
    ];
    for (measure, run, rounds) in measures {
        if wanted(measure) {
            let mut table = Table::default();
            run(&place, rounds, &mut table)?;
            println!("{table}");
        }
    }
    Ok(())
}
