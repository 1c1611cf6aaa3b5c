//! Libraries: the cache by which the dynamic linker finds them, `/etc/ld.so.cache`, and the links
//! by which they go under their own names (ldconfig(8)).
//!
//! ```
//! use fortress_configuration::libraries;
//! use fortress_tree::Tree;
//! let mut tree = Tree::new(0);
//! assert_eq!(libraries::write(&mut tree)?, 0);
//! # Ok::<(), fortress_configuration::Error>(())
//! ```

mod cache;
mod dynamic;
mod folders;
mod library;

use crate::{Error, Result};
use cache::{Entry, newer};
pub use dynamic::{Dynamic, dynamic};
use fortress_tree::{Kind, Tree, TreePath};
use library::Library;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The cache.
const CACHE: &str = "/etc/ld.so.cache";
/// The folder within a folder of libraries that holds those for better processors.
const VARIANTS: &str = "glibc-hwcaps";

/// A library's file in a folder, the best so far of those with one name of their own.
struct Candidate {
    file: String,
    is_link: bool,
    flags: u32,
    level: u32,
}

/// Makes links from libraries' own names (`libx.so.1`) to their files where they are missing, and
/// writes the cache, as `ldconfig` does. Gives the number of entries in it; without libraries
/// nothing is written.
///
/// # Errors
/// Configuration that cannot be followed, or a tree that cannot be written.
pub fn write(tree: &mut Tree) -> Result<usize> {
    let mut entries = Vec::new();
    for folder in folders::find(tree)? {
        let real = tree.resolve(&TreePath::new(&folder)?)?;
        take(tree, &folder, &real, None, &mut entries)?;
        let variants = real.join(VARIANTS)?;
        let names: Vec<String> = (tree.entries(&variants))
            .map(|(name, _)| name.to_owned())
            .collect();
        for name in names {
            let shown = format!("{folder}/{VARIANTS}/{name}");
            if let Ok(real) = tree.resolve(&variants.join(&name)?)
                && tree.get(&real).is_some_and(|node| node.is_directory())
            {
                take(tree, &shown, &real, Some(&name), &mut entries)?;
            }
        }
    }
    let count = entries.len();
    if count > 0 {
        tree.write(&TreePath::new(CACHE)?, 0o644, cache::encode(entries))?;
    }
    Ok(count)
}

/// Takes the libraries in the folder at `real`, which is called `shown`; `variant` is the
/// processor that they are for.
fn take(
    tree: &mut Tree,
    shown: &str,
    real: &TreePath,
    variant: Option<&str>,
    entries: &mut Vec<Entry>,
) -> Result<()> {
    let mut found: BTreeMap<String, Candidate> = BTreeMap::new();
    for (file, node) in tree.entries(real) {
        if !is_library_name(file) || node.is_directory() {
            continue;
        }
        let path = real.join(file)?;
        let Ok(content) = tree.content(&path) else {
            continue;
        };
        let library = Library::read(content).map_err(|source| Error::Io {
            what: path.to_string(),
            source,
        })?;
        let Some(library) = library else {
            continue;
        };
        let name = library.name.unwrap_or_else(|| file.to_owned());
        // A link counts as one, by its own name, if that is the library's or a development link's.
        let is_link = matches!(node.kind, Kind::Symlink(_))
            && (file == name || (file.ends_with(".so") && name.starts_with(file)));
        let name = if is_link { file.to_owned() } else { name };
        let candidate = Candidate {
            file: file.to_owned(),
            is_link,
            flags: library.flags,
            level: library.level,
        };
        match found.get_mut(&name) {
            None => {
                found.insert(name, candidate);
            }
            Some(other) => {
                let better = match (is_link, other.is_link) {
                    (false, true) => true,
                    (true, false) => false,
                    _ => newer(file, &other.file) == Ordering::Greater,
                };
                if better {
                    *other = candidate;
                }
            }
        }
    }
    for (name, candidate) in found {
        if !candidate.is_link && variant.is_none() {
            link(tree, real, &name, &candidate.file)?;
        }
        // Where a variant is looked for must hold it whatever links say.
        let file = if variant.is_some() {
            &candidate.file
        } else {
            &name
        };
        entries.push(Entry {
            path: format!("{shown}/{file}"),
            name,
            flags: candidate.flags,
            level: candidate.level,
            variant: variant.map(str::to_owned),
        });
    }
    Ok(())
}

/// Makes `name` in a folder lead to `file`, unless it does or is a file itself.
fn link(tree: &mut Tree, folder: &TreePath, name: &str, file: &str) -> Result<()> {
    let (link, file_path) = (folder.join(name)?, folder.join(file)?);
    let leads_there = match (tree.resolve(&link), tree.resolve(&file_path)) {
        (Ok(link), Ok(file)) => link == file,
        _ => false,
    };
    match tree.get(&link).map(|node| &node.kind) {
        _ if leads_there => Ok(()),
        None | Some(Kind::Symlink(_)) => Ok(tree.link(&link, file)?),
        Some(_) => Ok(()),
    }
}

/// Whether a file may be a library by its name.
fn is_library_name(file: &str) -> bool {
    (file.starts_with("lib") || file.starts_with("ld-") || file.starts_with("ld64.so"))
        && file.contains(".so")
        && !file.ends_with("-gdb.py")
        && !file.ends_with(".dpkg-new")
        && !file.ends_with(".dpkg-tmp")
}
