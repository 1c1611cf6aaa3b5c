//! Recipes, boards, bases and overlays as typed TOML, resolved into a plan.
//!
//! ```no_run
//! use fortress_recipe::{Library, Request};
//! use std::path::Path;
//!
//! let library = Library::discover(Path::new("."))?;
//! let plan = library.plan(&Request {
//!     board: "x86".to_owned(),
//!     base: Some("debian-13".to_owned()),
//!     sets: vec![("system.hostname".to_owned(), "attic".to_owned())],
//!     ..Request::default()
//! })?;
//! assert_eq!(plan.system.hostname.value, "attic");
//! for (key, value, origin) in plan.explain() {
//!     println!("{key} = {value} ({origin})");
//! }
//! # Ok::<(), fortress_recipe::Error>(())
//! ```
//!
//! Files are read with exact places: every error names file, line and column and draws the line,
//! and every value of a [`Plan`] knows where it was said. The reference of all keys is
//! `docs/recipes.md`.

mod base;
mod board;
mod check;
mod composition;
mod error;
mod explain;
mod library;
mod origin;
mod overlay;
mod plan;
mod raspberry_pi;
mod recipe;
#[cfg(test)]
mod reference;
mod resolve;
#[cfg(test)]
mod robustness;
mod section;
mod source;
mod state;
mod trust;
mod wishes;

pub use error::{Error, ErrorKind, Place, Result};
pub use library::{BaseSummary, BoardSummary, Library, RecipeSummary, Request};
pub use origin::{Origin, Sourced};
pub use plan::{
    Architecture, Archive, Base, Board, Firmware, Health, Identifiers, Image, Kernel, LeftOut,
    Mirror, Overlay, PackageRequest, PageSize, Partition, PartitionKind, PartitionSize, Plan,
    ProjectFile, Qemu, RaspberryPi, RootFilesystem, Slot, Stepping, System, Trim, Units,
};
pub use state::{Data, Encryption, SealingDemand, Swap, Var, VarFilesystem, WithoutTpm};
pub use trust::{Enroll, SecureBoot, Trust, VeritySignature};
