//! A signed index as it comes from a mirror: whatever it is, nothing that the key did not sign is
//! taken for signed.
#![no_main]

use fortress_archive::Keyring;
use fortress_fuzz::Archive;
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

/// What seeds sign.
const TEXT: &str = "Origin: Debian\n- dashed\nfrom here\n\nSHA256:\n 00 1 a";

static WORLD: OnceLock<(Archive, Keyring)> = OnceLock::new();

fuzz_target!(|data: &[u8]| {
    let (archive, keys) = WORLD.get_or_init(|| {
        let archive = Archive::new();
        let keys = Keyring::parse(&[archive.public()]).expect("the key is read");
        (archive, keys)
    });
    if let Ok(verified) = keys.verify(data, archive.now()) {
        assert_eq!(verified.text, TEXT);
    }
});
