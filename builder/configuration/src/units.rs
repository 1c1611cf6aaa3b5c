//! Units: presets, then the recipe's own choices, as links below `/etc/systemd`.
//!
//! ```
//! use fortress_configuration::units::{self, UnitSettings};
//! use fortress_tree::{Tree, TreePath};
//! let mut tree = Tree::new(0);
//! let unit = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n";
//! tree.write(&TreePath::new("/usr/lib/systemd/system/x.service")?, 0o644, unit)?;
//! let settings = UnitSettings { enable: vec!["x".into()], ..UnitSettings::default() };
//! let report = units::apply(&mut tree, &settings)?;
//! assert_eq!(report.enabled, ["x.service"]);
//! # Ok::<(), fortress_configuration::Error>(())
//! ```
//!
//! What no preset speaks of is disabled: where the tree has no file of that name, a last preset
//! file `99-default.preset` with `disable *` says so, and so systemd itself, asked for its presets
//! later, comes to the same result.

mod links;
mod name;
mod presets;
mod unit;

pub use crate::UnitSettings;
use crate::{Error, Result};
use fortress_tree::{Kind, Tree, TreePath};
use name::{UnitName, completed};
use presets::{Preset, Presets};
use std::collections::BTreeSet;
use unit::{Located, locate};

/// The name of the last preset file, and what is in it.
const LAST_PRESET: &str = "99-default.preset";
const LAST_RULE: &str = "# Whatever should run is enabled by name.\ndisable *\n";
/// Most names that an error suggests.
const MOST_SUGGESTIONS: usize = 3;

/// Whose manager units are for, and where they are looked for, the strongest place first.
struct Scope {
    configuration: &'static str,
    folders: &'static [&'static str],
    presets: &'static [&'static str],
}

const SYSTEM: Scope = Scope {
    configuration: "/etc/systemd/system",
    folders: &[
        "/etc/systemd/system",
        "/usr/local/lib/systemd/system",
        "/usr/lib/systemd/system",
    ],
    presets: &[
        "/etc/systemd/system-preset",
        "/usr/local/lib/systemd/system-preset",
        "/usr/lib/systemd/system-preset",
    ],
};

/// All users' managers, as `systemctl --global` has it.
const USERS: Scope = Scope {
    configuration: "/etc/systemd/user",
    folders: &[
        "/etc/systemd/user",
        "/usr/local/lib/systemd/user",
        "/usr/local/share/systemd/user",
        "/usr/lib/systemd/user",
        "/usr/share/systemd/user",
    ],
    presets: &[
        "/etc/systemd/user-preset",
        "/usr/local/lib/systemd/user-preset",
        "/usr/lib/systemd/user-preset",
    ],
};

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct UnitReport {
    /// The links of enabled units, with their targets, in order of their paths.
    pub links: Vec<(TreePath, String)>,
    /// Units enabled, by presets and by the recipe, sorted.
    pub enabled: Vec<String>,
    /// What an administrator should know: aliases that clash, names that are refused.
    pub warnings: Vec<String>,
}

impl UnitReport {
    fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}

/// Applies presets to system and user units, then `settings` to system units.
///
/// # Errors
/// A unit in `settings` that is not there (with the names nearest to it), preset files with lines
/// that mean nothing, a tree that cannot be written.
pub fn apply(tree: &mut Tree, settings: &UnitSettings) -> Result<UnitReport> {
    let mut report = UnitReport::default();
    for scope in [&SYSTEM, &USERS] {
        if let Some(folder) = scope.presets.last() {
            let last = TreePath::new(folder)?.join(LAST_PRESET)?;
            if tree.get(&last).is_none() {
                tree.write(&last, 0o644, LAST_RULE)?;
            }
        }
        preset_all(tree, scope, &mut report)?;
    }

    let disable = known(tree, "units.disable", &settings.disable)?;
    for name in &disable {
        remove(tree, &SYSTEM, name)?;
    }
    let enable = known(tree, "units.enable", &settings.enable)?;
    for name in &enable {
        if let Some(Located::File(path)) = locate(tree, &SYSTEM, name)?
            && unit::install(tree, &SYSTEM, name, &path)?.is_empty()
        {
            report.warn(format!(
                "{name} has no [Install] section: enabling it does nothing, others start it"
            ));
        }
    }
    links::enable(tree, &SYSTEM, enable, &mut report)?;
    for name in known(tree, "units.mask", &settings.mask)? {
        mask(tree, &name)?;
    }
    if let Some(target) = &settings.default_target {
        let [name] = &known(tree, "units.default_target", std::slice::from_ref(target))?[..] else {
            return Ok(report);
        };
        if let Some(Located::File(path)) = locate(tree, &SYSTEM, name)? {
            let link = TreePath::new(SYSTEM.configuration)?.join("default.target")?;
            tree.link(&link, path.as_str())?;
            report.links.push((link, path.as_str().to_owned()));
        }
    }
    report.links.retain(|(link, target)| {
        let there = tree.get(link).map(|node| &node.kind);
        matches!(there, Some(Kind::Symlink(there)) if there == target)
    });
    report.links.sort();
    report.links.dedup();
    let linked: BTreeSet<&str> = (report.links.iter())
        .filter_map(|(_, target)| target.rsplit('/').next())
        .collect();
    let mut enabled = std::mem::take(&mut report.enabled);
    enabled.retain(|name| {
        let template = UnitName::parse(name).and_then(|name| name.template());
        let template = template.is_some_and(|template| linked.contains(template.as_str()));
        let masked = matches!(locate(tree, &SYSTEM, name), Ok(Some(Located::Masked)));
        !masked && (template || linked.contains(name.as_str()))
    });
    report.enabled = enabled;
    report.enabled.sort();
    report.enabled.dedup();
    Ok(report)
}

