//! `update-alternatives --install` in maintainer scripts: commands whose words are all literal
//! say by themselves what they register.

use crate::{AlternativeRule, SlaveRule};

/// What a script registers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The alternatives.
    pub(super) rules: Vec<AlternativeRule>,
    /// Commands that depend on what the shell would make of them.
    pub(super) unread: Vec<String>,
}

/// Reads a script.
pub(super) fn read(script: &str) -> Found {
    let mut found = Found::default();
    for command in commands(script) {
        let Some((before, arguments)) = command.split_once("--install") else {
            continue;
        };
        if !before
            .split_whitespace()
            .any(|word| word.ends_with("update-alternatives"))
        {
            continue;
        }
        match rule(arguments) {
            Some(rule) => found.rules.push(rule),
            None => found
                .unread
                .push(command.split_whitespace().collect::<Vec<_>>().join(" ")),
        }
    }
    found
}

/// Lines with their continuations, comments left out.
fn commands(script: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut current = String::new();
    for line in script.lines() {
        if current.is_empty() && line.trim_start().starts_with('#') {
            continue;
        }
        match line.strip_suffix('\\') {
            Some(part) => {
                current.push_str(part);
                current.push(' ');
            }
            None => {
                current.push_str(line);
                commands.push(std::mem::take(&mut current));
            }
        }
    }
    commands.push(current);
    commands
}

fn rule(arguments: &str) -> Option<AlternativeRule> {
    let end = arguments
        .find(['|', ';', '&', '>'])
        .unwrap_or(arguments.len());
    let words: Vec<&str> = arguments[..end].split_whitespace().collect();
    let literal = |word: &&str| !word.contains(['$', '`', '*', '(', '"', '\'', '\\']);
    if !words.iter().all(literal) {
        return None;
    }
    let [link, name, path, priority, rest @ ..] = &words[..] else {
        return None;
    };
    let mut slaves = Vec::new();
    for slave in rest.chunks(4) {
        let ["--slave", link, name, path] = slave else {
            return None;
        };
        slaves.push(SlaveRule {
            link: (*link).to_owned(),
            name: (*name).to_owned(),
            path: (*path).to_owned(),
        });
    }
    Some(AlternativeRule {
        link: (*link).to_owned(),
        name: (*name).to_owned(),
        path: (*path).to_owned(),
        priority: priority.parse().ok()?,
        slaves,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_commands_are_read_and_others_are_told() {
        let found = read(concat!(
            "#!/bin/sh\n# update-alternatives --install /no /no /no 1\n",
            "if true; then\n",
            "  update-alternatives --install /usr/bin/awk awk /usr/bin/mawk 5 \\\n",
            "    --slave /usr/bin/nawk nawk /usr/bin/mawk || true\n",
            "fi\n",
            "for i in a b; do /usr/bin/update-alternatives --install /usr/bin/$i $i /x 3; done\n",
            "update-alternatives --remove awk /usr/bin/mawk\n",
        ));
        assert_eq!(found.rules.len(), 1);
        assert_eq!(found.rules[0].priority, 5);
        assert_eq!(found.rules[0].slaves[0].name, "nawk");
        assert_eq!(found.unread.len(), 1, "{:?}", found.unread);
    }
}
