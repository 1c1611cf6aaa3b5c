//! Signatures and requests for signatures, as documents that travel between machines.

use crate::{Algorithm, Error, PublicKeys, Request, Result, Role};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The format that is written, and the only one that is read.
const FORMAT: u32 = 1;
/// No document is longer than this, in bytes.
const MOST: usize = 16 << 20;
/// DER of `DigestInfo` for SHA-256 up to the digest (RFC 8017, section 9.2, note 1).
const DIGEST_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];

/// Signatures by role and payload. As a document: `NAME.signatures.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signatures {
    signatures: BTreeMap<(Role, Vec<u8>), Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Signature {
    what: String,
    signature: Vec<u8>,
}

/// A [`Request`] that is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnedRequest {
    /// Whose signature it is to be.
    pub role: Role,
    /// What goes into the algorithm: for RSA the 32 bytes of a SHA-256 digest, for Ed25519 the
    /// message.
    pub payload: Vec<u8>,
    /// What is signed, for people.
    pub what: String,
}

/// What is to be signed elsewhere. As a document: `NAME.requests.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requests {
    requests: Vec<(OwnedRequest, String)>,
}

/// Documents on disk.
mod document {
    use super::{Algorithm, Deserialize, Role, Serialize};

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Signatures {
        pub(super) format: u32,
        pub(super) signatures: Vec<Signature>,
    }

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    pub(super) struct Signature {
        pub(super) role: Role,
        pub(super) what: String,
        pub(super) algorithm: Algorithm,
        pub(super) payload: String,
        pub(super) signature: String,
    }

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Requests {
        pub(super) format: u32,
        pub(super) requests: Vec<Request>,
    }

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    pub(super) struct Request {
        pub(super) role: Role,
        pub(super) what: String,
        pub(super) algorithm: Algorithm,
        pub(super) key: String,
        pub(super) payload: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub(super) digest_info: Option<String>,
    }
}

impl OwnedRequest {
    /// The same, borrowed.
    pub fn borrow(&self) -> Request<'_> {
        Request {
            role: self.role,
            what: &self.what,
            payload: &self.payload,
        }
    }
}

impl Signatures {
    const KIND: &str = "signatures";

    /// The signature of a role on a payload.
    pub fn get(&self, role: Role, payload: &[u8]) -> Option<&[u8]> {
        let signature = self.signatures.get(&(role, payload.to_vec()))?;
        Some(&signature.signature)
    }

    /// Adds a signature. Of several names for the same payload the first in order is kept.
    pub fn insert(&mut self, request: &Request<'_>, signature: &[u8]) {
        let key = (request.role, request.payload.to_vec());
        let mut what = request.what.to_owned();
        if let Some(before) = self.signatures.remove(&key) {
            what = what.min(before.what);
        }
        let signature = signature.to_vec();
        self.signatures.insert(key, Signature { what, signature });
    }

    /// Adds those of another document; where both have one, the other's counts.
    pub fn extend(&mut self, other: Self) {
        self.signatures.extend(other.signatures);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.signatures.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.signatures.is_empty()
    }

    /// Each with what it signs, sorted by role and payload.
    pub fn iter(&self) -> impl Iterator<Item = (Request<'_>, &[u8])> {
        self.signatures.iter().map(|((role, payload), signature)| {
            let request = Request {
                role: *role,
                what: &signature.what,
                payload,
            };
            (request, signature.signature.as_slice())
        })
    }

    /// The document, always the same bytes for the same signatures.
    pub fn to_json(&self) -> String {
        let signatures = self.iter().map(|(request, signature)| document::Signature {
            role: request.role,
            what: request.what.to_owned(),
            algorithm: request.role.algorithm(),
            payload: hexadecimal(request.payload),
            signature: STANDARD.encode(signature),
        });
        json(&document::Signatures {
            format: FORMAT,
            signatures: signatures.collect(),
        })
    }

    /// Reads a document. Whether the signatures are right is not looked at here.
    ///
    /// # Errors
    /// When it is none, of another format, or a signature has another length than its algorithm
    /// gives.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let document: document::Signatures = parse(Self::KIND, json)?;
        check_format(Self::KIND, document.format)?;
        let mut signatures = Self::default();
        for entry in document.signatures {
            let payload = bytes(Self::KIND, &entry.what, &entry.payload)?;
            let request = Request {
                role: entry.role,
                what: &entry.what,
                payload: &payload,
            };
            check_algorithm(Self::KIND, &request, entry.algorithm)?;
            let signature = STANDARD.decode(&entry.signature).map_err(|error| {
                wrong(
                    Self::KIND,
                    format!("the signature on {} is not base64: {error}", entry.what),
                )
            })?;
            let wanted = entry.role.algorithm().signature_length();
            if signature.len() != wanted {
                let reason = format!(
                    "the signature on {} has {} bytes, and one by {} has {wanted}",
                    entry.what,
                    signature.len(),
                    entry.role
                );
                return Err(wrong(Self::KIND, reason));
            }
            if signatures.get(entry.role, &payload).is_some() {
                let reason = format!(
                    "there are two signatures by {} on {}",
                    entry.role, entry.what
                );
                return Err(wrong(Self::KIND, reason));
            }
            signatures.insert(&request, &signature);
        }
        Ok(signatures)
    }
}

