//! An ext4 with damaged structure, as verification reads it.
#![no_main]

use fortress_filesystem::ext4;
use fortress_fuzz::{Base, with_superblock_checksum};
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

static BASE: OnceLock<Base> = OnceLock::new();

fuzz_target!(|data: &[u8]| {
    let base = BASE.get_or_init(fortress_fuzz::ext4);
    let image = with_superblock_checksum(base.with(data));
    if let Ok(structure) = ext4::read(&image, 0, image.length()) {
        for block in 0..structure.blocks() {
            structure.owner(block);
        }
        let _ = (structure.files(), structure.problems());
    }
});
