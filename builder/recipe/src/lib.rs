//! Recipes, boards, bases and overlays as typed TOML, resolved into a plan.
#![allow(dead_code)]

mod error;
mod library;
mod origin;
mod plan;
mod source;

pub use error::{Error, ErrorKind, Place, Result};
pub use library::{BaseSummary, BoardSummary, Library, RecipeSummary, Request};
pub use origin::{Origin, Sourced};
pub use plan::*;
