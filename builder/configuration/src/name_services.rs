//! `/etc/nsswitch.conf`: the C library's default, and what packages add to it.

use crate::files::read_if_there;
use crate::{Done, NameServiceRule, PackageData, Result};
use fortress_tree::{Tree, TreePath};

const FILE: &str = "/etc/nsswitch.conf";
const DEFAULTS: [&str; 2] = [
    "/usr/share/libc-bin/nsswitch.conf",
    "/usr/share/base-files/nsswitch.conf",
];

/// Writes the file, unless it is there already (an overlay's).
///
/// # Errors
/// A default that is not text.
pub fn run(tree: &mut Tree, present: &[&str], data: &PackageData) -> Result<Done> {
    if read_if_there(tree, FILE)?.is_some() {
        return Ok(Done::new("kept as it is"));
    }
    let mut text = None;
    for default in DEFAULTS {
        if text.is_none() {
            text = read_if_there(tree, default)?;
        }
    }
    let Some(mut text) = text else {
        return Ok(Done::new("no default in the tree"));
    };
    let mut added = 0;
    for (_, rules) in data.of(present) {
        for rule in &rules.name_services {
            text = add(&text, rule);
            added += 1;
        }
    }
    tree.write(&TreePath::new(FILE)?, 0o644, text)?;
    Ok(Done::new(format!("{added} services added")))
}

fn add(text: &str, rule: &NameServiceRule) -> String {
    let mut changed = String::new();
    for line in text.lines() {
        match line.split_once(':') {
            Some((database, services)) if database.trim() == rule.database => {
                changed.push_str(database);
                changed.push(':');
                changed.push_str(&with(services, rule));
            }
            _ => changed.push_str(line),
        }
        changed.push('\n');
    }
    changed
}

/// A line's services with the rule's, unless it is among them.
fn with(services: &str, rule: &NameServiceRule) -> String {
    let name = rule.service.split_whitespace().next().unwrap_or_default();
    if services.split_whitespace().any(|service| service == name) {
        return services.to_owned();
    }
    let before = rule.before.as_deref().unwrap_or_default();
    let at = services.match_indices(before).map(|(at, _)| at).find(|at| {
        let end = at + before.len();
        !before.is_empty()
            && services[..*at].ends_with(char::is_whitespace)
            && (services.len() == end || services[end..].starts_with(char::is_whitespace))
    });
    match at {
        Some(at) => format!("{}{} {}", &services[..at], rule.service, &services[at..]),
        None => format!("{} {}", services.trim_end(), rule.service),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_go_before_what_they_name_or_to_the_end() {
        let rule = |before: Option<&str>| NameServiceRule {
            database: "hosts".into(),
            service: "resolve [!UNAVAIL=return]".into(),
            before: before.map(str::to_owned),
        };
        let text = "# hosts\nhosts:          files dns\npasswd: files\n";
        let changed = add(text, &rule(Some("dns")));
        assert_eq!(
            changed,
            "# hosts\nhosts:          files resolve [!UNAVAIL=return] dns\npasswd: files\n"
        );
        assert_eq!(add(&changed, &rule(None)), changed);
        assert!(
            add(text, &rule(Some("files")))
                .contains("          resolve [!UNAVAIL=return] files dns")
        );
        assert!(add(text, &rule(Some("mdns"))).contains("files dns resolve [!UNAVAIL=return]\n"));
    }
}
