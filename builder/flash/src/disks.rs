//! The disks of a machine, as the kernel tells of them in sysfs, and what uses them.

use crate::mounts::{self, Mount};
use crate::{Error, Result};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Deepest pile of disks on disks that is followed.
const DEEPEST: usize = 16;
/// What a running system cannot do without.
const SYSTEM: [&str; 10] = [
    "/",
    "/usr",
    "/etc",
    "/var",
    "/home",
    "/nix",
    "/boot",
    "/boot/efi",
    "/boot/firmware",
    "/efi",
];

/// Where the kernel tells of disks: `/sys` and `/proc` below a folder.
#[derive(Debug, Clone)]
pub struct System {
    root: PathBuf,
}

/// A disk: a whole one, and no partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// The kernel's name: `sdb`, `mmcblk0`, `nvme0n1`.
    pub name: String,
    /// Size in bytes; zero if there is no medium in it.
    pub size: u64,
    /// Who made it, and what it is called; empty if it does not say.
    pub model: String,
    /// How it is connected.
    pub bus: Bus,
    /// Whether it is there to be taken out: the kernel says so, it is on USB, or is an SD card.
    pub removable: bool,
    /// Whether it cannot be written to.
    pub read_only: bool,
    /// Size of its logical sectors in bytes.
    pub sector: u64,
    /// What uses it.
    pub uses: Vec<Use>,
}

/// How a disk is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bus {
    /// USB.
    Usb,
    /// SD card or eMMC.
    Mmc,
    /// NVMe.
    Nvme,
    /// SATA and its forerunners.
    Ata,
    /// A virtual machine's.
    Virtio,
    /// A file as a disk.
    Loop,
    /// The device mapper: encryption, logical volumes.
    DeviceMapper,
    /// Several disks as one.
    Raid,
    /// Anything else.
    Other,
}

impl fmt::Display for Bus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Usb => "USB",
            Self::Mmc => "SD/MMC",
            Self::Nvme => "NVMe",
            Self::Ata => "ATA",
            Self::Virtio => "virtio",
            Self::Loop => "loop",
            Self::DeviceMapper => "dm",
            Self::Raid => "RAID",
            Self::Other => "other",
        })
    }
}

/// What uses a disk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case", tag = "use")]
pub enum Use {
    /// The running system is on it.
    System {
        /// What of it: `/`, `/boot/efi`, swap.
        part: String,
    },
    /// A file system of it is mounted.
    Mounted {
        /// Where.
        point: PathBuf,
    },
    /// Another disk stands on it: encryption, a logical volume, a RAID.
    Held {
        /// The other disk's name.
        by: String,
    },
}

/// A disk or a partition by its number.
#[derive(Debug, Clone)]
struct Node {
    name: String,
    /// The disk that it is, or is a partition of.
    disk: String,
}

/// Everything that is known of disks at one moment.
struct Survey {
    folder: PathBuf,
    nodes: BTreeMap<String, Node>,
    mounts: Vec<Mount>,
    swaps: Vec<String>,
}

impl System {
    /// This machine.
    pub fn here() -> Self {
        Self::at(Path::new("/"))
    }

    /// A machine whose `/sys` and `/proc` are in this folder.
    pub fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// The disks that there are, by their names.
    ///
    /// # Errors
    /// When the kernel's files cannot be read.
    pub fn disks(&self) -> Result<Vec<Disk>> {
        let survey = self.survey()?;
        let mut names: Vec<&str> = survey
            .nodes
            .values()
            .filter(|node| node.name == node.disk)
            .map(|node| node.name.as_str())
            .collect();
        names.sort_unstable_by_key(|name| order(name));
        let uses = survey.uses();
        let disks = names.into_iter().filter_map(|name| {
            let mut disk = survey.disk(name)?;
            disk.uses = uses.get(name).cloned().unwrap_or_default();
            Some(disk)
        });
        Ok(disks.collect())
    }

    /// The name of the device with this number, and of the disk that it is or is a part of.
    pub(crate) fn device(&self, major: u32, minor: u32) -> Result<Option<(String, String)>> {
        let survey = self.survey()?;
        let node = survey.nodes.get(&format!("{major}:{minor}"));
        Ok(node.map(|node| (node.name.clone(), node.disk.clone())))
    }

