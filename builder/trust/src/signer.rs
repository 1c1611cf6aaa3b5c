//! Who signs.

use crate::{Result, Role};

/// What is asked of a signer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// Whose signature it is to be.
    pub role: Role,
    /// What is signed, for people: `EFI/Linux/host_1.0+3.efi`.
    pub what: &'a str,
    /// What goes into the algorithm: for RSA the 32 bytes of a SHA-256 digest, for Ed25519 the
    /// message.
    pub payload: &'a [u8],
}

/// Gives signatures. The same request gets the same bytes each time.
pub trait Signer: Sync {
    /// Signs.
    ///
    /// # Errors
    /// When there is no such key, or whoever holds it does not sign.
    fn sign(&self, request: &Request<'_>) -> Result<Vec<u8>>;
}
