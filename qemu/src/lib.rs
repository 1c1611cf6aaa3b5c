//! The boot harness.
