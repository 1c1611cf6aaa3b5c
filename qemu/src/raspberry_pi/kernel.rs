//! What the firmware accepts as a 64-bit kernel: an arm64 `Image`, packed by gzip or not.
//! Form: `Documentation/arch/arm64/booting.rst` of Linux.

use super::refusal::{Refusal, Result};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

/// The largest kernel that is unpacked, in bytes.
const LARGEST: u64 = 256 << 20;
/// Where an `Image` has its magic number.
const MAGIC_OFFSET: usize = 56;
const MAGIC: &[u8] = b"ARM\x64";

/// Unpacks a kernel, or copies it; gives what it was, in words. `file` and `place` name it in refusals.
pub(super) fn unpack(
    packed: &Path,
    unpacked: &Path,
    file: &str,
    place: &str,
) -> Result<&'static str> {
    let refused = |why: String| Refusal::Content {
        file: file.to_owned(),
        place: place.to_owned(),
        why,
    };
    let mut input = File::open(packed).map_err(Refusal::file("read", packed))?;
    let mut magic = [0; 2];
    input
        .read_exact(&mut magic)
        .map_err(|error| refused(format!("is no kernel: {error}")))?;
    let input = File::open(packed).map_err(Refusal::file("read", packed))?;
    let (mut input, kind): (Box<dyn Read>, _) = match magic {
        [0x1f, 0x8b] => (Box::new(MultiGzDecoder::new(input)), "gzip"),
        _ => (Box::new(input), "not packed"),
    };
    let mut head = Vec::new();
    let read = (&mut input).take(64).read_to_end(&mut head);
    read.map_err(|error| refused(format!("cannot be unpacked: {error}")))?;
    if head.get(MAGIC_OFFSET..MAGIC_OFFSET + MAGIC.len()) != Some(MAGIC) {
        let zboot = head.get(4..8) == Some(b"zimg");
        return Err(refused(match zboot {
            true => "is an EFI program that unpacks itself, which needs UEFI".to_owned(),
            false => "is no arm64 kernel (Image)".to_owned(),
        }));
    }
    let mut output =
        BufWriter::new(File::create(unpacked).map_err(Refusal::file("write", unpacked))?);
    output
        .write_all(&head)
        .map_err(Refusal::file("write", unpacked))?;
    let mut buffer = vec![0; 256 << 10];
    let mut length = head.len() as u64;
    loop {
        let count = input
            .read(&mut buffer)
            .map_err(|error| refused(format!("cannot be unpacked: {error}")))?;
        if count == 0 {
            break;
        }
        length += count as u64;
        if length > LARGEST {
            return Err(refused(format!("unpacks to more than {LARGEST} bytes")));
        }
        output
            .write_all(&buffer[..count])
            .map_err(Refusal::file("write", unpacked))?;
    }
    output.flush().map_err(Refusal::file("write", unpacked))?;
    Ok(kind)
}
