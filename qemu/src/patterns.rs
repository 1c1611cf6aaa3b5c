//! Lines of a console that fail a boot.

use serde::Serialize;

/// A line that matched a pattern.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The pattern's name.
    pub pattern: String,
    /// What such a line means.
    pub why: String,
    /// The line.
    pub line: String,
    /// When it came, in seconds since power-on.
    pub seconds: f64,
    /// Why it does not fail the test, if it does not.
    pub allowed: Option<String>,
}
