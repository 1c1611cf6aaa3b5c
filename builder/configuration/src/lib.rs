//! What maintainer scripts would have done, done declaratively on the tree.
//!
//! Packages are unpacked and none of their code runs; the jobs of this crate do centrally what
//! the scripts would have done, each in a module of its own, each the same whatever the order of
//! the packages. [`configure`] runs all of them.

pub mod catalog;
pub mod hardware;
pub mod libraries;
pub mod modules;
pub mod units;

mod configure;
mod data;
mod error;
mod settings;

pub use configure::{Done, Report, configure};
pub use data::{
    AlternativeRule, CopyRule, DirectoryRule, DiversionRule, FileRule, LinkRule, NameServiceRule,
    OwnerRule, PackageData, PackageRules, SlaveRule,
};
pub use error::{Error, Result};
pub use settings::{Identifiers, Settings, TrimSettings, UnitSettings};
