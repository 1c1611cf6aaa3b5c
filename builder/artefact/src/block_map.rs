//! Block maps: which blocks of an image hold data, with a checksum of each range
//! (bmap-tools' format, version 2.0).

use crate::compress::hexadecimal;
use crate::{Error, Result};
use fortress_disk::{Region, data};
use fortress_progress::Observer;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How much is read at once.
const PIECE: u64 = 1 << 20;
/// What stands in the place of the file's own checksum while that is taken.
const BLANK: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The map of an image.
pub(crate) fn text(
    file: &File,
    path: &Path,
    length: u64,
    observer: &dyn Observer,
) -> Result<String> {
    let regions = data::regions(file)?;
    let mut ranges = String::new();
    let mut mapped = 0;
    for region in &regions {
        if observer.cancelled() {
            return Err(Error::Cancelled);
        }
        let first = region.offset / data::PAGE;
        let blocks = region.length.div_ceil(data::PAGE);
        mapped += blocks;
        let range = match blocks {
            1 => format!("{first}"),
            _ => format!("{first}-{}", first + blocks - 1),
        };
        let checksum = digest(file, path, *region)?;
        let _ = writeln!(
            ranges,
            "        <Range chksum=\"{checksum}\"> {range} </Range>"
        );
    }
    let map = format!(
        "<?xml version=\"1.0\" ?>\n\
         <bmap version=\"2.0\">\n\
         \x20   <ImageSize> {length} </ImageSize>\n\
         \x20   <BlockSize> {} </BlockSize>\n\
         \x20   <BlocksCount> {} </BlocksCount>\n\
         \x20   <MappedBlocksCount> {mapped} </MappedBlocksCount>\n\
         \x20   <ChecksumType> sha256 </ChecksumType>\n\
         \x20   <BmapFileChecksum> {BLANK} </BmapFileChecksum>\n\
         \x20   <BlockMap>\n\
         {ranges}\
         \x20   </BlockMap>\n\
         </bmap>\n",
        data::PAGE,
        length.div_ceil(data::PAGE),
    );
    let own = hexadecimal(Sha256::new_with_prefix(&map));
    Ok(map.replacen(BLANK, &own, 1))
}

/// SHA-256 of a region.
fn digest(file: &File, path: &Path, region: Region) -> Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; region.length.min(PIECE) as usize];
    let mut at = region.offset;
    while at < region.end() {
        let piece = &mut buffer[..(region.end() - at).min(PIECE) as usize];
        file.read_exact_at(piece, at)
            .map_err(Error::file("read", path))?;
        hasher.update(&*piece);
        at += piece.len() as u64;
    }
    Ok(hexadecimal(hasher))
}
