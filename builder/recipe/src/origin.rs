//! Where a value of the plan was said.

use std::fmt;

use serde::{Serialize, Serializer};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// Nobody said it: what the builder takes when the files are silent.
    Default,
    /// A file of the project, or the site file.
    File {
        /// Path as shown to people: relative to the project folder where it lies in it.
        file: String,
        /// Line, from 1.
        line: u32,
    },
    /// An option of the command line.
    CommandLine {
        /// The option: `--board x86`; for `--set` the TOML that it means, `image.slots = 1`.
        option: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => out.write_str("default"),
            Self::File { file, line } => write!(out, "{file}:{line}"),
            Self::CommandLine { option } => write!(out, "command line: {option}"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A value, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Who said so.
    pub origin: Origin,
}

impl<T> Sourced<T> {
    /// A value with its origin.
    pub fn new(value: T, origin: Origin) -> Self {
        Self { value, origin }
    }

    /// A value that nobody gave.
    pub fn default_value(value: T) -> Self {
        Self::new(value, Origin::Default)
    }

    /// The same origin, another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Sourced<U> {
        Sourced::new(change(self.value), self.origin)
    }
}

impl<T> std::ops::Deref for Sourced<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
