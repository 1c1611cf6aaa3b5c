//! `/etc/shells`, as update-shells(8) of debianutils makes it.

use crate::files::read_if_there;
use crate::{Done, Result};
use fortress_tree::{Tree, TreePath};

const TEMPLATE: &str = "/usr/share/debianutils/shells";
const PACKAGED: &str = "/usr/share/debianutils/shells.d";
const SHELLS: &str = "/etc/shells";

/// Adds the shells that packages register, each also by its path with links followed, to
/// `/etc/shells` or else to debianutils' template. Without debianutils nothing is done.
///
/// # Errors
/// Files that are not text.
pub fn run(tree: &mut Tree) -> Result<Done> {
    let Some(template) = read_if_there(tree, TEMPLATE)? else {
        return Ok(Done::new("no shells registered"));
    };
    let mut registered = Vec::new();
    add(tree, &template, &mut registered)?;
    let folder = TreePath::new(PACKAGED)?;
    let names: Vec<String> = tree
        .entries(&folder)
        .map(|(name, _)| name.to_owned())
        .collect();
    for name in names {
        let text = tree.read_text(&folder.join(&name)?)?;
        add(tree, &text, &mut registered)?;
    }
    let mut text = read_if_there(tree, SHELLS)?.unwrap_or(template);
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for shell in &registered {
        if !text.lines().any(|line| shell_of(line) == shell) {
            text.push_str(shell);
            text.push('\n');
        }
    }
    tree.write(&TreePath::new(SHELLS)?, 0o644, text)?;
    Ok(Done::new(format!("{} shells", registered.len())))
}

fn shell_of(line: &str) -> &str {
    line.split('#').next().unwrap_or_default()
}

fn add(tree: &Tree, text: &str, registered: &mut Vec<String>) -> Result<()> {
    for shell in text.lines().map(shell_of).filter(|shell| !shell.is_empty()) {
        let path = TreePath::new(shell)?;
        let real = crate::place::real(tree, &path)?;
        for shell in [shell, real.as_str()] {
            if !registered.iter().any(|other| other == shell) {
                registered.push(shell.to_owned());
            }
        }
    }
    Ok(())
}
