//! What can go wrong with keys and signatures.

use crate::Role;

/// What can go wrong with keys and signatures.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The key set lacks a key.
    #[error("there is no key for {role}")]
    NoKey {
        /// What it would be for.
        role: Role,
    },
    /// A certificate cannot be read.
    #[error("cannot read a certificate: {0}")]
    Certificate(String),
}

/// This crate's result.
pub type Result<T> = std::result::Result<T, Error>;
