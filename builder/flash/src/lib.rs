//! Writes images to disks: the right disk, verified on the way, bootable only when all of it is there.
//!
//! ```no_run
//! use fortress_flash::{Consent, Image, Options, System, flash};
//! use fortress_progress::Silent;
//! use fortress_trust::PublicKeys;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let keys = PublicKeys::default();
//! let image = Image::open("output/host.img.zst".as_ref(), None, &keys)?;
//! let system = System::here();
//! let place = system.place("/dev/sdb".as_ref())?;
//! let target = system.open(&place, &image, &Consent::default())?;
//! let flashed = flash(image, &keys, target, &Options::default(), &Silent)?;
//! println!("{} bytes written", flashed.written);
//! # Ok(())
//! # }
//! ```

mod buffer;
mod disks;
mod error;
mod flash;
mod image;
mod medium;
mod mounts;
mod pace;
mod pieces;
mod place;
mod read_back;
mod source;
mod target;
mod write;

pub use disks::{Bus, Disk, System, Use};
pub use error::{Error, Result, State};
pub use flash::{Flashed, Options, flash};
pub use image::Image;
pub use place::{Consent, LARGE, Place, Refusal};
pub use target::Target;