    /// The loop device that shows a file as a disk, if there is one.
    pub(crate) fn loop_of(&self, file: &Path) -> Result<Option<String>> {
        let survey = self.survey()?;
        let found = survey.nodes.values().find(|node| {
            let backing = survey.text(&node.disk, "loop/backing_file");
            !backing.is_empty() && Path::new(&backing) == file
        });
        Ok(found.map(|node| node.disk.clone()))
    }

    fn survey(&self) -> Result<Survey> {
        let folder = self.root.join("sys/block");
        let mut nodes = BTreeMap::new();
        for disk in names(&folder)? {
            let mut add = |path: &Path, name: &str| {
                if let Ok(number) = fs::read_to_string(path.join("dev")) {
                    let node = Node {
                        name: name.to_owned(),
                        disk: disk.clone(),
                    };
                    nodes.insert(number.trim().to_owned(), node);
                }
            };
            let path = folder.join(&disk);
            add(&path, &disk);
            // A disk may have gone since its name was read.
            for part in names(&path).unwrap_or_default() {
                let part_path = path.join(&part);
                if part_path.join("partition").exists() {
                    add(&part_path, &part);
                }
            }
        }
        let read = |path: &str| {
            let path = self.root.join(path);
            match fs::read_to_string(&path) {
                Ok(text) => Ok(text),
                // A kernel without swap.
                Err(error) if error.kind() == ErrorKind::NotFound && path.ends_with("swaps") => {
                    Ok(String::new())
                }
                Err(source) => Err(Error::System { path, source }),
            }
        };
        Ok(Survey {
            folder,
            nodes,
            mounts: mounts::mounts(&read("proc/self/mountinfo")?),
            swaps: mounts::swaps(&read("proc/swaps")?),
        })
    }
}

impl Survey {
    /// A disk by its name; none if it is no disk, or gone.
    fn disk(&self, name: &str) -> Option<Disk> {
        let number = |file: &str| self.text(name, file).parse::<u64>().ok();
        let path = fs::canonicalize(self.folder.join(name)).ok()?;
        let bus = bus(name, &path.to_string_lossy());
        let model = ["device/vendor", "device/model", "device/name"]
            .map(|file| self.text(name, file))
            .join(" ");
        let words: Vec<&str> = model.split_whitespace().collect();
        let flag = number("removable") == Some(1);
        let card = bus == Bus::Mmc && self.text(name, "device/type") == "SD";
        Some(Disk {
            name: name.to_owned(),
            // Always in units of 512 bytes, whatever its sectors are.
            size: number("size")?.saturating_mul(512),
            // ATA is what the kernel calls the maker of all SATA disks.
            model: words.join(" ").trim_start_matches("ATA ").to_owned(),
            bus,
            removable: flag || card || bus == Bus::Usb,
            read_only: number("ro") != Some(0),
            sector: number("queue/logical_block_size").unwrap_or(512),
            uses: Vec::new(),
        })
    }

    /// What uses each disk.
    fn uses(&self) -> BTreeMap<String, Vec<Use>> {
        let mut found: BTreeMap<String, BTreeSet<Use>> = BTreeMap::new();
        let mut add = |name: Option<&Node>, what: &Use| {
            for disk in name.map(|node| self.below(node)).unwrap_or_default() {
                found.entry(disk).or_default().insert(what.clone());
            }
        };
        for mount in &self.mounts {
            let node = self.nodes.get(&mount.device);
            let node = node.or_else(|| self.named(&mount.source));
            let system = SYSTEM.iter().any(|part| mount.point == Path::new(part));
            add(
                node,
                &match system {
                    true => Use::System {
                        part: mount.point.to_string_lossy().into_owned(),
                    },
                    false => Use::Mounted {
                        point: mount.point.clone(),
                    },
                },
            );
        }
        for swap in &self.swaps {
            let part = "swap".into();
            add(self.named(swap), &Use::System { part });
        }
        for node in self.nodes.values() {
            let mut path = self.folder.join(&node.disk);
            if node.name != node.disk {
                path.push(&node.name);
            }
            for by in names(&path.join("holders")).unwrap_or_default() {
                let title = self.text(&by, "dm/name");
                let by = match title.is_empty() {
                    true => by,
                    false => format!("{by} ({title})"),
                };
                let uses = found.entry(node.disk.clone()).or_default();
                uses.insert(Use::Held { by });
            }
        }
        found
            .into_iter()
            .map(|(name, uses)| (name, uses.into_iter().collect()))
            .collect()
    }

