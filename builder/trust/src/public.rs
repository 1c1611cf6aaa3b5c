//! Public halves of the owner's keys.

use crate::signatures::hexadecimal;
use crate::{Algorithm, Error, Request, Result, Role};
use ed25519_dalek::pkcs8::spki::{DecodePublicKey as _, EncodePublicKey as _};
use ed25519_dalek::{Signature, VerifyingKey};
use rsa::traits::PublicKeyParts as _;
use rsa::{Pkcs1v15Sign, RsaPublicKey};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use x509_cert::der::{Decode, DecodePem, Encode, EncodePem, pem::LineEnding};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

/// Length of RSA keys in bits, the only one that the formats here take.
const RSA_BITS: usize = 2048;

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

    /// Reads a certificate in PEM.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_pem(pem: &str) -> Result<Self> {
        let parsed = x509_cert::Certificate::from_pem(pem)
            .map_err(|error| Error::Certificate(error.to_string()))?;
        let der = parsed
            .to_der()
            .map_err(|error| Error::Certificate(error.to_string()))?;
        Ok(Self { der, parsed })
    }

    /// Its bytes (DER).
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its text (PEM).
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn pem(&self) -> Result<String> {
        self.parsed
            .to_pem(LineEnding::LF)
            .map_err(|error| Error::Certificate(error.to_string()))
    }

    /// What it says.
    pub fn parsed(&self) -> &x509_cert::Certificate {
        &self.parsed
    }

    /// SHA-256 of its bytes, in hexadecimal.
    pub fn fingerprint(&self) -> String {
        hexadecimal(&Sha256::digest(&self.der))
    }

    /// The key that it is for, and with it this certificate.
    ///
    /// # Errors
    /// When it is not an RSA key of 2048 bits.
    pub fn public_key(&self) -> Result<PublicKey, String> {
        let info = &self.parsed.tbs_certificate.subject_public_key_info;
        let der = info.to_der().map_err(|error| error.to_string())?;
        let key = PublicKey::from_der(&der, Algorithm::Rsa2048Sha256)?;
        Ok(key.with_certificate(Some(self.clone())))
    }

    /// The RSA key that it is for.
    ///
    /// # Errors
    /// When it is for a key of another kind.
    pub fn rsa(&self) -> Result<RsaPublicKey> {
        self.parsed
            .tbs_certificate
            .subject_public_key_info
            .to_der()
            .map_err(|error| Error::Certificate(error.to_string()))
            .and_then(|der| {
                RsaPublicKey::from_public_key_der(&der)
                    .map_err(|error| Error::Certificate(error.to_string()))
            })
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

impl PublicKey {
    /// Reads a public key (SubjectPublicKeyInfo, RFC 5280, section 4.1.2.7).
    ///
    /// # Errors
    /// When it is none, or not one of the algorithm: RSA keys of other lengths than 2048 bits are
    /// not.
    pub fn from_der(der: &[u8], algorithm: Algorithm) -> Result<Self, String> {
        match algorithm {
            Algorithm::Ed25519 => VerifyingKey::from_public_key_der(der)
                .map(Self::Ed25519)
                .map_err(|error| format!("not an Ed25519 public key: {error}")),
            Algorithm::Rsa2048Sha256 => {
                let key = RsaPublicKey::from_public_key_der(der)
                    .map_err(|error| format!("not an RSA public key: {error}"))?;
                let bits = key.n().bits();
                match bits {
                    RSA_BITS => Ok(Self::Rsa {
                        key,
                        certificate: None,
                    }),
                    _ => Err(format!(
                        "an RSA key of {bits} bits; it has to have {RSA_BITS}"
                    )),
                }
            }
        }
    }

    /// Reads a public key in PEM.
    ///
    /// # Errors
    /// As [`Self::from_der`].
    pub fn from_pem(pem: &str, algorithm: Algorithm) -> Result<Self, String> {
        let info = SubjectPublicKeyInfoOwned::from_pem(pem);
        let der = info.and_then(|info| info.to_der());
        Self::from_der(&der.map_err(|error| error.to_string())?, algorithm)
    }

    /// Its bytes (SubjectPublicKeyInfo, DER).
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn der(&self) -> Result<Vec<u8>> {
        let document = match self {
            Self::Ed25519(key) => key.to_public_key_der(),
            Self::Rsa { key, .. } => key.to_public_key_der(),
        };
        document
            .map(|document| document.into_vec())
            .map_err(|error| Error::Certificate(error.to_string()))
    }

    /// Its text (PEM).
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn pem(&self) -> Result<String> {
        let text = match self {
            Self::Ed25519(key) => key.to_public_key_pem(LineEnding::LF),
            Self::Rsa { key, .. } => key.to_public_key_pem(LineEnding::LF),
        };
        text.map_err(|error| Error::Certificate(error.to_string()))
    }

    /// SHA-256 of its bytes ([`Self::der`]), in hexadecimal.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn fingerprint(&self) -> Result<String> {
        Ok(hexadecimal(&Sha256::digest(self.der()?)))
    }

    /// Its certificate, if it has one.
    pub fn certificate(&self) -> Option<&Certificate> {
        match self {
            Self::Rsa { certificate, .. } => certificate.as_deref(),
            Self::Ed25519(_) => None,
        }
    }

    /// Whether a signature on a payload ([`Request::payload`]) is by this key.
    pub fn accepts(&self, payload: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Ed25519(key) => match Signature::from_slice(signature) {
                Ok(signature) => key.verify_strict(payload, &signature).is_ok(),
                Err(_) => false,
            },
            Self::Rsa { key, .. } => {
                payload.len() == 32
                    && key
                        .verify(Pkcs1v15Sign::new::<Sha256>(), payload, signature)
                        .is_ok()
            }
        }
    }

    pub(crate) fn with_certificate(self, certificate: Option<Certificate>) -> Self {
        match self {
            Self::Rsa { key, .. } => Self::Rsa {
                key,
                certificate: certificate.map(Box::new),
            },
            other => other,
        }
    }

    /// Whether it is the same key, whatever certificate it has.
    pub fn is_same_key(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ed25519(one), Self::Ed25519(other)) => one == other,
            (Self::Rsa { key: one, .. }, Self::Rsa { key: other, .. }) => one == other,
            _ => false,
        }
    }
}

