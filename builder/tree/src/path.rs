//! Paths inside a tree: absolute, normalised, UTF-8.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Longest path that a tree takes, in bytes (PATH_MAX of Linux, less the final NUL).
const LONGEST: usize = 4095;
/// Longest name in a path, in bytes (NAME_MAX of Linux).
const LONGEST_NAME: usize = 255;

/// An absolute path inside a tree: `/` or `/a/b`, with no empty, `.` or `..` component and no
/// NUL. It cannot leave the tree by its spelling; symbolic links are followed by [`crate::Tree`]
/// alone, and never out of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TreePath(Arc<str>);

impl TreePath {
    /// The root, `/`.
    pub fn root() -> Self {
        Self(Arc::from("/"))
    }

    /// Takes a path as packages and users write it (`./usr/bin`, `usr/bin/`, `/usr//bin`).
    ///
    /// # Errors
    /// A `..` component, a NUL, a name over 255 bytes or a path over 4095.
    pub fn new(path: &str) -> Result<Self> {
        let refuse = |reason| Error::Path {
            path: path.chars().take(200).collect(),
            reason,
        };
        if path.contains('\0') {
            return Err(refuse("contains a NUL character"));
        }
        let mut normal = String::with_capacity(path.len() + 1);
        for name in path.split('/') {
            match name {
                "" | "." => continue,
                ".." => return Err(refuse("contains '..' and could leave the tree")),
                name if name.len() > LONGEST_NAME => {
                    return Err(refuse("contains a name over 255 bytes"));
                }
                name => {
                    normal.push('/');
                    normal.push_str(name);
                }
            }
        }
        if normal.is_empty() {
            normal.push('/');
        }
        if normal.len() > LONGEST {
            return Err(refuse("is longer than 4095 bytes"));
        }
        Ok(Self(normal.into()))
    }

    /// The path as text, beginning with `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path without its leading `/`; empty for the root.
    pub fn relative(&self) -> &str {
        &self.0[1..]
    }

    /// The last component; empty for the root.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The directory that holds it; none for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        match self.0.rfind('/') {
            Some(0) | None => Some(Self::root()),
            Some(at) => Some(Self(Arc::from(&self.0[..at]))),
        }
    }

    /// This path with `relative` below it.
    ///
    /// # Errors
    /// As [`TreePath::new`].
    pub fn join(&self, relative: &str) -> Result<Self> {
        Self::new(&format!("{}/{relative}", self.0))
    }

    /// Whether this is `/`.
    pub fn is_root(&self) -> bool {
        &*self.0 == "/"
    }

    /// Whether this is `directory` or lies below it.
    pub fn is_within(&self, directory: &TreePath) -> bool {
        directory.is_root()
            || self
                .0
                .strip_prefix(directory.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The components from the root down; none for the root.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|name| !name.is_empty())
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", &*self.0)
    }
}

impl TryFrom<String> for TreePath {
    type Error = Error;
    fn try_from(path: String) -> Result<Self> {
        Self::new(&path)
    }
}

impl From<TreePath> for String {
    fn from(path: TreePath) -> Self {
        path.0.as_ref().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_path_are_one_path() {
        for spelling in ["usr/bin", "./usr/bin/", "/usr//bin", "/usr/./bin"] {
            assert_eq!(TreePath::new(spelling).unwrap().as_str(), "/usr/bin");
        }
        for spelling in ["", "/", "./", "."] {
            assert!(TreePath::new(spelling).unwrap().is_root());
        }
    }

    #[test]
    fn paths_that_could_leave_the_tree_are_refused() {
        for path in ["..", "/../etc", "a/../../b", "a/.."] {
            assert!(TreePath::new(path).is_err(), "{path}");
        }
        assert!(TreePath::new("a\0b").is_err());
        assert!(TreePath::new(&"n".repeat(256)).is_err());
        assert!(TreePath::new(&"n/".repeat(3000)).is_err());
    }

    #[test]
    fn within_compares_whole_names() {
        let usr = TreePath::new("/usr").unwrap();
        assert!(TreePath::new("/usr/bin").unwrap().is_within(&usr));
        assert!(usr.is_within(&usr));
        assert!(!TreePath::new("/usr-local").unwrap().is_within(&usr));
        assert!(usr.is_within(&TreePath::root()));
    }
}
