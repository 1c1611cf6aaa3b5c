//! dm-verity: a tree of hashes that lets the kernel verify every block of a read-only file
//! system when it is read.
//!
//! What is written equals `veritysetup format` to the byte: superblock version 1, hash type 1,
//! SHA-256, data and hash blocks of 4096 bytes
//! ([format](https://docs.kernel.org/admin-guide/device-mapper/verity.html),
//! [superblock](https://gitlab.com/cryptsetup/cryptsetup/-/wikis/DMVerity)).

mod format;
mod reader;
mod stream;
mod writer;

pub use format::{RootHash, Superblock};
pub use reader::{Area, BadBlock, read_superblock, verify};
pub use stream::PassedData;
pub use writer::{VerityOptions, format, hash_length};
