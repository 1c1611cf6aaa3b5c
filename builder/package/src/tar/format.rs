//! Fields of tar headers and records of pax headers.

/// Length of a block, in bytes: headers have one, contents are padded to a whole number.
pub(crate) const BLOCK: usize = 512;

/// A length with its padding, in bytes; none when it is beyond all bounds.
pub(crate) fn padded(length: u64) -> Option<u64> {
    length.checked_next_multiple_of(BLOCK as u64)
}

/// A numeric field: octal digits, which blanks and NULs may surround, or GNU's base-256, whose
/// first byte is 0x80 (a first byte of 0xff, a negative number, is refused with the rest).
pub(crate) fn number(field: &[u8]) -> Option<u64> {
    if let [0x80, digits @ ..] = field {
        return digits.iter().try_fold(0u64, |value, byte| {
            Some(value.checked_mul(256)? | u64::from(*byte))
        });
    }
    let is_blank = |byte: &u8| *byte == b' ' || *byte == 0;
    let start = field.iter().position(|byte| !is_blank(byte));
    let digits = &field[start.unwrap_or(field.len())..];
    let end = digits.iter().position(is_blank).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    if !rest.iter().all(is_blank) {
        return None;
    }
    digits.iter().try_fold(0u64, |value, byte| match byte {
        b'0'..=b'7' => Some(value.checked_mul(8)? | u64::from(byte - b'0')),
        _ => None,
    })
}

/// Whether the header's checksum is right: the sum of its bytes, taken as unsigned ones, with
/// blanks in the place of the checksum itself.
pub(crate) fn has_checksum(block: &[u8; BLOCK]) -> bool {
    let sum: u64 = block
        .iter()
        .enumerate()
        .map(|(at, byte)| match at {
            148..156 => u64::from(b' '),
            _ => u64::from(*byte),
        })
        .sum();
    number(&block[148..156]) == Some(sum)
}

/// Splits a pax header into keywords and values; none if a record is not well formed.
/// Values are bytes, and may have newlines in them.
pub(crate) fn records(mut bytes: &[u8]) -> Option<Vec<(&str, &[u8])>> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let blank = bytes.iter().take(8).position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(&bytes[..blank]).ok()?.parse().ok()?;
        let record = bytes.get(blank + 1..length)?;
        let (b'\n', record) = record.split_last()? else {
            return None;
        };
        let equals = record.iter().position(|byte| *byte == b'=')?;
        let keyword = std::str::from_utf8(&record[..equals]).ok()?;
        records.push((keyword, &record[equals + 1..]));
        bytes = &bytes[length..];
    }
    Some(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        assert_eq!(number(b"0000755\0"), Some(0o755));
        assert_eq!(number(b"    755 "), Some(0o755));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\0\0\0\x01\x02"), Some(258));
        for bad in [
            &b"0000758\0"[..],
            b"-000755\0",
            b"75 5\0",
            b"\xff\xff\xff\xff",
        ] {
            assert_eq!(number(bad), None, "{bad:?}");
        }
        assert_eq!(number(&[[0x80].as_slice(), &[0xff; 11]].concat()), None);
    }

    #[test]
    fn pax_values_may_hold_anything() {
        let bytes = b"12 path=a\nb\n30 SCHILY.xattr.user.x=\0\n=\xff\n\n";
        let parsed = records(bytes);
        assert_eq!(
            parsed, None,
            "a length that does not fit its record is refused"
        );
        let bytes = b"12 path=a\nb\n25 SCHILY.xattr.u.x=\0\n=\xff\n";
        assert_eq!(
            records(bytes).unwrap(),
            [
                ("path", &b"a\nb"[..]),
                ("SCHILY.xattr.u.x", &b"\0\n=\xff"[..])
            ]
        );
        for bad in [
            &b"5"[..],
            b"5 a=b",
            b"0 a=b\n",
            b"99999 a=b\n",
            b"6 abc\n",
            b"4 \n\n",
        ] {
            assert_eq!(records(bad), None, "{bad:?}");
        }
    }
}
