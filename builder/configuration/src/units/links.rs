//! Links: making those that enabled units ask for, and removing those of disabled ones.

use super::name::UnitName;
use super::unit::{Install, Located, expand, install, locate};
use super::{Scope, UnitReport};
use crate::Result;
use fortress_tree::{Kind, Tree, TreePath};
use std::collections::{BTreeSet, VecDeque};

/// Suffixes of the folders by which units need others.
const SUFFIXES: [&str; 3] = [".wants", ".requires", ".upholds"];

/// Makes the links that `names`, and the units that they name in `Also=`, ask for.
pub(super) fn enable(
    tree: &mut Tree,
    scope: &Scope,
    names: impl IntoIterator<Item = String>,
    report: &mut UnitReport,
) -> Result<()> {
    let mut open: VecDeque<String> = names.into_iter().collect();
    let mut done = BTreeSet::new();
    while let Some(name) = open.pop_front() {
        if !done.insert(name.clone()) {
            continue;
        }
        let path = match locate(tree, scope, &name)? {
            Some(Located::File(path)) => path,
            Some(Located::Alias(other)) => {
                open.push_back(other);
                continue;
            }
            Some(Located::Masked) => {
                report.warn(format!("{name} is masked and is not enabled"));
                continue;
            }
            None => {
                report.warn(format!(
                    "{name} is named in Also=, but there is no such unit"
                ));
                continue;
            }
        };
        let wishes = install(tree, scope, &name, &path)?;
        let unit = Unit {
            scope,
            name: &name,
            path: &path,
            install: &wishes,
        };
        unit.link(tree, report)?;
        if !wishes.is_empty() {
            report.enabled.push(name.clone());
        }
        let also = wishes
            .also
            .iter()
            .filter_map(|word| unit.expanded(word, report));
        open.extend(also.collect::<Vec<_>>());
    }
    Ok(())
}

struct Unit<'a> {
    scope: &'a Scope,
    name: &'a str,
    path: &'a TreePath,
    install: &'a Install,
}

