//! Owners and modes that need a user to exist: what scripts do with dpkg-statoverride and chown.

use crate::data::mode;
use crate::files::owner;
use crate::place::{holder, of_rule};
use crate::users::Accounts;
use crate::{Done, PackageData, Result};
use fortress_tree::Tree;

/// Sets them. Users must be there before.
///
/// # Errors
/// A rule with an owner or a mode that means nothing.
pub fn run(
    tree: &mut Tree,
    present: &[&str],
    architecture: &str,
    data: &PackageData,
) -> Result<Done> {
    let accounts = Accounts::read(tree)?;
    let mut count = 0;
    for (_, rules) in data.of(present) {
        for rule in &rules.owners {
            let path = of_rule(&rule.path, architecture)?;
            let (user, group) = owner(&accounts, &rule.path, &rule.user, &rule.group)?;
            let bits = mode(&rule.mode, &rule.path)?;
            let Some(node) = holder(tree, &path).and_then(|path| tree.get_mut(&path)) else {
                continue;
            };
            node.metadata.user = user;
            node.metadata.group = group;
            node.metadata.mode = bits;
            count += 1;
        }
    }
    Ok(Done::new(format!("{count} changed")))
}

/// The lines of dpkg's `statoverride` file.
pub(crate) fn overrides(
    present: &[&str],
    architecture: &str,
    data: &PackageData,
) -> Result<String> {
    let mut lines = Vec::new();
    for (_, rules) in data.of(present) {
        for rule in rules.owners.iter().filter(|rule| rule.override_database) {
            let path = of_rule(&rule.path, architecture)?;
            lines.push(format!(
                "{} {} {} {path}\n",
                rule.user, rule.group, rule.mode
            ));
        }
    }
    lines.sort_unstable();
    Ok(lines.concat())
}
