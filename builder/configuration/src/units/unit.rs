//! A unit's file, and what its `[Install]` section asks for.

use super::Scope;
use super::name::UnitName;
use crate::Result;
use fortress_tree::{Kind, Tree, TreePath};

/// Where a unit's name leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Located {
    /// A file, for this unit. An instance is its template's file.
    File(TreePath),
    /// The name is another one for this unit.
    Alias(String),
    /// A link to `/dev/null`, or an empty file: it can never start.
    Masked,
}

/// What a unit's `[Install]` section, with its drop-ins, asks for; words as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Install {
    pub(super) aliases: Vec<String>,
    pub(super) wanted_by: Vec<String>,
    pub(super) required_by: Vec<String>,
    pub(super) upheld_by: Vec<String>,
    pub(super) also: Vec<String>,
    pub(super) default_instance: Option<String>,
}

impl Install {
    pub(super) fn is_empty(&self) -> bool {
        let lists = [
            &self.aliases,
            &self.wanted_by,
            &self.required_by,
            &self.upheld_by,
        ];
        lists.iter().all(|list| list.is_empty()) && self.also.is_empty()
    }
}

/// Looks for a unit in the scope's folders; an instance without a file of its own is looked for
/// as its template.
pub(super) fn locate(tree: &Tree, scope: &Scope, name: &str) -> Result<Option<Located>> {
    if let Some(located) = locate_exactly(tree, scope, name)? {
        return Ok(Some(located));
    }
    match UnitName::parse(name) {
        Some(parsed) if parsed.is_instance() => {
            let template = parsed.template().unwrap_or_default();
            Ok(match locate_exactly(tree, scope, &template)? {
                Some(Located::Alias(other)) => {
                    let other = UnitName::parse(&other);
                    other.map(|it| Located::Alias(it.with_instance(parsed.instance.unwrap_or(""))))
                }
                other => other,
            })
        }
        _ => Ok(None),
    }
}

fn locate_exactly(tree: &Tree, scope: &Scope, name: &str) -> Result<Option<Located>> {
    for folder in scope.folders {
        let Ok(folder) = tree.resolve(&TreePath::new(folder)?) else {
            continue;
        };
        let path = folder.join(name)?;
        let Some(node) = tree.get(&path) else {
            continue;
        };
        return Ok(match &node.kind {
            Kind::Symlink(target) if target == "/dev/null" => Some(Located::Masked),
            Kind::Symlink(target) => {
                let other = target.rsplit('/').next().unwrap_or_default();
                match tree.content(&path) {
                    _ if other != name && UnitName::parse(other).is_some() => {
                        Some(Located::Alias(other.to_owned()))
                    }
                    Ok(_) => Some(Located::File(path)),
                    Err(_) => continue,
                }
            }
            Kind::File(content) if content.length() == 0 => Some(Located::Masked),
            Kind::File(_) | Kind::HardLink(_) => Some(Located::File(path)),
            _ => continue,
        });
    }
    Ok(None)
}

/// The `[Install]` section of the unit `name` in the file `path`, with the drop-ins for it.
pub(super) fn install(tree: &Tree, scope: &Scope, name: &str, path: &TreePath) -> Result<Install> {
    let mut install = Install::default();
    let parsed = UnitName::parse(name);
    let is_instance = parsed.is_some_and(|it| it.is_instance());
    read(&tree.read(path)?, is_instance, &mut install);
    let mut names = vec![format!("{name}.d")];
    names.extend(
        parsed
            .and_then(|it| it.template())
            .map(|it| format!("{it}.d")),
    );
    let folders: Vec<String> = (names.iter())
        .flat_map(|name| {
            scope
                .folders
                .iter()
                .map(move |folder| format!("{folder}/{name}"))
        })
        .collect();
    let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
    for path in crate::fragments::find(tree, &folders, ".conf")? {
        read(&tree.read(&path)?, is_instance, &mut install);
    }
    Ok(install)
}

