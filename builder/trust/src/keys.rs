//! An owner's key set: a folder.
//!
//! | File | Holds |
//! |---|---|
//! | `keys.toml` | the owner's name, and commands that sign |
//! | `ROLE.pub.pem` | public half (SubjectPublicKeyInfo) |
//! | `ROLE.crt` | certificate, for the roles that have one |
//! | `ROLE.key.pem` | private half (PKCS#8), perhaps encrypted; absent where a command signs, and in exported sets |
//! | `retired/ROLE-DATE-FINGERPRINT/` | the same files of keys that were replaced |

mod certificate;
mod change;
mod export;
mod files;
mod generate;
mod open;
mod owner_signer;

pub use export::Export;
pub use generate::{Made, NewKeys};
pub use owner_signer::OwnerSigner;

use crate::{Error, Passphrase, PublicKeys, Result, Role};
use fortress_progress::Observer;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

/// The format of key sets that is written, and the only one that is read.
const FORMAT: u32 = 1;

/// An owner's key set.
#[derive(Debug, Clone)]
pub struct KeySet {
    folder: PathBuf,
    settings: Settings,
    public: PublicKeys,
    holders: BTreeMap<Role, Holder>,
}

/// Who has the private half of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// A file.
    File {
        /// Which.
        path: PathBuf,
        /// Whether a passphrase opens it.
        encrypted: bool,
    },
    /// A command signs with it.
    Command(Vec<String>),
    /// Nobody here: it can only be verified.
    Elsewhere,
}

/// `keys.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    format: u32,
    owner: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    roles: BTreeMap<Role, RoleSettings>,
}

/// `[roles.ROLE]` of `keys.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleSettings {
    command: Vec<String>,
}

impl KeySet {
    /// Where an owner's keys are, unless said otherwise: `fortress/keys` in the user's data folder.
    ///
    /// # Errors
    /// When neither `XDG_DATA_HOME` nor `HOME` is set.
    pub fn default_folder() -> Result<PathBuf> {
        let absolute = |name: &str| {
            let path = PathBuf::from(env::var_os(name)?);
            path.is_absolute().then_some(path)
        };
        let data = absolute("XDG_DATA_HOME")
            .or_else(|| Some(absolute("HOME")?.join(".local/share")))
            .ok_or(Error::NoHome)?;
        Ok(data.join("fortress/keys"))
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The owner's name.
    pub fn owner(&self) -> &str {
        &self.settings.owner
    }

    /// The public halves.
    pub fn public(&self) -> &PublicKeys {
        &self.public
    }

    /// Who has a key's private half.
    pub fn holder(&self, role: Role) -> &Holder {
        self.holders.get(&role).unwrap_or(&Holder::Elsewhere)
    }

    /// Whether a key's private half can be used from here.
    pub fn has_private(&self, role: Role) -> bool {
        *self.holder(role) != Holder::Elsewhere
    }

    /// Whether a passphrase is needed to sign.
    pub fn needs_passphrase(&self) -> bool {
        self.holders.values().any(|holder| {
            matches!(
                holder,
                Holder::File {
                    encrypted: true,
                    ..
                }
            )
        })
    }

    /// A signer by the keys of this set. `passphrase` is asked once, and only if a key is encrypted.
    /// The files' keys are read and held against their public halves here, so that what is wrong
    /// with them is told before any work is done.
    ///
    /// # Errors
    /// When a private half cannot be read, opened by the passphrase, or belongs to another key.
    pub fn signer<'a>(
        &'a self,
        passphrase: &dyn Fn() -> Result<Passphrase>,
        observer: &'a dyn Observer,
    ) -> Result<OwnerSigner<'a>> {
        let passphrase = match self.needs_passphrase() {
            true => Some(passphrase()?),
            false => None,
        };
        OwnerSigner::open(self, passphrase.as_ref(), observer)
    }
}
