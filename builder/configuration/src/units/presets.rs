//! Presets: which units are enabled unless somebody says otherwise (systemd.preset(5)).

use super::name::UnitName;
use crate::pattern::matches;
use crate::{Error, Result};
use fortress_tree::{Tree, TreePath};

/// The rules of all files, in their order; the first that fits a unit counts.
#[derive(Debug, Default)]
pub(super) struct Presets {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    action: Action,
    pattern: String,
    instances: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Enable,
    Disable,
    Ignore,
}

/// What presets say of a unit.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Preset {
    Enable,
    /// These instances of a template.
    EnableInstances(Vec<String>),
    Disable,
    /// Leave as it is.
    Ignore,
}

impl Presets {
    /// Reads the preset files of a tree in `folders`.
    pub(super) fn read(tree: &Tree, folders: &[&str]) -> Result<Self> {
        let mut presets = Self::default();
        for path in crate::fragments::find(tree, folders, ".preset")? {
            presets.read_file(&tree.read_text(&path)?, &path)?;
        }
        Ok(presets)
    }

    fn read_file(&mut self, text: &str, path: &TreePath) -> Result<()> {
        for (number, line) in text.lines().enumerate() {
            let mut words = line.split_ascii_whitespace();
            let action = match words.next() {
                None => continue,
                Some(word) if word.starts_with(['#', ';']) => continue,
                Some("enable") => Action::Enable,
                Some("disable") => Action::Disable,
                Some("ignore") => Action::Ignore,
                Some(_) => {
                    return Err(Error::Line {
                        file: path.clone(),
                        line: number + 1,
                        reason: format!("{line:?} is neither enable, disable nor ignore"),
                    });
                }
            };
            let Some(pattern) = words.next() else {
                return Err(Error::Line {
                    file: path.clone(),
                    line: number + 1,
                    reason: format!("{line:?} names no unit"),
                });
            };
            self.rules.push(Rule {
                action,
                pattern: pattern.to_owned(),
                instances: words.map(str::to_owned).collect(),
            });
        }
        Ok(())
    }

    /// What the first rule that fits says; without any, systemd enables.
    pub(super) fn of(&self, unit: &str) -> Preset {
        let parsed = UnitName::parse(unit);
        for rule in &self.rules {
            if !rule.instances.is_empty() {
                // A rule with instances is for its template, and for each of the instances.
                let Some(name) = parsed else { continue };
                let fits = name.template().is_some_and(|it| it == rule.pattern);
                let named = name.is_instance()
                    && rule
                        .instances
                        .iter()
                        .any(|it| Some(it.as_str()) == name.instance);
                if fits && name.is_template() && rule.action == Action::Enable {
                    let instances = rule.instances.iter();
                    let names = instances.map(|instance| name.with_instance(instance));
                    return Preset::EnableInstances(names.collect());
                }
                if fits && (named || name.is_template()) {
                    return rule.action.into();
                }
            } else if matches(&rule.pattern, unit) {
                return rule.action.into();
            }
        }
        Preset::Enable
    }
}

impl From<Action> for Preset {
    fn from(action: Action) -> Self {
        match action {
            Action::Enable => Self::Enable,
            Action::Disable => Self::Disable,
            Action::Ignore => Self::Ignore,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_counts() {
        let mut presets = Presets::default();
        let text =
            "# note\nenable a.*\nenable t@.service x y\ndisable a.socket\nignore i.*\ndisable *\n";
        presets.read_file(text, &TreePath::root()).unwrap();
        assert_eq!(presets.of("a.socket"), Preset::Enable);
        assert_eq!(presets.of("b.service"), Preset::Disable);
        assert_eq!(presets.of("i.timer"), Preset::Ignore);
        let instances = vec!["t@x.service".to_owned(), "t@y.service".to_owned()];
        assert_eq!(presets.of("t@.service"), Preset::EnableInstances(instances));
        assert_eq!(presets.of("t@y.service"), Preset::Enable);
        assert_eq!(presets.of("t@z.service"), Preset::Disable);
        assert_eq!(Presets::default().of("b.service"), Preset::Enable);
    }

    #[test]
    fn nonsense_is_refused_with_its_line() {
        let mut presets = Presets::default();
        for text in ["\nenabel x.service\n", "\nenable\n"] {
            let error = presets.read_file(text, &TreePath::root()).unwrap_err();
            assert!(error.to_string().contains("line 2: "), "{error}");
        }
    }
}
