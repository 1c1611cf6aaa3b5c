//! The owner's keys, and every signature that an image carries.
//!
//! What is signed is decided elsewhere; here is how. A format (Authenticode, a PCR policy, …) asks a
//! [`Signer`] for each signature, with the [`Role`] of the key that is to give it. Where that key is,
//! in a file, in a token, or with somebody who signs tomorrow, only the signer knows.

pub mod authenticode;
pub mod cms;
mod date;
mod error;
mod keys;
pub mod minisign;
mod passphrase;
pub mod pcr;
mod private;
mod public;
pub mod raspberry_pi;
mod refusal;
mod role;
pub mod secure_boot;
mod signatures;
mod signer;
pub mod verity;

pub use date::day;
pub use error::{Error, Result};
pub use keys::{Export, Holder, KeySet, Made, NewKeys, OwnerSigner};
pub use passphrase::Passphrase;
pub use public::{Certificate, PublicKey, PublicKeys, RetiredKey};
pub use refusal::Refusal;
pub use role::{Algorithm, Role, UnknownRole};
pub use signatures::{OwnedRequest, Requests, Signatures, digest_info};
pub use signer::{Blank, Collected, CommandSigner, Recording, Request, Signer, is_placeholder};
