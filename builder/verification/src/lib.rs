//! Verifies images: what the owner signed is there, to the last byte, and nothing else.
//!
//! All that it takes is the image, the manifest with its signature, and the owner's public keys. It
//! needs no privileges: file systems are read by readers of this project's own, nothing is mounted.
//!
//! ```no_run
//! use fortress_progress::Silent;
//! use fortress_trust::PublicKeys;
//! use fortress_verification::{Outcome, Subject, verify};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let keys = PublicKeys::default();
//! let image = Subject::open("output/host_1.0_x86_debian-13.img".as_ref(), None)?;
//! let verdict = verify(&image, &keys, &Silent)?;
//! for finding in &verdict.findings {
//!     println!("{finding}");
//! }
//! assert_eq!(verdict.outcome, Outcome::Good);
//! # Ok(())
//! # }
//! ```

mod compressed;
mod error;
mod judge;
mod kept;
mod measured;
mod parts;
mod passing;
mod raspberry_pi;
mod root;
mod signature;
mod subject;
mod table;
mod trusted;
mod uefi;
mod uki;
mod verdict;
mod volume;

pub use error::{Error, Result};
pub use judge::{manifest, verify};
pub use passing::Passing;
pub use subject::{Form, Subject};
pub use verdict::{Bytes, Check, Fault, Finding, MOST_FINDINGS, Outcome, Verdict};
