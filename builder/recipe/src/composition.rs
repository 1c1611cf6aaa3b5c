//! Layers laid over each other, from the first included recipe to the last `--set`.
//!
//! A later word about a package takes the place of an earlier one.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::name_of;
use crate::error::{ErrorKind, Result, nearest};
use crate::plan::Architecture;
use crate::recipe::{Layer, PackageWishes};
use crate::source::Located;
use crate::wishes::Wishes;

/// All layers in one.
#[derive(Debug, Default)]
pub(crate) struct Composition {
    /// Packages to install as written, by the part that says which it is.
    pub(crate) packages: BTreeMap<String, Located<String>>,
    /// Packages that a recipe installs on another architecture.
    elsewhere: BTreeSet<String>,
    /// Reasons by package.
    pub(crate) left_out: BTreeMap<String, Located<String>>,
    pub(crate) wishes: Wishes,
}

impl Composition {
    /// Lays one more layer over all before it.
    pub(crate) fn add(&mut self, layer: Layer, architecture: Architecture) -> Result<()> {
        self.add_packages(layer.packages, architecture)?;
        self.wishes.merge(layer.wishes);
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
