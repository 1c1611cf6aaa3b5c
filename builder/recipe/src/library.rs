//! A project folder: its boards, recipes, bases and overlays.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::Result;
use crate::plan::Plan;

/// A project folder, with `boards/`, `recipes/`, `recipes/bases/`, `overlays/` and `keys/` in it.
#[derive(Debug, Clone)]
pub struct Library {
    root: PathBuf,
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Name of the board.
    pub board: String,
    /// Name of the recipe; none: the board's own.
    pub recipe: Option<String>,
    /// Name of the base; none: the recipe's home base.
    pub base: Option<String>,
    /// A file with what differs from device to device.
    pub site: Option<PathBuf>,
    /// `--set` options: a recipe's key, and a value in TOML (or plain text).
    pub sets: Vec<(String, String)>,
}

/// A board, for a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BoardSummary {
    /// Its name.
    pub name: String,
    /// What it is, in a line.
    pub description: String,
    /// Processor architecture.
    pub architecture: String,
    /// The recipe that it is built with unless another is asked for.
    pub recipe: Option<String>,
}

/// A recipe, for a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecipeSummary {
    /// Its name.
    pub name: String,
    /// What it is, in a line.
    pub description: String,
    /// Its version; none: it is only there to be included by others.
    pub version: Option<String>,
    /// Its home base.
    pub base: Option<String>,
    /// The recipes that it includes.
    pub include: Vec<String>,
}

/// A base, for a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BaseSummary {
    /// Its name.
    pub name: String,
    /// What it is, in a line.
    pub description: String,
    /// Distribution by the name that os-release gives.
    pub distribution: String,
    /// Release's code name.
    pub release: String,
}

impl Library {
    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Resolves a request.
    pub fn plan(&self, request: &Request) -> Result<Plan> {
        Err(crate::error::Error::new(
            crate::error::ErrorKind::NoProject {
                from: request.board.clone().into(),
            },
            None,
        ))
    }
}
