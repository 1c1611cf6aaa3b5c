//! The guest's serial console: bytes become lines, lines become a log.

use crate::error::{Error, Result};
use crate::health;
use crate::stage::waited_for;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// The longest line that is kept whole, in bytes; a longer one is cut.
const LONGEST_LINE: usize = 4096;
/// How large the log may grow, in bytes; what comes after is judged, but not kept.
const LARGEST_LOG: u64 = 64 << 20;
/// How many last lines a report quotes.
const QUOTED: usize = 20;

/// Cuts a stream of bytes into lines, without terminal control.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    line: Vec<u8>,
    state: State,
    cut: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum State {
    #[default]
    Text,
    Escape,
    /// In a control sequence (ECMA-48 CSI), until its final byte.
    Sequence,
    /// In an operating system command, until BEL or escape.
    Command,
}

impl Splitter {
    /// Takes bytes and gives whole lines to `each`.
    pub(crate) fn push(&mut self, bytes: &[u8], mut each: impl FnMut(String)) {
        for &byte in bytes {
            self.state = match (self.state, byte) {
                (State::Text, 0x1b) => State::Escape,
                (State::Text, b'\n') => {
                    if let Some(line) = self.take() {
                        each(line);
                    }
                    State::Text
                }
                (State::Text, byte) => {
                    self.text(byte);
                    State::Text
                }
                (State::Escape, b'[') => State::Sequence,
                (State::Escape, b']') => State::Command,
                // A cursor that is set elsewhere ends what stood there: firmware menus.
                (State::Sequence, b'H' | b'J') => {
                    if let Some(line) = self.take() {
                        each(line);
                    }
                    State::Text
                }
                (State::Sequence, byte) if !(0x40..=0x7e).contains(&byte) => State::Sequence,
                (State::Command, byte) if byte != 0x07 && byte != 0x1b => State::Command,
                (State::Command, 0x1b) => State::Escape,
                _ => State::Text,
            };
        }
    }

    fn text(&mut self, byte: u8) {
        if byte < 0x20 && byte != b'\t' || byte == 0x7f {
            return;
        }
        let limit = match self.line.starts_with(health::ON_CONSOLE.as_bytes()) {
            true => health::LONGEST,
            false => LONGEST_LINE,
        };
        if self.line.len() < limit {
            self.line.push(byte);
        } else {
            self.cut = true;
        }
    }

    /// What stands in a line that has no end yet, which stays there.
    pub(crate) fn unfinished(&self) -> Option<String> {
        (!self.line.is_empty()).then(|| String::from_utf8_lossy(&self.line).into_owned())
    }

    /// Takes what stands in a line that has no end yet.
    pub(crate) fn take(&mut self) -> Option<String> {
        let mut line = String::from_utf8_lossy(&self.line).trim_end().to_owned();
        self.line.clear();
        if std::mem::take(&mut self.cut) {
            line.push_str(" … (cut)");
        }
        (!line.is_empty()).then_some(line)
    }
}

/// The log file, and the last lines.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: BufWriter<File>,
    written: u64,
    last: VecDeque<String>,
}

impl Log {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).map_err(Error::file("create", path))?;
        Ok(Self {
            path: path.to_owned(),
            file: BufWriter::new(file),
            written: 0,
            last: VecDeque::new(),
        })
    }

    /// Adds a line that came so many seconds after power-on.
    pub(crate) fn add(&mut self, seconds: f64, line: &str) -> Result<()> {
        // systemd's line about what it waits for comes again and again, and would push out the rest.
        if waited_for(line).is_none() {
            if self.last.len() == QUOTED {
                self.last.pop_front();
            }
            self.last.push_back(line.to_owned());
        }
        if self.written > LARGEST_LOG {
            return Ok(());
        }
        let mut entry = format!("[{seconds:10.3}] {line}\n");
        self.written += entry.len() as u64;
        if self.written > LARGEST_LOG {
            entry.push_str("the rest of the log is left out: it is too long\n");
        }
        self.file
            .write_all(entry.as_bytes())
            .and_then(|()| self.file.flush())
            .map_err(Error::file("write", &self.path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn last_lines(&self) -> Vec<String> {
        self.last.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(bytes: &[u8]) -> Vec<String> {
        let mut splitter = Splitter::default();
        let mut lines = Vec::new();
        splitter.push(bytes, |line| lines.push(line));
        lines.extend(splitter.take());
        lines
    }

    #[test]
    fn colours_and_carriage_returns_are_taken_out() {
        assert_eq!(
            lines(b"[\x1b[0;32m  OK  \x1b[0m] Reached target \x1b[0;1;39mBasic\x1b[0m.\r\nhost login: "),
            ["[  OK  ] Reached target Basic.", "host login:"]
        );
        assert_eq!(
            lines(b"\x1b[2J\x1b[01;01H\x1b[=3hBdsDxe: starting\x1b]0;title\x07 Boot\n"),
            ["BdsDxe: starting Boot"]
        );
    }

    #[test]
    fn long_lines_are_cut() {
        let line = &lines(&[b'x'; 100_000])[0];
        assert!(line.len() < LONGEST_LINE + 20 && line.ends_with("(cut)"));
    }

    #[test]
    fn a_health_report_is_longer_than_other_lines() {
        let report = format!("{}{}", health::ON_CONSOLE, "x".repeat(100_000));
        assert_eq!(lines(report.as_bytes()), [report]);
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(bytes: Vec<u8>, at: prop::sample::Index) {
            let at = if bytes.is_empty() { 0 } else { at.index(bytes.len()) };
            let mut splitter = Splitter::default();
            let mut pieces = Vec::new();
            splitter.push(&bytes[..at], |line| pieces.push(line));
            splitter.push(&bytes[at..], |line| pieces.push(line));
            pieces.extend(splitter.take());
            prop_assert!(pieces.iter().all(|line| !line.contains(['\n', '\x1b'])));
            prop_assert_eq!(pieces, lines(&bytes));
        }
    }
}
