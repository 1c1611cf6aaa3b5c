//! Kernel modules: what each says about itself, the files by which kmod finds them
//! (`modules.dep` and its companions), and what an initrd needs for some of them.
//!
//! ```
//! use fortress_configuration::modules;
//! use fortress_tree::Tree;
//! let mut tree = Tree::new(0);
//! for release in modules::releases(&tree) {
//!     let index = modules::index(&tree, &release, &modules::NoCache)?;
//!     modules::write(&mut tree, &index)?;
//!     let closure = index.closure(&["dm-verity".into(), "ext4".into()])?;
//!     println!("{} files", closure.files.len());
//! }
//! # Ok::<(), fortress_configuration::Error>(())
//! ```
//!
//! Nearly all the time goes to decompressing: a module's section headers stand at its end. What
//! a file says depends on nothing but its bytes, so [`FactsCache`] can keep it, and whoever has a
//! module's bytes at hand can call [`ModuleFacts::read`] and give the result back through it.

mod closure;
mod compression;
mod facts;
mod files;
mod index;
mod search;
mod trie;

pub use closure::Closure;
pub use compression::decompress;
pub use facts::ModuleFacts;
pub use files::write;
pub use index::{FactsCache, ModuleIndex, NoCache, index, releases};
