//! The archive in a package, its headers' checksums made right.
#![no_main]

use fortress_fuzz::{ar, checksums, control};
use libfuzzer_sys::fuzz_target;

const CONTROL: &[u8] = b"Package: a\nVersion: 1\nArchitecture: all\n";

fuzz_target!(|data: &[u8]| {
    let mut data = data.to_vec();
    checksums(&mut data);
    let [known, given]: [(&str, &[u8]); 2] =
        [("control.tar", &control(CONTROL)), ("data.tar", &data)];
    fortress_fuzz::unpack(&ar(&[("debian-binary", b"2.0\n"), known, given]));
    let empty = ("data.tar", &[0; 1024][..]);
    fortress_fuzz::unpack(&ar(&[
        ("debian-binary", b"2.0\n"),
        ("control.tar", &data),
        empty,
    ]));
});
