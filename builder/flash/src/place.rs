//! Where an image is to go, and whether it may.

use crate::disks::{Disk, System, Use};
use crate::{Error, Image, Result};
use rustix::fs::{major, minor};
use std::fmt;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A disk larger than this has to be named: 128 GiB, in bytes. The cards that are sold as 128 GB are
/// smaller.
pub const LARGE: u64 = 128 << 30;
/// The sectors that an image's partition table counts in, in bytes.
const SECTOR: u64 = 512;

/// Where an image is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A disk.
    Disk {
        /// Its device node.
        path: PathBuf,
        /// What is known of it.
        disk: Box<Disk>,
    },
    /// A file, as if it were a disk.
    File {
        /// Where it is, or will be.
        path: PathBuf,
        /// Its size in bytes; zero if there is none yet.
        size: u64,
        /// Whether there is anything in it.
        filled: bool,
    },
}

/// What the user has agreed to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Consent {
    /// The name of a disk that is large or not removable, or of a file that is not empty.
    pub name: Option<String>,
    /// File systems that are mounted may be unmounted.
    pub unmount: bool,
}

/// Why a disk must not be written to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The running system is on it.
    System {
        /// What of it.
        part: String,
    },
    /// File systems of it are mounted.
    Mounted {
        /// Where.
        points: Vec<PathBuf>,
    },
    /// Another disk stands on it, or a loop device shows it.
    Held {
        /// Which one.
        by: String,
    },
    /// It cannot be written to.
    ReadOnly,
    /// There is no medium in it.
    Empty,
    /// The image is larger.
    TooSmall {
        /// How large it is, in bytes.
        size: u64,
        /// How large the image is, in bytes.
        needed: u64,
    },
    /// Its sectors are larger than those that the image's partition table counts in.
    Sectors {
        /// How large, in bytes.
        size: u64,
    },
    /// It is a partition.
    Partition {
        /// Of this disk.
        of: String,
    },
    /// It is neither disk nor file.
    NoDisk,
    /// It is the image itself.
    Itself,
    /// Its name has to be given: too much may be on it.
    NeedsName {
        /// The name.
        name: String,
        /// What is special about it.
        reason: &'static str,
    },
    /// Another program has it locked.
    Locked,
    /// It is another disk, or another file, than a moment ago.
    Changed,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System { part } => {
                write!(formatter, "the running system is on it ({part})")
            }
            Self::Mounted { points } => {
                let points: Vec<String> = points
                    .iter()
                    .map(|point| point.display().to_string())
                    .collect();
                write!(formatter, "it is mounted on {}", points.join(", "))
            }
            Self::Held { by } => write!(formatter, "{by} stands on it"),
            Self::ReadOnly => write!(formatter, "it is read-only"),
            Self::Empty => write!(formatter, "there is no medium in it"),
            Self::TooSmall { size, needed } => write!(
                formatter,
                "it has {size} bytes, and the image needs {needed}"
            ),
            Self::Sectors { size } => write!(
                formatter,
                "its sectors have {size} bytes, and the image's partition table counts in sectors of \
                 {SECTOR}"
            ),
            Self::Partition { of } => write!(formatter, "it is a partition of {of}"),
            Self::NoDisk => write!(formatter, "it is neither a disk nor a file"),
            Self::Itself => write!(formatter, "it is the image itself"),
            Self::NeedsName { reason, .. } => write!(formatter, "{reason}"),
            Self::Locked => write!(formatter, "another program has it locked"),
            Self::Changed => write!(formatter, "it is another one than a moment ago"),
        }
    }
}

impl Refusal {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Mounted { .. } => "--unmount unmounts it first".into(),
            Self::Held { by } => {
                format!("close {by} first, if you are sure that it is the right disk")
            }
            Self::ReadOnly => "an SD card may have its little switch on \"lock\"".into(),
            Self::TooSmall { .. } => "take a larger one".into(),
            Self::Partition { of } => format!("an image is a whole disk: name /dev/{of}"),
            Self::NeedsName { name, .. } => format!(
                "everything on it will be lost; if it is the right one: --force-device {name}"
            ),
            Self::System { .. }
            | Self::Empty
            | Self::Sectors { .. }
            | Self::NoDisk
            | Self::Itself
            | Self::Locked
            | Self::Changed => return None,
        })
    }
}

impl Disk {
    /// Why an image of this length (in bytes) must not be written to it; none if it may. That its name
    /// has to be given is said only if nothing else speaks against it.
    pub fn refusal(&self, length: u64, consent: &Consent) -> Option<Refusal> {
        let system = self.uses.iter().find_map(|one| match one {
            Use::System { part } => Some(Refusal::System { part: part.clone() }),
            _ => None,
        });
        let points: Vec<PathBuf> = self.mount_points();
        // What stands on it may be what is mounted; unmounting alone does not close it.
        let held = self.uses.iter().find_map(|one| match one {
            Use::Held { by } => Some(Refusal::Held { by: by.clone() }),
            _ => None,
        });
        let mounted = (!points.is_empty()).then_some(Refusal::Mounted { points });
        system
            .or_else(|| mounted.filter(|_| !consent.unmount))
            .or(held)
            .or_else(|| (self.size == 0).then_some(Refusal::Empty))
            .or_else(|| self.read_only.then_some(Refusal::ReadOnly))
            .or_else(|| too_small(self.size, length))
            .or_else(|| (self.sector != SECTOR).then_some(Refusal::Sectors { size: self.sector }))
            .or_else(|| self.needs_name().filter(|_| !self.is_named(consent)))
    }

