//! Signed messages: the SignedData of PKCS#7 ([RFC 2315](https://www.rfc-editor.org/rfc/rfc2315),
//! section 9) in the part that PKCS#7 and CMS ([RFC 5652](https://www.rfc-editor.org/rfc/rfc5652))
//! have in common, with one signer, SHA-256 and RSA PKCS#1 v1.5.
//!
//! There is never a signing time in it: same content and key, same bytes.

use crate::signatures::hexadecimal;
use crate::signer::is_placeholder;
use crate::{Certificate, Error, PublicKeys, Refusal, Request, Result, Role, Signer};
use ::cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use ::cms::content_info::{CmsVersion, ContentInfo};
use ::cms::signed_data::{
    CertificateSet, EncapsulatedContentInfo, SignedAttributes, SignedData, SignerIdentifier,
    SignerInfo, SignerInfos,
};
use rsa::{Pkcs1v15Sign, RsaPublicKey};
use sha2::{Digest, Sha256};
use x509_cert::attr::Attribute;
use x509_cert::der::asn1::{ObjectIdentifier, OctetString, SetOfVec};
use x509_cert::der::{Any, Decode, Encode};
use x509_cert::spki::AlgorithmIdentifierOwned;

/// Data of no particular kind (RFC 5652, section 4).
const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
/// SignedData (RFC 5652, section 5.1).
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
/// The attribute that names the kind of content (RFC 5652, section 11.1).
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
/// The attribute with the content's digest (RFC 5652, section 11.2).
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_WITH_SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
/// Most bytes of a message that are looked at; one of ours has 1500.
pub const LONGEST: usize = 64 * 1024;

/// What a detached signature is wrapped in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A ContentInfo, which says what it holds: what nearly everybody wants.
    ContentInfo,
    /// The bare SignedData: what UEFI wants of authenticated variables (UEFI 2.10, section 8.2.2).
    SignedData,
}

/// Signs data that stays elsewhere; `digest` is its SHA-256. The message (DER) holds the role's
/// certificate and no attributes, so `digest` itself is what the signer is asked to sign.
///
/// # Errors
/// When the role has no certificate, or the signer does not sign.
pub fn detached(
    public: &PublicKeys,
    signer: &dyn Signer,
    role: Role,
    what: &str,
    digest: &[u8; 32],
    form: Form,
) -> Result<Vec<u8>> {
    let message = Message {
        role,
        what,
        content_type: DATA,
        content: None,
        digest,
        attributes: false,
    };
    message.sign(public, signer, form)
}

/// Checks a detached signature of data whose SHA-256 is `digest`, in either [`Form`], and says
/// which of the accepted certificates' keys gave it. When a certificate was to expire is not
/// looked at: neither firmware nor the kernel does.
///
/// # Errors
/// When none of them did.
pub fn verify_detached<'a>(
    der: &[u8],
    digest: &[u8; 32],
    accepted: &[&'a Certificate],
) -> Result<&'a Certificate, Refusal> {
    let message = read(der)?;
    let content = &message.encap_content_info;
    if content.econtent_type != DATA || content.econtent.is_some() {
        return Err(Refusal::malformed(
            "it is not the signature of data that is elsewhere",
        ));
    }
    verify(&message, digest, accepted)
}

/// The certificates that a message carries, whoever put them there; none if it cannot be read.
pub fn certificates(der: &[u8]) -> Vec<Certificate> {
    let carried = read(der).ok().and_then(|message| message.certificates);
    let certificates = carried.iter().flat_map(|set| set.0.iter());
    certificates
        .filter_map(|certificate| match certificate {
            CertificateChoices::Certificate(one) => Certificate::from_der(&one.to_der().ok()?).ok(),
            CertificateChoices::Other(_) => None,
        })
        .collect()
}

/// What is to be signed, and how.
pub(crate) struct Message<'a> {
    pub(crate) role: Role,
    pub(crate) what: &'a str,
    pub(crate) content_type: ObjectIdentifier,
    /// The content, if the message holds it.
    pub(crate) content: Option<Any>,
    /// SHA-256 of the content.
    pub(crate) digest: &'a [u8; 32],
    /// Whether attributes that tell of the content are signed in its place.
    pub(crate) attributes: bool,
}

