//! What the fuzz targets share: how their inputs are put together, and what they begin with.

mod archive;
mod package;
mod patched;
mod program;
mod raspberry_pi;
mod volume;

pub use archive::{Archive, packets};
pub use package::{ar, checksums, control, entry, tar, unpack};
pub use patched::{Base, Patched};
pub use program::efi_program;
pub use raspberry_pi::boot_disk;
pub use volume::{disk, ext4, fat, with_checksums, with_superblock_checksum};

use std::path::{Path, PathBuf};

/// The pieces of an input that stands for several files: they are separated by zeros.
pub fn pieces<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let mut rest = data.splitn(N, |byte| *byte == 0);
    std::array::from_fn(|_| rest.next().unwrap_or_default())
}

/// The pieces of an input that stands for several texts; none if they are no text.
pub fn texts<const N: usize>(data: &[u8]) -> Option<[&str; N]> {
    std::str::from_utf8(data).ok()?;
    Some(pieces(data).map(|piece| std::str::from_utf8(piece).unwrap_or_default()))
}

/// A folder that is gone when it is dropped. `TMPDIR` says where; in memory is quickest.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

/// Writes a file, making its folder.
pub fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    let parent = path.parent().unwrap_or(folder);
    std::fs::create_dir_all(parent).expect("a folder can be made");
    std::fs::write(&path, content).expect("a file can be written");
    path
}
