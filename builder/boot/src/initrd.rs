//! The initrd: a small tree with systemd in it, made of files of the root itself, that opens the
//! verified root and hands over to it.

mod contents;
mod copy;

use crate::{Error, Result};
use contents::DIRECTORIES;
use copy::Copier;
use fortress_configuration::modules::{self, ModuleIndex, NoCache};
use fortress_filesystem::cpio;
use fortress_tree::{Tree, TreePath};
use sha2::{Digest, Sha256};
use std::io::Write;

/// zstd's level: the next ones save 6 percent and take three times as long.
const LEVEL: i32 = 3;
/// zstd splits its input into jobs of a fixed size once it has worker threads, and the number of
/// workers does not change the bytes; the number here is for speed alone.
const WORKERS: u32 = 4;

/// What an initrd is made for.
#[derive(Debug, Clone)]
pub struct InitrdSettings<'a> {
    /// The modules of the kernel that it belongs to.
    pub modules: &'a ModuleIndex,
    /// Names or aliases of the modules that it holds, with what they need.
    pub module_names: Vec<String>,
    /// What it can do about the machine's state.
    pub state: StateSupport,
}

/// What the initrd can do about the machine's state. What a machine does not need is not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StateSupport {
    /// It opens LUKS2 volumes, and asks for passphrases on the console.
    pub encrypted: bool,
    /// It seals keys in a TPM 2 and has them given back. Takes `encrypted` too.
    pub tpm: bool,
    /// It makes swap.
    pub swap: bool,
    /// It reads keys from a USB stick with FAT. Takes `encrypted` too.
    pub key_stick: bool,
}

/// Collects the initrd's tree from the root's: systemd and the few programs that open the root,
/// with the libraries that they load, and the kernel modules asked for, uncompressed.
///
/// # Errors
/// A program, library or module that the root does not have.
pub fn collect(root: &Tree, settings: &InitrdSettings<'_>) -> Result<Tree> {
    let mut copier = Copier::new(root);
    for directory in DIRECTORIES {
        copier.directory(&TreePath::new(directory)?)?;
    }
    for part in contents::parts(settings.state) {
        for path in part.programs {
            copier.program(&TreePath::new(path)?)?;
        }
        for name in part.libraries {
            copier.library(name)?;
        }
        for path in part.optional {
            copier.file_if_there(&TreePath::new(path)?)?;
        }
    }
    let mut tree = copier.finish();
    tree.link(&TreePath::new("/init")?, "usr/lib/systemd/systemd")?;
    tree.link(&TreePath::new("/usr/bin/sh")?, "dash")?;
    add_modules(root, &mut tree, settings)?;
    Ok(tree)
}

/// Puts the modules and their firmware into the tree, and an index of just these.
fn add_modules(root: &Tree, tree: &mut Tree, settings: &InitrdSettings<'_>) -> Result<()> {
    let release = settings.modules.release();
    let mut names = settings.module_names.clone();
    for part in contents::parts(settings.state) {
        names.extend(part.modules.iter().map(|&name| name.to_owned()));
    }
    let closure = settings.modules.closure(&names)?;
    for path in &closure.files {
        let bytes = modules::decompress(path, root.content(path)?)?;
        // Once is enough: the initrd as a whole is compressed.
        let name = path.as_str();
        let end = name.rfind(".ko").map_or(name.len(), |at| at + 3);
        tree.write(&TreePath::new(&name[..end])?, 0o644, bytes)?;
    }
    let folder = TreePath::new("/usr/lib/modules")?.join(release)?;
    for name in [
        "modules.builtin",
        "modules.builtin.modinfo",
        "modules.order",
    ] {
        let path = folder.join(name)?;
        if let Ok(content) = root.content(&path) {
            tree.write(&path, 0o644, content.clone())?;
        }
    }
    let firmware = TreePath::new("/usr/lib/firmware")?;
    for name in &closure.firmware {
        // Drivers name every firmware that any of their devices may want; what the root does
        // not have, it could not load later either.
        for suffix in ["", ".xz", ".zst"] {
            let path = firmware.join(&format!("{name}{suffix}"))?;
            if let Ok(content) = root.content(&path) {
                tree.write(&path, 0o644, content.clone())?;
            }
        }
    }
    let index = modules::index(tree, release, &NoCache)?;
    modules::write(tree, &index)?;
    Ok(())
}

/// SHA-256 of everything that decides what [`write()`] gives: the archive, and how it is compressed.
///
/// # Errors
/// When contents cannot be read.
pub fn digest(tree: &Tree) -> Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    let version = zstd::zstd_safe::version_number();
    hasher.update(format!("initrd 1, zstd {version} level {LEVEL}\0"));
    cpio::write(tree, tree.epoch(), &mut hasher)?;
    Ok(hasher.finalize().into())
}

/// Writes the tree as the kernel takes it: cpio, compressed with zstd. Same tree, same bytes.
///
/// # Errors
/// When contents cannot be read, or `out` takes no more.
pub fn write(tree: &Tree, out: &mut dyn Write) -> Result<()> {
    let failed = |source| Error::Compress { source };
    let mut encoder = zstd::Encoder::new(out, LEVEL).map_err(failed)?;
    encoder.multithread(WORKERS).map_err(failed)?;
    encoder.include_checksum(false).map_err(failed)?;
    cpio::write(tree, tree.epoch(), &mut encoder)?;
    encoder.finish().map_err(failed)?;
    Ok(())
}
