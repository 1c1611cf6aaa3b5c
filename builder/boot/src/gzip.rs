//! gzip (RFC 1952) on all cores: one member, one DEFLATE stream, whose pieces are compressed apart
//! from each other. Same input, same bytes, however many cores there are.

use crate::{Error, Result};
use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use fortress_tree::Content;
use rayon::prelude::*;
use std::io::{Read, Write};

/// The level of DEFLATE: level 6 saves 2 percent more and takes half as long again, the highest 7
/// percent and five times as long.
const LEVEL: u32 = 3;
/// How much is compressed apart from the rest. Smaller pieces compress worse: none knows what was
/// in the one before it.
const PIECE: usize = 1 << 20;
/// How many pieces are in memory at once.
const AT_ONCE: usize = 16;
/// No name, no time, an unknown system (RFC 1952, section 2.3).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// An empty last block with fixed Huffman codes (RFC 1951, section 3.2.6), which ends the stream.
const END: [u8; 2] = [0x03, 0x00];

/// What distinguishes the bytes that [`write()`] gives from those of other versions of it.
pub const FORMAT: &str = "gzip 2, level 3, pieces of 1 MiB";

/// Whether a content is a gzip file already.
///
/// # Errors
/// When it cannot be read.
pub fn is_gzip(content: &Content) -> Result<bool> {
    let mut head = [0; 3];
    if content.length() < HEADER.len() as u64 {
        return Ok(false);
    }
    let failed = |source| Error::Gzip { source };
    let mut reader = content.reader().map_err(failed)?;
    reader.read_exact(&mut head).map_err(failed)?;
    Ok(head == HEADER[..3])
}

/// Compresses a content.
///
/// # Errors
/// When it cannot be read, or `out` takes no more.
pub fn write(content: &Content, out: &mut dyn Write) -> Result<()> {
    let failed = |source| Error::Gzip { source };
    let mut reader = content.reader().map_err(failed)?;
    let mut left = content.length();
    let mut sum = Crc::new();
    out.write_all(&HEADER).map_err(failed)?;
    while left > 0 {
        let mut pieces = Vec::with_capacity(AT_ONCE);
        while left > 0 && pieces.len() < AT_ONCE {
            let mut piece = vec![0; left.min(PIECE as u64) as usize];
            reader.read_exact(&mut piece).map_err(failed)?;
            left -= piece.len() as u64;
            pieces.push(piece);
        }
        let compressed: Vec<_> = pieces.par_iter().map(|piece| compress(piece)).collect();
        for (piece, compressed) in pieces.iter().zip(compressed) {
            sum.update(piece);
            out.write_all(&compressed.map_err(failed)?)
                .map_err(failed)?;
        }
    }
    out.write_all(&END).map_err(failed)?;
    out.write_all(&sum.sum().to_le_bytes()).map_err(failed)?;
    // The length modulo 2^32, as the format has it.
    let length = content.length() as u32;
    out.write_all(&length.to_le_bytes()).map_err(failed)
}

/// Compresses a piece, up to a boundary of bytes, with blocks none of which is the last.
fn compress(piece: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut compress = Compress::new(Compression::new(LEVEL), false);
    let mut out = Vec::with_capacity(piece.len() / 2 + 1024);
    loop {
        let done = compress.total_in() as usize;
        let status = compress
            .compress_vec(&piece[done..], &mut out, FlushCompress::Sync)
            .map_err(std::io::Error::other)?;
        // Room that is left over says that everything came out.
        if compress.total_in() as usize == piece.len() && out.len() < out.capacity() {
            return Ok(out);
        }
        if status == Status::StreamEnd {
            return Err(std::io::Error::other("the stream ended too early"));
        }
        out.reserve(piece.len() / 4 + 1024);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use proptest::prelude::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write(&Content::from(bytes.to_vec()), &mut out).unwrap();
        out
    }

    fn unpacked(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut decoder = GzDecoder::new(bytes);
        decoder.read_to_end(&mut out).unwrap();
        assert!(decoder.into_inner().is_empty(), "bytes behind the member");
        out
    }

    /// Bytes that compress hardly at all.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1u64;
        let next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as u8
        };
        std::iter::repeat_with(next).take(length).collect()
    }

    #[test]
    fn one_member_holds_all_pieces() {
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, AT_ONCE * PIECE + 3] {
            for bytes in [noise(length), vec![7; length]] {
                let packed = packed(&bytes);
                assert!(is_gzip(&Content::from(packed.clone())).unwrap());
                assert_eq!(unpacked(&packed), bytes, "{length}");
            }
        }
    }

    #[test]
    fn the_number_of_cores_changes_nothing() {
        let mut bytes = noise(PIECE);
        bytes.extend(vec![1; 5 * PIECE]);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        assert_eq!(pool.unwrap().install(|| packed(&bytes)), packed(&bytes));
    }

    proptest! {
        #[test]
        fn whatever_goes_in_comes_out(bytes in prop::collection::vec(any::<u8>(), 0..5000)) {
            prop_assert_eq!(unpacked(&packed(&bytes)), bytes);
        }
    }
}
