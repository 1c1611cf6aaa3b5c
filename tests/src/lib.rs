//! What tests across the workspace share: the oracle root, in which the field's own tools run,
//! archives and packages made for a test, and the program itself.

mod archive;
mod deb;
mod gpg;
mod keys;
mod oracle;
mod program;
mod project;
mod ubuntu;

pub use archive::FixtureArchive;
pub use deb::{FixtureCompression, FixturePackage};
pub use gpg::Gpg;
pub use keys::{public_halves, strangers_keys, test_keys};
pub use oracle::{Oracle, Outcome};
pub use program::{Program, Ran, project_folder, target_folder, tool};
pub use project::{
    BENCH, BENCH_DOCUMENTS, BENCH_IMAGE, BENCH_MANIFEST, ProjectCopy, bench_arguments, bench_bytes,
    bench_lock, bench_names, bench_reference, names, store_of_downloads,
};
pub use ubuntu::UbuntuProject;
