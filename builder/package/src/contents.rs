//! What a package's data.tar holds, checked as far as the package alone tells: every path lies
//! in the tree, and no entry lies behind another that is no directory.

use crate::ar;
use crate::deb::Shared;
use crate::tar::{Entry, EntryKind, Reader};
use crate::window::Window;
use crate::{Error, Limits, Result};
use fortress_tree::{Content, Kind, Metadata, TreePath};
use std::collections::HashMap;

/// What is at a path that a package ships.
#[derive(Debug)]
pub(crate) enum Shipped {
    /// Anything but a hard link.
    Node(Kind),
    /// A hard link to the regular file with this index.
    HardLink(usize),
}

/// An entry of data.tar, ready for the tree.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) path: TreePath,
    pub(crate) metadata: Metadata,
    pub(crate) shipped: Shipped,
}

/// The entries of data.tar in their order.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) items: Vec<Item>,
}

impl Contents {
    /// Reads data.tar; files go to the spool.
    pub(crate) fn read(archive: &str, mut window: Window<'_>, shared: &Shared<'_>) -> Result<Self> {
        let reader = Reader::new(archive, ar::DATA);
        let limits = &shared.options.limits;
        let mut items: Vec<Item> = Vec::new();
        let mut places = Places::default();
        let mut names = 0;
        while let Some(entry) = reader.next(&mut window)? {
            names += entry.names;
            check_limits(archive, limits, items.len() + 1, names)?;
            let refuse = |reason: String| Error::Refused {
                archive: archive.to_owned(),
                path: entry.path.to_string(),
                reason,
            };
            let is_directory = entry.kind == EntryKind::Directory;
            let index = items.len();
            let is_new = places.add(&entry.path, is_directory, index);
            if !is_new.map_err(refuse)? {
                continue;
            }
            let shipped = match &entry.kind {
                EntryKind::File(length) => {
                    window.keep(index, *length)?;
                    Shipped::Node(Kind::File(Content::from(Vec::new())))
                }
                EntryKind::Directory => Shipped::Node(Kind::Directory),
                EntryKind::Symlink(target) => Shipped::Node(Kind::Symlink(target.clone())),
                EntryKind::HardLink(target) => {
                    // A link to itself finds its own index, at which there is no entry yet.
                    let file = places.file(target);
                    let shipped = file.and_then(|file| Some((file, &items.get(file)?.shipped)));
                    match shipped {
                        Some((file, Shipped::Node(Kind::File(_)))) => Shipped::HardLink(file),
                        Some((_, Shipped::HardLink(file))) => Shipped::HardLink(*file),
                        _ => {
                            return Err(refuse(format!(
                                "is a hard link to {target}, which is no file that the package \
                                 ships before it"
                            )));
                        }
                    }
                }
                _ if !shared.options.allow_devices => {
                    return Err(refuse("is a device node or named pipe".into()));
                }
                EntryKind::Device(false, major, minor) => Shipped::Node(Kind::CharacterDevice {
                    major: *major,
                    minor: *minor,
                }),
                EntryKind::Device(true, major, minor) => Shipped::Node(Kind::BlockDevice {
                    major: *major,
                    minor: *minor,
                }),
                EntryKind::Fifo => Shipped::Node(Kind::Fifo),
            };
            let Entry { path, metadata, .. } = entry;
            items.push(Item {
                path,
                metadata,
                shipped,
            });
        }
        for (index, content) in window.finish()? {
            items[index].shipped = Shipped::Node(Kind::File(content));
        }
        Ok(Self { items })
    }

    /// The paths as dpkg lists them.
    pub(crate) fn listed(&self) -> Vec<String> {
        let listed = |item: &Item| match item.path.is_root() {
            true => "/.".to_owned(),
            false => item.path.as_str().to_owned(),
        };
        self.items.iter().map(listed).collect()
    }
}

fn check_limits(archive: &str, limits: &Limits, entries: usize, names: u64) -> Result<()> {
    let limit = |what, got, limit| Error::Limit {
        archive: archive.to_owned(),
        what,
        got,
        limit,
    };
    if entries > limits.entries {
        return Err(limit("entries", entries as u64, limits.entries as u64));
    }
    if names > limits.names {
        return Err(limit("bytes of names and attributes", names, limits.names));
    }
    Ok(())
}

/// What is at a path of the package, while it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A directory that the package ships.
    Directory,
    /// A directory that must be there because something of the package lies in it.
    Parent,
    /// Something else, the entry with this index.
    Leaf(usize),
}

/// The paths of one package.
#[derive(Debug, Default)]
struct Places(HashMap<TreePath, Place>);

impl Places {
    /// Adds a path; false when it is a directory that came before. The error says what is wrong.
    fn add(
        &mut self,
        path: &TreePath,
        is_directory: bool,
        index: usize,
    ) -> std::result::Result<bool, String> {
        let place = match is_directory {
            true => Place::Directory,
            false => Place::Leaf(index),
        };
        if path.is_root() && !is_directory {
            return Err("is the root, but no directory".into());
        }
        match (self.0.insert(path.clone(), place), place) {
            (None | Some(Place::Parent), Place::Directory) => {}
            (None, Place::Leaf(_)) => {}
            (Some(Place::Directory), Place::Directory) => return Ok(false),
            (Some(Place::Leaf(_)), _) => return Err("comes twice".into()),
            _ => return Err("takes the place of a directory of the same package".into()),
        }
        let mut above = path.parent();
        while let Some(parent) = above {
            match self.0.get(&parent) {
                None => {
                    above = parent.parent();
                    self.0.insert(parent, Place::Parent);
                }
                Some(Place::Leaf(_)) => {
                    return Err(format!(
                        "lies behind {parent}, which is no directory in the same package"
                    ));
                }
                Some(Place::Directory | Place::Parent) => break,
            }
        }
        Ok(true)
    }

    /// The index of what is no directory at a path.
    fn file(&self, path: &TreePath) -> Option<usize> {
        match self.0.get(path) {
            Some(Place::Leaf(index)) => Some(*index),
            _ => None,
        }
    }
}
