//! What is handed out of an image: compressed copies, block maps, entries for Raspberry Pi Imager's
//! list.
//!
//! All of them follow from the image's bytes: the same on any machine, with any number of cores.
//! They vouch for nothing: what a compressed copy unpacks to is verified against the signed manifest.
//!
//! ```no_run
//! use fortress_artefact::{Kind, make};
//! use fortress_progress::Silent;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let manifest = fortress_pipeline::manifest::Manifest::from_json(b"")?;
//! let made = make("output/host.img".as_ref(), &manifest, &[Kind::Zstd, Kind::BlockMap], &Silent)?;
//! for artefact in made {
//!     println!("{}", artefact.path.display());
//! }
//! # Ok(())
//! # }
//! ```

mod block_map;
mod compress;
mod error;
mod list;
mod make;

pub use error::{Error, Result};
pub use make::{Artefact, Kind, make};
