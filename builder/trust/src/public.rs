//! Public halves of the owner's keys.

use crate::{Error, Result, Role};
use ed25519_dalek::VerifyingKey;
use rsa::RsaPublicKey;
use std::collections::BTreeMap;
use x509_cert::der::Decode;

/// An X.509 certificate, self-signed: it says whose a key is and nothing more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    parsed: x509_cert::Certificate,
}

impl Certificate {
    /// Reads a certificate.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        let parsed = x509_cert::Certificate::from_der(der)
            .map_err(|error| Error::Certificate(error.to_string()))?;
        Ok(Self {
            der: der.to_vec(),
            parsed,
        })
    }

    /// Its bytes (DER).
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// What it says.
    pub fn parsed(&self) -> &x509_cert::Certificate {
        &self.parsed
    }
}

/// The public half of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// For [`crate::Algorithm::Ed25519`].
    Ed25519(VerifyingKey),
    /// For [`crate::Algorithm::Rsa2048Sha256`].
    Rsa {
        /// The key.
        key: RsaPublicKey,
        /// Its certificate, for the roles that have one.
        certificate: Option<Box<Certificate>>,
    },
}

/// The public halves of an owner's key set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublicKeys {
    keys: BTreeMap<Role, PublicKey>,
}

impl PublicKeys {
    /// From single keys.
    pub fn new(keys: BTreeMap<Role, PublicKey>) -> Self {
        Self { keys }
    }

    /// The key of a role.
    ///
    /// # Errors
    /// When the set has none.
    pub fn key(&self, role: Role) -> Result<&PublicKey> {
        self.keys.get(&role).ok_or(Error::NoKey { role })
    }

    /// The RSA key of a role.
    ///
    /// # Errors
    /// When the set has none.
    pub fn rsa(&self, role: Role) -> Result<&RsaPublicKey> {
        match self.key(role)? {
            PublicKey::Rsa { key, .. } => Ok(key),
            PublicKey::Ed25519(_) => Err(Error::NoKey { role }),
        }
    }

    /// The certificate of a role.
    ///
    /// # Errors
    /// When the set has none.
    pub fn certificate(&self, role: Role) -> Result<&Certificate> {
        match self.key(role)? {
            PublicKey::Rsa {
                certificate: Some(certificate),
                ..
            } => Ok(certificate),
            _ => Err(Error::NoKey { role }),
        }
    }

    /// The Ed25519 key, which signs manifests.
    ///
    /// # Errors
    /// When the set has none.
    pub fn ed25519(&self) -> Result<&VerifyingKey> {
        match self.key(Role::Manifest)? {
            PublicKey::Ed25519(key) => Ok(key),
            PublicKey::Rsa { .. } => Err(Error::NoKey {
                role: Role::Manifest,
            }),
        }
    }
}
