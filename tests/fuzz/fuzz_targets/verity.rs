//! A superblock and hash tree of dm-verity.
#![no_main]

use fortress_disk::Region;
use fortress_disk::verity::{self, RootHash};
use libfuzzer_sys::fuzz_target;
use std::io::Write;

const DATA: u64 = 8 * 4096;

fuzz_target!(|data: &[u8]| {
    let mut image = tempfile::tempfile().expect("a temporary file can be made");
    let mut bytes = vec![7; DATA as usize];
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(4096), 0);
    image.write_all(&bytes).expect("it can be written");
    let region = |offset, length| Region { offset, length };
    let hash = region(DATA, bytes.len() as u64 - DATA);
    let _ = verity::read_superblock(&image, hash);
    let _ = verity::verify(&image, region(0, DATA), hash, &RootHash([7; 32]));
});
