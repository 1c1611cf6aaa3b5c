//! Which folders hold libraries: `/etc/ld.so.conf` and what it includes.

use crate::pattern::matches;
use crate::{Error, Result};
use fortress_tree::{Tree, TreePath};
use std::collections::BTreeSet;

const CONFIGURATION: &str = "/etc/ld.so.conf";
/// Folders that are always searched, after those of the configuration.
const BUILTIN: [&str; 2] = ["/lib", "/usr/lib"];
/// Deepest nesting of includes.
const DEEPEST: usize = 8;

/// The folders in the order in which they are searched, as they are written; of several ways
/// to write one folder the first counts.
pub(super) fn find(tree: &Tree) -> Result<Vec<String>> {
    let mut written = Vec::new();
    let path = TreePath::new(CONFIGURATION)?;
    if tree.content(&path).is_ok() {
        read(tree, &path, 0, &mut written)?;
    }
    written.extend(BUILTIN.map(str::to_owned));
    let mut known = BTreeSet::new();
    let mut folders = Vec::new();
    for folder in written {
        let Ok(real) = tree.resolve(&TreePath::new(&folder)?) else {
            continue;
        };
        let is_directory = tree.get(&real).is_some_and(|node| node.is_directory());
        if is_directory && known.insert(real) {
            folders.push(folder);
        }
    }
    Ok(folders)
}

fn read(tree: &Tree, path: &TreePath, depth: usize, folders: &mut Vec<String>) -> Result<()> {
    let text = tree.read_text(path)?;
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let refuse = |reason: String| Error::Line {
            file: path.clone(),
            line: number + 1,
            reason,
        };
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            None | Some("hwcap") => {}
            Some("include") if depth == DEEPEST => {
                return Err(refuse(format!("includes go deeper than {DEEPEST} files")));
            }
            Some("include") => {
                for pattern in words {
                    for file in included(tree, path, pattern)? {
                        read(tree, &file, depth + 1, folders)?;
                    }
                }
            }
            Some(_) if line.starts_with('/') => {
                let folder = TreePath::new(line).map_err(|error| refuse(error.to_string()))?;
                folders.push(folder.as_str().to_owned());
            }
            Some(_) => return Err(refuse(format!("{line:?} is no absolute path"))),
        }
    }
    Ok(())
}

/// The files that an include in `from` names, sorted; its last component may be a pattern.
fn included(tree: &Tree, from: &TreePath, pattern: &str) -> Result<Vec<TreePath>> {
    let (folder, name) = pattern.rsplit_once('/').unwrap_or((".", pattern));
    let folder = match (
        folder.starts_with('/') || pattern.starts_with('/'),
        from.parent(),
    ) {
        (false, Some(parent)) => parent.join(folder)?,
        _ => TreePath::new(folder)?,
    };
    let Ok(folder) = tree.resolve(&folder) else {
        return Ok(Vec::new());
    };
    let fits =
        |file: &str| matches(name, file) && (name.starts_with('.') || !file.starts_with('.'));
    let mut files = Vec::new();
    for (file, _) in tree.entries(&folder) {
        let path = folder.join(file)?;
        if fits(file) && tree.content(&path).is_ok() {
            files.push(path);
        }
    }
    Ok(files)
}
