//! All modules of a kernel release, and which needs which.

use super::compression::SUFFIXES;
use super::facts::ModuleFacts;
use super::search::SearchOrder;
use crate::{Error, Result};
use fortress_tree::{Content, Kind, Tree, TreePath};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// Facts kept from earlier, by whatever identifies a file (the digest of the package that it is
/// from together with its path, say).
pub trait FactsCache: Sync {
    /// What is known of the file.
    fn get(&self, path: &TreePath, content: &Content) -> Option<ModuleFacts>;
    /// Keeps what was found in the file.
    fn keep(&self, path: &TreePath, content: &Content, facts: &ModuleFacts);
    /// The hardware database that was compiled from sources with this SHA-256, and how many
    /// properties it has.
    fn hardware(&self, _sources: &[u8; 32]) -> Option<(Vec<u8>, usize)> {
        None
    }
    /// Keeps a hardware database.
    fn keep_hardware(&self, _sources: &[u8; 32], _compiled: &(Vec<u8>, usize)) {}
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleIndex {
    pub(super) release: String,
    /// In the order of `modules.order`, the kernel's own idea of which of several to prefer.
    pub(super) modules: Vec<Module>,
    /// By name.
    pub(super) builtin: Vec<Builtin>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Module {
    pub(super) name: String,
    /// Below `/usr/lib/modules/RELEASE/`.
    pub(super) file: String,
    /// Modules whose symbols it needs, by their place in the index, in order of their rank.
    pub(super) needs: Vec<u32>,
    /// Place in an order in which every module stands before those that it needs.
    pub(super) rank: u32,
    /// Its `needs` is of no more use and empty.
    pub(super) facts: ModuleFacts,
}

/// A module that is part of the kernel's own image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Builtin {
    pub(super) name: String,
    /// Whether `modules.builtin` names it; other parts of the kernel may have aliases too.
    pub(super) listed: bool,
    pub(super) aliases: Vec<String>,
}

/// Where kernels keep their modules.
pub(super) const MODULES: &str = "/usr/lib/modules";

/// Kernel releases that have modules in the tree, sorted.
pub fn releases(tree: &Tree) -> Vec<String> {
    let Ok(folder) = TreePath::new(MODULES) else {
        return Vec::new();
    };
    tree.entries(&folder)
        .filter(|(name, node)| {
            let below = folder.join(name);
            node.is_directory()
                && below.is_ok_and(|below| tree.within(&below).any(|(path, _)| is_module(path)))
        })
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// Reads all modules of a kernel release, on all cores, and works out what each needs.
///
/// # Errors
/// A module that is no ELF file or is damaged, with its path; modules that need each other in a
/// circle.
pub fn index(tree: &Tree, release: &str, cache: &dyn FactsCache) -> Result<ModuleIndex> {
    let folder = TreePath::new(MODULES)?.join(release)?;
    let mut found: BTreeMap<String, (String, TreePath)> = BTreeMap::new();
    let search = SearchOrder::read(tree, release)?;
    for (path, node) in tree.within(&folder) {
        let relative = path.as_str().trim_start_matches(folder.as_str());
        let file = relative.trim_start_matches('/');
        let links_to_sources = file.starts_with("build/") || file.starts_with("source/");
        let is_file = matches!(node.kind, Kind::File(_) | Kind::HardLink(_));
        if links_to_sources || !is_module(path) || !is_file {
            continue;
        }
        let name = module_name(file);
        let replaces = match found.get(&name) {
            Some((other, _)) => search.prefers(file, other),
            None => true,
        };
        if replaces {
            found.insert(name, (file.to_owned(), path.clone()));
        }
    }
    let order = order(tree, &folder)?;
    let mut files: Vec<(String, String, TreePath)> = found
        .into_iter()
        .map(|(name, (file, path))| (name, file, path))
        .collect();
    files.sort_by_key(|(_, file, _)| {
        (
            *order.get(uncompressed(file)).unwrap_or(&usize::MAX),
            file.clone(),
        )
    });

    let facts = read_all(tree, &files, cache)?;
    let modules = files.into_iter().zip(facts);
    let modules: Vec<Module> = modules
        .map(|((name, file, _), facts)| Module {
            name,
            file,
            needs: Vec::new(),
            rank: 0,
            facts,
        })
        .collect();
    let mut index = ModuleIndex {
        release: release.to_owned(),
        modules,
        builtin: builtin(tree, &folder)?,
    };
    index.connect()?;
    Ok(index)
}

/// The facts of every file, in the order of `files`; the largest files are read first, so that
/// no core is left alone with one at the end.
fn read_all(
    tree: &Tree,
    files: &[(String, String, TreePath)],
    cache: &dyn FactsCache,
) -> Result<Vec<ModuleFacts>> {
    let mut jobs = Vec::with_capacity(files.len());
    for (place, (_, _, path)) in files.iter().enumerate() {
        jobs.push((place, path, tree.content(path)?));
    }
    jobs.sort_by_key(|(_, _, content)| std::cmp::Reverse(content.length()));
    let mut facts = jobs
        .into_par_iter()
        .with_max_len(1)
        .map_init(Vec::new, |buffer, (place, path, content)| {
            if let Some(facts) = cache.get(path, content) {
                return Ok((place, facts));
            }
            let facts = ModuleFacts::read_with(path, content, buffer)?;
            cache.keep(path, content, &facts);
            Ok((place, facts))
        })
        .collect::<Result<Vec<_>>>()?;
    facts.sort_by_key(|(place, _)| *place);
    Ok(facts.into_iter().map(|(_, facts)| facts).collect())
}

impl ModuleIndex {
    /// The kernel release.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// How many modules there are.
    pub fn count(&self) -> usize {
        self.modules.len()
    }

    /// Finds for every module those whose symbols it needs, and ranks all.
    fn connect(&mut self) -> Result<()> {
        let mut owners: HashMap<&str, u32> = HashMap::new();
        for (place, module) in self.modules.iter().enumerate() {
            for symbol in &module.facts.exports {
                owners.insert(symbol, place as u32);
            }
        }
        let mut all_needs = Vec::with_capacity(self.modules.len());
        let mut users = vec![0_u32; self.modules.len()];
        for module in &self.modules {
            let mut needs: Vec<u32> = Vec::new();
            for symbol in &module.facts.needs {
                // PowerPC's function descriptors: `.name` is `name`.
                let symbol = symbol.strip_prefix('.').unwrap_or(symbol);
                if let Some(owner) = owners.get(symbol)
                    && !needs.contains(owner)
                {
                    needs.push(*owner);
                    users[*owner as usize] += 1;
                }
            }
            all_needs.push(needs);
        }
        drop(owners);

        // Modules that nobody uses first, then those that only they use, and so on.
        let mut ranks = vec![u32::MAX; self.modules.len()];
        let mut ready: Vec<u32> = (0..self.modules.len() as u32)
            .filter(|place| users[*place as usize] == 0)
            .collect();
        let mut next = 0;
        while let Some(place) = ready.pop() {
            ranks[place as usize] = next;
            next += 1;
            for need in &all_needs[place as usize] {
                users[*need as usize] -= 1;
                if users[*need as usize] == 0 {
                    ready.push(*need);
                }
            }
        }
        let circle: Vec<&str> = (self.modules.iter().zip(&ranks))
            .filter(|(_, rank)| **rank == u32::MAX)
            .map(|(module, _)| module.name.as_str())
            .collect();
        if !circle.is_empty() {
            return Err(Error::File {
                file: format!("{MODULES}/{}", self.release),
                reason: format!("modules need each other in a circle: {}", circle.join(", ")),
            });
        }
        for ((module, mut needs), rank) in self.modules.iter_mut().zip(all_needs).zip(&ranks) {
            needs.sort_by_key(|need| ranks[*need as usize]);
            module.needs = needs;
            module.rank = *rank;
            module.facts.needs = Vec::new();
        }
        Ok(())
    }

    /// Everything that a module needs, directly or not, in order of rank: each before those that
    /// it needs itself.
    pub(super) fn all_needs(&self, place: u32) -> Vec<u32> {
        let mut all = Vec::new();
        let mut open = vec![place];
        while let Some(place) = open.pop() {
            for need in &self.modules[place as usize].needs {
                if !all.contains(need) {
                    all.push(*need);
                    open.push(*need);
                }
            }
        }
        all.sort_by_key(|place| self.modules[*place as usize].rank);
        all
    }
}

fn is_module(path: &TreePath) -> bool {
    let name = path.name();
    SUFFIXES
        .iter()
        .any(|suffix| name.len() > suffix.len() && name.ends_with(suffix))
}

/// A module file's path as the kernel's build knows it, without the suffix of a compression.
fn uncompressed(file: &str) -> &str {
    match file.rfind(".ko") {
        Some(at) => &file[..at + 3],
        None => file,
    }
}

/// The name by which the kernel knows the module in a file.
pub(super) fn module_name(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.split('.').next().unwrap_or(name).replace('-', "_")
}

/// `modules.order`: where each module stands in the order in which the kernel's build links.
fn order(tree: &Tree, folder: &TreePath) -> Result<HashMap<String, usize>> {
    let file = folder.join("modules.order")?;
    if tree.find(&file).is_none() {
        return Ok(HashMap::new());
    }
    let text = tree.read_text(&file)?;
    Ok(text
        .lines()
        .enumerate()
        .map(|(at, line)| (line.to_owned(), at))
        .collect())
}

/// The modules that `modules.builtin` names, with the aliases from `modules.builtin.modinfo`
/// (texts `NAME.KEY=VALUE`, each ended by NUL).
fn builtin(tree: &Tree, folder: &TreePath) -> Result<Vec<Builtin>> {
    let names = folder.join("modules.builtin")?;
    let mut modules: BTreeMap<String, Builtin> = BTreeMap::new();
    let fresh = |name: &str| Builtin {
        name: name.to_owned(),
        listed: false,
        aliases: Vec::new(),
    };
    if tree.find(&names).is_some() {
        for line in tree.read_text(&names)?.lines() {
            if line.starts_with(|first: char| first.is_ascii_alphabetic()) {
                let name = module_name(line);
                modules
                    .entry(name)
                    .or_insert_with_key(|name| fresh(name))
                    .listed = true;
            }
        }
    }
    let info = folder.join("modules.builtin.modinfo")?;
    if tree.find(&info).is_some() {
        let bytes = tree.read(&info)?;
        for entry in bytes.split(|byte| *byte == 0) {
            let Ok(entry) = std::str::from_utf8(entry) else {
                continue;
            };
            if let Some((name, rest)) = entry.split_once('.')
                && let Some(alias) = rest.strip_prefix("alias=")
            {
                let name = name.replace('-', "_");
                let module = modules.entry(name).or_insert_with_key(|name| fresh(name));
                module.aliases.push(alias.to_owned());
            }
        }
    }
    Ok(modules.into_values().collect())
}