impl Message<'_> {
    /// Signs, and gives the message (DER).
    pub(crate) fn sign(
        &self,
        public: &PublicKeys,
        signer: &dyn Signer,
        form: Form,
    ) -> Result<Vec<u8>> {
        let certificate = public.certificate(self.role)?;
        let attributes = match self.attributes {
            true => Some(self.signed_attributes().map_err(failed)?),
            false => None,
        };
        let payload = match &attributes {
            Some(attributes) => Sha256::digest(attributes.to_der().map_err(failed)?).into(),
            None => *self.digest,
        };
        let signature = request(signer, self.role, self.what, &payload)?;
        let message = self
            .message(certificate, attributes, signature)
            .map_err(failed)?;
        match form {
            Form::SignedData => message.to_der(),
            Form::ContentInfo => Any::encode_from(&message).and_then(|content| {
                let info = ContentInfo {
                    content_type: SIGNED_DATA,
                    content,
                };
                info.to_der()
            }),
        }
        .map_err(failed)
    }

    fn signed_attributes(&self) -> x509_cert::der::Result<SignedAttributes> {
        let digest = OctetString::new(self.digest.as_slice())?;
        SetOfVec::try_from(vec![
            attribute(CONTENT_TYPE, &self.content_type)?,
            attribute(MESSAGE_DIGEST, &digest)?,
        ])
    }

    fn message(
        &self,
        certificate: &Certificate,
        signed_attrs: Option<SignedAttributes>,
        signature: Vec<u8>,
    ) -> x509_cert::der::Result<SignedData> {
        let owner = &certificate.parsed().tbs_certificate;
        let signer = SignerInfo {
            version: CmsVersion::V1,
            sid: SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
                issuer: owner.issuer.clone(),
                serial_number: owner.serial_number.clone(),
            }),
            digest_alg: algorithm(SHA_256),
            signed_attrs,
            signature_algorithm: algorithm(RSA),
            signature: OctetString::new(signature)?,
            unsigned_attrs: None,
        };
        let certificate = CertificateChoices::Certificate(certificate.parsed().clone());
        Ok(SignedData {
            version: CmsVersion::V1,
            digest_algorithms: SetOfVec::try_from(vec![algorithm(SHA_256)])?,
            encap_content_info: EncapsulatedContentInfo {
                econtent_type: self.content_type,
                econtent: self.content.clone(),
            },
            certificates: Some(CertificateSet(SetOfVec::try_from(vec![certificate])?)),
            crls: None,
            signer_infos: SignerInfos(SetOfVec::try_from(vec![signer])?),
        })
    }
}

/// Asks for an RSA signature.
pub(crate) fn request(
    signer: &dyn Signer,
    role: Role,
    what: &str,
    payload: &[u8; 32],
) -> Result<Vec<u8>> {
    let signature = signer.sign(&Request {
        role,
        what,
        payload,
    })?;
    if signature.len() != role.algorithm().signature_length() {
        return Err(Error::WrongSignature {
            role,
            what: what.into(),
        });
    }
    Ok(signature)
}

/// Reads a message in either form.
pub(crate) fn read(der: &[u8]) -> Result<SignedData, Refusal> {
    if der.len() > LONGEST {
        return Err(Refusal::malformed(format!(
            "it has {} bytes, and more than {LONGEST} are not believed",
            der.len()
        )));
    }
    match ContentInfo::from_der(der) {
        Ok(info) if info.content_type == SIGNED_DATA => {
            info.content.decode_as().map_err(Refusal::malformed)
        }
        Ok(info) => Err(Refusal::malformed(format!(
            "it is a message of another kind ({})",
            info.content_type
        ))),
        Err(_) => SignedData::from_der(der).map_err(Refusal::malformed),
    }
}

