//! systemd's specifiers (`%m`, `%H`, …) in sysusers.d and tmpfiles.d lines.

use crate::Result;
use fortress_tree::{Tree, TreePath};
use std::collections::BTreeMap;

/// What specifiers stand for in a tree that is not running.
#[derive(Debug, Clone, Default)]
pub(crate) struct Specifiers {
    values: BTreeMap<char, String>,
}

/// Why a text has no meaning at build time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unexpanded {
    /// It holds a specifier that only a running system knows (machine ID, boot ID, kernel).
    Runtime(char),
    /// It holds something that is no specifier.
    Unknown(String),
}

impl Unexpanded {
    /// The reason in words.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Runtime(letter) => format!("%{letter} is known on a running system only"),
            Self::Unknown(text) => format!("{text:?} is no specifier (a percent sign is %%)"),
        }
    }
}

impl Specifiers {
    /// The values that a tree and its settings give.
    pub(crate) fn of(tree: &Tree, hostname: &str, architecture: &str) -> Result<Self> {
        let mut values: BTreeMap<char, String> = [
            ('a', architecture),
            ('H', hostname),
            ('l', hostname.split('.').next().unwrap_or_default()),
            ('T', "/tmp"),
            ('V', "/var/tmp"),
            ('t', "/run"),
            ('S', "/var/lib"),
            ('C', "/var/cache"),
            ('L', "/var/log"),
            ('h', "/root"),
            ('u', "root"),
            ('U', "0"),
            ('g', "root"),
            ('G', "0"),
            ('%', "%"),
        ]
        .into_iter()
        .map(|(letter, value)| (letter, value.to_owned()))
        .collect();
        let release = os_release(tree)?;
        let fields = [
            ('A', "IMAGE_VERSION"),
            ('B', "BUILD_ID"),
            ('M', "IMAGE_ID"),
            ('o', "ID"),
            ('w', "VERSION_ID"),
            ('W', "VARIANT_ID"),
        ];
        for (letter, field) in fields {
            values.insert(letter, release.get(field).cloned().unwrap_or_default());
        }
        Ok(Self { values })
    }

    /// The text with its specifiers replaced.
    pub(crate) fn expand(&self, text: &str) -> std::result::Result<String, Unexpanded> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            if character != '%' {
                expanded.push(character);
                continue;
            }
            match rest.next() {
                Some(letter) => match self.values.get(&letter) {
                    Some(value) => expanded.push_str(value),
                    None if "bmv".contains(letter) => return Err(Unexpanded::Runtime(letter)),
                    None => return Err(Unexpanded::Unknown(format!("%{letter}"))),
                },
                None => return Err(Unexpanded::Unknown("%".into())),
            }
        }
        Ok(expanded)
    }
}

/// The fields of os-release(5), quotes taken off; empty where there is none.
fn os_release(tree: &Tree) -> Result<BTreeMap<String, String>> {
    for place in ["/etc/os-release", "/usr/lib/os-release"] {
        let path = TreePath::new(place)?;
        if tree.find(&path).is_some() {
            let text = tree.read_text(&path)?;
            let fields = text.lines().filter_map(|line| line.trim().split_once('='));
            let unquoted = |value: &str| value.trim_matches(['"', '\'']).to_owned();
            return Ok(fields
                .map(|(name, value)| (name.to_owned(), unquoted(value)))
                .collect());
        }
    }
    Ok(BTreeMap::new())
}

/// systemd's name for a Debian architecture (`%a`); the name itself where it has none.
pub(crate) fn systemd_architecture(debian: &str) -> &str {
    match debian {
        "amd64" => "x86-64",
        "i386" => "x86",
        "armhf" | "armel" => "arm",
        "ppc64el" => "ppc64-le",
        "mips64el" => "mips64-le",
        "loong64" => "loongarch64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifiers_are_replaced_or_said_to_be_unknown() {
        let mut tree = Tree::new(0);
        let path = TreePath::new("/usr/lib/os-release").unwrap();
        tree.write(&path, 0o644, "ID=debian\nVERSION_ID=\"13\"\n")
            .unwrap();
        let specifiers = Specifiers::of(&tree, "a.example", "arm64").unwrap();
        let expand = |text| specifiers.expand(text);
        assert_eq!(
            expand("%o-%w%W %H %l %a %%m %S").unwrap(),
            "debian-13 a.example a arm64 %m /var/lib"
        );
        assert_eq!(expand("/var/%m"), Err(Unexpanded::Runtime('m')));
        assert!(matches!(expand("100%"), Err(Unexpanded::Unknown(_))));
        assert!(matches!(expand("%y"), Err(Unexpanded::Unknown(_))));
    }
}
