//! What boots: initrd, unified kernel image, boot loader files.

pub mod pe;
pub mod uki;
