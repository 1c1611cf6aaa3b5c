//! `modules.dep` and its companions, in text and as binary indexes.

use super::index::{MODULES, ModuleIndex};
use super::trie::{Entry, encode};
use crate::Result;
use fortress_tree::{Tree, TreePath};
use std::fmt::Write;

/// Writes `modules.dep` and its companions below `/usr/lib/modules/RELEASE`, as `depmod` does.
///
/// # Errors
/// When the tree cannot be written.
pub fn write(tree: &mut Tree, index: &ModuleIndex) -> Result<()> {
    let folder = TreePath::new(MODULES)?.join(&index.release)?;
    let dependencies = index.dependency_lines();
    let text = dependencies.join("\n") + if dependencies.is_empty() { "" } else { "\n" };
    let files = [
        ("modules.dep", text.into_bytes()),
        ("modules.dep.bin", index.dependency_trie(dependencies)),
        ("modules.alias", index.alias_text().into_bytes()),
        ("modules.alias.bin", index.alias_trie()),
        ("modules.softdep", index.soft_text().into_bytes()),
        ("modules.weakdep", index.weak_text().into_bytes()),
        ("modules.symbols", index.symbol_text().into_bytes()),
        ("modules.symbols.bin", index.symbol_trie()),
        ("modules.builtin.bin", index.builtin_trie()),
        ("modules.builtin.alias.bin", index.builtin_alias_trie()),
        ("modules.devname", index.device_text().into_bytes()),
    ];
    for (name, bytes) in files {
        tree.write(&folder.join(name)?, 0o644, bytes)?;
    }
    Ok(())
}

impl ModuleIndex {
    /// A line for each module: its file, then those that it needs, the last to be loaded first.
    fn dependency_lines(&self) -> Vec<String> {
        let line = |place: usize| {
            let mut line = format!("{}:", self.modules[place].file);
            for need in self.all_needs(place as u32) {
                line.push(' ');
                line.push_str(&self.modules[need as usize].file);
            }
            line
        };
        (0..self.modules.len()).map(line).collect()
    }

    fn dependency_trie(&self, lines: Vec<String>) -> Vec<u8> {
        let entries = self.modules.iter().zip(lines).enumerate();
        let entries = entries.map(|(place, (module, line))| Entry {
            key: module.name.clone(),
            priority: place as u32,
            value: line,
        });
        encode(entries.collect())
    }

    fn alias_text(&self) -> String {
        let mut text = String::from("# Aliases extracted from modules themselves.\n");
        for module in &self.modules {
            for alias in &module.facts.aliases {
                let _ = writeln!(text, "alias {alias} {}", module.name);
            }
        }
        text
    }

    fn alias_trie(&self) -> Vec<u8> {
        let mut entries = Vec::new();
        for (place, module) in self.modules.iter().enumerate() {
            let keys = module
                .facts
                .aliases
                .iter()
                .filter_map(|alias| normalize(alias));
            entries.extend(keys.map(|key| Entry {
                key,
                priority: place as u32,
                value: module.name.clone(),
            }));
        }
        encode(entries)
    }

    fn soft_text(&self) -> String {
        let mut text = String::from("# Soft dependencies extracted from modules themselves.\n");
        for module in &self.modules {
            for soft in &module.facts.soft {
                let _ = writeln!(text, "softdep {} {soft}", module.name);
            }
        }
        text
    }

    fn weak_text(&self) -> String {
        let mut text = String::from("# Weak dependencies extracted from modules themselves.\n");
        for module in &self.modules {
            for weak in &module.facts.weak {
                let _ = writeln!(text, "weakdep {} {weak}", module.name);
            }
        }
        text
    }

    /// Every exported symbol with the module that exports it, by name. (The last of several
    /// modules that export one symbol counts.)
    fn symbols(&self) -> Vec<(&str, u32)> {
        let mut symbols: Vec<(&str, u32)> = Vec::new();
        for (place, module) in self.modules.iter().enumerate() {
            let exports = module.facts.exports.iter();
            symbols.extend(exports.map(|symbol| (symbol.as_str(), place as u32)));
        }
        symbols.sort_by_key(|(symbol, place)| (*symbol, std::cmp::Reverse(*place)));
        symbols.dedup_by_key(|(symbol, _)| *symbol);
        symbols
    }

    fn symbol_text(&self) -> String {
        let mut text = String::from("# Aliases for symbols, used by symbol_request().\n");
        for (symbol, place) in self.symbols() {
            let module = &self.modules[place as usize].name;
            let _ = writeln!(text, "alias symbol:{symbol} {module}");
        }
        text
    }

    fn symbol_trie(&self) -> Vec<u8> {
        let symbols = self.symbols().into_iter().map(|(symbol, place)| Entry {
            key: format!("symbol:{symbol}"),
            priority: place,
            value: self.modules[place as usize].name.clone(),
        });
        encode(symbols.collect())
    }

    fn builtin_trie(&self) -> Vec<u8> {
        let names = self.builtin.iter().filter(|module| module.listed);
        let names = names.map(|module| Entry {
            key: module.name.clone(),
            priority: 0,
            value: String::new(),
        });
        encode(names.collect())
    }

    fn builtin_alias_trie(&self) -> Vec<u8> {
        let mut entries = Vec::new();
        for module in &self.builtin {
            let keys = module.aliases.iter().filter_map(|alias| normalize(alias));
            entries.extend(keys.map(|key| Entry {
                key,
                priority: 0,
                value: module.name.clone(),
            }));
        }
        encode(entries)
    }

    /// Device nodes whose opening loads a module: those modules that have both an alias
    /// `devname:NAME` and one with the device's numbers.
    fn device_text(&self) -> String {
        let mut text = String::from("# Device nodes to trigger on-demand module loading.\n");
        for module in &self.modules {
            let mut name = None;
            let mut numbers = None;
            for alias in &module.facts.aliases {
                if let Some(device) = alias.strip_prefix("devname:") {
                    name = Some(device);
                } else if let Some(device) = device_numbers(alias) {
                    numbers = Some(device);
                }
                if let (Some(name), Some((kind, major, minor))) = (name, numbers) {
                    let _ = writeln!(text, "{} {name} {kind}{major}:{minor}", module.name);
                    break;
                }
            }
        }
        text
    }
}

/// `char-major-10-200` or `block-major-8-0`; none for patterns and majors alone.
fn device_numbers(alias: &str) -> Option<(char, u32, u32)> {
    let (kind, numbers) = match alias.strip_prefix("char-major-") {
        Some(numbers) => ('c', numbers),
        None => ('b', alias.strip_prefix("block-major-")?),
    };
    let (major, minor) = numbers.split_once('-')?;
    Some((kind, major.parse().ok()?, minor.parse().ok()?))
}

/// An alias as it is looked up: `-` is `_` but within brackets; none if brackets do not match.
pub(super) fn normalize(alias: &str) -> Option<String> {
    let mut within = false;
    let mut normal = String::with_capacity(alias.len());
    for character in alias.chars() {
        match character {
            '[' => within = true,
            ']' if !within => return None,
            ']' => within = false,
            _ => {}
        }
        normal.push(match character {
            '-' if !within => '_',
            other => other,
        });
    }
    (!within).then_some(normal)
}
