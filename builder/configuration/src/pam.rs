//! PAM's common-* files, as pam-auth-update(8) makes them from `/usr/share/pam-configs`.

use crate::place::is_there;
use crate::{Done, Result};
use fortress_tree::{Tree, TreePath};
use std::cmp::Reverse;
use std::collections::BTreeMap;

const PROFILES: &str = "/usr/share/pam-configs";
const STACKS: [&str; 5] = [
    "auth",
    "account",
    "password",
    "session",
    "session-noninteractive",
];
const PRIMARY: &str = "# here are the per-package modules (the \"Primary\" block)";
const FALLBACK: &str = "# here's the fallback if no module succeeds";
const ADDITIONAL: &str = "# and here are more per-package modules (the \"Additional\" block)";
const END: &str = "# end of pam-auth-update config";
/// A module that is gone from PAM; profiles that name it are left out.
const GONE: &str = "pam_tally";

/// Writes `/etc/pam.d/common-*` with every profile that is on by default, unless a file is
/// there already (an overlay's).
///
/// # Errors
/// Profiles or templates that are not text.
pub fn run(tree: &mut Tree) -> Result<Done> {
    let profiles = profiles(tree)?;
    let mut written = 0;
    for stack in STACKS {
        let template = TreePath::new(&format!("/usr/share/pam/common-{stack}"))?;
        let target = TreePath::new(&format!("/etc/pam.d/common-{stack}"))?;
        if tree.find(&template).is_some() && !is_there(tree, &target) {
            let text = fill(&tree.read_text(&template)?, stack, &profiles);
            tree.write(&target, 0o644, text)?;
            written += 1;
        }
    }
    Ok(Done::new(format!(
        "{} profiles, {written} files",
        profiles.len()
    )))
}

/// A profile: its fields by name.
type Profile = BTreeMap<String, String>;

