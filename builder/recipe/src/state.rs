//! The recipe's sections `[var]`, `[swap]` and `[data]`: what a machine keeps, and who can read it.

use serde::Serialize;

use crate::check;
use crate::composition::append;
use crate::error::{ErrorKind, Result};
use crate::origin::Sourced;
use crate::plan::Firmware;
use crate::section::Section;
use crate::source::Located;

/// The state partition, which the device makes at its first boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Var {
    /// File system.
    pub format: Sourced<VarFilesystem>,
    /// Least size in bytes.
    pub minimum_size: Sourced<u64>,
    /// How it is encrypted.
    pub encrypt: Sourced<Encryption>,
    /// What a machine without a TPM does, where `encrypt` is [`Encryption::Tpm2`].
    pub without_tpm: Sourced<WithoutTpm>,
    /// Whether keys are sealed in a TPM only where Secure Boot is on.
    pub secure_boot: Sourced<SealingDemand>,
}

impl Var {
    /// Whether some machine may seal keys in its TPM.
    pub fn uses_tpm(&self) -> bool {
        *self.encrypt == Encryption::Tpm2
    }

    /// Whether some machine may take its key from a USB stick.
    pub fn uses_key_file(&self) -> bool {
        *self.encrypt == Encryption::KeyFile
            || self.uses_tpm() && *self.without_tpm == WithoutTpm::KeyFile
    }
}

/// File system of the state partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VarFilesystem {
    /// ext4.
    Ext4,
}

/// How the state partition is encrypted: with LUKS2, and who holds the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encryption {
    /// The machine's TPM 2 does, and gives it to what the owner signed.
    Tpm2,
    /// The owner knows it, and types it at every boot.
    Passphrase,
    /// A USB stick does, which is there at every boot.
    KeyFile,
    /// It is not encrypted: whoever has the disk can read it.
    None,
}

impl Encryption {
    /// All of them, with their words in recipes.
    pub const WORDS: [(&'static str, Self); 4] = [
        ("tpm2", Self::Tpm2),
        ("passphrase", Self::Passphrase),
        ("key-file", Self::KeyFile),
        ("none", Self::None),
    ];

    /// Its word in recipes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tpm2 => "tpm2",
            Self::Passphrase => "passphrase",
            Self::KeyFile => "key-file",
            Self::None => "none",
        }
    }
}

/// What a machine does whose recipe wants a TPM and that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WithoutTpm {
    /// It does not come up.
    Refuse,
    /// As with [`Encryption::Passphrase`].
    Passphrase,
    /// As with [`Encryption::KeyFile`].
    KeyFile,
}

impl WithoutTpm {
    /// Its word in recipes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Passphrase => "passphrase",
            Self::KeyFile => "key-file",
        }
    }
}

/// What sealing keys in a TPM takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SealingDemand {
    /// Secure Boot has to be on. Without it whoever has the machine can make its TPM believe that
    /// it started what the owner signed.
    Demanded,
    /// Whatever the state of Secure Boot, which the key is then bound to.
    Optional,
}

impl SealingDemand {
    /// Its word in recipes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Demanded => "demanded",
            Self::Optional => "optional",
        }
    }
}

/// Room for memory that is put away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Swap {
    /// Size in bytes of the partition that the device makes at its first boot; none: no swap. It
    /// is encrypted as the state partition is.
    pub size: Option<Sourced<u64>>,
}

/// Drives beside the machine's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Data {
    /// Names of encrypted drives that the machine opens when it sees them; sorted.
    pub drives: Vec<Sourced<String>>,
}

/// What one file says of it.
#[derive(Debug, Default)]
pub(crate) struct StateWishes {
    format: Option<Located<VarFilesystem>>,
    minimum_size: Option<Located<u64>>,
    encrypt: Option<Located<Encryption>>,
    without_tpm: Option<Located<WithoutTpm>>,
    secure_boot: Option<Located<SealingDemand>>,
    swap_size: Option<Located<u64>>,
    drives: Vec<Located<String>>,
}

