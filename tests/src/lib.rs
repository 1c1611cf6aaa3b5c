//! What tests across the workspace share: the oracle root, in which the field's own tools run.

mod archive;
mod deb;
mod gpg;
mod oracle;

pub use archive::FixtureArchive;
pub use deb::{FixtureCompression, FixturePackage};
pub use gpg::Gpg;
pub use oracle::{Oracle, Outcome};
