//! Reading a folder of the host as it is, owners and all: to compare a tree with one that other
//! tools have made.

use crate::{Content, Error, Kind, Metadata, Node, Result, Tree, TreePath};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Longest extended attribute, in bytes (XATTR_SIZE_MAX of Linux).
const LONGEST_ATTRIBUTE: usize = 64 * 1024;

impl Tree {
    /// A tree that has what a folder of the host has: owners, modes, times, extended attributes,
    /// devices, links. Of the names of a file the first in order is the file, the others are
    /// hard links. Contents stay where they are.
    ///
    /// # Errors
    /// When something cannot be read, is a socket, or has a name that is not UTF-8.
    pub fn load(folder: &Path, epoch: i64) -> Result<Self> {
        let mut tree = Self::new(epoch);
        let mut names = HashMap::new();
        load(&mut tree, &mut names, folder, TreePath::root())?;
        Ok(tree)
    }
}

fn load(
    tree: &mut Tree,
    names: &mut HashMap<(u64, u64), TreePath>,
    host: &Path,
    path: TreePath,
) -> Result<()> {
    let failed = |source| Error::Io {
        operation: "read",
        what: host.display().to_string(),
        source,
    };
    let metadata = fs::symlink_metadata(host).map_err(failed)?;
    let kind = metadata.file_type();
    let text = |text: std::ffi::OsString| {
        let text = text.into_string();
        text.map_err(|_| failed(io::Error::other("a name in it is not UTF-8")))
    };
    let device = metadata.rdev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let mut children = Vec::new();
    let kind = if kind.is_dir() {
        for entry in fs::read_dir(host).map_err(failed)? {
            children.push(text(entry.map_err(failed)?.file_name())?);
        }
        children.sort();
        Kind::Directory
    } else if kind.is_symlink() {
        Kind::Symlink(text(fs::read_link(host).map_err(failed)?.into_os_string())?)
    } else if kind.is_file() {
        let identity = (metadata.dev(), metadata.ino());
        match names.get(&identity) {
            Some(file) => Kind::HardLink(file.clone()),
            None => {
                if metadata.nlink() > 1 {
                    names.insert(identity, path.clone());
                }
                Kind::File(Content::host_file(host)?)
            }
        }
    } else if kind.is_char_device() {
        Kind::CharacterDevice { major, minor }
    } else if kind.is_block_device() {
        Kind::BlockDevice { major, minor }
    } else if kind.is_fifo() {
        Kind::Fifo
    } else {
        return Err(failed(io::Error::other("it is a socket")));
    };
    let metadata = Metadata {
        mode: (metadata.mode() & 0o7777) as u16,
        user: metadata.uid(),
        group: metadata.gid(),
        modified: metadata.mtime(),
        attributes: attributes(host).map_err(failed)?,
    };
    tree.insert(path.clone(), Node { metadata, kind })?;
    for name in children {
        load(tree, names, &host.join(&name), path.join(&name)?)?;
    }
    Ok(())
}

/// Extended attributes; a link's own, not its target's.
fn attributes(host: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut names = vec![0; LONGEST_ATTRIBUTE];
    let length = match rustix::fs::llistxattr(host, &mut names[..]) {
        Ok(length) => length,
        Err(rustix::io::Errno::NOTSUP) => 0,
        Err(error) => return Err(error.into()),
    };
    let mut attributes = BTreeMap::new();
    for name in names[..length].split(|byte| *byte == 0) {
        let Ok(name) = std::str::from_utf8(name) else {
            return Err(io::Error::other("an attribute's name is not UTF-8"));
        };
        if name.is_empty() {
            continue;
        }
        let mut value = vec![0; LONGEST_ATTRIBUTE];
        let length = rustix::fs::lgetxattr(host, name, &mut value[..])?;
        value.truncate(length);
        attributes.insert(name.to_owned(), value);
    }
    Ok(attributes)
}
