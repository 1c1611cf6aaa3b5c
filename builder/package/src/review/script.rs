//! Taking a script apart: what debhelper wrote, what says nothing, and the rest.

use super::blocks::{GENERATED_BLOCKS, GeneratedBlock};

/// How a generated block begins and ends.
const BEGIN: &str = "# Automatically added by ";
const END: &str = "# End automatically added section";

/// Words of the shell before a command.
const SHELL_KEYWORDS: &[&str] = &["if", "elif", "else", "then", "fi", "!"];

/// Commands that every block may have: they only test.
const SHELL_COMMANDS: &[&str] = &["[", "true", ":", "exit"];

/// Triggers that packages set off, and which the builder covers.
const KNOWN_TRIGGERS: &[&str] = &[
    // ld.so.cache and the initrd are the builder's own.
    "ldconfig",
    "update-initramfs",
    // Certificates and their bundle, too.
    "update-ca-certificates",
    "update-ca-certificates-fresh",
    // It re-executes a running systemd.
    "libc-upgrade",
];

/// What is left of a script to review: trimmed lines, without generated blocks, comments, blank
/// lines, `set -e`, and an `exit 0` at the end.
pub(super) fn rest(text: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    let mut remaining = text.lines();
    while let Some(line) = remaining.next() {
        let line = line.trim();
        if let Some(program) = line.strip_prefix(BEGIN) {
            let program = program.split('/').next().unwrap_or_default();
            let mut is_ended = false;
            let block: Vec<&str> = remaining
                .by_ref()
                .map(str::trim)
                .take_while(|line| {
                    is_ended = *line == END;
                    !is_ended
                })
                .collect();
            let known = GENERATED_BLOCKS
                .iter()
                .find(|known| known.program == program)
                .filter(|known| is_ended && is_as_generated(known, &block));
            if known.is_none() {
                let is_said = |line: &&str| !line.is_empty() && !line.starts_with('#');
                lines.extend(block.into_iter().filter(is_said));
            }
            continue;
        }
        if !line.is_empty() && !line.starts_with('#') && line != "set -e" {
            lines.push(line);
        }
        // What a script writes out of itself is its work, whatever it looks like.
        if let Some(end) = here_document(line) {
            let document = remaining.by_ref().map(str::trim);
            let mut is_open = true;
            lines.extend(document.take_while(|line| {
                let was_open = is_open;
                is_open = *line != end;
                was_open && is_open
            }));
        }
    }
    while lines.last() == Some(&"exit 0") {
        lines.pop();
    }
    joined(&lines)
}

/// The word that ends the here-document which a line begins, if it does.
fn here_document(line: &str) -> Option<&str> {
    let (_, after) = line.split_once("<<")?;
    let word = after.strip_prefix('-').unwrap_or(after).trim_start();
    let word = word.trim_start_matches(['\'', '"', '\\']);
    let end = word.find(|character: char| !(character.is_alphanumeric() || character == '_'));
    let word = &word[..end.unwrap_or(word.len())];
    (!line.starts_with('#') && !word.is_empty()).then_some(word)
}

/// Whether each line of a block is one of the block's known commands.
fn is_as_generated(known: &GeneratedBlock, block: &[&str]) -> bool {
    let mut is_continued = false;
    block.iter().all(|line| {
        let is_argument = std::mem::replace(&mut is_continued, line.ends_with('\\'));
        let is_silent = line.is_empty() || line.starts_with('#');
        is_silent || is_line_known(known, line, is_argument)
    })
}

/// Whether every command in a line is known and nothing is substituted; the first is the
/// argument of an earlier one if `is_argument`.
fn is_line_known(known: &GeneratedBlock, line: &str, is_argument: bool) -> bool {
    // `command -v` looks a program up and runs nothing.
    let line = line
        .replace("$(command -v ", "(")
        .replace("`command -v update-menus`", "update-menus")
        .replace("2>&1", "")
        .replace("&&", ";")
        .replace("||", ";");
    if line.contains(['`', '|', '&']) || line.contains("$(") {
        return false;
    }
    let is_command_known = |(at, command): (usize, &str)| {
        let mut words = command
            .split_whitespace()
            .skip_while(|word| SHELL_KEYWORDS.contains(word));
        let Some(word) = words.next() else {
            return true;
        };
        let is_named = known
            .commands
            .iter()
            .any(|name| match name.ends_with(['=', '/']) {
                true => word.starts_with(name),
                false => word == *name,
            });
        (at == 0 && is_argument) || is_named || SHELL_COMMANDS.contains(&word)
    };
    line.split(';').enumerate().all(is_command_known)
}

/// The lines of a `triggers` file (deb-triggers(5)) that are left to review. What a package
/// waits for is in its own postinst; what it sets off is somebody else's.
pub(super) fn triggers(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|line| {
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some(directive), Some(name)) if directive.starts_with("activate") => {
                    !KNOWN_TRIGGERS.contains(&name)
                }
                (Some(directive), _) => !directive.starts_with("interest"),
                (None, _) => false,
            }
        })
        .collect();
    joined(&lines)
}

/// Writes the package's version as `@VERSION@` and, for packages that have a kernel's release in
/// their names, the release as `@RELEASE@`.
pub(super) fn without_version(rest: &str, name: &str, version: &str) -> String {
    let rest = match release(name) {
        Some(release) => rest.replace(release, "@RELEASE@"),
        None => rest.to_owned(),
    };
    rest.replace(version, "@VERSION@")
}

/// The release in names such as `linux-image-6.12.1+deb13-amd64`.
fn release(name: &str) -> Option<&str> {
    let start = name.match_indices('-').find_map(|(at, _)| {
        let rest = &name[at + 1..];
        let number = rest.split(['-', '+']).next().unwrap_or_default();
        let is_release = number.split('.').count() >= 2
            && number
                .split('.')
                .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
        is_release.then_some(at + 1)
    })?;
    Some(&name[start..])
}

fn joined(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}
