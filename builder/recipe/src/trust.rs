//! The recipe's section `[trust]`: what machines are to make of the owner's signatures.

use serde::Serialize;

use crate::error::Result;
use crate::origin::Sourced;
use crate::section::Section;
use crate::source::Located;

/// What machines are to make of the owner's signatures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trust {
    /// Secure Boot.
    pub secure_boot: SecureBoot,
    /// When the kernel asks for a signature of the root hash.
    pub verity_signature: Sourced<VeritySignature>,
}

/// How the owner's Secure Boot keys get into a machine's firmware.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecureBoot {
    /// What systemd-boot does on a machine in setup mode.
    pub enroll: Sourced<Enroll>,
    /// Whether Microsoft's certificates are enrolled beside the owner's.
    pub microsoft: Sourced<bool>,
}

/// What systemd-boot does with the owner's Secure Boot keys on a machine in setup mode
/// (`secure-boot-enroll` of loader.conf(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Enroll {
    /// Nothing.
    Off,
    /// It offers them in its menu.
    Manual,
    /// It enrols them by itself in virtual machines, and offers them in its menu elsewhere.
    IfSafe,
    /// It enrols them by itself, after a pause in which it can be stopped.
    Force,
}

impl Enroll {
    /// The word for it, in recipes as in loader.conf.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Manual => "manual",
            Self::IfSafe => "if-safe",
            Self::Force => "force",
        }
    }
}

/// When the kernel asks for a signature of the root hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum VeritySignature {
    /// On a machine that has Secure Boot on: there the kernel has the keys to check it.
    WithSecureBoot,
    /// Always: a machine whose firmware lacks the owner's keys does not start.
    Always,
}

/// What one file says of it.
#[derive(Debug, Default)]
pub(crate) struct TrustWishes {
    enroll: Option<Located<Enroll>>,
    microsoft: Option<Located<bool>>,
    verity_signature: Option<Located<VeritySignature>>,
}

impl TrustWishes {
    /// Reads the section.
    pub(crate) fn read(mut section: Section<'_>) -> Result<Self> {
        let mut secure_boot = section.section("secure-boot")?;
        let words = [Enroll::Off, Enroll::Manual, Enroll::IfSafe, Enroll::Force];
        let enroll = secure_boot
            .get("enroll")
            .map(|value| value.word(&words.map(|word| (word.as_str(), word))))
            .transpose()?;
        let microsoft = secure_boot.truth("microsoft")?;
        secure_boot.finish()?;
        let verity_signature = section
            .get("verity-signature")
            .map(|value| {
                value.word(&[
                    ("with-secure-boot", VeritySignature::WithSecureBoot),
                    ("always", VeritySignature::Always),
                ])
            })
            .transpose()?;
        section.finish()?;
        Ok(Self {
            enroll,
            microsoft,
            verity_signature,
        })
    }

    /// Lays later values over these.
    pub(crate) fn merge(&mut self, later: Self) {
        let Self {
            enroll,
            microsoft,
            verity_signature,
        } = later;
        self.enroll = enroll.or(self.enroll.take());
        self.microsoft = microsoft.or(self.microsoft.take());
        self.verity_signature = verity_signature.or(self.verity_signature.take());
    }

    /// What they come to.
    pub(crate) fn decided(self) -> Trust {
        fn or<T>(given: Option<Located<T>>, default: T) -> Sourced<T> {
            given.map_or_else(|| Sourced::default_value(default), Located::sourced)
        }
        Trust {
            secure_boot: SecureBoot {
                enroll: or(self.enroll, Enroll::IfSafe),
                microsoft: or(self.microsoft, false),
            },
            verity_signature: or(self.verity_signature, VeritySignature::WithSecureBoot),
        }
    }
}
