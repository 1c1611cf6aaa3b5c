//! Alternatives: one generic name, several programs, as update-alternatives(1) links them.

mod script;

use crate::place::{is_there, of_rule};
use crate::{AlternativeRule, Done, Error, PackageData, Result};
use fortress_package::Package;
use fortress_tree::{Kind, Tree, TreePath};
use std::collections::BTreeMap;

const FOLDER: &str = "/etc/alternatives";

/// One alternative with all that packages offer for it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Alternative {
    link: String,
    choices: Vec<AlternativeRule>,
}

/// Links each alternative to its choice of highest priority (of several, the one whose package's
/// name comes first). Choices come from the package data, or for packages without such data from
/// the literal `update-alternatives --install` commands of their scripts. `database` is dpkg's
/// folder in the tree; update-alternatives' own files go there.
///
/// # Errors
/// Two packages that disagree about an alternative's link; a link's place that is taken.
pub fn run(
    tree: &mut Tree,
    packages: &[Package],
    architecture: &str,
    data: &PackageData,
    database: &TreePath,
) -> Result<Done> {
    let mut done = Done::default();
    let alternatives = collect(tree, packages, architecture, data, &mut done.warnings)?;
    let database = database.join("alternatives")?;
    tree.make_directories(&database)?;
    for (name, alternative) in &alternatives {
        let Some(best) = best(&alternative.choices) else {
            continue;
        };
        link(tree, &alternative.link, name, &best.path)?;
        for slave in &best.slaves {
            if is_there(tree, &TreePath::new(&slave.path)?) {
                link(tree, &slave.link, &slave.name, &slave.path)?;
            }
        }
        tree.write(&database.join(name)?, 0o644, record(alternative))?;
    }
    done.summary = format!("{} alternatives", alternatives.len());
    Ok(done)
}

fn collect(
    tree: &Tree,
    packages: &[Package],
    architecture: &str,
    data: &PackageData,
    warnings: &mut Vec<String>,
) -> Result<BTreeMap<String, Alternative>> {
    let mut sorted: Vec<&Package> = packages.iter().collect();
    sorted.sort_by(|one, other| one.name.cmp(&other.name));
    let mut alternatives: BTreeMap<String, Alternative> = BTreeMap::new();
    for package in sorted {
        let known = data
            .packages
            .get(&package.name)
            .map(|rules| &rules.alternatives);
        let rules = match known.filter(|rules| !rules.is_empty()) {
            Some(rules) => rules.clone(),
            None => {
                let found = script::read(&package.member_text("postinst").unwrap_or_default());
                let unread = found.unread.into_iter();
                warnings.extend(unread.map(|command| {
                    format!(
                        "{}: alternatives that only its script knows: {command}",
                        package.name
                    )
                }));
                found.rules
            }
        };
        for mut rule in rules {
            let path = of_rule(&rule.path, architecture)?;
            if !is_there(tree, &path) {
                continue;
            }
            rule.path = path.to_string();
            let name = rule.name.clone();
            let alternative = alternatives.entry(name).or_insert_with(|| Alternative {
                link: rule.link.clone(),
                choices: Vec::new(),
            });
            if alternative.link != rule.link {
                return Err(Error::Conflict {
                    what: "alternative",
                    name: rule.name,
                    wanted: format!("linked at {} as {} has it", rule.link, package.name),
                    reason: format!("another package links it at {}", alternative.link),
                });
            }
            alternative.choices.push(rule);
        }
    }
    Ok(alternatives)
}

fn best(choices: &[AlternativeRule]) -> Option<&AlternativeRule> {
    let highest = choices.iter().map(|choice| choice.priority).max()?;
    choices.iter().find(|choice| choice.priority == highest)
}

/// The link at the generic name, and the one in between.
fn link(tree: &mut Tree, generic: &str, name: &str, path: &str) -> Result<()> {
    let generic = TreePath::new(generic)?;
    let between = format!("{FOLDER}/{name}");
    let real = crate::place::real(tree, &generic)?;
    if let Some(node) = tree.get(&real)
        && !matches!(node.kind, Kind::Symlink(_))
    {
        return Err(Error::Conflict {
            what: "alternative",
            name: name.to_owned(),
            wanted: format!("linked at {generic}"),
            reason: format!("{} is there", node.kind.name()),
        });
    }
    tree.link(&TreePath::new(&between)?, path)?;
    tree.link(&generic, between)?;
    Ok(())
}

/// update-alternatives' own file for an alternative: status, link, slave names and links, then
/// each choice with its priority and what its slaves lead to.
fn record(alternative: &Alternative) -> String {
    let mut slaves: BTreeMap<&str, &str> = BTreeMap::new();
    for slave in alternative.choices.iter().flat_map(|choice| &choice.slaves) {
        slaves.entry(&slave.name).or_insert(&slave.link);
    }
    let mut text = format!("auto\n{}\n", alternative.link);
    for (name, link) in &slaves {
        text.push_str(&format!("{name}\n{link}\n"));
    }
    text.push('\n');
    let mut choices: Vec<_> = alternative.choices.iter().collect();
    choices.sort_by(|one, other| one.path.cmp(&other.path));
    for choice in choices {
        text.push_str(&format!("{}\n{}\n", choice.path, choice.priority));
        for name in slaves.keys() {
            let slave = choice.slaves.iter().find(|slave| slave.name == *name);
            text.push_str(slave.map_or("", |slave| &slave.path));
            text.push('\n');
        }
    }
    text.push('\n');
    text
}
