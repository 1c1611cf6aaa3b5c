//! What boots: the initrd, the unified kernel image that holds it, and what the Raspberry Pi's
//! firmware takes in its place.
//!
//! ```no_run
//! use fortress_boot::initrd::{self, InitrdSettings};
//! use fortress_configuration::modules::{self, NoCache};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let root = fortress_tree::Tree::new(0);
//! let modules = modules::index(&root, "6.12.1-amd64", &NoCache)?;
//! let settings = InitrdSettings {
//!     modules: &modules,
//!     module_names: vec!["ext4".into()],
//!     state: Default::default(),
//! };
//! let tree = initrd::collect(&root, &settings)?;
//! initrd::write(&tree, &mut std::fs::File::create("initrd")?)?;
//! # Ok(())
//! # }
//! ```

pub mod device_tree;
mod error;
pub mod gzip;
pub mod initrd;
pub mod measure;
pub mod pe;
pub mod raspberry_pi;
pub mod uki;

pub use error::{Error, Result};
