//! Layers laid over each other, from the first included recipe to the last `--set`.
//!
//! Lists append without doubles; of single values the later one wins; a later word about a
//! package or a unit takes the place of an earlier one.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::IdentifiersFile;
use crate::check::name_of;
use crate::error::{ErrorKind, Result, nearest};
use crate::plan::Architecture;
use crate::recipe::{Layer, PackageWishes, Scalars, UnitState};
use crate::source::{Located, Mark};
use crate::state::StateWishes;
use crate::trust::TrustWishes;

/// All layers in one.
#[derive(Debug, Default)]
pub(crate) struct Composition {
    pub(crate) scalars: Scalars,
    /// Packages to install as written, by the part that says which it is.
    pub(crate) packages: BTreeMap<String, Located<String>>,
    /// Packages that a recipe installs on another architecture.
    elsewhere: BTreeSet<String>,
    /// Reasons by package.
    pub(crate) left_out: BTreeMap<String, Located<String>>,
    /// Where an archive is first named, and the packages taken from it.
    pub(crate) pins: BTreeMap<String, (Mark, Vec<Located<String>>)>,
    pub(crate) overlays: Vec<Located<String>>,
    pub(crate) kernel_packages: Vec<Located<String>>,
    pub(crate) command_line: Vec<Located<String>>,
    pub(crate) load: Vec<Located<String>>,
    pub(crate) initrd_modules: Vec<Located<String>>,
    pub(crate) initrd_overlays: Vec<Located<String>>,
    pub(crate) units: BTreeMap<String, Located<UnitState>>,
    pub(crate) identifiers: IdentifiersFile,
    pub(crate) keep_locales: Vec<Located<String>>,
    pub(crate) trim_paths: Vec<Located<String>>,
    pub(crate) sockets: Vec<Located<String>>,
    pub(crate) state: StateWishes,
    pub(crate) trust: TrustWishes,
}

impl Composition {
    /// Lays one more layer over all before it.
    pub(crate) fn add(&mut self, layer: Layer, architecture: Architecture) -> Result<()> {
        // Naming every field makes the compiler refuse one that is forgotten.
        let Layer {
            scalars,
            packages,
            pins,
            overlays,
            kernel_packages,
            command_line,
            load,
            initrd_modules,
            initrd_overlays,
            units,
            identifiers,
            keep_locales,
            trim_paths,
            sockets,
            state,
            trust,
        } = layer;
        self.scalars.merge(scalars);
        self.add_packages(packages, architecture)?;
        for (archive, (mark, packages)) in pins {
            let (_, pinned) = self.pins.entry(archive).or_insert((mark, Vec::new()));
            append(pinned, packages);
        }
        append(&mut self.overlays, overlays);
        append(&mut self.kernel_packages, kernel_packages);
        append(&mut self.command_line, command_line);
        append(&mut self.load, load);
        append(&mut self.initrd_modules, initrd_modules);
        append(&mut self.initrd_overlays, initrd_overlays);
        self.units.extend(units);
        self.identifiers.merge(identifiers);
        append(&mut self.keep_locales, keep_locales);
        append(&mut self.trim_paths, trim_paths);
        append(&mut self.sockets, sockets);
        self.state.merge(state);
        self.trust.merge(trust);
        Ok(())
    }

    fn add_packages(&mut self, wishes: PackageWishes, architecture: Architecture) -> Result<()> {
        let PackageWishes {
            install,
            mut by_architecture,
            remove,
            left_out,
        } = wishes;
        for package in remove {
            let name = name_of(&package.value);
            if self.packages.remove(name).is_none() && !self.elsewhere.contains(name) {
                return Err(package.mark.error(ErrorKind::NothingToRemove {
                    name: name.to_owned(),
                    nearest: nearest(name, self.packages.keys().map(String::as_str)),
                }));
            }
        }
        for (name, reason) in left_out {
            self.packages.remove(&name);
            self.left_out.insert(name, reason);
        }
        let here = by_architecture.remove(architecture.as_str());
        let elsewhere = by_architecture.into_values().flatten();
        self.elsewhere
            .extend(elsewhere.map(|package| name_of(&package.value).to_owned()));
        for package in install.into_iter().chain(here.into_iter().flatten()) {
            let name = name_of(&package.value).to_owned();
            self.left_out.remove(&name);
            let known = self.packages.get(&name);
            if known.is_none_or(|known| known.value != package.value) {
                self.packages.insert(name, package);
            }
        }
        Ok(())
    }
}

/// Appends what is not there yet.
pub(crate) fn append(list: &mut Vec<Located<String>>, later: Vec<Located<String>>) {
    let mut known: BTreeSet<String> = list.iter().map(|item| item.value.clone()).collect();
    for item in later {
        if known.insert(item.value.clone()) {
            list.push(item);
        }
    }
}
