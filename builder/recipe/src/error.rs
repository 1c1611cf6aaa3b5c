//! What can be wrong with a project's files, and with what is asked of them.

use std::fmt;
use std::path::PathBuf;

/// Result with this crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What is wrong, and where it is written.
///
/// Shown as `FILE:LINE:COLUMN: what is wrong`, then the line with the place underlined.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    place: Option<Place>,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// File as shown to people: relative to the project folder where it lies in it;
    /// `command line` for an option.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// The line, numbered, with the place underlined.
    pub excerpt: String,
}

/// What is wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A file or folder cannot be read.
    #[error("cannot read {file}: {source}")]
    Read {
        /// The file as shown to people.
        file: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file is larger than any recipe.
    #[error("cannot use {file}: it is larger than {limit} bytes")]
    TooLarge {
        /// The file as shown to people.
        file: String,
        /// The largest that is taken, in bytes.
        limit: u64,
    },
    /// A file is no UTF-8.
    #[error("not a text: byte 0x{byte:02x} is not UTF-8")]
    NotText {
        /// The first byte that does not belong.
        byte: u8,
    },
    /// A file is no TOML.
    #[error("not TOML: {message}")]
    Syntax {
        /// What the parser says.
        message: String,
    },
    /// A key that nobody knows.
    #[error("unknown key `{key}`{}{}", in_table(.within), did_you_mean(.nearest))]
    UnknownKey {
        /// The key.
        key: String,
        /// The table that it is in; empty: the file itself.
        within: String,
        /// The nearest known key.
        nearest: Option<String>,
        /// Every known key of that table.
        known: Vec<String>,
    },
    /// A key that must be there.
    #[error("`{key}` is missing{}", in_table(.within))]
    MissingKey {
        /// The key.
        key: String,
        /// The table that lacks it; empty: the file itself.
        within: String,
    },
    /// A value of another type than it must be.
    #[error("`{key}` is {got}; it must be {expected}")]
    WrongType {
        /// The key with the tables that it is in.
        key: String,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        got: &'static str,
    },
    /// A value that its key cannot have.
    #[error("`{key}` cannot be `{got}`: {why}")]
    BadValue {
        /// The key with the tables that it is in.
        key: String,
        /// The value.
        got: String,
        /// What is wrong with it, or what it must be.
        why: String,
    },
    /// A name of something that is not there.
    #[error("there is no {what} `{name}`{}", did_you_mean(.nearest))]
    Unknown {
        /// What was looked for: board, recipe, base, overlay, …
        what: &'static str,
        /// Its name.
        name: String,
        /// The nearest name that there is.
        nearest: Option<String>,
        /// All names that there are.
        known: Vec<String>,
    },
    /// The same thing twice.
    #[error("{what} `{name}` is there twice: first at {first}")]
    Duplicate {
        /// What it is.
        what: &'static str,
        /// Its name.
        name: String,
        /// Where it is the first time.
        first: String,
    },
    /// Two things of one file that cannot both be.
    #[error("{what} `{name}` cannot be both {one} and {other} (at {first})")]
    Contradiction {
        /// What it is.
        what: &'static str,
        /// Its name.
        name: String,
        /// What it is said to be here.
        one: &'static str,
        /// What it is said to be elsewhere.
        other: &'static str,
        /// Where that is.
        first: String,
    },
    /// A package is taken out that nobody put in.
    #[error(
        "cannot remove package `{name}`: no included recipe installs it{}",
        did_you_mean(.nearest)
    )]
    NothingToRemove {
        /// The package.
        name: String,
        /// The nearest package that is installed.
        nearest: Option<String>,
    },
    /// Recipes that include each other.
    #[error("recipes include each other in a circle: {}", .chain.join(" → "))]
    Cycle {
        /// Names of recipes; the first is the last.
        chain: Vec<String>,
    },
    /// A board that names no recipe, and none was asked for.
    #[error("board `{board}` names no recipe of its own: say which one to build")]
    NoRecipe {
        /// The board.
        board: String,
        /// All recipes that can be built.
        known: Vec<String>,
    },
    /// A recipe with no home base, and none was asked for.
    #[error("recipe `{recipe}` has no home base: say which one to build it from")]
    NoBase {
        /// The recipe.
        recipe: String,
        /// All bases.
        known: Vec<String>,
    },
    /// A kernel flavour for which the board names no packages of a base.
    #[error("board `{board}` names no packages of base `{base}` for kernel flavour `{flavour}`")]
    NoKernel {
        /// The board.
        board: String,
        /// The flavour.
        flavour: String,
        /// The base.
        base: String,
    },
    /// A recipe that is only there to be included.
    #[error("recipe `{recipe}` has no version: it is there to be included, not to be built")]
    NotAnImage {
        /// The recipe.
        recipe: String,
        /// All recipes that can be built.
        known: Vec<String>,
    },
    /// An overlay outside of the project.
    #[error("overlay `{name}` leaves the folder of overlays: {why}")]
    OverlayLeaves {
        /// The overlay.
        name: String,
        /// How it does.
        why: String,
    },
    /// A folder that is no project.
    #[error("{} is no project folder: it has no {missing} in it", .root.display())]
    NotAProject {
        /// The folder.
        root: PathBuf,
        /// What it lacks.
        missing: &'static str,
    },
    /// No project folder at or above a folder.
    #[error(
        "there is no project folder at or above {}: one has boards/ and recipes/ in it",
        .from.display()
    )]
    NoProject {
        /// Where the search began.
        from: PathBuf,
    },
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, place: Option<Place>) -> Self {
        Self(Box::new(Inner { kind, place }))
    }

    /// What is wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// Where it is written; none where it is about a whole file or folder.
    pub fn place(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }

    /// What to do about it, where more can be said than the message does.
    pub fn hint(&self) -> Option<String> {
        let list = |lead: &str, known: &[String]| {
            if known.is_empty() {
                None
            } else {
                Some(format!("{lead}: {}", known.join(", ")))
            }
        };
        match self.kind() {
            ErrorKind::UnknownKey { known, within, .. } if within.is_empty() => {
                list("known keys are", known)
            }
            ErrorKind::UnknownKey { known, within, .. } => {
                list(&format!("known keys of `{within}` are"), known)
            }
            ErrorKind::Unknown { known, .. } => list("there are", known),
            ErrorKind::NoRecipe { known, .. } | ErrorKind::NotAnImage { known, .. } => {
                list("recipes that can be built, with --recipe", known)
            }
            ErrorKind::NoBase { known, .. } => list("bases, with --base", known),
            ErrorKind::NoProject { .. } | ErrorKind::NotAProject { .. } => Some(
                "run it in a clone of the project, or say where one is with --project".to_owned(),
            ),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What was read is quoted here: it must not move the reader's terminal.
        let message = self
            .kind()
            .to_string()
            .replace(char::is_control, "\u{fffd}");
        match self.place() {
            Some(place) => write!(
                out,
                "{}:{}:{}: {message}\n{}",
                place.file, place.line, place.column, place.excerpt
            ),
            None => out.write_str(&message),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(self.kind())
    }
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

fn in_table(table: &str) -> String {
    if table.is_empty() {
        String::new()
    } else {
        format!(" in `{table}`")
    }
}

/// The name that was probably meant.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    known
        .into_iter()
        .map(|candidate| {
            (
                strsim::normalized_damerau_levenshtein(name, candidate),
                candidate,
            )
        })
        .filter(|(likeness, _)| *likeness >= 0.5)
        // The first of equals, whatever order floats would give.
        .reduce(|best, next| if next.0 > best.0 { next } else { best })
        .map(|(_, candidate)| candidate.to_owned())
}
