//! The hash by which OpenSSL finds a certificate: SHA-1 over the subject's canonical encoding,
//! as X509_NAME_hash(3) has it.

use sha1::{Digest, Sha1};

/// Tags of ASN.1 (X.690, 8.1.2).
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const UTF8: u8 = 0x0c;
const PRINTABLE: u8 = 0x13;
const TELETEX: u8 = 0x14;
const IA5: u8 = 0x16;
const VISIBLE: u8 = 0x1a;
const UNIVERSAL: u8 = 0x1c;
const BMP: u8 = 0x1e;

type Text<T> = Result<T, &'static str>;

/// The hash of a DER certificate's subject.
pub(super) fn subject_hash(certificate: &[u8]) -> Text<u32> {
    let (body, _) = expect(certificate, SEQUENCE)?;
    let (mut fields, _) = expect(body, SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        fields = element(fields)?.2;
    }
    // serialNumber, signature, issuer, validity (RFC 5280, 4.1)
    for _ in 0..4 {
        fields = element(fields)?.2;
    }
    let (mut names, _) = expect(fields, SEQUENCE)?;
    let mut canonical = Vec::new();
    while !names.is_empty() {
        let (mut set, rest) = expect(names, SET)?;
        names = rest;
        let mut entries = Vec::new();
        while !set.is_empty() {
            let (entry, rest) = expect(set, SEQUENCE)?;
            set = rest;
            entries.push(canonical_entry(entry)?);
        }
        entries.sort_unstable();
        canonical.extend(encode(SET, &entries.concat()));
    }
    let digest = Sha1::digest(&canonical);
    Ok(u32::from_le_bytes([
        digest[0], digest[1], digest[2], digest[3],
    ]))
}

/// An attribute with its text as trimmed lower-case UTF-8.
fn canonical_entry(entry: &[u8]) -> Text<Vec<u8>> {
    let (_, _, value) = element(entry)?;
    let kind = &entry[..entry.len() - value.len()];
    let (tag, content, _) = element(value)?;
    let text = match tag {
        UTF8 => Some(String::from_utf8(content.to_vec()).map_err(|_| "its subject is not UTF-8")?),
        PRINTABLE | IA5 | VISIBLE | TELETEX => {
            Some(content.iter().map(|byte| char::from(*byte)).collect())
        }
        BMP => Some(wide(content, 2)?),
        UNIVERSAL => Some(wide(content, 4)?),
        _ => None,
    };
    let value = match text {
        Some(text) => encode(UTF8, canonical_text(&text).as_bytes()),
        None => value.to_vec(),
    };
    Ok(encode(SEQUENCE, &[kind, &value].concat()))
}

/// White space trimmed and folded, ASCII letters in lower case; all by ASCII alone.
fn canonical_text(text: &str) -> String {
    let words = text.split(|found: char| found.is_ascii_whitespace() || found == '\u{b}');
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ").to_ascii_lowercase()
}

fn wide(content: &[u8], width: usize) -> Text<String> {
    let code = |unit: &[u8]| {
        unit.iter()
            .fold(0, |code, byte| code << 8 | u32::from(*byte))
    };
    let units = content.chunks(width);
    units
        .map(|unit| char::from_u32(code(unit)).ok_or("its subject holds no Unicode text"))
        .collect()
}

/// The first element: tag, content, and what follows.
fn element(bytes: &[u8]) -> Text<(u8, &[u8], &[u8])> {
    const SHORT: &str = "it is cut short";
    let (&tag, rest) = bytes.split_first().ok_or(SHORT)?;
    let (&first, mut rest) = rest.split_first().ok_or(SHORT)?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 || count > rest.len() {
            return Err("it holds a length that cannot be");
        }
        length = rest[..count]
            .iter()
            .fold(0, |length, byte| length << 8 | usize::from(*byte));
        rest = &rest[count..];
    }
    if length > rest.len() {
        return Err(SHORT);
    }
    let (content, rest) = rest.split_at(length);
    Ok((tag, content, rest))
}

fn expect(bytes: &[u8], wanted: u8) -> Text<(&[u8], &[u8])> {
    match element(bytes)? {
        (tag, content, rest) if tag == wanted => Ok((content, rest)),
        _ => Err("it is no X.509 certificate"),
    }
}

fn encode(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u64).to_be_bytes();
    let bytes = &length[length.iter().position(|byte| *byte != 0).unwrap_or(7)..];
    let mut encoded = vec![tag];
    if content.len() >= 0x80 {
        encoded.push(0x80 | bytes.len() as u8);
    }
    encoded.extend(bytes);
    encoded.extend(content);
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_folded_as_openssl_does() {
        assert_eq!(
            canonical_text("  Staat  der\tNederlanden \n"),
            "staat der nederlanden"
        );
        assert_eq!(canonical_text("\u{c4}RGER"), "\u{c4}rger");
        assert_eq!(wide(&[0, 0x41, 0x20, 0xac], 2).unwrap(), "A\u{20ac}");
        assert_eq!(encode(SET, &[7; 300])[..4], [SET, 0x82, 1, 44]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = subject_hash(&bytes);
            let _ = subject_hash(&encode(SEQUENCE, &encode(SEQUENCE, &bytes)));
        }
    }
}