impl StateWishes {
    /// Reads what only a recipe may say: `[var]` and `[swap]`.
    pub(crate) fn read(&mut self, file: &mut Section<'_>) -> Result<()> {
        let mut var = file.section("var")?;
        self.format = var
            .get("format")
            .map(|value| value.word(&[("ext4", VarFilesystem::Ext4)]))
            .transpose()?;
        self.minimum_size = var
            .get("minimum-size")
            .map(|value| value.partition_size())
            .transpose()?;
        self.encrypt = var
            .get("encrypt")
            .map(|value| value.word(&Encryption::WORDS))
            .transpose()?;
        let without = [
            WithoutTpm::Refuse,
            WithoutTpm::Passphrase,
            WithoutTpm::KeyFile,
        ];
        self.without_tpm = var
            .get("without-tpm")
            .map(|value| value.word(&without.map(|word| (word.as_str(), word))))
            .transpose()?;
        let demands = [SealingDemand::Demanded, SealingDemand::Optional];
        self.secure_boot = var
            .get("secure-boot")
            .map(|value| value.word(&demands.map(|word| (word.as_str(), word))))
            .transpose()?;
        var.finish()?;
        let mut swap = file.section("swap")?;
        self.swap_size = swap
            .get("size")
            .map(|value| value.partition_size())
            .transpose()?;
        swap.finish()
    }

    /// Reads what a site file may say too: `[data]`.
    pub(crate) fn read_data(&mut self, mut section: Section<'_>) -> Result<()> {
        self.drives = section.checked("drives", check::drive)?;
        section.finish()
    }

    /// Lays later values over these.
    pub(crate) fn merge(&mut self, later: Self) {
        let Self {
            format,
            minimum_size,
            encrypt,
            without_tpm,
            secure_boot,
            swap_size,
            drives,
        } = later;
        self.format = format.or(self.format.take());
        self.minimum_size = minimum_size.or(self.minimum_size.take());
        self.encrypt = encrypt.or(self.encrypt.take());
        self.without_tpm = without_tpm.or(self.without_tpm.take());
        self.secure_boot = secure_boot.or(self.secure_boot.take());
        self.swap_size = swap_size.or(self.swap_size.take());
        append(&mut self.drives, drives);
    }

    /// What they come to on a board.
    ///
    /// # Errors
    /// An encryption that the board cannot have. Swap that is not encrypted.
    pub(crate) fn decided(
        self,
        board: &Located<String>,
        firmware: Firmware,
    ) -> Result<(Var, Swap, Data)> {
        fn or<T>(given: Option<Located<T>>, default: T) -> Sourced<T> {
            given.map_or_else(|| Sourced::default_value(default), Located::sourced)
        }
        let has_tpm = match firmware {
            Firmware::Uefi => true,
            Firmware::RaspberryPi => false,
        };
        // Nothing is left readable by whoever has the disk unless the recipe says it.
        let encrypt = match self.encrypt {
            Some(encrypt) if encrypt.value == Encryption::Tpm2 && !has_tpm => {
                return Err(encrypt.mark.error(ErrorKind::BadValue {
                    key: "var.encrypt".to_owned(),
                    got: Encryption::Tpm2.as_str().to_owned(),
                    why: format!(
                        "board {} has no TPM that firmware measures into; it can be passphrase, \
                         key-file or none",
                        board.value
                    ),
                }));
            }
            None if !has_tpm => Sourced::default_value(Encryption::KeyFile),
            given => or(given, Encryption::Tpm2),
        };
        if let Some(size) = &self.swap_size
            && encrypt.value == Encryption::None
        {
            return Err(size.mark.error(ErrorKind::BadValue {
                key: "swap.size".to_owned(),
                got: size.value.to_string(),
                why: "swap holds what is in memory, so it is there only where var.encrypt is not \
                      none"
                    .to_owned(),
            }));
        }
        let var = Var {
            format: or(self.format, VarFilesystem::Ext4),
            minimum_size: or(self.minimum_size, 512 << 20),
            encrypt,
            without_tpm: or(self.without_tpm, WithoutTpm::Refuse),
            secure_boot: or(self.secure_boot, SealingDemand::Demanded),
        };
        let mut drives: Vec<Sourced<String>> =
            self.drives.into_iter().map(Located::sourced).collect();
        drives.sort_by(|one, other| one.value.cmp(&other.value));
        let swap = Swap {
            size: self.swap_size.map(Located::sourced),
        };
        Ok((var, swap, Data { drives }))
    }
}
