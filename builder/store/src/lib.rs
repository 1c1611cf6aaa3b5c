//! A content-addressed store of verified blobs, and the downloads that fill it.
//!
//! ```no_run
//! use fortress_progress::Silent;
//! use fortress_store::{Client, ClientOptions, Digest, Download, Store};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Store::open(&Store::default_path()?)?;
//! let client = Client::new(ClientOptions::default())?;
//! let download = Download {
//!     name: "hello 2.10".into(),
//!     urls: vec!["http://ftp.debian.org/debian/pool/main/h/hello/hello_2.10.orig.tar.gz".into()],
//!     digest: "31e066137a962676e89f69d1b65382de95a7ef7d914b8cb956f41ea72e0f516b".parse()?,
//!     length: Some(725_946),
//! };
//! let blobs = store.fetch(&[download], &client, &Silent)?;
//! let content = blobs[0].reader()?;
//! # Ok(())
//! # }
//! ```

mod blob;
mod client;
mod collect;
mod derived;
mod digest;
mod documents;
mod error;
mod failure;
mod fetch;
pub mod mirrors;
mod partial;
mod store;
mod transfer;
mod verify;

pub use blob::{Blob, BlobReader};
pub use client::{Client, ClientOptions};
pub use collect::{Amount, Collected, Policy};
pub use derived::DerivedFolder;
pub use digest::{Digest, Hasher, ParseDigestError};
pub use error::{Error, Result};
pub use failure::{DownloadError, Failure};
pub use fetch::Download;
pub use store::Store;
pub use verify::{Damage, Verified, Wrong};
