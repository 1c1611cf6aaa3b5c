//! Remembers signatures.

use super::{Request, Signer, is_placeholder};
use crate::{Result, Signatures};
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Passes requests on to another signer, and remembers its signatures, so that they can be
/// published.
pub struct Recording<'a> {
    signer: &'a dyn Signer,
    signatures: Mutex<Signatures>,
}

impl<'a> Recording<'a> {
    /// Remembers what this signer signs.
    pub fn new(signer: &'a dyn Signer) -> Self {
        Self {
            signer,
            signatures: Mutex::default(),
        }
    }

    /// What was signed up to now.
    pub fn signatures(&self) -> Signatures {
        let signatures = self.signatures.lock();
        signatures.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Signer for Recording<'_> {
    fn sign(&self, request: &Request<'_>) -> Result<Vec<u8>> {
        let signature = self.signer.sign(request)?;
        if !is_placeholder(&signature) {
            let signatures = self.signatures.lock();
            let mut signatures = signatures.unwrap_or_else(PoisonError::into_inner);
            signatures.insert(request, &signature);
        }
        Ok(signature)
    }

    fn missing(&self) -> usize {
        self.signer.missing()
    }
}

impl fmt::Debug for Recording<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Recording")
    }
}
