//! A FAT32 with damaged structure, as verification and the Raspberry Pi's part of a build read it.
#![no_main]

use fortress_filesystem::fat;
use fortress_fuzz::Base;
use libfuzzer_sys::fuzz_target;
use std::io;
use std::sync::OnceLock;

static BASE: OnceLock<Base> = OnceLock::new();

fuzz_target!(|data: &[u8]| {
    let base = BASE.get_or_init(fortress_fuzz::fat);
    let image = base.with(data);
    if let Ok(volume) = fat::read(&image, 0, image.length()) {
        for entry in volume.entries() {
            assert!(
                !entry
                    .path
                    .split('/')
                    .any(|name| matches!(name, "." | ".." | ""))
            );
            if entry.directory {
                continue;
            }
            if let Ok(stretches) = volume.stretches(&entry.path) {
                let within = |(start, length): &(u64, u64)| start + length <= image.length();
                assert!(stretches.iter().all(within));
            }
            if entry.length < 1 << 20 {
                let _ = volume.copy(&entry.path, &mut io::sink());
            }
        }
    }
    if let Ok(structure) = fat::check(&image, 0, image.length()) {
        for at in (0..64 << 10).step_by(512) {
            structure.owner(at);
        }
        for free in structure.free(image.length()) {
            assert!(free.end <= image.length());
        }
    }
});
