//! The chain of trust, attacked: machines with Secure Boot and a TPM under QEMU. What boots is what
//! its owner signed; what was changed does not boot, or does not get at the state.
//!
//! One machine is set up once: it enrols the owner's keys, seals its state, and starts a second time
//! with nobody present. Each attack starts from a copy of it, and ends at the first line that says
//! what came of it. Tests run two at a time, as there are processors here.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

mod attack;
mod fixture;
mod programs;
mod root;
mod state;
