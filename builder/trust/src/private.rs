//! Private halves of keys.

use crate::{Algorithm, Error, Passphrase, PublicKey, Request, Result};
use ed25519_dalek::pkcs8::{self as ed25519, EncodePrivateKey as _};
use ed25519_dalek::{SECRET_KEY_LENGTH, Signer as _, SigningKey};
use pkcs8::der::Decode as _;
use pkcs8::der::pem::PemLabel as _;
use pkcs8::pkcs5::pbes2;
use pkcs8::{EncryptedPrivateKeyInfo, LineEnding, PrivateKeyInfo, SecretDocument};
use rsa::rand_core::{OsRng, RngCore as _};
use rsa::{Pkcs1v15Sign, RsaPrivateKey};
use sha2::Sha256;
use std::path::Path;
use zeroize::Zeroizing;

/// Length of RSA keys in bits: what UEFI firmware, Raspberry Pis and TPMs all take.
const RSA_BITS: usize = 2048;
/// scrypt's cost (RFC 7914): 2^14 rounds of 8 blocks, five times. OpenSSL's default limit of memory,
/// 32 MiB, admits no more rounds.
const SCRYPT: (u8, u32, u32) = (14, 8, 5);

/// The private half of a key, in memory, which is wiped when it is dropped.
pub(crate) enum PrivateKey {
    /// For [`Algorithm::Ed25519`].
    Ed25519(SigningKey),
    /// For [`Algorithm::Rsa2048Sha256`].
    Rsa(RsaPrivateKey),
}

impl PrivateKey {
    /// A new one, from the system's random numbers.
    pub(crate) fn generate(algorithm: Algorithm) -> Result<Self, String> {
        match algorithm {
            Algorithm::Ed25519 => {
                let mut seed = Zeroizing::new([0; SECRET_KEY_LENGTH]);
                OsRng.fill_bytes(seed.as_mut());
                Ok(Self::Ed25519(SigningKey::from_bytes(&seed)))
            }
            Algorithm::Rsa2048Sha256 => match RsaPrivateKey::new(&mut OsRng, RSA_BITS) {
                Ok(key) => Ok(Self::Rsa(key)),
                Err(error) => Err(format!("cannot make a key: {error}")),
            },
        }
    }

    /// The public half, without a certificate.
    pub(crate) fn public(&self) -> PublicKey {
        match self {
            Self::Ed25519(key) => PublicKey::Ed25519(key.verifying_key()),
            Self::Rsa(key) => PublicKey::Rsa {
                key: key.to_public_key(),
                certificate: None,
            },
        }
    }

    /// Signs.
    pub(crate) fn sign(&self, request: &Request<'_>, path: &Path) -> Result<Vec<u8>> {
        match self {
            Self::Ed25519(key) => Ok(key.sign(request.payload).to_bytes().to_vec()),
            // Blinded: how long it takes tells nothing of the key. The signature is the same.
            Self::Rsa(key) => key
                .sign_with_rng(&mut OsRng, Pkcs1v15Sign::new::<Sha256>(), request.payload)
                .map_err(|error| Error::key(path, format!("cannot sign: {error}"))),
        }
    }

    /// As PEM: PKCS#8 (RFC 5208), or with a passphrase its encrypted form by PBES2 (RFC 8018) with
    /// scrypt and AES-256-CBC, both of which openssl reads.
    pub(crate) fn to_pem(
        &self,
        passphrase: Option<&Passphrase>,
    ) -> Result<Zeroizing<String>, String> {
        let document = match self {
            // Version 1, without the public half: openssl reads no other.
            Self::Ed25519(key) => ed25519::KeypairBytes {
                secret_key: key.to_bytes(),
                public_key: None,
            }
            .to_pkcs8_der(),
            Self::Rsa(key) => key.to_pkcs8_der(),
        }
        .map_err(|error| error.to_string())?;
        let (document, label) = match passphrase {
            None => (document, PrivateKeyInfo::PEM_LABEL),
            Some(passphrase) => (
                encrypt(&document, passphrase)?,
                EncryptedPrivateKeyInfo::PEM_LABEL,
            ),
        };
        document
            .to_pem(label, LineEnding::LF)
            .map_err(|error| error.to_string())
    }