/// A key that the owner used before: what it signed can still be told to be the owner's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetiredKey {
    /// What it was for.
    pub role: Role,
    /// When it was replaced, as `2026-11-22`.
    pub date: String,
    /// Its public half.
    pub key: PublicKey,
}

/// The public halves of an owner's key set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublicKeys {
    keys: BTreeMap<Role, PublicKey>,
    retired: Vec<RetiredKey>,
}

impl PublicKeys {
    /// From single keys.
    pub fn new(keys: BTreeMap<Role, PublicKey>) -> Self {
        Self {
            keys,
            retired: Vec::new(),
        }
    }

    /// With keys that were used before.
    pub fn with_retired(self, mut retired: Vec<RetiredKey>) -> Self {
        retired.sort_by(|one, other| (one.role, &one.date).cmp(&(other.role, &other.date)));
        Self { retired, ..self }
    }

    /// The key of a role.
    ///
    /// # Errors
    /// When the set has none.
    pub fn key(&self, role: Role) -> Result<&PublicKey> {
        self.keys.get(&role).ok_or(Error::NoKey { role })
    }

    /// The roles that have a key, in order.
    pub fn roles(&self) -> impl Iterator<Item = Role> {
        self.keys.keys().copied()
    }

    /// Keys that were used before, by role and date.
    pub fn retired(&self) -> &[RetiredKey] {
        &self.retired
    }

    /// Checks a signature by the role's key.
    ///
    /// # Errors
    /// When the set has no such key, or the key does not accept the signature.
    pub fn verify(&self, request: &Request<'_>, signature: &[u8]) -> Result<()> {
        match self.key(request.role)?.accepts(request.payload, signature) {
            true => Ok(()),
            false => Err(Error::WrongSignature {
                role: request.role,
                what: request.what.to_owned(),
            }),
        }
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
        self.key(role)?.certificate().ok_or(Error::NoKey { role })
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
