//! What tests across the workspace share: the oracle root, in which the field's own tools run.

mod oracle;

pub use oracle::{Oracle, Outcome};
