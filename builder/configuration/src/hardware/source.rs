//! The text form: records of match lines, then indented properties, ended by an empty line.

use super::database::{Database, Origin};
use crate::{Error, Result};
use fortress_tree::TreePath;

/// Longest match line taken, in bytes; udev's own are a few dozen.
const LONGEST_MATCH: usize = 4096;

enum State {
    Outside,
    Matches,
    Properties,
}

/// Adds what a file says; `priority` tells later files from earlier.
pub(super) fn read(
    text: &[u8],
    path: &TreePath,
    priority: u16,
    database: &mut Database,
) -> Result<()> {
    let mut state = State::Outside;
    let mut matches: Vec<&[u8]> = Vec::new();
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if line.first() == Some(&b'#') {
            continue;
        }
        let line = line
            .split(|byte| matches!(byte, b'#' | 0))
            .next()
            .unwrap_or_default();
        let line = line.trim_ascii_end();
        let indented = line.first() == Some(&b' ');
        match (&state, line.is_empty(), indented) {
            (State::Outside, true, _) | (State::Outside, _, true) => {}
            // A record without properties, its end, or a line that ends it for want of an indent.
            (_, true, _) | (State::Properties, false, false) => {
                state = State::Outside;
                matches.clear();
            }
            (State::Outside | State::Matches, false, false) => {
                if line.len() > LONGEST_MATCH {
                    return Err(Error::Line {
                        file: path.clone(),
                        line: number + 1,
                        reason: format!("the match is longer than {LONGEST_MATCH} bytes"),
                    });
                }
                state = State::Matches;
                matches.push(line);
            }
            (State::Matches | State::Properties, false, true) => {
                state = State::Properties;
                let Some(equals) = line.iter().position(|byte| *byte == b'=') else {
                    continue;
                };
                let (mut key, value) = (&line[..equals], &line[equals + 1..]);
                // A property's key keeps one blank before it: that is how udev finds it.
                while let [b' ' | b'\t', b' ' | b'\t', ..] = key {
                    key = &key[1..];
                }
                if key.len() < 2 {
                    continue;
                }
                let origin = Origin {
                    file: path.as_str(),
                    line: number as u32 + 1,
                    priority,
                };
                for pattern in &matches {
                    database.insert(pattern, key, value, origin);
                }
            }
        }
    }
    Ok(())
}
