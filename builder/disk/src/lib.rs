//! Disk images: GPT, dm-verity, sparse writing.