impl Unit<'_> {
    fn expanded(&self, word: &str, report: &mut UnitReport) -> Option<String> {
        let expanded = expand(word, self.name, self.install.default_instance.as_deref());
        match expanded {
            Ok(text) => Some(text),
            Err(letter) => {
                report.warn(format!(
                    "{}: {word:?} has %{letter}, which has no meaning when an image is built",
                    self.name
                ));
                None
            }
        }
    }

    fn link(&self, tree: &mut Tree, report: &mut UnitReport) -> Result<()> {
        for word in &self.install.aliases {
            let Some(alias) = self.expanded(word, report) else {
                continue;
            };
            match self.alias(&alias) {
                Ok(Some(alias)) => self.make(tree, &alias, false, report)?,
                Ok(None) => {}
                Err(reason) => report.warn(format!("{}: Alias={alias} {reason}", self.name)),
            }
        }
        let Some(parsed) = UnitName::parse(self.name) else {
            return Ok(());
        };
        // A template is linked as its default instance; without one it can only be wanted by
        // other templates and their instances, which then tell it which instance it is.
        let (name, alone) = match (&self.install.default_instance, parsed.is_template()) {
            (Some(instance), true) => (parsed.with_instance(instance), true),
            (None, true) => (self.name.to_owned(), false),
            (_, false) => (self.name.to_owned(), true),
        };
        if matches!(locate(tree, self.scope, &name)?, Some(Located::Masked)) {
            report.warn(format!("{name} is masked and is not enabled"));
            return Ok(());
        }
        let lists = [
            &self.install.wanted_by,
            &self.install.required_by,
            &self.install.upheld_by,
        ];
        for (words, suffix) in lists.into_iter().zip(SUFFIXES) {
            for word in words {
                let Some(by) = self.expanded(word, report) else {
                    continue;
                };
                match UnitName::parse(&by) {
                    Some(unit) if alone || unit.instance.is_some() => {
                        self.make(tree, &format!("{by}{suffix}/{name}"), true, report)?;
                    }
                    // A template without an instance, wanted by something that is none.
                    Some(_) => {}
                    None => report.warn(format!("{}: {by:?} is no name of a unit", self.name)),
                }
            }
        }
        Ok(())
    }

    /// The alias as it is to be linked: none if it is the unit's own name, why not otherwise.
    fn alias(&self, alias: &str) -> std::result::Result<Option<String>, &'static str> {
        let own = UnitName::parse(self.name).ok_or("is for a unit without a valid name")?;
        if let Some((folder, name)) = alias.split_once('/') {
            let by = SUFFIXES
                .iter()
                .find_map(|suffix| folder.strip_suffix(suffix));
            let valid = by.is_some_and(|by| UnitName::parse(by).is_some());
            let named = UnitName::parse(name);
            let fits = named.is_some_and(|named| {
                name == self.name
                    || named
                        .template()
                        .is_some_and(|it| own.template() == Some(it))
            });
            return match valid && fits {
                true => Ok(Some(alias.to_owned())),
                false => Err("is no name in a .wants, .requires or .upholds folder"),
            };
        }
        let named = UnitName::parse(alias).ok_or("is no name of a unit")?;
        let alias = match (named.is_template(), own.instance) {
            (true, Some(instance)) if !instance.is_empty() => named.with_instance(instance),
            _ => alias.to_owned(),
        };
        match UnitName::parse(&alias) {
            _ if alias == self.name => Ok(None),
            Some(named) if named.may_be_alias_of(&own) => Ok(Some(alias)),
            _ => Err("cannot be a name of this unit: its kind or form differs"),
        }
    }

    /// Makes one link. What a unit wants is linked anew if need be; an alias stays with whoever
    /// has it.
    fn make(
        &self,
        tree: &mut Tree,
        place: &str,
        replace: bool,
        report: &mut UnitReport,
    ) -> Result<()> {
        let link = TreePath::new(self.scope.configuration)?.join(place)?;
        let target = self.path.as_str();
        match tree.get(&link).map(|node| &node.kind) {
            Some(Kind::Symlink(there)) if there == target => {
                report.links.push((link, target.to_owned()));
                return Ok(());
            }
            Some(Kind::Symlink(there)) if !replace => {
                report.warn(format!("{}: {link} already leads to {there}", self.name));
                return Ok(());
            }
            Some(Kind::Symlink(_)) | None => {}
            Some(other) => {
                report.warn(format!(
                    "{}: {link} is {}, not a link",
                    self.name,
                    other.name()
                ));
                return Ok(());
            }
        }
        tree.link(&link, target)?;
        report.links.push((link, target.to_owned()));
        Ok(())
    }
}

/// Removes every link in the scope's configuration that leads to one of `names`, or is called so.
/// Gives those links' paths.
pub(super) fn disable(
    tree: &mut Tree,
    scope: &Scope,
    names: impl IntoIterator<Item = String>,
) -> Result<Vec<TreePath>> {
    let mut names: BTreeSet<String> = names.into_iter().collect();
    let Ok(folder) = tree.resolve(&TreePath::new(scope.configuration)?) else {
        return Ok(Vec::new());
    };
    let mut removed = Vec::new();
    // A link that goes was a name of the unit: links to that name go as well.
    loop {
        let is_one = |name: &str| {
            let template = UnitName::parse(name).filter(|it| it.is_instance());
            let template = template.and_then(|it| it.template());
            names.contains(name) || template.is_some_and(|template| names.contains(&template))
        };
        let gone: Vec<TreePath> = (tree.within(&folder))
            .filter_map(|(path, node)| match &node.kind {
                Kind::Symlink(target) if target != "/dev/null" => Some((path, target)),
                _ => None,
            })
            .filter(|(path, _)| UnitName::parse(path.name()).is_some())
            .filter(|(path, target)| {
                is_one(path.name()) || is_one(target.rsplit('/').next().unwrap_or_default())
            })
            .map(|(path, _)| path.clone())
            .collect();
        if gone.is_empty() {
            break;
        }
        for path in gone {
            names.insert(path.name().to_owned());
            tree.remove(&path);
            let parent = path.parent().unwrap_or_else(TreePath::root);
            if parent != folder && tree.entries(&parent).next().is_none() {
                tree.remove(&parent);
            }
            removed.push(path);
        }
    }
    Ok(removed)
}
