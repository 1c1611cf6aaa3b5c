//! `EFI_VARIABLE_AUTHENTICATION_2` (UEFI 2.10, section 8.2.2): what is written into a variable, and
//! who says so.

use super::Variable;
use crate::cms::{self, Form};
use crate::date::date;
use crate::{Certificate, PublicKeys, Refusal, Result, Signer};
use sha2::{Digest, Sha256};
use uuid::{Uuid, uuid};

/// `EFI_GLOBAL_VARIABLE`: PK and KEK (UEFI 2.10, section 3.3).
const GLOBAL: Uuid = uuid!("8be4df61-93ca-11d2-aa0d-00e098032b8c");
/// `EFI_IMAGE_SECURITY_DATABASE_GUID`: db (UEFI 2.10, section 32.6.1).
const SECURITY_DATABASE: Uuid = uuid!("d719b2cb-3d3a-4596-a3bc-dad00e67656f");
/// `EFI_CERT_TYPE_PKCS7_GUID`: what the signature is.
const PKCS7: Uuid = uuid!("4aafd29d-68df-49ee-8aa9-347d375665a7");
/// Non-volatile, seen by the boot loader and by the system, and written by whoever has the key,
/// with a time.
const ATTRIBUTES: u32 = 0x01 | 0x02 | 0x04 | 0x20;
/// `EFI_TIME` (UEFI 2.10, section 8.3.1).
const TIME: usize = 16;
/// `WIN_CERTIFICATE_UEFI_GUID` without its data: dwLength, wRevision, wCertificateType, CertType.
const CERTIFICATE: usize = 4 + 2 + 2 + 16;
const REVISION: u16 = 0x0200;
const CERTIFICATE_TYPE: u16 = 0x0ef1;

/// A file that writes a variable, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated<'a> {
    /// When, as `EFI_TIME`.
    pub time: [u8; TIME],
    /// PKCS#7 message (DER, SignedData).
    pub signature: &'a [u8],
    /// What the variable is to hold: signature lists.
    pub content: &'a [u8],
}

/// Makes the file that writes a variable.
pub(super) fn sign(
    public: &PublicKeys,
    signer: &dyn Signer,
    variable: Variable,
    time: u64,
    content: &[u8],
) -> Result<Vec<u8>> {
    let time = efi_time(time);
    let what = format!("{}.auth", variable.name());
    let digest = signed_digest(variable, &time, content);
    let role = variable.signed_by();
    let signature = cms::detached(public, signer, role, &what, &digest, Form::SignedData)?;
    let mut file = Vec::new();
    file.extend(time);
    file.extend(((CERTIFICATE + signature.len()) as u32).to_le_bytes());
    file.extend(REVISION.to_le_bytes());
    file.extend(CERTIFICATE_TYPE.to_le_bytes());
    file.extend(PKCS7.to_bytes_le());
    file.extend(signature);
    file.extend(content);
    Ok(file)
}

/// Takes a file apart. Nothing is verified.
///
/// # Errors
/// When it is not of the form.
pub fn read(file: &[u8]) -> Result<Authenticated<'_>, Refusal> {
    let malformed = || Refusal::malformed("not an authenticated variable");
    let (time, rest) = file.split_first_chunk::<TIME>().ok_or_else(malformed)?;
    let (length, _) = rest.split_first_chunk::<4>().ok_or_else(malformed)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(Refusal::malformed)?;
    let (certificate, content) = rest.split_at_checked(length).ok_or_else(malformed)?;
    let (header, signature) = certificate
        .split_first_chunk::<CERTIFICATE>()
        .ok_or_else(malformed)?;
    let kind = [
        &REVISION.to_le_bytes()[..],
        &CERTIFICATE_TYPE.to_le_bytes(),
        &PKCS7.to_bytes_le(),
    ]
    .concat();
    if header.get(4..) != Some(&kind) {
        return Err(malformed());
    }
    Ok(Authenticated {
        time: *time,
        signature,
        content,
    })
}

/// Checks the signature of a file that writes a variable, and says which of the accepted
/// certificates' keys gave it.
///
/// # Errors
/// When none of them did.
pub fn verify<'a>(
    variable: Variable,
    file: &[u8],
    accepted: &[&'a Certificate],
) -> Result<&'a Certificate, Refusal> {
    let file = read(file)?;
    let digest = signed_digest(variable, &file.time, file.content);
    cms::verify_detached(file.signature, &digest, accepted)
}

/// SHA-256 of what is signed: name, vendor, attributes, time, content.
fn signed_digest(variable: Variable, time: &[u8; TIME], content: &[u8]) -> [u8; 32] {
    let vendor = match variable {
        Variable::Pk | Variable::Kek => GLOBAL,
        Variable::Db => SECURITY_DATABASE,
    };
    let mut digest = Sha256::new();
    for unit in variable.name().encode_utf16() {
        digest.update(unit.to_le_bytes());
    }
    digest.update(vendor.to_bytes_le());
    digest.update(ATTRIBUTES.to_le_bytes());
    digest.update(time);
    digest.update(content);
    digest.finalize().into()
}

/// A time as `EFI_TIME`, in UTC; what authenticated variables must not have is zero.
fn efi_time(seconds: u64) -> [u8; TIME] {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let mut time = [0; TIME];
    time[..2].copy_from_slice(&year.to_le_bytes());
    time[2] = month;
    time[3] = day;
    time[4] = (second / 3600) as u8;
    time[5] = (second / 60 % 60) as u8;
    time[6] = (second % 60) as u8;
    time
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_efi_has_them() {
        let time = efi_time(20_779 * 86_400 + 12 * 3600 + 34 * 60 + 56);
        assert_eq!(time[..8], [0xea, 0x07, 11, 22, 12, 34, 56, 0]);
        assert_eq!(time[8..], [0; 8]);
    }
}
