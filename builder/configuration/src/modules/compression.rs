//! Modules as kernels ship them: plain, or compressed with xz, zstd or gzip.

use crate::{Error, Result};
use fortress_tree::{Content, TreePath};
use liblzma::stream::{Action, Status, Stream};
use std::io::Read;

/// Largest module taken, decompressed. The largest of Debian's kernels has some 30 MiB.
const LARGEST: u64 = 128 << 20;
/// Memory that an xz dictionary may take; the kernel's own build uses 1 or 2 MiB.
const LARGEST_DICTIONARY: u64 = 80 << 20;

/// Suffixes of module files.
pub(super) const SUFFIXES: [&str; 4] = [".ko", ".ko.xz", ".ko.zst", ".ko.gz"];

/// The bytes of a module's file without its compression (its suffix tells which).
///
/// # Errors
/// Damaged compression, or a module beyond 128 MiB.
pub fn decompress(path: &TreePath, content: &Content) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    decompress_into(path, content, &mut bytes)?;
    Ok(bytes)
}

/// As [`decompress`], into a buffer that can be used again: what it held before is gone.
pub(super) fn decompress_into(
    path: &TreePath,
    content: &Content,
    bytes: &mut Vec<u8>,
) -> Result<()> {
    let refuse = |reason: String| Error::File {
        file: path.to_string(),
        reason,
    };
    let unreadable = |source| Error::Io {
        what: path.to_string(),
        source,
    };
    bytes.clear();
    let too_large = || refuse(format!("the module is larger than {} MiB", LARGEST >> 20));
    if content.length() > LARGEST {
        return Err(too_large());
    }
    let damaged = |error: std::io::Error| refuse(format!("its compression is damaged: {error}"));
    let name = path.name();
    if name.ends_with(".xz") {
        let packed = content.read().map_err(unreadable)?;
        expand_xz(&packed, bytes).map_err(damaged)?;
    } else if name.ends_with(".zst") {
        let reader = content.reader().map_err(unreadable)?;
        let reader = zstd::Decoder::new(reader).map_err(damaged)?;
        let mut limited = reader.take(LARGEST + 1);
        limited.read_to_end(bytes).map_err(damaged)?;
    } else if name.ends_with(".gz") {
        let packed = content.read().map_err(unreadable)?;
        let mut limited = flate2::read::GzDecoder::new(&*packed).take(LARGEST + 1);
        limited.read_to_end(bytes).map_err(damaged)?;
    } else {
        let mut reader = content.reader().map_err(unreadable)?;
        bytes.reserve(content.length() as usize);
        reader.read_to_end(bytes).map_err(unreadable)?;
    }
    if bytes.len() as u64 > LARGEST {
        return Err(too_large());
    }
    Ok(())
}

/// One xz stream, straight into `bytes`. (Reading through an adapter would copy it once more;
/// this is where most of the time of indexing goes.)
fn expand_xz(packed: &[u8], bytes: &mut Vec<u8>) -> std::io::Result<()> {
    let mut stream = Stream::new_stream_decoder(LARGEST_DICTIONARY, 0)?;
    loop {
        if bytes.len() == bytes.capacity() {
            let room = bytes.len().max(256 << 10);
            bytes.reserve_exact(room.min(LARGEST as usize + 1 - bytes.len()));
        }
        let rest = packed.get(stream.total_in() as usize..).unwrap_or_default();
        match stream.process_vec(rest, bytes, Action::Finish)? {
            Status::StreamEnd => return Ok(()),
            _ if bytes.len() as u64 > LARGEST => return Ok(()),
            Status::MemNeeded if bytes.len() < bytes.capacity() => {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            _ => {}
        }
    }
}
