//! What a build is told beside its plan: none of it changes a byte of the image, but for the
//! choice of the lock, and the owner's keys.

use fortress_progress::Observer;
use fortress_store::{Client, Store};
use fortress_trust::{PublicKeys, Signer};
use std::path::PathBuf;

/// How a build treats its lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// A lock that fits is used; a missing or outdated one is made anew.
    Keep,
    /// A lock that fits is used; anything else is an error.
    Locked,
    /// A new lock is made.
    Update,
}

/// When an image is signed.
#[derive(Clone, Copy)]
pub enum Signing<'a> {
    /// As it is built, by this signer.
    Now(&'a dyn Signer),
    /// Later: [`crate::join`] puts the signatures in.
    Later,
}

/// What a build is told beside its plan.
#[derive(Clone)]
pub struct Settings<'a> {
    /// Where inputs are kept.
    pub store: &'a Store,
    /// How downloads are made.
    pub client: &'a Client,
    /// Who is told of the progress.
    pub observer: &'a dyn Observer,
    /// Mirrors to use in place of the found ones: the mirror's name in the base, and its URL.
    pub mirrors: Vec<(String, String)>,
    /// Where this machine's own apt sources are: `/etc`.
    pub machine_configuration: PathBuf,
    /// The lock file.
    pub lock_path: PathBuf,
    /// How it is treated.
    pub lock_mode: LockMode,
    /// The folder that artefacts go to.
    pub output: PathBuf,
    /// Whether maintainer scripts that nobody has reviewed stop the build.
    pub strict: bool,
    /// Public halves of the keys that the image is built for.
    pub keys: &'a PublicKeys,
    /// When it is signed.
    pub signing: Signing<'a>,
    /// Seconds since 1970, against which signatures and expiry dates are judged.
    pub now: i64,
}