    /// Where file systems of it are mounted, what was mounted last first.
    pub(crate) fn mount_points(&self) -> Vec<PathBuf> {
        let points = self.uses.iter().filter_map(|one| match one {
            Use::Mounted { point } => Some(point.clone()),
            _ => None,
        });
        let mut points: Vec<PathBuf> = points.collect();
        // What is mounted below something has the longer path.
        points.sort_by_key(|point| std::cmp::Reverse(point.components().count()));
        points
    }

    /// That its name has to be given, and why.
    pub fn needs_name(&self) -> Option<Refusal> {
        let reason = match self {
            disk if !disk.removable => "it is not removable",
            disk if disk.size > LARGE => "it is larger than 128 GB",
            _ => return None,
        };
        let name = self.name.clone();
        Some(Refusal::NeedsName { name, reason })
    }

    fn is_named(&self, consent: &Consent) -> bool {
        names(consent, &self.name)
    }
}

/// Whether the name that was given is this one.
fn names(consent: &Consent, name: &str) -> bool {
    let given = consent.name.as_deref().unwrap_or_default();
    given.strip_prefix("/dev/").unwrap_or(given) == name
}

fn too_small(size: u64, needed: u64) -> Option<Refusal> {
    (size < needed).then_some(Refusal::TooSmall { size, needed })
}

impl Place {
    /// Whether it is the same disk or file as another one that was looked at, whatever uses it.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Disk { disk, .. }, Self::Disk { disk: other, .. }) => {
                (&disk.name, &disk.model, disk.size) == (&other.name, &other.model, other.size)
            }
            _ => self == other,
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        match self {
            Self::Disk { path, .. } | Self::File { path, .. } => path,
        }
    }

    /// Why the image must not be written there; none if it may.
    pub fn refusal(&self, image: &Image, consent: &Consent) -> Option<Refusal> {
        match self {
            Self::Disk { disk, .. } => disk.refusal(image.length(), consent),
            Self::File { path, size, filled } => {
                let file_name = path.file_name().unwrap_or_default().to_string_lossy();
                let named = names(consent, &file_name)
                    || consent.name.as_deref().map(Path::new) == Some(path);
                let itself = fs::metadata(path)
                    .is_ok_and(|there| (there.dev(), there.ino()) == image.identity());
                let small = (*size > 0).then(|| too_small(*size, image.length()));
                let needs_name = Refusal::NeedsName {
                    name: file_name.into_owned(),
                    reason: "there is something in that file",
                };
                itself
                    .then_some(Refusal::Itself)
                    .or_else(|| small.flatten())
                    .or_else(|| (*filled && !named).then_some(needs_name))
            }
        }
    }
}

impl System {
    /// What is at a path: a disk, or a file, which need not be there.
    ///
    /// # Errors
    /// When there is something else, or it cannot be told.
    pub fn place(&self, path: &Path) -> Result<Place> {
        let refused = |refusal| Error::Refused {
            place: path.display().to_string(),
            refusal: Box::new(refusal),
        };
        let failed = |source| Error::Open {
            path: path.to_owned(),
            source,
        };
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            // A device that is not there must not become a file in /dev.
            Err(error) if error.kind() == ErrorKind::NotFound && !path.starts_with("/dev") => {
                return Ok(Place::File {
                    path: path.to_owned(),
                    size: 0,
                    filled: false,
                });
            }
            Err(error) => return Err(failed(error)),
        };
        let kind = metadata.file_type();
        if kind.is_file() {
            let real = fs::canonicalize(path).map_err(failed)?;
            if let Some(by) = self.loop_of(&real)? {
                return Err(refused(Refusal::Held { by }));
            }
            return Ok(Place::File {
                path: path.to_owned(),
                size: metadata.len(),
                filled: is_filled(path, metadata.len()),
            });
        }
        if !kind.is_block_device() {
            return Err(refused(Refusal::NoDisk));
        }
        let number = metadata.rdev();
        let (name, disk) = self
            .device(major(number), minor(number))?
            .ok_or_else(|| refused(Refusal::NoDisk))?;
        if name != disk {
            return Err(refused(Refusal::Partition { of: disk }));
        }
        let disks = self.disks()?;
        let disk = disks.into_iter().find(|one| one.name == name);
        Ok(Place::Disk {
            path: path.to_owned(),
            disk: Box::new(disk.ok_or_else(|| refused(Refusal::NoDisk))?),
        })
    }
}

/// Whether there is anything in a file; what cannot be read may hold something.
fn is_filled(path: &Path, length: u64) -> bool {
    use rustix::fs::{SeekFrom, seek};
    let hole = File::open(path)
        .is_ok_and(|file| seek(&file, SeekFrom::Data(0)) == Err(rustix::io::Errno::NXIO));
    length > 0 && !hole
}
