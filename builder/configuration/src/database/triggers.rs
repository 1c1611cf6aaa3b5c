//! dpkg's `triggers` folder: who wants to know of what (deb-triggers(5)).

use crate::Result;
use fortress_package::Package;
use fortress_tree::{Tree, TreePath};
use std::collections::BTreeMap;

/// Writes `File` for paths, and a file for each trigger that has a name.
pub(super) fn write(tree: &mut Tree, folder: &TreePath, packages: &[&Package]) -> Result<()> {
    let mut paths = String::new();
    let mut named: BTreeMap<String, String> = BTreeMap::new();
    for package in packages {
        let text = package.member_text("triggers").unwrap_or_default();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let (Some(directive), Some(name)) = (words.next(), words.next()) else {
                continue;
            };
            let option = match directive {
                "interest" | "interest-await" => "",
                "interest-noawait" => "/noawait",
                _ => continue,
            };
            let listener = format!("{}{option}\n", package.info_name());
            match name.starts_with('/') {
                true => paths.push_str(&format!("{name} {listener}")),
                false => named
                    .entry(name.to_owned())
                    .or_default()
                    .push_str(&listener),
            }
        }
    }
    tree.write(&folder.join("File")?, 0o644, paths)?;
    tree.write(&folder.join("Unincorp")?, 0o644, "")?;
    for (name, listeners) in named {
        tree.write(&folder.join(&name)?, 0o644, listeners)?;
    }
    Ok(())
}
