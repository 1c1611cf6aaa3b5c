//! Hardware: udev's compiled database, `/usr/lib/udev/hwdb.bin`, from `hwdb.d` (hwdb(7)).
//!
//! ```
//! use fortress_configuration::hardware;
//! use fortress_tree::{Tree, TreePath};
//! let mut tree = Tree::new(0);
//! let text = "usb:v1D6B*\n ID_VENDOR_FROM_DATABASE=Linux Foundation\n";
//! tree.write(&TreePath::new("/usr/lib/udev/hwdb.d/20-usb.hwdb")?, 0o644, text)?;
//! assert_eq!(hardware::write(&mut tree)?, 1);
//! # Ok::<(), fortress_configuration::Error>(())
//! ```

mod database;
mod source;

use crate::Result;
use database::Database;
use fortress_tree::{Tree, TreePath};
use sha2::{Digest, Sha256};

/// Where sources are looked for; of two of one name the first counts.
const FOLDERS: [&str; 4] = [
    "/etc/udev/hwdb.d",
    "/run/udev/hwdb.d",
    "/usr/local/lib/udev/hwdb.d",
    "/usr/lib/udev/hwdb.d",
];
/// The database.
const COMPILED: &str = "/usr/lib/udev/hwdb.bin";
/// Goes up whenever compiling gives other bytes from the same sources.
const FORMAT: &str = "hardware 1";
/// How the name of systemd's private library begins; its version follows.
const SHARED_LIBRARY: &str = "libsystemd-shared-";

/// Compiles the tree's `hwdb.d`, as `systemd-hwdb --usr update` does. Gives the number of
/// properties; with none, nothing is written. Lines that mean nothing are left out.
///
/// # Errors
/// Sources that cannot be read or are beyond all measure, or a tree that cannot be written.
pub fn write(tree: &mut Tree) -> Result<usize> {
    let compiled = compile(tree)?;
    store(tree, compiled)
}

/// Puts what [`compile`] gave in its place. Gives the number of properties.
///
/// # Errors
/// A tree that cannot be written.
pub fn store(tree: &mut Tree, compiled: Option<(Vec<u8>, usize)>) -> Result<usize> {
    match compiled {
        Some((bytes, properties)) => {
            tree.write(&TreePath::new(COMPILED)?, 0o444, bytes)?;
            Ok(properties)
        }
        None => Ok(0),
    }
}

/// The database's bytes and how many properties are in it; none without sources. (Apart from
/// [`write()`] so that it can run beside other work on the tree.)
///
/// # Errors
/// As [`write()`].
pub fn compile(tree: &Tree) -> Result<Option<(Vec<u8>, usize)>> {
    let mut database = Database::new();
    let files = crate::fragments::find(tree, &FOLDERS, ".hwdb")?;
    for (place, path) in files.iter().enumerate() {
        let text = tree.read(path)?;
        source::read(&text, path, place as u16 + 1, &mut database)?;
    }
    let properties = database.properties();
    let version = systemd_version(tree);
    Ok((properties > 0).then(|| (database.encode(version), properties)))
}

/// SHA-256 of everything that decides what [`compile`] gives.
///
/// # Errors
/// Sources that cannot be read.
pub fn digest(tree: &Tree) -> Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    hasher.update(FORMAT);
    hasher.update(systemd_version(tree).to_le_bytes());
    for path in crate::fragments::find(tree, &FOLDERS, ".hwdb")? {
        let text = tree.read(&path)?;
        hasher.update(format!("{path}\0{}\0", text.len()));
        hasher.update(text);
    }
    Ok(hasher.finalize().into())
}

/// What [`compile`] reads, as a tree of its own: it can be compiled while others change the
/// whole one.
///
/// # Errors
/// None but the tree's own.
pub fn sources(tree: &Tree) -> Result<Tree> {
    let mut sources = Tree::new(tree.epoch());
    let is_source = |path: &TreePath| {
        let path = path.as_str();
        let within = |folder: &str| {
            let rest = path.strip_prefix(folder);
            rest.is_some_and(|rest| rest.starts_with('/'))
        };
        FOLDERS.iter().any(|folder| within(folder)) || path.contains(SHARED_LIBRARY)
    };
    for (path, node) in tree.iter().filter(|(path, _)| is_source(path)) {
        sources.place(path, node.clone())?;
    }
    Ok(sources)
}

/// The version of systemd in the tree, which its private library's name has; 0 without one.
fn systemd_version(tree: &Tree) -> u64 {
    let versions = tree.iter().filter_map(|(path, _)| {
        let version = path.name().strip_prefix(SHARED_LIBRARY)?;
        let digits = version
            .split(|letter: char| !letter.is_ascii_digit())
            .next()?;
        digits.parse().ok()
    });
    versions.max().unwrap_or(0)
}
