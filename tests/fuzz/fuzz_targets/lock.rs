//! A lock file.
#![no_main]

use fortress_archive::Lock;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match Lock::from_toml(text) {
        Ok(lock) => {
            let read = Lock::from_toml(&lock.to_toml()).expect("what was written is read");
            assert_eq!(read, lock);
            assert_eq!(lock.compare(&read), []);
            let _ = (lock.newest_date(), lock.downloads(&[], &[]));
        }
        Err(error) => drop(error.to_string()),
    }
});
