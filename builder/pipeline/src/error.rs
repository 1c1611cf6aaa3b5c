//! What can go wrong with a build.

use fortress_recipe::Plan;
use fortress_trust::Role;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What can go wrong with a build. [`Error::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The archives: indexes, signatures, versions, dependencies.
    #[error(transparent)]
    Archive(#[from] fortress_archive::Error),
    /// The store and its downloads.
    #[error(transparent)]
    Store(#[from] fortress_store::Error),
    /// A package.
    #[error(transparent)]
    Package(#[from] fortress_package::Error),
    /// A job of the configuration.
    #[error(transparent)]
    Configuration(#[from] fortress_configuration::Error),
    /// The tree.
    #[error(transparent)]
    Tree(#[from] fortress_tree::Error),
    /// A file system.
    #[error(transparent)]
    Filesystem(#[from] fortress_filesystem::Error),
    /// The disk image.
    #[error(transparent)]
    Disk(#[from] fortress_disk::Error),
    /// The initrd.
    #[error(transparent)]
    Boot(#[from] fortress_boot::Error),
    /// The unified kernel image.
    #[error(transparent)]
    Uki(#[from] fortress_boot::uki::Error),
    /// A file of this machine.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The lock is asked to stay as it is, and does not fit.
    #[error("{}: {reason}", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why it does not do.
        reason: String,
    },
    /// The tree has not exactly one kernel.
    #[error("the image has {found}, and it needs one")]
    Kernel {
        /// What kernels there are.
        found: String,
    },
    /// The kernel cannot check what the recipe demands to be signed.
    #[error(
        "the recipe demands a signature of the root hash (trust.verity-signature), and kernel {kernel} \
         cannot check one with the firmware's certificates: its configuration has no \
         DM_VERITY_VERIFY_ROOTHASH_SIG_PLATFORM_KEYRING"
    )]
    RootSignature {
        /// The kernel.
        kernel: String,
    },
    /// A partition that cannot be filled.
    #[error("partition {partition}: {reason}")]
    Partition {
        /// Which partition of the board.
        partition: String,
        /// What is wrong.
        reason: String,
    },
    /// The board starts in a way that is not built yet.
    #[error("board {board}: firmware {firmware} cannot be built for")]
    Firmware {
        /// The board.
        board: String,
        /// How it starts.
        firmware: String,
    },
    /// A file that the firmware needs is not in the root.
    #[error("the boot image needs {file}: {reason}")]
    BootFile {
        /// The file.
        file: String,
        /// Who should have it.
        reason: String,
    },
    /// A boot image that the firmware would not load.
    #[error(
        "boot.img has {length} bytes, and board {board} loads {limit} at most (the kernel takes \
         {kernel}, the initrd {initrd})"
    )]
    BootImage {
        /// The board.
        board: String,
        /// Its length in bytes.
        length: u64,
        /// The board's limit in bytes.
        limit: u64,
        /// Bytes of the compressed kernel.
        kernel: u64,
        /// Bytes of the initrd.
        initrd: u64,
    },
    /// A kernel whose pages something cannot run with.
    #[error("kernel {kernel} has pages of {size}, and {by} needs {needed}")]
    PageSize {
        /// The kernel.
        kernel: String,
        /// Its page size.
        size: &'static str,
        /// The page size that it should have.
        needed: &'static str,
        /// Who needs it.
        by: String,
    },
    /// A document beside an image, or the image itself, is not what it should be.
    #[error("cannot use {}: {reason}", path.display())]
    Document {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An image is not what was built.
    #[error("cannot sign {}: {what} is not what its manifest says", path.display())]
    Damaged {
        /// The image.
        path: PathBuf,
        /// What of it.
        what: String,
    },
    /// The keys are not those that an image was built for.
    #[error("{what} is for other keys: its {role} key has SHA-256 {built}, and yours {}", given.as_deref().unwrap_or("is missing"))]
    OtherKeys {
        /// The image, or what of it is to be signed.
        what: String,
        /// The first role whose key differs.
        role: Role,
        /// The key that the image was built for.
        built: String,
        /// The key that there is.
        given: Option<String>,
    },
    /// Keys and signatures.
    #[error(transparent)]
    Trust(#[from] fortress_trust::Error),
    /// A document cannot be written.
    #[error("cannot write a document")]
    Json(#[from] serde_json::Error),
    /// A socket of the plan that is none.
    #[error(transparent)]
    Socket(#[from] crate::NoSocket),
    /// Scripts that nobody has reviewed, in a strict build.
    #[error("{} maintainer scripts have not been reviewed: {}", scripts.len(), scripts.join(", "))]
    Unreviewed {
        /// Each as `package (script)`.
        scripts: Vec<String>,
    },
    /// Kept data that cannot be read back or written.
    #[error("cannot keep the unpacked tree: {0}")]
    Kept(String),
    /// A value of the plan that cannot be, and who says it.
    #[error("{place}: {error}")]
    Said {
        /// File and line, or the option of the command line.
        place: String,
        /// Why it cannot be.
        error: Box<Error>,
    },
    /// Somebody asked to stop.
    #[error("cancelled")]
    Cancelled,
}

/// The operation that fills the output folder.
pub(crate) const WRITE_IMAGE: &str = "write the image into";

fn is_full(kind: ErrorKind) -> bool {
    use ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(kind, StorageFull | QuotaExceeded | FileTooLarge)
}

/// This crate's result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An input or output error with its path.
    pub(crate) fn io(
        operation: &'static str,
        path: impl Into<PathBuf>,
        source: std::io::Error,
    ) -> Self {
        Self::Io {
            operation,
            path: path.into(),
            source,
        }
    }

    /// Whether somebody asked to stop, wherever that was noticed.
    pub fn is_cancelled(&self) -> bool {
        use fortress_configuration::Error as Configuration;
        matches!(
            self,
            Self::Cancelled
                | Self::Archive(fortress_archive::Error::Cancelled)
                | Self::Store(fortress_store::Error::Cancelled)
                | Self::Package(fortress_package::Error::Cancelled)
                | Self::Configuration(Configuration::Cancelled)
                | Self::Boot(fortress_boot::Error::Configuration(
                    Configuration::Cancelled
                ))
                | Self::Filesystem(fortress_filesystem::Error::Cancelled(_))
                | Self::Trust(fortress_trust::Error::Cancelled)
        )
    }

    /// Whether the project's files say something that cannot be.
    pub fn is_of_recipe(&self) -> bool {
        match self {
            Self::Said { error, .. } => error.is_of_recipe(),
            Self::Tree(fortress_tree::Error::Overlay { .. })
            | Self::BootImage { .. }
            | Self::PageSize { .. }
            | Self::RootSignature { .. } => true,
            _ => self.setting().is_some(),
        }
    }

    /// The value of the recipe that is to blame.
    fn setting(&self) -> Option<&str> {
        use fortress_configuration::Error as Configuration;
        match self {
            Self::Archive(fortress_archive::Error::UnknownPackage { name, .. }) => Some(name),
            Self::Configuration(Configuration::Setting { value, .. })
            | Self::Boot(fortress_boot::Error::Configuration(Configuration::Setting {
                value,
                ..
            })) => Some(value),
            Self::BootFile { file, .. } => Some(file),
            _ => None,
        }
    }

    /// The same error with the place that says what cannot be, if the plan knows it.
    pub(crate) fn placed(self, plan: &Plan) -> Self {
        let Some(value) = self.setting() else {
            return self;
        };
        let rows = plan.explain();
        match rows.into_iter().find(|(_, said, _)| said == value) {
            Some((_, _, place)) => Self::Said {
                place,
                error: Box::new(self),
            },
            None => self,
        }
    }

    /// The same error with the folder that has no room left for the image, if that is what is
    /// wrong.
    pub(crate) fn in_folder(self, folder: &Path) -> Self {
        match self {
            Self::Filesystem(fortress_filesystem::Error::Full { source, .. })
            | Self::Disk(fortress_disk::Error::Full { source, .. }) => {
                Self::io(WRITE_IMAGE, folder, source)
            }
            other => other,
        }
    }

    /// What to do about it, where there is something to say beyond the message.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Said { error, .. } => error.hint(),
            Self::Archive(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::Trust(error) => error.hint(),
            Self::Damaged { .. } => Some("it was changed since it was built: build it again".into()),
            Self::OtherKeys { .. } => Some("'--keys FOLDER' names the key set; its public halves are enough to put signatures in ('fortress-build keys export')".into()),
            Self::Lock { .. } => Some("'--update' makes a new lock; leave '--locked' away to let a lock that does not fit be replaced".into()),
            Self::Kernel { .. } => Some("the board's [kernel] tables name the kernel packages; 'fortress-build plan' shows which one is used".into()),
            Self::BootImage { .. } => Some("modules that board and recipe name in [initrd] take room, and what '--set var.encrypt' chooses; the limit is the board's raspberry-pi.boot-image-limit".into()),
            Self::RootSignature { .. } => Some("leave trust.verity-signature at `with-secure-boot`, or take another kernel".into()),
            Self::PageSize { .. } => Some("the board's [kernel] tables, and kernel.packages of the recipe, choose the kernel".into()),
            Self::Unreviewed { .. } => Some("read each script and add it to recipes/reviewed-scripts.toml, or build without '--strict'".into()),
            Self::Io {
                operation: "create" | "write" | "replace" | WRITE_IMAGE,
                source,
                ..
            } if source.kind() == ErrorKind::PermissionDenied => {
                Some("choose another folder with '--output', one that you may write to".into())
            }
            Self::Io { source, .. } if is_full(source.kind()) => {
                Some("free some room ('fortress-build store gc' removes what no build has used lately), or choose another folder with '--output'".into())
            }
            _ if self.setting().is_some() => {
                Some("'fortress-build plan' shows every value and where it is said".into())
            }
            _ => None,
        }
    }
}
