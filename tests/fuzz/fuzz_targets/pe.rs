//! An EFI program: its headers, its signatures, its measurement.
#![no_main]

use fortress_boot::measure;
use fortress_boot::pe::{Image, signature};
use libfuzzer_sys::fuzz_target;
use std::io::Cursor;

fuzz_target!(|data: &[u8]| {
    if let Ok(image) = Image::parse(data) {
        for section in &image.sections {
            let _ = (section.length(), section.data(data));
        }
        let _ = (image.is_signed(), image.security_directory_offset());
        let _ = measure::measure(&image, &mut Cursor::new(data));
    }
    let Ok(Ok(program)) = signature::examine(&mut &*data) else {
        return;
    };
    // What a signature does not cover is taken off and put on again without any other change.
    let Ok(attachment) = program.attachment(&[0x30, 0]) else {
        return;
    };
    let mut signed = Vec::new();
    let copied = attachment.copy(&mut &*data, &mut signed);
    copied.expect("a program that was read is copied");
    assert_eq!(signed.len() as u64, attachment.signed_length());
    let again = signature::examine(&mut &*signed).expect("it is in memory");
    let again = again.expect("a program with a signature is one");
    assert_eq!(again.digest, program.digest);
    assert_eq!(again.signatures, [[0x30, 0]]);
});
