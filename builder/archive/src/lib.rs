//! Debian archives: signed indexes, versions, dependency resolution, the lock.
//!
//! ```no_run
//! use fortress_archive::{Index, LoadOptions, Lock, Request, Source, resolve};
//! use fortress_progress::Silent;
//! use fortress_store::{Client, ClientOptions, Digest, Store};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Store::open(&Store::default_path()?)?;
//! let client = Client::new(ClientOptions::default())?;
//! let sources = [Source {
//!     name: "debian".into(),
//!     mirrors: vec!["http://ftp.debian.org/debian".into()],
//!     suite: "trixie".into(),
//!     components: vec!["main".into()],
//!     keys: vec![std::fs::read("keys/archive/debian.gpg")?],
//!     priority: 500,
//!     ..Source::default()
//! }];
//! let options = LoadOptions { now: 1_780_000_000, offline: false };
//! let index = Index::load(&sources, "amd64", &store, &client, &options, &Silent)?;
//! let request = Request { roots: vec!["nginx".into()], essential: true, ..Request::default() };
//! let resolution = resolve(&index, &request)?;
//! let lock = Lock::new(&index, &resolution, "debian-13", Digest::of(b"the request"));
//! std::fs::write("host.lock", lock.to_toml())?;
//! let blobs = store.fetch(&lock.downloads(&sources, &[])?, &client, &Silent)?;
//! # Ok(())
//! # }
//! ```
//!
//! Trust runs one way: pinned keys vouch for the text of `InRelease`, that text names the
//! SHA-256 of each package index, and the index names the SHA-256 of each package. Nothing
//! outside that chain is read.

mod clear_text;
mod dependency;
mod error;
mod index;
mod load;
mod lock;
mod openpgp;
mod packages;
mod release;
mod resolve;
mod source;
mod time;

pub use error::{Error, ReleaseFault};
pub use index::{Index, Stanza, SuiteState};
pub use lock::{Change, ChangeKind, Lock, LockedPackage, LockedSuite, Snapshot};
pub use openpgp::{Fault, Keyring, Refusal, Verified};
pub use resolve::{Excluded, LeftOut, Request, Resolution, resolve};
pub use source::{LoadOptions, Source};
pub use time::to_rfc3339;
