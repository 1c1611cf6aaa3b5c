//! Keys, signers, and what firmware, minisign and Raspberry Pis make of them; judged by openssl,
//! efitools, virt-firmware, minisign and SoftHSM.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that panics has failed"
)]

mod commands;
mod key_sets;
mod keys;
mod minisign;
mod raspberry_pi;
mod secure_boot;
mod signatures;
mod support;
