//! What maintainer scripts would have done, done declaratively on the tree.
//!
//! Packages are unpacked and none of their code runs; the jobs of this crate do centrally what
//! the scripts would have done, each in a module of its own, each the same whatever the order of
//! the packages. [`configure`] runs all of them.
//!
//! ```
//! use fortress_configuration::{Settings, system};
//! use fortress_tree::{Tree, TreePath};
//! let mut tree = Tree::new(0);
//! tree.write(&TreePath::new("/usr/share/zoneinfo/Etc/UTC")?, 0o644, "TZif2")?;
//! system::run(&mut tree, &Settings { hostname: "fortress".into(), ..Settings::default() })?;
//! assert_eq!(tree.read_text(&TreePath::new("/etc/hostname")?)?, "fortress\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod alternatives;
pub mod apparmor;
pub mod audit;
pub mod catalog;
pub mod certificates;
pub mod database;
pub mod files;
pub mod glib;
pub mod hardware;
pub mod libraries;
pub mod modules;
pub mod name_services;
pub mod owners;
pub mod pam;
pub mod shells;
pub mod stamps;
pub mod state;
pub mod system;
pub mod tmpfiles;
pub mod trim;
pub mod units;
pub mod users;

mod configure;
mod data;
mod drop_in;
mod elf;
mod error;
mod fragments;
mod glob;
mod pattern;
mod place;
mod settings;
mod specifier;
mod strings;

pub use configure::{Done, Report, architecture, configure};
pub use data::{
    AlternativeRule, CopyRule, DirectoryRule, DiversionRule, FileRule, LinkRule, NameServiceRule,
    OwnerRule, PackageData, PackageRules, SlaveRule,
};
pub use error::{Error, Result};
pub use settings::{Identifiers, Settings, TrimSettings, UnitSettings};
