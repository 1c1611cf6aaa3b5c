//! Signatures of EFI programs: Authenticode
//! ([Windows Authenticode Portable Executable Signature Format](https://download.microsoft.com/download/9/c/5/9c5b2167-8017-4bae-9fde-d599bac8184a/authenticode_pe.docx)),
//! as UEFI wants it (UEFI 2.10, section 32.2.4): a PKCS#7 message that holds the program's digest.
//!
//! What of a program goes into its digest, and where the message goes, is the business of whoever
//! reads programs.

use crate::cms::{self, Form, Message};
use crate::signatures::hexadecimal;
use crate::{Certificate, PublicKeys, Refusal, Result, Role, Signer};
use sha2::{Digest, Sha256};
use x509_cert::der::asn1::{Any, AnyRef, ObjectIdentifier, OctetStringRef};
use x509_cert::der::{Decode, Encode, Reader, SliceReader};
use x509_cert::spki::AlgorithmIdentifierRef;

/// SPC_INDIRECT_DATA: content that is the digest of something else.
const INDIRECT_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.4");
/// SPC_PE_IMAGE_DATA: that something is a program.
const PE_IMAGE_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.15");
const SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
/// SpcIndirectDataContent up to the digest. Nothing in it depends on the program: SpcPeImageData has
/// no flags, and in place of a file name the words that the specification asks for.
const BEFORE_DIGEST: [u8; 70] = [
    0x30, 0x68, // SpcIndirectDataContent
    0x30, 0x33, // SpcAttributeTypeAndOptionalValue
    0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x01, 0x0f, // PE_IMAGE_DATA
    0x30, 0x25, // SpcPeImageData
    0x03, 0x01, 0x00, // no flags
    0xa0, 0x20, 0xa2, 0x1e, 0x80, 0x1c, // a file, named by a text in UTF-16:
    0, b'<', 0, b'<', 0, b'<', 0, b'O', 0, b'b', 0, b's', 0, b'o', 0, b'l', 0, b'e', 0, b't', 0,
    b'e', 0, b'>', 0, b'>', 0, b'>', //
    0x30, 0x31, // DigestInfo
    0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, // SHA-256
];
/// The parameters of SHA-256 (none), and how a digest of 32 bytes begins.
const DIGEST: [u8; 4] = [0x05, 0x00, 0x04, 0x20];

/// Signs a program with the key for [`Role::Db`]; `digest` is its Authenticode digest, SHA-256.
/// Gives the PKCS#7 message (DER).
///
/// # Errors
/// When there is no certificate, or the signer does not sign.
pub fn sign(
    public: &PublicKeys,
    signer: &dyn Signer,
    what: &str,
    digest: &[u8; 32],
) -> Result<Vec<u8>> {
    let content = [&BEFORE_DIGEST[..], &DIGEST, digest].concat();
    let content = Any::from_der(&content).map_err(cms::failed)?;
    // The content's tag and length are no part of what is signed (RFC 2315, section 9.3).
    let content_digest = Sha256::digest(content.value()).into();
    let message = Message {
        role: Role::Db,
        what,
        content_type: INDIRECT_DATA,
        content: Some(content),
        digest: &content_digest,
        attributes: true,
    };
    message.sign(public, signer, Form::ContentInfo)
}

/// Checks the signature of a program with that Authenticode digest, and says which of the accepted
/// certificates' keys gave it.
///
/// # Errors
/// When none of them did.
pub fn verify<'a>(
    der: &[u8],
    digest: &[u8; 32],
    accepted: &[&'a Certificate],
) -> Result<&'a Certificate, Refusal> {
    let message = cms::read(der)?;
    let content = &message.encap_content_info;
    let value = match &content.econtent {
        Some(value) if content.econtent_type == INDIRECT_DATA => value,
        _ => return Err(Refusal::malformed("it is not the signature of a program")),
    };
    let signed = signed_digest(value)?;
    let content_digest = Sha256::digest(value.value()).into();
    let certificate = cms::verify(&message, &content_digest, accepted)?;
    match signed == *digest {
        true => Ok(certificate),
        false => Err(Refusal::OtherContent {
            signed: format!(
                "a program with Authenticode digest {}",
                hexadecimal(&signed)
            ),
            found: hexadecimal(digest),
        }),
    }
}

/// The program's digest in an SpcIndirectDataContent.
fn signed_digest(content: &Any) -> Result<[u8; 32], Refusal> {
    let der = content.to_der().map_err(Refusal::malformed)?;
    let read = |reader: &mut SliceReader<'_>| {
        reader.sequence(|content| {
            let kind = content.sequence(|data| {
                let kind = ObjectIdentifier::decode(data)?;
                AnyRef::decode(data)?;
                Ok(kind)
            })?;
            let (algorithm, digest) = content.sequence(|info| {
                let algorithm = AlgorithmIdentifierRef::decode(info)?;
                Ok((algorithm.oid, OctetStringRef::decode(info)?.as_bytes()))
            })?;
            Ok((kind, algorithm, <[u8; 32]>::try_from(digest).ok()))
        })
    };
    let mut reader = SliceReader::new(&der).map_err(Refusal::malformed)?;
    let content = read(&mut reader).and_then(|content| reader.finish(content));
    match content.map_err(Refusal::malformed)? {
        (PE_IMAGE_DATA, SHA_256, Some(digest)) => Ok(digest),
        _ => Err(Refusal::malformed(
            "it is not for a program's SHA-256 digest",
        )),
    }
}
