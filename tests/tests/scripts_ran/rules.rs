//! Why trees may differ.

use crate::difference::{Aspect, Difference};
use serde::Deserialize;
use std::path::Path;

const FILE: &str = "scripts-ran-rules.toml";

/// All rules, and which of them explained something.
#[derive(Deserialize)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
}

/// A reason, and what it explains.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// Which paths: `*` stands for any part of a name, a last `**` for
    /// the folder and everything below.
    path: String,
    /// How they differ.
    differs: Aspect,
    /// Of contents: what must be all that differs.
    only_in: Option<OnlyIn>,
    /// The one image that it is for.
    image: Option<String>,
    /// Why.
    why: String,
    #[serde(skip)]
    used: bool,
}

/// What may differ in a text.
#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum OnlyIn {
    /// Comments and empty lines.
    Comments,
    /// The order of lines.
    Order,
    /// The order of accounts or members, IDs from 100 to 999, the day of the last change, and
    /// whether `!` or `!*` or `*` locks.
    Accounts,
}

impl Rules {
    pub(crate) fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
        toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    /// Whether a rule explains it.
    pub(crate) fn explain(&mut self, image: &str, difference: &Difference) -> bool {
        let mut explained = false;
        for rule in &mut self.rules {
            if rule.explains(image, difference) {
                rule.used = true;
                explained = true;
            }
        }
        explained
    }

    /// Rules that explained nothing.
    pub(crate) fn unused(&self) -> Vec<String> {
        let unused = self.rules.iter().filter(|rule| !rule.used);
        unused
            .map(|rule| format!("nothing is explained by {}: {}", rule.path, rule.why))
            .collect()
    }
}

impl Rule {
    fn explains(&self, image: &str, difference: &Difference) -> bool {
        self.image.as_ref().is_none_or(|name| name == image)
            && self.differs == difference.aspect
            && is_like(&difference.path, &self.path)
            && self
                .only_in
                .is_none_or(|only| only.reduce(&difference.ours) == only.reduce(&difference.theirs))
    }
}

impl OnlyIn {
    /// The text without what may differ.
    fn reduce(self, text: &[u8]) -> Vec<String> {
        let text = String::from_utf8_lossy(text);
        let lines = text.lines();
        let mut lines: Vec<String> = match self {
            Self::Comments => {
                let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
                return lines.map(str::to_owned).collect();
            }
            Self::Order => lines.map(str::to_owned).collect(),
            Self::Accounts => lines.map(account).collect(),
        };
        lines.sort();
        lines
    }
}

/// A line of an account file without what may differ.
fn account(line: &str) -> String {
    let mut fields: Vec<String> = line.split(':').map(str::to_owned).collect();
    let count = fields.len();
    for field in &mut fields[1..] {
        let is_given = |id: u32| (100..1000).contains(&id);
        if field.parse::<u32>().is_ok_and(is_given) {
            *field = "system".into();
        }
    }
    if let Some(locked @ ("!" | "!*" | "*")) = fields.get(1).map(String::as_str) {
        fields[1] = locked.replace("!*", "*").replace('!', "*");
    }
    match count {
        // shadow: the day of the last change.
        9 => fields[2] = "day".into(),
        // group, gshadow: members.
        4 => {
            let mut members: Vec<&str> = fields[3].split(',').collect();
            members.sort_unstable();
            fields[3] = members.join(",");
        }
        _ => {}
    }
    fields.join(":")
}

/// Whether a path is like a pattern.
fn is_like(path: &str, pattern: &str) -> bool {
    let mut names = path.split('/');
    let mut patterns = pattern.split('/');
    loop {
        match (names.next(), patterns.next()) {
            (None, None) => return true,
            (_, Some("**")) => return true,
            (Some(name), Some(pattern)) if is_name_like(name, pattern) => {}
            _ => return false,
        }
    }
}

fn is_name_like(name: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => name == pattern,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            name.char_indices()
                .map(|(at, _)| at)
                .chain([name.len()])
                .any(|at| is_name_like(&name[at..], rest))
        }),
    }
}

#[test]
fn patterns_fit_names_and_folders() {
    for (path, pattern) in [
        ("/etc/fstab", "/etc/fstab"),
        ("/etc/rc2.d/S01dbus", "/etc/rc*.d/*"),
        ("/dev", "/dev/**"),
        ("/dev/pts/ptmx", "/dev/**"),
    ] {
        assert!(is_like(path, pattern), "{path} {pattern}");
    }
    for (path, pattern) in [
        ("/etc/fstab.d", "/etc/fstab"),
        ("/etc", "/etc/*"),
        ("/etc/xml/catalog", "/etc/*"),
        ("/devices", "/dev/**"),
    ] {
        assert!(!is_like(path, pattern), "{path} {pattern}");
    }
}

#[test]
fn texts_may_differ_in_what_is_said_alone() {
    let same = |only: OnlyIn, one: &str, other: &str| {
        only.reduce(one.as_bytes()) == only.reduce(other.as_bytes())
    };
    assert!(same(OnlyIn::Comments, "# one\nvalue\n", "\nvalue\n"));
    assert!(!same(OnlyIn::Comments, "value\nother\n", "other\nvalue\n"));
    assert!(same(OnlyIn::Order, "a\nb\n", "b\na\n"));
    assert!(!same(OnlyIn::Order, "a\n", "a\na\n"));
    let accounts = |one, other| same(OnlyIn::Accounts, one, other);
    assert!(accounts(
        "tss:x:101:\nadm:x:4:a,b\n",
        "adm:x:4:b,a\ntss:x:120:\n"
    ));
    assert!(accounts("tss:!*:20777::::::\n", "tss:!:20000::::::\n"));
    assert!(!accounts("tss:!:20777::::::\n", "tss::20777::::::\n"));
    assert!(!accounts("adm:x:4:a\n", "adm:x:4:a,b\n"));
    assert!(!accounts("adm:x:4:\n", "adm:x:5:\n"));
    assert!(!accounts(
        "a:x:1000:1000::/:/bin/sh\n",
        "a:x:101:1000::/:/bin/sh\n"
    ));
}
