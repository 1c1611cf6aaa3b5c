//! Recipes, boards, bases and overlays as typed TOML, resolved into a plan.

mod base;
mod board;
mod check;
mod composition;
mod error;
mod explain;
mod library;
mod origin;
mod overlay;
mod plan;
mod recipe;
mod resolve;
mod section;
mod source;

pub use error::{Error, ErrorKind, Place, Result};
pub use library::{BaseSummary, BoardSummary, Library, RecipeSummary, Request};
pub use origin::{Origin, Sourced};
pub use plan::*;
