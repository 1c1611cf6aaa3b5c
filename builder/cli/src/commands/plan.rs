//! `plan`: everything that a build would do, and where each value comes from.

use super::print_json;
use super::table::WIDTH;
use crate::context;
use crate::options::{Global, Selection};
use std::process::ExitCode;

/// Show everything that a build would do, and where each value comes from, without doing it
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    selection: Selection,
}

pub(crate) fn run(options: &Options, global: &Global) -> anyhow::Result<ExitCode> {
    let plan = context::plan(&options.selection, global)?;
    if global.json {
        print_json(&plan)?;
    } else {
        let mut rows = plan.explain();
        rows.sort_by(|one, other| head(&one.0).cmp(head(&other.0)));
        print!("{}", render(&rows));
    }
    Ok(ExitCode::SUCCESS)
}

/// Where origins begin, so that the longest of the project's ends at the right edge.
const ORIGIN: usize = 46;
/// Keys whose values are bytes.
const SIZES: [&str; 5] = [
    "esp-size",
    "headroom-bytes",
    "memory",
    "minimum-size",
    "size",
];

/// Rows of key, value and origin, as blocks: what keys have in common is said once, above them,
/// and so is a key that has several values.
fn render(rows: &[(String, String, String)]) -> String {
    let mut text = String::new();
    let mut rest = rows;
    while let Some((first, ..)) = rest.first() {
        let group = head(first);
        let length = rest.iter().take_while(|row| head(&row.0) == group).count();
        let (block, after) = rest.split_at(length);
        rest = after;
        if !text.is_empty() {
            text.push('\n');
        }
        if !group.is_empty() {
            text.push_str(&format!("{group}\n"));
        }
        let indent = if group.is_empty() { "" } else { "  " };
        let widest = block.iter().map(|row| tail(&row.0).chars().count()).max();
        let mut before = "";
        for (key, value, origin) in block {
            let name = if key == before { "" } else { tail(key) };
            before = key;
            let value = match value.parse() {
                Ok(bytes) if SIZES.contains(&tail(key)) => crate::progress::bytes(bytes),
                _ => value.clone(),
            };
            let line = format!("{indent}{name:<0$}  {value}", widest.unwrap_or(0));
            text.push_str(&with_origin(&line, origin));
        }
    }
    text
}

/// A line with its origin at the right, or below where there is no room.
fn with_origin(line: &str, origin: &str) -> String {
    let used = line.chars().count();
    match used < ORIGIN - 1 || used + 2 + origin.chars().count() <= WIDTH {
        true => format!("{line:<0$}  {origin}", ORIGIN - 2),
        false => format!("{line}\n{:ORIGIN$}{origin}", ""),
    }
    .trim_end()
    .to_owned()
        + "\n"
}

/// What a key has in common with its neighbours.
fn head(key: &str) -> &str {
    key.rsplit_once('.').map_or("", |(head, _)| head)
}

fn tail(key: &str) -> &str {
    key.rsplit_once('.').map_or(key, |(_, tail)| tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_grouped_and_origins_aligned() {
        let row = |key: &str, value: &str, origin: &str| (key.into(), value.into(), origin.into());
        let long = "audit_backlog_limit=8192,and,more,and,more,and,more";
        let text = render(&[
            row("board.esp.kind", "esp", "boards/x86.toml:32"),
            row("board.esp.size", "268435456", "boards/x86.toml:34"),
            row("kernel.command-line", "ro", "recipes/common.toml:53"),
            row(
                "kernel.command-line",
                long,
                "recipes/bases/debian-13.toml:53",
            ),
            row("name", "host", "boards/x86.toml:4"),
        ]);
        let expected = "\
board.esp
  kind  esp                                   boards/x86.toml:32
  size  256.0 MiB                             boards/x86.toml:34

kernel
  command-line  ro                            recipes/common.toml:53
                audit_backlog_limit=8192,and,more,and,more,and,more
                                              recipes/bases/debian-13.toml:53

name  host                                    boards/x86.toml:4
";
        assert_eq!(text, expected);
    }
}
