//! Signed formats, held against the field's tools and against damage.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod authenticode;
mod cms;
mod owner;
mod pcr;
mod verity;
