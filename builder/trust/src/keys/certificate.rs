//! The certificates of keys: X.509 (RFC 5280), version 3, self-signed.

use crate::{Certificate, Error, PublicKey, Request, Result, Role, Signer};
use rsa::rand_core::{OsRng, RngCore as _};
use sha2::{Digest, Sha256};
use std::str::FromStr;
use std::time::Duration;
use x509_cert::der::asn1::{BitString, ObjectIdentifier, OctetString, UtcTime, Utf8StringRef};
use x509_cert::der::flagset::FlagSet;
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{Any, Decode, Encode};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{
    BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectKeyIdentifier,
};
use x509_cert::name::{Name, RdnSequence};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time, Validity};
use x509_cert::{TbsCertificate, Version};

const RSA_WITH_SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
/// What code is signed by (RFC 5280, section 4.2.1.12).
const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");
/// Seconds from 1970 to 2020: before any clock that was ever set. A machine whose battery is empty
/// may believe in any later date.
const NOT_BEFORE: u64 = 1_577_836_800;
/// Seconds from 1970 to the last second of 2049: the last that UTCTime can tell.
const NOT_AFTER: u64 = 2_524_607_999;
/// Most characters of a common name (RFC 5280, appendix A.1, `ub-common-name`).
const LONGEST_NAME: usize = 64;

/// Whether an owner's name can stand in certificates, with each role's name behind it.
pub(super) fn check_owner(owner: &str) -> Result<()> {
    let longest = Role::ALL.map(|role| common_name(owner, role).chars().count());
    let reason = if owner.trim().is_empty() {
        "it is empty"
    } else if owner.trim() != owner {
        "it begins or ends with a space"
    } else if owner.chars().any(char::is_control) {
        "it has control characters in it"
    } else if longest.into_iter().max() > Some(LONGEST_NAME) {
        "it is too long: with a key's name behind it, it may have 64 characters"
    } else {
        return Ok(());
    };
    Err(Error::OwnerName {
        name: owner.to_owned(),
        reason,
    })
}

fn common_name(owner: &str, role: Role) -> String {
    let role = match role {
        Role::Manifest => "manifest",
        Role::Pk => "PK",
        Role::Kek => "KEK",
        Role::Db => "db",
        Role::Verity => "verity",
        Role::Pcr => "PCR",
        Role::RaspberryPi => "Raspberry Pi",
    };
    format!("{owner} {role}")
}

/// Makes a role's certificate, which its own key signs.
pub(super) fn self_signed(
    owner: &str,
    role: Role,
    key: &PublicKey,
    signer: &dyn Signer,
) -> Result<Certificate> {
    let failed = |error: x509_cert::der::Error| Error::Certificate(error.to_string());
    let algorithm = AlgorithmIdentifierOwned {
        oid: RSA_WITH_SHA_256,
        parameters: Some(Any::null()),
    };
    let key_der = key.der()?;
    let name = name(&common_name(owner, role)).map_err(failed)?;
    let unsigned = TbsCertificate {
        version: Version::V3,
        serial_number: serial_number().map_err(failed)?,
        signature: algorithm.clone(),
        issuer: name.clone(),
        validity: Validity {
            not_before: time(NOT_BEFORE).map_err(failed)?,
            not_after: time(NOT_AFTER).map_err(failed)?,
        },
        subject: name,
        subject_public_key_info: SubjectPublicKeyInfoOwned::from_der(&key_der).map_err(failed)?,
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: Some(extensions(role, &key_der).map_err(failed)?),
    };
    let digest = Sha256::digest(unsigned.to_der().map_err(failed)?);
    let request = Request {
        role,
        what: "its own certificate",
        payload: &digest,
    };
    let signature = signer.sign(&request)?;
    if !key.accepts(&digest, &signature) {
        return Err(Error::WrongSignature {
            role,
            what: request.what.to_owned(),
        });
    }
    let certificate = x509_cert::Certificate {
        tbs_certificate: unsigned,
        signature_algorithm: algorithm,
        signature: BitString::from_bytes(&signature).map_err(failed)?,
    };
    Certificate::from_der(&certificate.to_der().map_err(failed)?)
}

fn name(common_name: &str) -> x509_cert::der::Result<Name> {
    // The value is set apart from the parsing, in which some characters mean something.
    let mut name = RdnSequence::from_str("CN=x")?;
    if let Some(relative) = name.0.first_mut() {
        let attributes = relative.0.iter().cloned().map(|mut attribute| {
            attribute.value = Any::encode_from(&Utf8StringRef::new(common_name)?)?;
            Ok(attribute)
        });
        let attributes: x509_cert::der::Result<Vec<_>> = attributes.collect();
        relative.0 = attributes?.try_into()?;
    }
    Ok(name)
}

/// 16 random bytes, positive and without a zero in front.
fn serial_number() -> x509_cert::der::Result<SerialNumber> {
    let mut bytes = [0; 16];
    OsRng.fill_bytes(&mut bytes);
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::new(&bytes)
}

fn time(seconds: u64) -> x509_cert::der::Result<Time> {
    let time = UtcTime::from_unix_duration(Duration::from_secs(seconds))?;
    Ok(Time::UtcTime(time))
}

fn extensions(role: Role, key: &[u8]) -> x509_cert::der::Result<Vec<Extension>> {
    let constraints = BasicConstraints {
        ca: false,
        path_len_constraint: None,
    };
    let usage = KeyUsage(FlagSet::from(KeyUsages::DigitalSignature));
    // RFC 7093, section 2, method 1: the leftmost 160 bits of the key's SHA-256.
    let info = SubjectPublicKeyInfoOwned::from_der(key)?;
    let digest = Sha256::digest(info.subject_public_key.raw_bytes());
    let identifier = SubjectKeyIdentifier(OctetString::new(&digest[..20])?);
    let mut extensions = vec![
        extension(true, &constraints)?,
        extension(true, &usage)?,
        extension(false, &identifier)?,
    ];
    if matches!(role, Role::Db | Role::Verity) {
        extensions.push(extension(false, &ExtendedKeyUsage(vec![CODE_SIGNING]))?);
    }
    Ok(extensions)
}

fn extension<T: Encode + AssociatedOid>(
    critical: bool,
    value: &T,
) -> x509_cert::der::Result<Extension> {
    Ok(Extension {
        extn_id: T::OID,
        critical,
        extn_value: OctetString::new(value.to_der()?)?,
    })
}
