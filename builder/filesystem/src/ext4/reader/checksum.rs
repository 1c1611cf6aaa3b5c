//! CRC-32C as ext4 uses it: no inversion at the end, so that sums can be carried on
//! ([checksums](https://docs.kernel.org/filesystems/ext4/overview.html#checksums)).

/// What sums begin with.
pub(super) const START: u32 = !0;

/// Carries a sum on over more bytes.
pub(super) fn crc32c(start: u32, bytes: &[u8]) -> u32 {
    // The library inverts before and after, as everybody else does.
    !crc32c::crc32c_append(!start, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_castagnolis() {
        // RFC 3720, appendix B.4, gives these inverted.
        assert_eq!(!crc32c(START, &[0; 32]), 0x8a91_36aa);
        assert_eq!(!crc32c(START, &[0xff; 32]), 0x62a8_ab43);
        assert_eq!(!crc32c(START, b"123456789"), 0xe306_9283);
        let carried = crc32c(crc32c(START, b"12345"), b"6789");
        assert_eq!(carried, crc32c(START, b"123456789"));
    }
}
