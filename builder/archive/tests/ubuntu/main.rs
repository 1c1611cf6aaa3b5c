//! An archive in Ubuntu's shape, made and signed by the tests: what comes of a good one, and of
//! bad ones.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that panics has failed"
)]

mod hostile;
mod pockets;
mod world;