    /// The device of a path in `/dev`.
    fn named(&self, path: &str) -> Option<&Node> {
        let name = path.strip_prefix("/dev/")?;
        let mapped = name.strip_prefix("mapper/");
        self.nodes.values().find(|node| match mapped {
            Some(title) => self.text(&node.disk, "dm/name") == title,
            None => node.name == name.replace('/', "!"),
        })
    }

    /// The disk of a device, and all disks that it stands on.
    fn below(&self, node: &Node) -> BTreeSet<String> {
        let mut disks = BTreeSet::new();
        let mut next = vec![node.disk.clone()];
        for _ in 0..DEEPEST {
            let mut deeper = Vec::new();
            for disk in next.drain(..) {
                for slave in names(&self.folder.join(&disk).join("slaves")).unwrap_or_default() {
                    let node = self.nodes.values().find(|node| node.name == slave);
                    deeper.extend(node.map(|node| node.disk.clone()));
                }
                let backing = self.text(&disk, "loop/backing_file");
                deeper.extend(self.disk_of_file(Path::new(&backing)));
                disks.insert(disk);
            }
            deeper.retain(|disk| !disks.contains(disk));
            next = deeper;
        }
        disks
    }

    /// The disk whose file system a file is in.
    fn disk_of_file(&self, file: &Path) -> Option<String> {
        let mounts = self.mounts.iter();
        // Of two mounted on the same place, the later one is seen.
        let mount = mounts
            .filter(|mount| file.starts_with(&mount.point))
            .max_by_key(|mount| mount.point.components().count())?;
        let node = self.nodes.get(&mount.device);
        let node = node.or_else(|| self.named(&mount.source))?;
        Some(node.disk.clone())
    }

    /// What a file of a disk says, without blanks around it; nothing if there is none.
    fn text(&self, disk: &str, file: &str) -> String {
        let text = fs::read_to_string(self.folder.join(disk).join(file));
        text.unwrap_or_default().trim().to_owned()
    }
}

/// How a disk is connected, by its name and where it is among the devices.
fn bus(name: &str, path: &str) -> Bus {
    // A card reader on USB is USB; what is nearest to the disk comes last in the path.
    let buses = [
        ("/usb", Bus::Usb),
        ("/mmc_host/", Bus::Mmc),
        ("/nvme", Bus::Nvme),
        ("/ata", Bus::Ata),
        ("/virtio", Bus::Virtio),
    ];
    let virtuals = [
        ("loop", Bus::Loop),
        ("dm-", Bus::DeviceMapper),
        ("md", Bus::Raid),
    ];
    match path.contains("/virtual/block/") {
        true => virtuals
            .iter()
            .find(|(start, _)| name.starts_with(start))
            .map_or(Bus::Other, |(_, bus)| *bus),
        false => buses
            .iter()
            .find(|(part, _)| path.contains(part))
            .map_or(Bus::Other, |(_, bus)| *bus),
    }
}

/// Sorts `sdaa` behind `sdz`, and `loop10` behind `loop9`.
fn order(name: &str) -> (String, usize, String) {
    let digits = name.trim_start_matches(|letter: char| !letter.is_ascii_digit());
    let kind = name.strip_suffix(digits).unwrap_or(name);
    let kind: String = kind.chars().take(2).collect();
    (kind, name.len(), name.to_owned())
}

/// The names in a folder.
fn names(folder: &Path) -> Result<Vec<String>> {
    let failed = |source| Error::System {
        path: folder.to_owned(),
        source,
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        names.extend(name.into_string());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests;
