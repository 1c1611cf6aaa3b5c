//! What one module's file says about itself.

use super::compression::decompress_into;
use crate::elf::{Object, Refusal};
use crate::{Error, Result};
use fortress_tree::{Content, TreePath};
use serde::{Deserialize, Serialize};

/// Longest symbol name, alias or other word taken (the kernel's own bound for symbols is 512).
const LONGEST: usize = 1023;
/// Most symbols that a module may export, or need.
const MOST_SYMBOLS: usize = 1 << 16;

/// What one module's file says. It depends on the file's bytes alone, so it can be kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleFacts {
    /// Aliases, in the order of the file.
    pub aliases: Vec<String>,
    /// Soft dependencies, as written (`pre: a b post: c`).
    pub soft: Vec<String>,
    /// Weak dependencies, as written: names between spaces.
    pub weak: Vec<String>,
    /// Firmware files that it may ask for, below `/usr/lib/firmware`.
    pub firmware: Vec<String>,
    /// Symbols that it exports.
    pub exports: Vec<String>,
    /// Symbols that it takes from elsewhere.
    pub needs: Vec<String>,
}

impl ModuleFacts {
    /// Reads a module's file, compressed or not, as the suffix of `path` says.
    ///
    /// # Errors
    /// Damaged compression, or bytes that are no kernel module.
    pub fn read(path: &TreePath, content: &Content) -> Result<Self> {
        Self::read_with(path, content, &mut Vec::new())
    }

    /// As [`ModuleFacts::read`], with a buffer for the decompressed bytes that can be used again.
    pub(super) fn read_with(
        path: &TreePath,
        content: &Content,
        buffer: &mut Vec<u8>,
    ) -> Result<Self> {
        decompress_into(path, content, buffer)?;
        Self::parse(buffer).map_err(|reason| Error::File {
            file: path.to_string(),
            reason: format!("the module {reason}"),
        })
    }

    /// Reads a module's bytes (decompressed).
    pub(super) fn parse(bytes: &[u8]) -> std::result::Result<Self, Refusal> {
        let object = Object::parse(bytes)?;
        let mut facts = Self::default();
        for entry in object
            .section(".modinfo")?
            .unwrap_or_default()
            .split(|byte| *byte == 0)
        {
            let Some(at) = entry.iter().position(|byte| *byte == b'=') else {
                continue;
            };
            let list = match &entry[..at] {
                b"alias" => &mut facts.aliases,
                b"softdep" => &mut facts.soft,
                b"weakdep" => &mut facts.weak,
                b"firmware" => &mut facts.firmware,
                _ => continue,
            };
            list.push(word(&entry[at + 1..])?);
        }
        for symbol in object.symbols()? {
            // The kernel's build puts a `__ksymtab_NAME` beside each exported NAME.
            let (list, name) = match symbol.name.strip_prefix(b"__ksymtab_") {
                Some(name) if !symbol.undefined => (&mut facts.exports, name),
                _ if symbol.undefined => (&mut facts.needs, symbol.name),
                _ => continue,
            };
            if list.len() == MOST_SYMBOLS {
                return Err("has more symbols than any module has");
            }
            if !name.is_empty() {
                list.push(word(name)?);
            }
        }
        Ok(facts)
    }
}

/// A word of a module as text. The indexes that kmod reads hold 7-bit characters only.
fn word(bytes: &[u8]) -> std::result::Result<String, Refusal> {
    if bytes.len() > LONGEST {
        return Err("has a name longer than 1023 bytes");
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() && !text.contains(['\n', '\r']) => Ok(text.to_owned()),
        _ => Err("has a name with characters that are not ASCII, or a line break"),
    }
}
