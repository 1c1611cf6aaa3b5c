//! What long work tells whoever watches it.
//!
//! Libraries report through [`Observer`]; the command line draws bars or prints lines, tests
//! pass [`Silent`]. Work is told in stages, which may run side by side.
//!
//! ```
//! use fortress_progress::{Observer, Silent, Unit};
//! let stage = Silent.stage("download", Some(3), Unit::Items);
//! stage.advance(1);
//! ```

/// In what a stage's length and advance are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Things: packages, files, indexes.
    Items,
}

/// Whoever watches the work.
pub trait Observer: Send + Sync {
    /// A stage begins; it ends when the returned value is dropped. `total` is in `unit`, if known.
    fn stage(&self, name: &str, total: Option<u64>, unit: Unit) -> Box<dyn Stage>;
    /// Something the reader may want to know, in one line.
    fn note(&self, line: &str);
    /// Something the reader should look at, in one line.
    fn warn(&self, line: &str);
    /// Whether the work should stop (Ctrl-C); long loops ask and return their `Cancelled` error.
    fn cancelled(&self) -> bool {
        false
    }
}

/// A stage that is under way.
pub trait Stage: Send + Sync {
    /// So much more is done.
    fn advance(&self, amount: u64);
    /// What is being worked on just now.
    fn doing(&self, what: &str);
}

/// An observer that tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn stage(&self, _name: &str, _total: Option<u64>, _unit: Unit) -> Box<dyn Stage> {
        Box::new(Silent)
    }
    fn note(&self, _line: &str) {}
    fn warn(&self, _line: &str) {}
}

impl Stage for Silent {
    fn advance(&self, _amount: u64) {}
    fn doing(&self, _what: &str) {}
}