    /// Reads PEM. `passphrase` is for the encrypted form alone.
    pub(crate) fn from_pem(
        path: &Path,
        pem: &str,
        algorithm: Algorithm,
        passphrase: Option<&Passphrase>,
    ) -> Result<Self> {
        let unreadable = |error: &dyn std::fmt::Display| {
            Error::key(path, format!("cannot read the private key: {error}"))
        };
        let (label, document) =
            SecretDocument::from_pem(pem).map_err(|error| unreadable(&error))?;
        let document = match (label, passphrase) {
            (PrivateKeyInfo::PEM_LABEL, _) => document,
            (EncryptedPrivateKeyInfo::PEM_LABEL, None) => {
                return Err(Error::key(path, "encrypted, and there is no passphrase"));
            }
            (EncryptedPrivateKeyInfo::PEM_LABEL, Some(passphrase)) => {
                let encrypted = EncryptedPrivateKeyInfo::from_der(document.as_bytes())
                    .map_err(|error| unreadable(&error))?;
                check_cost(&encrypted).map_err(|reason| Error::key(path, reason))?;
                encrypted
                    .decrypt(passphrase.bytes())
                    .map_err(|_| Error::WrongPassphrase { path: path.into() })?
            }
            (label, _) => {
                let reason = format!("holds a {label}, not a private key (PKCS#8)");
                return Err(Error::key(path, reason));
            }
        };
        let info =
            PrivateKeyInfo::from_der(document.as_bytes()).map_err(|error| unreadable(&error))?;
        match algorithm {
            Algorithm::Ed25519 => match SigningKey::try_from(info) {
                Ok(key) => Ok(Self::Ed25519(key)),
                Err(error) => Err(unreadable(&error)),
            },
            Algorithm::Rsa2048Sha256 => match RsaPrivateKey::try_from(info) {
                Ok(key) => Ok(Self::Rsa(key)),
                Err(error) => Err(unreadable(&error)),
            },
        }
    }
}

/// Whether PEM is that of an encrypted private key.
pub(crate) fn is_encrypted(pem: &str) -> bool {
    pem.contains("ENCRYPTED PRIVATE KEY")
}

fn encrypt(document: &SecretDocument, passphrase: &Passphrase) -> Result<SecretDocument, String> {
    let (mut salt, mut vector) = ([0; 16], [0; 16]);
    OsRng.fill_bytes(&mut salt);
    OsRng.fill_bytes(&mut vector);
    let (log, block, parallel) = SCRYPT;
    let cost = pkcs8::pkcs5::scrypt::Params::new(log, block, parallel, 32)
        .map_err(|error| error.to_string())?;
    let parameters = pbes2::Parameters::scrypt_aes256cbc(cost, &salt, &vector)
        .map_err(|error| error.to_string())?;
    PrivateKeyInfo::from_der(document.as_bytes())
        .map_err(|error| error.to_string())?
        .encrypt_with_params(parameters, passphrase.bytes())
        .map_err(|error| error.to_string())
}

/// Refuses costs that would take all memory, or days.
fn check_cost(encrypted: &EncryptedPrivateKeyInfo<'_>) -> Result<(), &'static str> {
    let parameters = encrypted
        .encryption_algorithm
        .pbes2()
        .ok_or("encrypted in another way than by PBES2")?;
    let bearable = match &parameters.kdf {
        pbes2::Kdf::Scrypt(scrypt) => {
            let memory = scrypt
                .cost_parameter
                .saturating_mul(u64::from(scrypt.block_size) * 128);
            memory <= 128 << 20 && scrypt.parallelization <= 64
        }
        pbes2::Kdf::Pbkdf2(pbkdf2) => pbkdf2.iteration_count <= 10_000_000,
        _ => false,
    };
    match bearable {
        true => Ok(()),
        false => Err("the work or memory that its encryption asks for is beyond what is sensible"),
    }
}
