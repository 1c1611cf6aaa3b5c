//! Everything that can go wrong between an archive and a resolved, locked set of packages.

use crate::openpgp::Refusal;

/// Why an archive cannot be used, or a request cannot be met.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A document or an index cannot be had.
    #[error("cannot get the index of {suite} ({source_name}): {error}")]
    Fetch {
        /// [`Source`](crate::Source) name.
        source_name: String,
        /// Its suite.
        suite: String,
        /// Why.
        #[source]
        error: Box<fortress_store::Error>,
    },
    /// The store has nothing of this suite, and the network is not to be touched.
    #[error("cannot use {suite} ({source_name}) offline: the store remembers no index of it")]
    NotRemembered {
        /// Source name.
        source_name: String,
        /// Its suite.
        suite: String,
    },
    /// A source names no mirror.
    #[error("cannot use {suite} ({source_name}): it has no mirror")]
    NoMirror {
        /// Source name.
        source_name: String,
        /// Its suite.
        suite: String,
    },
    /// The keys of a source cannot be read.
    #[error("cannot read the keys of {source_name}: {reason}")]
    Keys {
        /// Source name.
        source_name: String,
        /// Why.
        reason: String,
    },
    /// The signed index of a suite is not one that may be trusted.
    #[error("cannot trust the index of {suite} ({source_name}) from {place}: {refusal}")]
    Untrusted {
        /// Source name.
        source_name: String,
        /// Its suite.
        suite: String,
        /// Where it came from.
        place: String,
        /// Why.
        refusal: Refusal,
    },
    /// The signed index says what does not fit the request, or is malformed.
    #[error("cannot use the index of {suite} ({source_name}): {reason}")]
    Release {
        /// Source name.
        source_name: String,
        /// Its suite.
        suite: String,
        /// Why.
        reason: ReleaseFault,
    },
    /// A package index is damaged or malformed.
    #[error("cannot read {index} of {suite}: {reason}")]
    Index {
        /// Its suite.
        suite: String,
        /// Which: `main/binary-amd64/Packages.xz`.
        index: String,
        /// Why, with the line where it is known.
        reason: String,
    },
    /// What was asked for cannot be understood.
    #[error("cannot read the request {text:?}: {reason}")]
    Request {
        /// The text in question.
        text: String,
        /// Why.
        reason: String,
    },
    /// No suite has a package of this name.
    #[error("no package is named {name}{}", nearest_names(.nearest))]
    UnknownPackage {
        /// The name in question.
        name: String,
        /// Names that are much like it, the nearest first.
        nearest: Vec<String>,
    },
    /// The packages asked for cannot be installed together.
    #[error("cannot install what was asked for:\n{explanation}")]
    Unsolvable {
        /// Who needs what, and what there is, a line each.
        explanation: String,
    },
    /// A lock cannot be read.
    #[error("cannot read the lock: {0}")]
    Lock(String),
    /// The lock names a source that the recipe does not.
    #[error(
        "cannot say where {package} is to come from: the lock names the source {source_name}, \
         which is not among {known}"
    )]
    UnknownSource {
        /// The locked package.
        package: String,
        /// Its source.
        source_name: String,
        /// Those there are.
        known: String,
    },
    /// The observer asked to stop.
    #[error("cancelled")]
    Cancelled,
}

/// What may be wrong with a signed index that does bear a good signature.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReleaseFault {
    /// It is not what the Debian repository format prescribes.
    #[error("{0}")]
    Malformed(String),
    /// It is that of another suite.
    #[error("it is that of another suite (Suite: {suite}, Codename: {codename})")]
    OtherSuite {
        /// Its Suite field.
        suite: String,
        /// Its Codename field.
        codename: String,
    },
    /// Its Valid-Until has passed.
    #[error(
        "it expired at {valid_until} (it is {now}); its mirror is out of date, or the clock is wrong"
    )]
    Expired {
        /// RFC 3339, UTC.
        valid_until: String,
        /// RFC 3339, UTC.
        now: String,
    },
    /// Its Date is more than a day ahead.
    #[error("it was made in the future, at {date} (it is {now}); the clock is wrong")]
    Future {
        /// RFC 3339, UTC.
        date: String,
        /// RFC 3339, UTC.
        now: String,
    },
    /// It has no such component.
    #[error("it has no component {component}; it has {known}")]
    NoComponent {
        /// The component asked for.
        component: String,
        /// Those there are.
        known: String,
    },
    /// It has no such architecture.
    #[error("it has no architecture {architecture}; it has {known}")]
    NoArchitecture {
        /// The architecture asked for.
        architecture: String,
        /// Those there are.
        known: String,
    },
    /// It names no package index of a component and an architecture in a form that we read.
    #[error("it lists no {0} as plain text, .xz, .gz or .zst with a SHA-256")]
    NoIndex(String),
}

impl Error {
    /// What to do about it, if there is something that helps.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Fetch { error, .. } => return error.hint(),
            Self::NotRemembered { .. } => {
                "build once with the network, or use a lock whose packages are in the store".into()
            }
            Self::NoMirror { source_name, .. } => {
                format!("name a mirror of {source_name} with --mirror or in the base")
            }
            Self::Untrusted { refusal, .. } => return refusal.hint(),
            Self::Release { reason, .. } => match reason {
                ReleaseFault::Expired { .. } => {
                    "use another mirror (--mirror), or a lock, which needs no index".into()
                }
                ReleaseFault::Future { .. } => "set the clock of this machine".into(),
                _ => return None,
            },
            Self::UnknownPackage { .. } => {
                "packages of other components or suites need those in the base".into()
            }
            Self::Lock(_) => "make it anew with --update".into(),
            Self::UnknownSource { .. } => {
                "the lock was made for another base; make it anew with --update".into()
            }
            _ => return None,
        })
    }
}

fn nearest_names(nearest: &[String]) -> String {
    match nearest {
        [] => String::new(),
        names => format!("; did you mean {}?", names.join(" or ")),
    }
}
