//! tmpfiles.d(5): what a running system could not make on a read-only root is made at build time.

mod apply;
mod line;

use crate::drop_in;
use crate::glob::Glob;
use crate::specifier::{Specifiers, systemd_architecture};
use crate::users::Accounts;
use crate::{Done, Result};
use apply::Apply;
use fortress_tree::{Tree, TreePath};
use line::{Line, Skipped};
use std::collections::BTreeSet;

/// What is not part of the root: made or emptied at each boot.
const ELSEWHERE: [&str; 6] = ["/var", "/run", "/tmp", "/dev", "/proc", "/sys"];

/// Follows every line for a path on the root file system, boot-only ones (`!`) too; lines for
/// `/var`, `/run`, `/tmp`, `/dev`, `/proc` and `/sys` are systemd-tmpfiles' at boot. Lines that
/// mean nothing, or ask for what is not done at build time, are told of.
///
/// # Errors
/// Files that are not text; a path under something that is no directory.
pub fn run(tree: &mut Tree, hostname: &str, architecture: &str) -> Result<Done> {
    let (mut lines, mut warnings) = read(tree, hostname, architecture)?;
    lines.retain(|line| !is_elsewhere(line.path.as_str()));
    // As systemd-tmpfiles: plain paths before patterns, parents before what is in them.
    lines.sort_by_cached_key(|line| (takes_pattern(line), line.path.clone()));
    let accounts = Accounts::read(tree)?;
    let mut apply = Apply {
        tree,
        accounts: &accounts,
        warnings: Vec::new(),
        changed: 0,
    };
    for line in &lines {
        apply.line(line)?;
    }
    warnings.extend(apply.warnings);
    warnings.sort_unstable();
    warnings.dedup();
    Ok(Done {
        summary: format!("{} lines, {} changes", lines.len(), apply.changed),
        warnings,
    })
}

/// The paths that lines make at boot.
pub(crate) fn made_at_boot(
    tree: &Tree,
    hostname: &str,
    architecture: &str,
) -> Result<BTreeSet<TreePath>> {
    let (lines, _) = read(tree, hostname, architecture)?;
    let makes = |line: &Line| "fdDvqQpLcbC".contains(line.kind);
    Ok(lines
        .into_iter()
        .filter(makes)
        .map(|line| line.path)
        .collect())
}

fn is_elsewhere(path: &str) -> bool {
    ELSEWHERE.iter().any(|place| {
        path.strip_prefix(place)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

fn takes_pattern(line: &Line) -> bool {
    "wezZ".contains(line.kind) && Glob::is_pattern(line.path.as_str())
}

/// All lines in the order of their files, and what is wrong with those that are left out. Of two
/// lines that make one path the first counts.
fn read(tree: &Tree, hostname: &str, architecture: &str) -> Result<(Vec<Line>, Vec<String>)> {
    let specifiers = Specifiers::of(tree, hostname, systemd_architecture(architecture))?;
    let mut lines: Vec<Line> = Vec::new();
    let mut made = BTreeSet::new();
    let mut warnings = Vec::new();
    for file in drop_in::files(tree, "tmpfiles.d")? {
        for (number, text) in drop_in::lines(&file.text) {
            match line::parse(text, &specifiers) {
                Ok(line) => {
                    let makes = "fdDvqQpLcbC".contains(line.kind);
                    if !makes || made.insert(line.path.clone()) {
                        lines.push(line);
                    }
                }
                Err(Skipped::Runtime) => {}
                Err(Skipped::Wrong(reason)) => {
                    warnings.push(format!("{}, line {number}: {reason}", file.path));
                }
            }
        }
    }
    Ok((lines, warnings))
}
