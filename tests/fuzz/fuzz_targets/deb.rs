//! A package as it comes from a mirror: ar, tar, every compression.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fortress_fuzz::unpack(data));