/// Checks a message's signature of content with that digest.
pub(crate) fn verify<'a>(
    message: &SignedData,
    digest: &[u8; 32],
    accepted: &[&'a Certificate],
) -> Result<&'a Certificate, Refusal> {
    let mut refusal = Refusal::malformed("nobody has signed it");
    for signer in message.signer_infos.0.iter() {
        let SignerIdentifier::IssuerAndSerialNumber(name) = &signer.sid else {
            refusal = Refusal::malformed("it names its signer by a key identifier");
            continue;
        };
        let found = accepted.iter().find(|certificate| {
            let owner = &certificate.parsed().tbs_certificate;
            owner.issuer == name.issuer && owner.serial_number == name.serial_number
        });
        refusal = match found {
            Some(certificate) => {
                let content_type = message.encap_content_info.econtent_type;
                match verify_signer(signer, content_type, digest, certificate) {
                    Ok(()) => return Ok(certificate),
                    Err(refusal) => refusal,
                }
            }
            None => Refusal::stranger(format!(
                "{} (serial number {})",
                name.issuer, name.serial_number
            )),
        };
    }
    Err(refusal)
}

fn verify_signer(
    signer: &SignerInfo,
    content_type: ObjectIdentifier,
    digest: &[u8; 32],
    certificate: &Certificate,
) -> Result<(), Refusal> {
    let rsa = [RSA, RSA_WITH_SHA_256].contains(&signer.signature_algorithm.oid);
    if signer.digest_alg.oid != SHA_256 || !rsa {
        return Err(Refusal::malformed("it is not made with SHA-256 and RSA"));
    }
    let key = certificate.rsa().map_err(Refusal::malformed)?;
    let signature = signer.signature.as_bytes();
    let Some(attributes) = &signer.signed_attrs else {
        return verify_digest(&key, digest, signature);
    };
    // Whether the signature holds comes first: only then do the attributes mean anything.
    let signed = attributes.to_der().map_err(Refusal::malformed)?;
    verify_digest(&key, &Sha256::digest(signed).into(), signature)?;
    if single::<ObjectIdentifier>(attributes, CONTENT_TYPE)? != content_type {
        return Err(Refusal::malformed("it is for another kind of content"));
    }
    let signed = single::<OctetString>(attributes, MESSAGE_DIGEST)?;
    match signed.as_bytes() == digest {
        true => Ok(()),
        false => Err(Refusal::OtherContent {
            signed: hexadecimal(signed.as_bytes()),
            found: hexadecimal(digest),
        }),
    }
}

/// Checks an RSA signature over a SHA-256 digest.
pub(crate) fn verify_digest(
    key: &RsaPublicKey,
    digest: &[u8; 32],
    signature: &[u8],
) -> Result<(), Refusal> {
    if is_placeholder(signature) {
        return Err(Refusal::Unsigned);
    }
    key.verify(Pkcs1v15Sign::new::<Sha256>(), digest, signature)
        .map_err(|_| Refusal::Wrong)
}

pub(crate) fn failed(error: x509_cert::der::Error) -> Error {
    Error::Document {
        kind: "PKCS#7 message",
        reason: error.to_string(),
    }
}

fn algorithm(oid: ObjectIdentifier) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned {
        oid,
        parameters: Some(Any::null()),
    }
}

fn attribute<T>(oid: ObjectIdentifier, value: &T) -> x509_cert::der::Result<Attribute>
where
    T: x509_cert::der::EncodeValue + x509_cert::der::Tagged,
{
    Ok(Attribute {
        oid,
        values: SetOfVec::try_from(vec![Any::encode_from(value)?])?,
    })
}

/// The one value of an attribute that is there once.
fn single<T>(attributes: &SignedAttributes, oid: ObjectIdentifier) -> Result<T, Refusal>
where
    T: for<'a> x509_cert::der::Choice<'a> + for<'a> x509_cert::der::DecodeValue<'a>,
{
    let mut found = attributes.iter().filter(|attribute| attribute.oid == oid);
    let (Some(attribute), None) = (found.next(), found.next()) else {
        return Err(Refusal::malformed(format!(
            "attribute {oid} is not there exactly once"
        )));
    };
    match attribute.values.as_slice() {
        [value] => value.decode_as().map_err(Refusal::malformed),
        _ => Err(Refusal::malformed(format!(
            "attribute {oid} has not exactly one value"
        ))),
    }
}
