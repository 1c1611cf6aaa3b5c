//! What this machine lacks for a boot test.

use crate::machine::Architecture;
use serde::Serialize;

/// What is to be looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoctorOptions {
    /// The architectures that are to be tested.
    pub architectures: Vec<Architecture>,
}

/// One thing that a boot test needs or is better with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Need {
    /// What it is.
    pub what: String,
    /// Whether it is there and usable.
    pub present: bool,
    /// Whether tests run without it, if only slower.
    pub optional: bool,
    /// Where it is and which version, or what is wrong with it.
    pub detail: String,
    /// The line that installs it or puts it right, when it is not there.
    pub install: Option<String>,
}