impl Requests {
    const KIND: &str = "requests";

    /// These requests, each for the key that the owner's set has for its role.
    ///
    /// # Errors
    /// When the set lacks a key, or a payload does not have the form that its algorithm takes.
    pub fn new(
        requests: impl IntoIterator<Item = OwnedRequest>,
        public: &PublicKeys,
    ) -> Result<Self> {
        let mut list = Vec::new();
        for request in requests {
            request.borrow().check()?;
            let key = public.key(request.role)?.fingerprint()?;
            list.push((request, key));
        }
        list.sort();
        Ok(Self { requests: list })
    }

    /// Each request, and the SHA-256 (hex) of the public key (SPKI, DER) that is to accept the
    /// signature; sorted by role and payload.
    pub fn iter(&self) -> impl Iterator<Item = (&OwnedRequest, &str)> {
        let requests = self.requests.iter();
        requests.map(|(request, key)| (request, key.as_str()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// The document, always the same bytes for the same requests.
    pub fn to_json(&self) -> String {
        let requests = self.iter().map(|(request, key)| document::Request {
            role: request.role,
            what: request.what.clone(),
            algorithm: request.role.algorithm(),
            key: key.to_owned(),
            payload: hexadecimal(&request.payload),
            digest_info: match request.role.algorithm() {
                Algorithm::Rsa2048Sha256 => Some(hexadecimal(&digest_info(&request.payload))),
                Algorithm::Ed25519 => None,
            },
        });
        json(&document::Requests {
            format: FORMAT,
            requests: requests.collect(),
        })
    }

    /// Reads a document.
    ///
    /// # Errors
    /// When it is none, of another format, or contradicts itself.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let document: document::Requests = parse(Self::KIND, json)?;
        check_format(Self::KIND, document.format)?;
        let mut requests = Vec::new();
        for entry in document.requests {
            let payload = bytes(Self::KIND, &entry.what, &entry.payload)?;
            let request = OwnedRequest {
                role: entry.role,
                payload,
                what: entry.what,
            };
            check_algorithm(Self::KIND, &request.borrow(), entry.algorithm)?;
            if let Some(info) = &entry.digest_info
                && *info != hexadecimal(&digest_info(&request.payload))
            {
                let reason = format!(
                    "{}: digest-info and payload do not belong together",
                    request.what
                );
                return Err(wrong(Self::KIND, reason));
            }
            requests.push((request, entry.key));
        }
        requests.sort();
        Ok(Self { requests })
    }
}

/// What RSA pads and signs (`DigestInfo`, RFC 8017, section 9.2): the form in which the mechanism
/// RSA-PKCS of PKCS#11 wants a SHA-256 digest.
pub fn digest_info(digest: &[u8]) -> Vec<u8> {
    [&DIGEST_INFO, digest].concat()
}

/// Bytes as hexadecimal digits, in lower case.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes that hexadecimal digits stand for.
pub(crate) fn from_hexadecimal(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    text.chunks_exact(2)
        .map(|pair| Some((digit(pair[0])? * 16 + digit(pair[1])?) as u8))
        .collect()
}

fn json(document: &impl Serialize) -> String {
    // Structs of texts and numbers can always be written.
    let mut text = serde_json::to_string_pretty(document).unwrap_or_default();
    text.push('\n');
    text
}

fn parse<'a, T: Deserialize<'a>>(kind: &'static str, json: &'a [u8]) -> Result<T> {
    if json.len() > MOST {
        return Err(wrong(kind, format!("longer than {MOST} bytes")));
    }
    serde_json::from_slice(json).map_err(|error| wrong(kind, error.to_string()))
}

fn check_format(kind: &'static str, format: u32) -> Result<()> {
    match format {
        FORMAT => Ok(()),
        other => Err(wrong(
            kind,
            format!("format {other} is not known here, {FORMAT} is"),
        )),
    }
}

fn check_algorithm(kind: &'static str, request: &Request<'_>, algorithm: Algorithm) -> Result<()> {
    request.check()?;
    let wanted = request.role.algorithm();
    if algorithm != wanted {
        let reason = format!(
            "{}: {} signs by {}, not by {}",
            request.what,
            request.role,
            wanted.name(),
            algorithm.name()
        );
        return Err(wrong(kind, reason));
    }
    Ok(())
}

fn bytes(kind: &'static str, what: &str, text: &str) -> Result<Vec<u8>> {
    from_hexadecimal(text)
        .ok_or_else(|| wrong(kind, format!("the payload of {what} is not hexadecimal")))
}

fn wrong(kind: &'static str, reason: String) -> Error {
    Error::Document { kind, reason }
}
