//! A package's control file with its relations, and the list of reviewed scripts.
#![no_main]

use fortress_fuzz::{ar, control, entry, tar};
use fortress_package::{Control, Reviewed};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let data_archive = tar(&[entry("./usr", b'5', "", b"")]);
    fortress_fuzz::unpack(&ar(&[
        ("debian-binary", b"2.0\n"),
        ("control.tar", &control(data)),
        ("data.tar", &data_archive),
    ]));
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let _ = Reviewed::from_toml(text);
    if let Ok(control) = Control::parse("a", text.to_owned()) {
        for (name, value) in control.fields() {
            assert_eq!(control.get(name), Some(value));
        }
    }
});
