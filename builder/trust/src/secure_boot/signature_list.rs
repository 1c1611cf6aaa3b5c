//! `EFI_SIGNATURE_LIST` (UEFI 2.10, section 32.4.1).

use crate::{Certificate, Refusal, Result};
use uuid::{Uuid, uuid};

/// `EFI_CERT_X509_GUID`: a list of certificates.
const X509: Uuid = uuid!("a5c059a1-94e4-4aa7-87b5-ab155c2bf072");
/// SignatureType, SignatureListSize, SignatureHeaderSize, SignatureSize.
const HEADER: usize = 16 + 4 + 4 + 4;
/// SignatureOwner, before each signature.
const OWNER: usize = 16;
/// Most bytes of a variable that are looked at.
const LONGEST: usize = 1 << 20;

/// A signature of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Who says to have put it there.
    pub owner: Uuid,
    /// The certificate; none if the entry is of another kind (digests, for example).
    pub certificate: Option<Certificate>,
}

/// Appends a list with one certificate: lists have entries of one length.
pub(super) fn write_list(output: &mut Vec<u8>, owner: Uuid, certificate: &Certificate) {
    let entry = (OWNER + certificate.der().len()) as u32;
    output.extend(X509.to_bytes_le());
    output.extend((HEADER as u32 + entry).to_le_bytes());
    output.extend(0_u32.to_le_bytes());
    output.extend(entry.to_le_bytes());
    output.extend(owner.to_bytes_le());
    output.extend(certificate.der());
}

/// Reads lists, as a variable holds them.
///
/// # Errors
/// When lengths do not fit together, or a certificate cannot be read.
pub fn read_lists(bytes: &[u8]) -> Result<Vec<Entry>, Refusal> {
    if bytes.len() > LONGEST {
        return Err(Refusal::malformed("longer than 1 MiB"));
    }
    let mut entries = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let broken = || Refusal::malformed("a signature list's lengths do not fit together");
        let (header, _) = rest.split_first_chunk::<HEADER>().ok_or_else(broken)?;
        let (kind, sizes) = header.split_at(16);
        let size = |index: usize| {
            let bytes = sizes.iter().skip(index * 4).take(4).rev();
            bytes.fold(0_usize, |size, byte| size << 8 | usize::from(*byte))
        };
        let (list, own_header, entry) = (size(0), size(1), size(2));
        let content = rest
            .get(..list)
            .and_then(|list| list.get(HEADER.checked_add(own_header)?..))
            .filter(|content| entry > OWNER && content.len().is_multiple_of(entry))
            .ok_or_else(broken)?;
        for signature in content.chunks_exact(entry) {
            let (owner, certificate) = signature.split_first_chunk::<OWNER>().ok_or_else(broken)?;
            let certificate = match kind == X509.to_bytes_le() {
                true => Some(Certificate::from_der(certificate).map_err(Refusal::malformed)?),
                false => None,
            };
            entries.push(Entry {
                owner: Uuid::from_bytes_le(*owner),
                certificate,
            });
        }
        rest = rest.get(list..).ok_or_else(broken)?;
    }
    Ok(entries)
}
