//! From a plan to artefacts: resolve, fetch, unpack, configure, write. One direction, no way back.
//!
//! ```no_run
//! use fortress_pipeline::{LockMode, Settings, Signing, build};
//! use fortress_progress::Silent;
//! use fortress_recipe::{Library, Request};
//! use fortress_store::{Client, ClientOptions, Store};
//! use fortress_trust::KeySet;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let library = Library::discover(".".as_ref())?;
//! let plan = library.plan(&Request { board: "x86".into(), ..Request::default() })?;
//! let store = Store::open(&Store::default_path()?)?;
//! let client = Client::new(ClientOptions::default())?;
//! let keys = KeySet::open(&KeySet::default_folder()?)?;
//! let built = build(&plan, &Settings {
//!     store: &store,
//!     client: &client,
//!     observer: &Silent,
//!     mirrors: Vec::new(),
//!     machine_configuration: "/etc".into(),
//!     lock_path: "host.lock.toml".into(),
//!     lock_mode: LockMode::Keep,
//!     output: "output".into(),
//!     strict: false,
//!     keys: keys.public(),
//!     signing: Signing::Later,
//!     now: 1_780_000_000,
//! })?;
//! println!("{} {}", built.image.display(), built.manifest.root_hash);
//! # Ok(())
//! # }
//! ```

mod boot;
mod build;
mod digests;
mod documents;
mod error;
mod facts;
mod identity;
mod image;
mod inputs;
mod join;
pub mod manifest;
mod page_size;
mod publish;
mod raspberry_pi;
mod root;
mod root_signature;
mod sbom;
mod seal;
mod settings;
mod sockets;
mod state;
mod stretch;
mod system;
mod uefi;
mod volume;

pub use build::{Built, build, tree};
pub use documents::PACKED;
pub use error::{Error, Result};
pub use inputs::{fetch, lock, sources};
pub use join::{Join, Joined, Pending, join};
pub use seal::roles;
pub use settings::{LockMode, Settings, Signing};
pub use sockets::{ListeningSocket, NoSocket};