/// Those on by default, in the order of their stacks: the highest priority first.
fn profiles(tree: &Tree) -> Result<Vec<Profile>> {
    let folder = TreePath::new(PROFILES)?;
    let names: Vec<String> = tree
        .entries(&folder)
        .map(|(name, _)| name.to_owned())
        .collect();
    let mut found = Vec::new();
    for name in names {
        let leftover = name.ends_with('~') || name.starts_with('#') && name.ends_with('#');
        let profile = match leftover {
            true => None,
            false => parse(&tree.read_text(&folder.join(&name)?)?),
        };
        let on = |profile: &Profile| profile.get("Default").is_some_and(|value| value == "yes");
        if let Some(profile) = profile.filter(on) {
            let priority = profile
                .get("Priority")
                .and_then(|number| number.parse().ok());
            found.push((Reverse((priority.unwrap_or(0i64), name)), profile));
        }
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    let mut chosen: Vec<(String, Profile)> = Vec::new();
    for (Reverse((_, name)), profile) in found {
        let excludes = |profile: &Profile, name: &str| {
            let conflicts = profile.get("Conflicts").map_or("", String::as_str);
            conflicts.split(", ").any(|other| other == name)
        };
        if !chosen.iter().any(|(_, other)| excludes(other, &name)) {
            chosen.push((name, profile));
        }
    }
    Ok(chosen.into_iter().map(|(_, profile)| profile).collect())
}

/// Reads a profile; none if it uses a module that is gone.
fn parse(text: &str) -> Option<Profile> {
    let mut profile = Profile::new();
    let mut field = String::new();
    for line in text.lines() {
        let head = line.split_once(':').filter(|(name, rest)| {
            !name.is_empty()
                && !name.contains(char::is_whitespace)
                && (rest.is_empty() || rest.starts_with(char::is_whitespace))
        });
        match head {
            Some((name, value)) => {
                field = name.strip_suffix("-Final").unwrap_or(name).to_owned();
                profile.insert(field.clone(), value.trim().to_owned());
            }
            None => {
                let value = profile.entry(field.clone()).or_default();
                if !value.is_empty() && !line.trim().is_empty() {
                    value.push('\n');
                }
                value.push_str(line.trim());
            }
        }
    }
    if profile
        .get("Session-Interactive-Only")
        .is_none_or(|value| value != "yes")
    {
        for suffix in ["-Type", "", "-Initial"] {
            if let Some(value) = profile.get(&format!("Session{suffix}")).cloned() {
                profile.insert(format!("Session-noninteractive{suffix}"), value);
            }
        }
    }
    let gone = profile.values().any(|value| value.contains(GONE));
    (!gone).then_some(profile)
}

/// The template with both blocks filled in.
fn fill(template: &str, stack: &str, profiles: &[Profile]) -> String {
    let mut text = String::new();
    let mut until = None;
    for line in template.lines() {
        if until.is_some_and(|end| !line.starts_with(end)) {
            continue;
        }
        until = None;
        text.push_str(line);
        text.push('\n');
        if line.starts_with(PRIMARY) {
            block(&mut text, stack, "Primary", profiles);
            until = Some(FALLBACK);
        } else if line.starts_with(ADDITIONAL) {
            block(&mut text, stack, "Additional", profiles);
            until = Some(END);
        }
    }
    text
}

/// One block: the lines of each profile, in the first by their form for an initial module.
/// `end` in a line's control is the number of lines to jump over.
fn block(text: &mut String, stack: &str, kind: &str, profiles: &[Profile]) {
    let field = capitalised(stack);
    let mut lines = Vec::new();
    let mut first = true;
    for profile in profiles {
        if profile
            .get(&format!("{field}-Type"))
            .is_none_or(|value| value != kind)
        {
            continue;
        }
        let initial = profile
            .get(&format!("{field}-Initial"))
            .filter(|value| first && !value.is_empty());
        let found = initial.or_else(|| profile.get(&field));
        lines.extend(found.into_iter().flat_map(|value| value.lines()));
        first = false;
    }
    let facility = stack.strip_suffix("-noninteractive").unwrap_or(stack);
    if kind == "Primary" && lines.is_empty() {
        text.push_str(&format!("{facility}\t[default=1]\t\t\tpam_permit.so\n"));
    }
    let behind = usize::from(kind == "Additional");
    for (index, line) in lines.iter().enumerate() {
        let jump = lines.len().saturating_sub(index + behind);
        let (module, options) = split(line);
        let module = module.replace("end", &jump.to_string());
        text.push_str(&format!("{facility}\t{module} {}\n", options.join(" ")));
    }
}

/// A line's control and module, and its options.
fn split(line: &str) -> (&str, Vec<&str>) {
    let control = match line.strip_prefix('[').and_then(|rest| rest.find(']')) {
        Some(end) => end + 2,
        None => line.find(char::is_whitespace).unwrap_or(line.len()),
    };
    let rest = &line[control..];
    let module = rest.len() - rest.trim_start().len();
    let end = rest[module..]
        .find(char::is_whitespace)
        .map_or(line.len(), |end| control + module + end);
    (&line[..end], line[end..].split_whitespace().collect())
}

fn capitalised(stack: &str) -> String {
    let mut letters = stack.chars();
    letters
        .next()
        .map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_count_the_lines_that_are_left() {
        let profile = |name: &str, priority: &str| {
            format!(
                "Name: {name}\nDefault: yes\nPriority: {priority}\nAuth-Type: Primary\nAuth:\n\t[success=end default=ignore]\tpam_{name}.so try\nAuth-Initial:\n\t[success=end default=ignore]\tpam_{name}.so\n"
            )
        };
        let mut tree = Tree::new(0);
        let mut write = |path: &str, text: &str| {
            tree.write(&TreePath::new(path).unwrap(), 0o644, text)
                .unwrap();
        };
        write("/usr/share/pam-configs/low", &profile("low", "1"));
        write("/usr/share/pam-configs/high", &profile("high", "9"));
        write(
            "/usr/share/pam-configs/off",
            &profile("off", "5").replace("yes", "no"),
        );
        write("/usr/share/pam-configs/tally", &profile("tally", "5"));
        write(
            "/usr/share/pam/common-auth",
            &format!("{PRIMARY}\n$x\n{FALLBACK}\nauth\tno\n{ADDITIONAL}\n$y\n{END}\n"),
        );
        run(&mut tree).unwrap();
        let text = tree
            .read_text(&TreePath::new("/etc/pam.d/common-auth").unwrap())
            .unwrap();
        let expected = format!(
            "{PRIMARY}\nauth\t[success=2 default=ignore]\tpam_high.so \nauth\t[success=1 default=ignore]\tpam_low.so try\n{FALLBACK}\nauth\tno\n{ADDITIONAL}\n{END}\n"
        );
        assert_eq!(text, expected);
    }
}
