//! A damaged partition table, as verification reads it. An odd number at the begin of the input asks
//! for right checksums.
#![no_main]

use fortress_disk::gpt;
use fortress_filesystem::ReadAt;
use fortress_fuzz::{Base, with_checksums};
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

static BASE: OnceLock<Base> = OnceLock::new();

fuzz_target!(|data: &[u8]| {
    let base = BASE.get_or_init(fortress_fuzz::disk);
    let Some((mode, data)) = data.split_first() else {
        return;
    };
    let mut image = base.with(data);
    if mode % 2 == 1 {
        image = with_checksums(image);
    }
    let length = image.length();
    let copies = gpt::examine(
        &mut |buffer, offset| image.read_exact_at(buffer, offset),
        length,
    );
    for layout in [copies.first, copies.second].into_iter().flatten() {
        for partition in &layout.partitions {
            assert!(partition.offset + partition.entry.length <= length);
            let _ = partition.region().end();
        }
    }
});
