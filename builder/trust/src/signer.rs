//! Who signs.

mod collected;
mod command;
mod recording;

pub use collected::Collected;
pub use command::CommandSigner;
pub use recording::Recording;

use crate::{Algorithm, Error, Result, Role};

/// What is asked of a signer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// Whose signature it is to be.
    pub role: Role,
    /// What is signed, for people: `EFI/Linux/host_1.0+3.efi`.
    pub what: &'a str,
    /// What goes into the algorithm: for RSA the 32 bytes of a SHA-256 digest, for Ed25519 the
    /// message.
    pub payload: &'a [u8],
}

impl Request<'_> {
    /// Whether the payload is what the role's algorithm takes.
    ///
    /// # Errors
    /// When it is to be a SHA-256 digest and has another length.
    pub fn check(&self) -> Result<()> {
        match self.role.algorithm() {
            Algorithm::Rsa2048Sha256 if self.payload.len() != 32 => Err(Error::Payload {
                role: self.role,
                what: self.what.to_owned(),
                length: self.payload.len(),
            }),
            _ => Ok(()),
        }
    }
}

/// Gives signatures. The same request gets the same bytes each time.
pub trait Signer: Sync {
    /// Signs.
    ///
    /// A signer whose signatures are made elsewhere answers zeros, in the signature's length, as
    /// long as one is not there ([`is_placeholder`]).
    ///
    /// # Errors
    /// When there is no such key, or whoever holds it does not sign.
    fn sign(&self, request: &Request<'_>) -> Result<Vec<u8>>;

    /// How many signatures were asked for that are not there yet. What contains such a placeholder
    /// will change once it is there, so there is no sense in asking for a signature on it before:
    /// take [`Blank`] for those.
    fn missing(&self) -> usize {
        0
    }
}

/// Whether a signature is zeros that keep the place of one that is not there yet.
pub fn is_placeholder(signature: &[u8]) -> bool {
    signature.iter().all(|byte| *byte == 0)
}

/// Signs nothing: zeros in the place of each signature.
#[derive(Debug, Clone, Copy, Default)]
pub struct Blank;

impl Signer for Blank {
    fn sign(&self, request: &Request<'_>) -> Result<Vec<u8>> {
        Ok(vec![0; request.role.algorithm().signature_length()])
    }
}
