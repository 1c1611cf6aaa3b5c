//! What keys are for.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a key of the owner's is for. Each has one key, and no key has two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Signs manifests, SBOMs and checksums.
    Manifest,
    /// Secure Boot's platform key (PK): who may change the KEK.
    Pk,
    /// Secure Boot's key exchange key (KEK): who may change db and dbx.
    Kek,
    /// Secure Boot's signature database (db): signs boot loaders and unified kernel images.
    Db,
    /// Signs root hashes of dm-verity.
    Verity,
    /// Signs the PCR values at which a TPM releases the key of the state.
    Pcr,
    /// Signs boot images of Raspberry Pis.
    RaspberryPi,
}

/// How a key signs. Both give the same bytes each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// Ed25519 (RFC 8032) over the message itself: 64 bytes.
    Ed25519,
    /// RSA of 2048 bits, PKCS#1 v1.5 (RFC 8017, section 8.2), over a SHA-256 digest: 256 bytes.
    Rsa2048Sha256,
}

impl Role {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 7] = [
        Self::Manifest,
        Self::Pk,
        Self::Kek,
        Self::Db,
        Self::Verity,
        Self::Pcr,
        Self::RaspberryPi,
    ];

    /// Its name in file names and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Pk => "pk",
            Self::Kek => "kek",
            Self::Db => "db",
            Self::Verity => "verity",
            Self::Pcr => "pcr",
            Self::RaspberryPi => "raspberry-pi",
        }
    }

    /// How its key signs.
    pub fn algorithm(self) -> Algorithm {
        match self {
            Self::Manifest => Algorithm::Ed25519,
            _ => Algorithm::Rsa2048Sha256,
        }
    }

    /// Whether its key has an X.509 certificate.
    pub fn has_certificate(self) -> bool {
        matches!(self, Self::Pk | Self::Kek | Self::Db | Self::Verity)
    }
}

impl Algorithm {
    /// Its name, as documents and the environment of commands have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::Rsa2048Sha256 => "rsa2048-sha256",
        }
    }

    /// Length of a signature in bytes.
    pub fn signature_length(self) -> usize {
        match self {
            Self::Ed25519 => 64,
            Self::Rsa2048Sha256 => 256,
        }
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(name: &str) -> Result<Self, UnknownRole> {
        let mut roles = Self::ALL.into_iter();
        roles.find(|role| role.name() == name).ok_or(UnknownRole)
    }
}

/// There is no role of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the keys are manifest, pk, kek, db, verity, pcr and raspberry-pi")]
pub struct UnknownRole;

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
