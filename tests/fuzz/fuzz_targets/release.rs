//! The text of a signed index, behind a good signature.
#![no_main]

use fortress_fuzz::Archive;
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

static ARCHIVE: OnceLock<Archive> = OnceLock::new();

fuzz_target!(|data: &[u8]| {
    let archive = ARCHIVE.get_or_init(Archive::new);
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = archive.load(&archive.sign(text), &[]);
    }
});
