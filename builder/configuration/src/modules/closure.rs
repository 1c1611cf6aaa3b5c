//! What has to be at hand for some modules to load: for an initrd.

use super::files::normalize;
use super::index::{MODULES, ModuleIndex, module_name};
use crate::pattern::matches;
use crate::{Error, Result};
use fortress_tree::TreePath;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Most names that an error suggests.
const MOST_SUGGESTIONS: usize = 3;

/// What has to be at hand for some modules to load.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closure {
    /// Files, each after those that it needs.
    pub files: Vec<TreePath>,
    /// Modules asked for, or needed, that are part of the kernel itself; sorted.
    pub builtin: Vec<String>,
    /// Firmware files that the modules may ask for, below `/usr/lib/firmware`; sorted.
    pub firmware: Vec<String>,
}

/// What a name stands for.
enum Found {
    Modules(Vec<u32>),
    Builtin(Vec<String>),
    Nothing,
}

impl ModuleIndex {
    /// What the named modules need to load, with hard, soft and weak dependencies. Names are
    /// modules' own (`-` and `_` are one) or aliases (`fs-ext4`, a device's modalias); an alias
    /// stands for all modules that have it. Soft and weak dependencies that this kernel does not
    /// have are left out, as modprobe does.
    ///
    /// # Errors
    /// A name that no module, alias or built-in has, with the names nearest to it.
    pub fn closure(&self, names: &[String]) -> Result<Closure> {
        let mut walk = Walk {
            index: self,
            begun: BTreeSet::new(),
            files: Vec::new(),
            builtin: BTreeSet::new(),
        };
        for name in names {
            match self.find(name) {
                Found::Modules(places) => places.into_iter().for_each(|place| walk.take(place)),
                Found::Builtin(modules) => walk.builtin.extend(modules),
                Found::Nothing => return Err(self.missing(name)),
            }
        }
        let folder = TreePath::new(MODULES)?.join(&self.release)?;
        let firmware: BTreeSet<&String> = (walk.files.iter())
            .flat_map(|place| &self.modules[*place as usize].facts.firmware)
            .collect();
        Ok(Closure {
            firmware: firmware.into_iter().cloned().collect(),
            builtin: walk.builtin.into_iter().collect(),
            files: (walk.files.iter())
                .map(|place| Ok(folder.join(&self.modules[*place as usize].file)?))
                .collect::<Result<_>>()?,
        })
    }

    /// As modprobe looks a name up: a module's own name, then one built in, then aliases.
    fn find(&self, name: &str) -> Found {
        let wanted = match name.contains('/') {
            true => name.to_owned(),
            false => name.replace('-', "_"),
        };
        let own = self.modules.iter().position(|module| module.name == wanted);
        if let Some(place) = own {
            return Found::Modules(vec![place as u32]);
        }
        if self
            .builtin
            .iter()
            .any(|module| module.listed && module.name == wanted)
        {
            return Found::Builtin(vec![wanted]);
        }
        let has = |aliases: &[String]| {
            let mut keys = aliases.iter().filter_map(|alias| normalize(alias));
            keys.any(|key| matches(&key, &wanted))
        };
        let modules: Vec<u32> = (self.modules.iter().enumerate())
            .filter(|(_, module)| has(&module.facts.aliases))
            .map(|(place, _)| place as u32)
            .collect();
        if !modules.is_empty() {
            return Found::Modules(modules);
        }
        let builtin: Vec<String> = (self.builtin.iter())
            .filter(|module| has(&module.aliases))
            .map(|module| module.name.clone())
            .collect();
        match builtin.is_empty() {
            true => Found::Nothing,
            false => Found::Builtin(builtin),
        }
    }

    fn missing(&self, name: &str) -> Error {
        let wanted = module_name(name);
        let listed = self.builtin.iter().filter(|module| module.listed);
        let names = self.modules.iter().map(|module| &module.name);
        let mut near: Vec<(f64, &String)> = names
            .chain(listed.map(|module| &module.name))
            .map(|name| (strsim::jaro_winkler(&wanted, name), name))
            .filter(|(likeness, _)| *likeness > 0.8)
            .collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        near.truncate(MOST_SUGGESTIONS);
        let near: Vec<&str> = near.into_iter().map(|(_, name)| name.as_str()).collect();
        Error::Setting {
            setting: "kernel module",
            value: name.to_owned(),
            reason: match near.is_empty() {
                true => format!("kernel {} has no such module", self.release),
                false => format!(
                    "kernel {} has no such module; near are {}",
                    self.release,
                    near.join(", ")
                ),
            },
        }
    }
}

struct Walk<'a> {
    index: &'a ModuleIndex,
    begun: BTreeSet<u32>,
    files: Vec<u32>,
    builtin: BTreeSet<String>,
}

impl Walk<'_> {
    /// Takes a module after what must or should be loaded before it, and then what should be
    /// loaded after it. Modules that softly need each other in a circle are taken as they come.
    fn take(&mut self, place: u32) {
        let mut open = vec![Step::Enter(place)];
        while let Some(step) = open.pop() {
            let place = match step {
                Step::Leave(place) => {
                    self.files.push(place);
                    continue;
                }
                Step::Enter(place) if !self.begun.insert(place) => continue,
                Step::Enter(place) => place,
            };
            let module = &self.index.modules[place as usize];
            let mut before = Vec::new();
            let mut after = Vec::new();
            for soft in &module.facts.soft {
                // modprobe ignores names before the first `pre:` or `post:`, but some modules list
                // what they use so (cifs): better to have them.
                let mut list = &mut after;
                for word in soft.split_ascii_whitespace() {
                    match word {
                        "pre:" => list = &mut before,
                        "post:" => list = &mut after,
                        name => list.extend(self.softly(name)),
                    }
                }
            }
            for weak in &module.facts.weak {
                for name in weak.split_ascii_whitespace() {
                    after.extend(self.softly(name));
                }
            }
            // What is pushed last is done first.
            open.extend(after.into_iter().rev().map(Step::Enter));
            open.push(Step::Leave(place));
            open.extend(module.needs.iter().rev().copied().map(Step::Enter));
            open.extend(before.into_iter().rev().map(Step::Enter));
        }
    }

    fn softly(&mut self, name: &str) -> Vec<u32> {
        match self.index.find(name) {
            Found::Modules(places) => places,
            Found::Builtin(modules) => {
                self.builtin.extend(modules);
                Vec::new()
            }
            Found::Nothing => Vec::new(),
        }
    }
}

enum Step {
    Enter(u32),
    Leave(u32),
}
