//! Debian packages: reading them, unpacking them into a tree with no script run, and the review
//! of the scripts that were not run.
//!
//! ```no_run
//! use fortress_package::{Archive, Options, Reviewed, review, unpack};
//! use fortress_tree::{Spool, Tree};
//! let archives = [Archive {
//!     name: "hello 2.10-3 amd64".into(),
//!     path: "hello_2.10-3_amd64.deb".into(),
//!     sha256: None,
//! }];
//! let spool = Spool::new("/var/tmp".as_ref())?;
//! let mut tree = Tree::new(1_700_000_000);
//! let packages = unpack(
//!     &archives,
//!     &mut tree,
//!     &spool,
//!     &Options::default(),
//!     &fortress_progress::Silent,
//! )?;
//! for finding in review(&packages, &Reviewed::from_toml("")?) {
//!     println!("{} {}: nobody has looked at it", finding.package, finding.script);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ar;
mod contents;
mod control;
mod deb;
mod decompress;
mod error;
mod merge;
mod options;
mod package;
mod relation;
mod review;
mod source;
mod tar;
mod unpack;
mod window;

pub use control::Control;
pub use error::{Error, Result};
pub use options::{Diversion, Limits, Options};
pub use package::{Archive, Package};
pub use review::{
    GENERATED_BLOCKS, GeneratedBlock, Reviewed, ReviewedScript, ScriptFinding, review,
};
pub use unpack::unpack;