/// Adds what a unit file's text says. An empty assignment takes back what came before it.
fn read(text: &[u8], is_instance: bool, install: &mut Install) {
    let text = String::from_utf8_lossy(text);
    let mut within = false;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut line = line.trim().to_owned();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        while line.ends_with('\\') {
            line.pop();
            line.push(' ');
            match lines.next().map(str::trim) {
                Some(comment) if comment.starts_with(['#', ';']) => line.push('\\'),
                Some(next) => line.push_str(next),
                None => break,
            }
        }
        if line.starts_with('[') {
            within = line == "[Install]";
            continue;
        }
        let Some((key, value)) = line.split_once('=').filter(|_| within) else {
            continue;
        };
        let value = value.trim();
        let list = match key.trim() {
            "Alias" => &mut install.aliases,
            "WantedBy" => &mut install.wanted_by,
            "RequiredBy" => &mut install.required_by,
            "UpheldBy" => &mut install.upheld_by,
            "Also" => &mut install.also,
            "DefaultInstance" => {
                // Which instance an instance is, it knows itself.
                if !is_instance {
                    install.default_instance = Some(value.to_owned()).filter(|it| !it.is_empty());
                }
                continue;
            }
            _ => continue,
        };
        if value.is_empty() {
            list.clear();
        }
        let unquoted = |word: &str| word.trim_matches(['"', '\'']).to_owned();
        list.extend(value.split_ascii_whitespace().map(unquoted));
    }
}

/// A word of an `[Install]` section with its specifiers expanded; the letter of one that only a
/// running system can expand, or that is none, otherwise.
pub(super) fn expand(
    word: &str,
    name: &str,
    default_instance: Option<&str>,
) -> std::result::Result<String, char> {
    let Some(parsed) = UnitName::parse(name) else {
        return Ok(word.to_owned());
    };
    let instance = match parsed.instance {
        Some("") => default_instance.unwrap_or_default(),
        Some(instance) => instance,
        None => "",
    };
    let mut text = String::new();
    let mut letters = word.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            text.push(letter);
            continue;
        }
        match letters.next() {
            Some('%') | None => text.push('%'),
            Some('i') => text.push_str(instance),
            Some('p') => text.push_str(parsed.prefix),
            Some('j') => {
                text.push_str(parsed.prefix.rsplit('-').next().unwrap_or_default());
            }
            Some('n') if parsed.is_template() && default_instance.is_some() => {
                text.push_str(&parsed.with_instance(instance));
            }
            Some('n') => text.push_str(name),
            Some('N') => {
                text.push_str(parsed.prefix);
                if parsed.instance.is_some() {
                    text.push('@');
                    text.push_str(instance);
                }
            }
            Some('u' | 'g') => text.push_str("root"),
            Some('U' | 'G') => text.push('0'),
            Some(other) => return Err(other),
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn install_sections_are_read_as_systemd_reads_them() {
        let mut install = Install::default();
        let text = "[Unit]\nWantedBy=no.target\n[Install]\nWantedBy=a.target \\\n b.target\n\
                    WantedBy=\nWantedBy=c.target\n# Alias=x.service\nAlias=\"y.service\"\n\
                    DefaultInstance=tty1\n";
        read(text.as_bytes(), false, &mut install);
        assert_eq!(install.wanted_by, ["c.target"]);
        assert_eq!(install.aliases, ["y.service"]);
        assert_eq!(install.default_instance.as_deref(), Some("tty1"));
    }

    #[test]
    fn specifiers_stand_for_parts_of_the_name() {
        let expand = |word, name, default| expand(word, name, default).unwrap();
        assert_eq!(expand("%p-%i.target", "a@b.service", None), "a-b.target");
        assert_eq!(expand("%n", "a@.service", Some("x")), "a@x.service");
        assert_eq!(expand("%N.d", "a-b@c.service", None), "a-b@c.d");
        assert_eq!(expand("%j%%", "a-b.service", None), "b%");
        assert_eq!(super::expand("%m", "a.service", None), Err('m'));
    }
}