/// Does what presets say of every unit of a scope, as `systemctl preset-all` does.
fn preset_all(tree: &mut Tree, scope: &Scope, report: &mut UnitReport) -> Result<()> {
    let presets = Presets::read(tree, scope.presets)?;
    let (mut plus, mut minus) = (BTreeSet::new(), BTreeSet::new());
    for name in names(tree, scope)? {
        if !matches!(locate(tree, scope, &name)?, Some(Located::File(_))) {
            continue;
        }
        match presets.of(&name) {
            Preset::Enable => {
                plus.insert(name);
            }
            Preset::EnableInstances(instances) => plus.extend(instances),
            Preset::Disable => {
                minus.insert(name);
            }
            Preset::Ignore => {}
        }
    }
    links::disable(tree, scope, minus)?;
    links::enable(tree, scope, plus, report)
}

/// The names of all files and links in the scope's folders that are valid names of units.
fn names(tree: &Tree, scope: &Scope) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for folder in scope.folders {
        let Ok(folder) = tree.resolve(&TreePath::new(folder)?) else {
            continue;
        };
        let entries = tree.entries(&folder);
        let units =
            entries.filter(|(name, node)| !node.is_directory() && UnitName::parse(name).is_some());
        names.extend(units.map(|(name, _)| name.to_owned()));
    }
    Ok(names)
}

/// The names in a setting, completed, aliases followed.
fn known(tree: &Tree, setting: &'static str, wanted: &[String]) -> Result<Vec<String>> {
    let mut known = Vec::with_capacity(wanted.len());
    for given in wanted {
        let mut name = completed(given);
        for _ in 0..8 {
            match locate(tree, &SYSTEM, &name)? {
                Some(Located::Alias(other)) if UnitName::parse(&name).is_some() => name = other,
                _ => break,
            }
        }
        if UnitName::parse(&name).is_none() || locate(tree, &SYSTEM, &name)?.is_none() {
            return Err(Error::Setting {
                setting,
                value: given.clone(),
                reason: missing(&names(tree, &SYSTEM)?, &completed(given)),
            });
        }
        known.push(name);
    }
    Ok(known)
}

fn missing(names: &BTreeSet<String>, wanted: &str) -> String {
    let mut near: Vec<(f64, &str)> = (names.iter())
        .map(|name| (strsim::jaro_winkler(wanted, name), name.as_str()))
        .filter(|(likeness, _)| *likeness > 0.85)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    near.truncate(MOST_SUGGESTIONS);
    match near.is_empty() {
        true => "the image has no such unit".into(),
        false => {
            let near: Vec<&str> = near.into_iter().map(|(_, name)| name).collect();
            format!("the image has no such unit; near are {}", near.join(", "))
        }
    }
}

/// Disables a unit as systemctl does: with those that it names in `Also=`.
fn remove(tree: &mut Tree, scope: &Scope, name: &str) -> Result<()> {
    let mut names = vec![name.to_owned()];
    if let Some(Located::File(path)) = locate(tree, scope, name)? {
        let install = unit::install(tree, scope, name, &path)?;
        let also = install.also.iter();
        names.extend(
            also.filter_map(|word| {
                unit::expand(word, name, install.default_instance.as_deref()).ok()
            }),
        );
    }
    links::disable(tree, scope, names)?;
    Ok(())
}

/// Makes a unit one that can never start.
fn mask(tree: &mut Tree, name: &str) -> Result<()> {
    let link = TreePath::new(SYSTEM.configuration)?.join(name)?;
    match tree.get(&link).map(|node| &node.kind) {
        None | Some(Kind::Symlink(_)) => Ok(tree.link(&link, "/dev/null")?),
        Some(other) => Err(Error::Setting {
            setting: "units.mask",
            value: name.to_owned(),
            reason: format!("{link} is {} and would have to go", other.name()),
        }),
    }
}
