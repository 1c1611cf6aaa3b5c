//! Keys, signers, and what firmware, minisign and Raspberry Pis make of them; judged by openssl,
//! efitools, virt-firmware, minisign and SoftHSM.

mod commands;
mod keys;
mod minisign;
mod raspberry_pi;
mod secure_boot;
mod signatures;
mod support;
