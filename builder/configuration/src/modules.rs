//! Kernel modules: what each says about itself, and the files by which kmod finds them.

use crate::Result;
use fortress_tree::{Content, Tree, TreePath};

/// What one module's file says. It depends on the file's bytes alone, so it can be kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ModuleFacts {
    /// Aliases, in the order of the file.
    pub aliases: Vec<String>,
    /// Modules that the file's build said it depends on.
    pub depends: Vec<String>,
    /// Soft dependencies, as written (`pre: a b post: c`).
    pub soft: Vec<String>,
    /// Weak dependencies, as written (names between spaces).
    pub weak: Vec<String>,
    /// Firmware files that it may ask for, below `/usr/lib/firmware`.
    pub firmware: Vec<String>,
    /// Symbols that it exports.
    pub exports: Vec<String>,
    /// Symbols that it takes from elsewhere.
    pub needs: Vec<String>,
}

/// Facts kept from earlier, by whatever identifies a file (the digest of the package that it is
/// from and its path, say).
pub trait FactsCache: Sync {
    /// What is known of the file.
    fn get(&self, path: &TreePath, content: &Content) -> Option<ModuleFacts>;
    /// Keeps what was found in the file.
    fn keep(&self, path: &TreePath, content: &Content, facts: &ModuleFacts);
}

/// Keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCache;

impl FactsCache for NoCache {
    fn get(&self, _path: &TreePath, _content: &Content) -> Option<ModuleFacts> {
        None
    }
    fn keep(&self, _path: &TreePath, _content: &Content, _facts: &ModuleFacts) {}
}

/// All modules of one kernel release, and how they hang together.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ModuleIndex {
    release: String,
}

/// What has to be at hand for some modules to load.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Closure {
    /// Files, each after those that it needs.
    pub files: Vec<TreePath>,
    /// Modules asked for or needed that are part of the kernel itself.
    pub builtin: Vec<String>,
    /// Firmware files that the modules may ask for, below `/usr/lib/firmware`, sorted.
    pub firmware: Vec<String>,
}

/// Kernel releases that have modules in the tree, sorted.
pub fn releases(_tree: &Tree) -> Vec<String> {
    Vec::new()
}

/// The bytes of a module's file without its compression (`path` tells which by its suffix).
///
/// # Errors
/// Damaged compression, or a module beyond 256 MiB.
pub fn decompress(_path: &TreePath, _content: &Content) -> Result<Vec<u8>> {
    Ok(Vec::new())
}

/// Reads all modules of a kernel release.
///
/// # Errors
/// A module that is no ELF file or is damaged, with its path.
pub fn index(_tree: &Tree, release: &str, _cache: &dyn FactsCache) -> Result<ModuleIndex> {
    Ok(ModuleIndex {
        release: release.to_owned(),
    })
}

/// Writes `modules.dep` and its companions, as `depmod` does.
///
/// # Errors
/// When the tree cannot be written.
pub fn write(_tree: &mut Tree, _index: &ModuleIndex) -> Result<()> {
    Ok(())
}

impl ModuleIndex {
    /// The kernel release.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// What the named modules (or aliases; `-` and `_` are one) need to load, with hard, soft
    /// and weak dependencies.
    ///
    /// # Errors
    /// A name that no module, alias or built-in has.
    pub fn closure(&self, _names: &[String]) -> Result<Closure> {
        Ok(Closure::default())
    }
}
