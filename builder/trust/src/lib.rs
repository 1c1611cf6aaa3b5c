//! The owner's keys, and every signature that an image carries.
//!
//! What is signed is decided elsewhere; here is how. A format (Authenticode, a PCR policy, …) asks a
//! [`Signer`] for each signature, with the [`Role`] of the key that is to give it. Where that key is,
//! in a file, in a token, or with somebody who signs tomorrow, only the signer knows.

mod error;
mod public;
mod role;
mod signer;

pub use error::{Error, Result};
pub use public::{Certificate, PublicKey, PublicKeys};
pub use role::{Algorithm, Role};
pub use signer::{Request, Signer};
