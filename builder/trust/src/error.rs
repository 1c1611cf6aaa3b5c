//! What can go wrong with keys and signatures.

use crate::Role;
use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong with keys and signatures.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The key set lacks a key.
    #[error("there is no key for {role}")]
    NoKey {
        /// What it would be for.
        role: Role,
    },
    /// The key set has the public half of a key alone.
    #[error("cannot sign {what}: the key set in {} has no private half for {role}", folder.display())]
    NoPrivateKey {
        /// Whose signature was asked for.
        role: Role,
        /// On what.
        what: String,
        /// The key set.
        folder: PathBuf,
    },
    /// A certificate cannot be read.
    #[error("cannot read a certificate: {0}")]
    Certificate(String),
    /// A key cannot be read, made or written as text.
    #[error("{}: {reason}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file or folder cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was to be done with it.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// Why it cannot.
        source: io::Error,
    },
    /// There is no key set in a folder.
    #[error("there is no key set in {}", folder.display())]
    NoKeySet {
        /// The folder.
        folder: PathBuf,
    },
    /// Something is there already where a key set is to be made.
    #[error("cannot make a key set in {}: something is there already", folder.display())]
    AlreadyThere {
        /// The folder.
        folder: PathBuf,
    },
    /// Something is there already where public halves are to be written.
    #[error("cannot export into {}: something is there already", folder.display())]
    ExportThere {
        /// The folder.
        folder: PathBuf,
    },
    /// There is no home for key sets: neither `XDG_DATA_HOME` nor `HOME` is set.
    #[error("cannot tell where your keys are: neither XDG_DATA_HOME nor HOME is set")]
    NoHome,
    /// Others can read a private key, or replace it.
    #[error("{} can be {how} by others (mode {mode:04o})", path.display())]
    Exposed {
        /// The file or folder.
        path: PathBuf,
        /// What others can do to it.
        how: &'static str,
        /// Its permissions.
        mode: u32,
        /// What they should be.
        wanted: u32,
    },
    /// The two halves of a key do not belong together.
    #[error("{}: this is not the private half of the set's key for {role}", path.display())]
    Mismatch {
        /// The key.
        role: Role,
        /// The private half, or what stands for it.
        path: PathBuf,
    },
    /// A key that has a use already is to get another one.
    #[error(
        "cannot take this key for {role}: it is the set's key for {other}, and one key has one use"
    )]
    KeyInUse {
        /// What it is to be for.
        role: Role,
        /// What it is for.
        other: Role,
    },
    /// A passphrase is wrong.
    #[error("{}: the passphrase is wrong", path.display())]
    WrongPassphrase {
        /// The encrypted private key.
        path: PathBuf,
    },
    /// A passphrase was needed and cannot be had.
    #[error("cannot get the passphrase: {0}")]
    Passphrase(String),
    /// An owner's name that certificates cannot carry.
    #[error("the owner's name {name:?} cannot stand in a certificate: {reason}")]
    OwnerName {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A command that signs failed.
    #[error("cannot sign {what}: the command for {role} ({command}) {reason}")]
    Command {
        /// Whose signature was asked for.
        role: Role,
        /// On what.
        what: String,
        /// The command, without its arguments.
        command: String,
        /// What happened.
        reason: String,
    },
    /// A signature does not verify.
    #[error("the signature by {role} on {what} is wrong: the public key does not accept it")]
    WrongSignature {
        /// Whose signature it should be.
        role: Role,
        /// On what.
        what: String,
    },
    /// What is to be signed does not have the form that the algorithm takes.
    #[error(
        "cannot sign {what}: {role} signs SHA-256 digests of 32 bytes, and this is {length} bytes long"
    )]
    Payload {
        /// Whose signature was asked for.
        role: Role,
        /// On what.
        what: String,
        /// How long the payload is.
        length: usize,
    },
    /// A document (signatures, requests, a minisign file, …) is not what it should be.
    #[error("{kind}: {reason}")]
    Document {
        /// What it should be.
        kind: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Somebody stopped the work.
    #[error("interrupted")]
    Cancelled,
}

impl Error {
    /// What to do about it, where that can be said.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoKeySet { .. } => Some(
                "'fortress-build keys new' makes a key set; --keys names the folder of another one"
                    .into(),
            ),
            Self::AlreadyThere { folder } => Some(format!(
                "'fortress-build keys show' tells what is there, 'keys rotate' replaces single keys; \
                 to start over, move {} away yourself",
                folder.display()
            )),
            Self::Exposed { path, wanted, .. } => Some(format!(
                "chmod {wanted:o} {}; if anybody may have read it, 'fortress-build keys rotate'",
                path.display()
            )),
            Self::NoPrivateKey { .. } => Some(
                "sign where the private half is, or build with --sign later and join signatures made \
                 elsewhere"
                    .into(),
            ),
            Self::Mismatch { .. } => Some(
                "bring back the file that belongs there from your backup; retired keys are in \
                 retired/"
                    .into(),
            ),
            Self::ExportThere { .. } => Some("name a folder that does not exist yet".into()),
            Self::KeyInUse { .. } => Some("make another key in the token".into()),
            Self::NoKey { role } => Some(format!(
                "'fortress-build keys rotate {role}' makes one, if the key set is yours"
            )),
            Self::NoHome => Some("name the folder: --keys FOLDER".into()),
            _ => None,
        }
    }

    /// Whether somebody stopped the work.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }

    pub(crate) fn file(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File {
            action,
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn key(path: &Path, reason: impl ToString) -> Self {
        Self::Key {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
