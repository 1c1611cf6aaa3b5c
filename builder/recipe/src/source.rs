//! A text that was read, and places in it.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Place, Result};
use crate::origin::{Origin, Sourced};

/// The largest file that is read, in bytes.
pub(crate) const LARGEST: u64 = 1 << 20;

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceKind {
    /// A file.
    File,
    /// An option of the command line, told as TOML.
    Option,
}

/// A text with its name.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) kind: SourceKind,
    /// As shown to people.
    pub(crate) shown: String,
    pub(crate) text: String,
}

impl Source {
    /// Reads a file of at most [`LARGEST`] bytes.
    pub(crate) fn read(path: &Path, shown: String) -> Result<Arc<Self>> {
        let failed = |source| {
            let file = shown.clone();
            Error::new(ErrorKind::Read { file, source }, None)
        };
        let file = std::fs::File::open(path).map_err(failed)?;
        let mut bytes = Vec::new();
        // One byte more than allowed tells too large from just fitting, whatever stat says.
        std::io::Read::read_to_end(&mut std::io::Read::take(file, LARGEST + 1), &mut bytes)
            .map_err(failed)?;
        Self::from_bytes(bytes, shown)
    }

    /// Takes bytes as a text.
    pub(crate) fn from_bytes(bytes: Vec<u8>, shown: String) -> Result<Arc<Self>> {
        if bytes.len() as u64 > LARGEST {
            let kind = ErrorKind::TooLarge {
                file: shown,
                limit: LARGEST,
            };
            return Err(Error::new(kind, None));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Arc::new(Self {
                kind: SourceKind::File,
                shown,
                text,
            })),
            Err(error) => {
                let start = error.utf8_error().valid_up_to();
                let mut bytes = error.into_bytes();
                let byte = bytes.get(start).copied().unwrap_or_default();
                bytes.truncate(start);
                let text = String::from_utf8(bytes).unwrap_or_default();
                let kind = ErrorKind::NotText { byte };
                let source = Arc::new(Self {
                    kind: SourceKind::File,
                    shown,
                    text,
                });
                Err(Mark::new(source, start..start).error(kind))
            }
        }
    }

    /// An option of the command line.
    pub(crate) fn option(text: String) -> Arc<Self> {
        Arc::new(Self {
            kind: SourceKind::Option,
            shown: "command line".to_owned(),
            text,
        })
    }

    /// Line and column, from 1, of a byte; columns count characters.
    fn line_and_column(&self, byte: usize) -> (u32, u32) {
        let before = &self.text[..self.floor(byte)];
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before[start..].chars().count() + 1;
        (
            u32::try_from(line).unwrap_or(u32::MAX),
            u32::try_from(column).unwrap_or(u32::MAX),
        )
    }

    /// The nearest character boundary at or before a byte.
    fn floor(&self, byte: usize) -> usize {
        let mut byte = byte.min(self.text.len());
        while !self.text.is_char_boundary(byte) {
            byte -= 1;
        }
        byte
    }

    fn place(&self, range: &Range<usize>) -> Place {
        let start = self.floor(range.start);
        let (line, column) = self.line_and_column(start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = self.text[start..]
            .find('\n')
            .map_or(self.text.len(), |at| start + at);
        let end = self.floor(range.end).clamp(start, line_end);
        let width = self.text[start..end].chars().count();
        Place {
            file: self.shown.clone(),
            line,
            column,
            excerpt: excerpt(&self.text[line_start..line_end], line, column, width),
        }
    }
}

/// Draws a line of text with what is meant underlined. Long lines are cut around it.
fn excerpt(text: &str, line: u32, column: u32, width: usize) -> String {
    const BEFORE: usize = 60;
    const SHOWN: usize = 110;
    let column = column as usize - 1;
    let skipped = if column > BEFORE + 10 {
        column - BEFORE
    } else {
        0
    };
    // Control characters would move the marker, or worse, the reader's terminal.
    let visible: String = text
        .trim_end_matches('\r')
        .chars()
        .skip(skipped)
        .take(SHOWN)
        .map(|character| {
            if character == '\t' {
                ' '
            } else if character.is_control() {
                '\u{fffd}'
            } else {
                character
            }
        })
        .collect();
    let number = line.to_string();
    let gutter = " ".repeat(number.len());
    let indent = " ".repeat(column - skipped);
    let marker = "^".repeat(width.clamp(1, SHOWN));
    format!("{gutter} |\n{number} | {visible}\n{gutter} | {indent}{marker}")
}

/// A place in a text.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    pub(crate) source: Arc<Source>,
    range: Range<usize>,
}

impl Mark {
    pub(crate) fn new(source: Arc<Source>, range: Range<usize>) -> Self {
        Self { source, range }
    }

    /// The value of an option of the command line, for example `x86` of `--board x86`.
    pub(crate) fn option(option: &str, value: &str) -> Self {
        let text = format!("{option} {value}");
        let range = option.len() + 1..text.len();
        Self::new(Source::option(text), range)
    }

    /// What is written there.
    pub(crate) fn written(&self) -> String {
        let text = self.source.text.get(self.range.clone());
        text.unwrap_or_default().to_owned()
    }

    /// An error about this place.
    pub(crate) fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind, Some(self.source.place(&self.range)))
    }

    /// The error that something of this name is there a second time.
    pub(crate) fn twice(&self, what: &'static str, name: &str, first: &Self) -> Error {
        self.error(ErrorKind::Duplicate {
            what,
            name: name.to_owned(),
            first: first.origin().to_string(),
        })
    }

    /// The origin of the value that is written here.
    pub(crate) fn origin(&self) -> Origin {
        match self.source.kind {
            SourceKind::File => Origin::File {
                file: self.source.shown.clone(),
                line: self.source.line_and_column(self.range.start).0,
            },
            SourceKind::Option => Origin::CommandLine {
                option: self.source.text.clone(),
            },
        }
    }
}

/// A value, and the place where it is written.
#[derive(Debug, Clone)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) mark: Mark,
}

impl<T> Located<T> {
    pub(crate) fn new(value: T, mark: Mark) -> Self {
        Self { value, mark }
    }

    pub(crate) fn sourced(self) -> Sourced<T> {
        Sourced::new(self.value, self.mark.origin())
    }

    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Located<U> {
        Located::new(change(self.value), self.mark)
    }

    /// Turns the value into another; what is wrong with it is told with its place.
    pub(crate) fn check<U>(
        self,
        change: impl FnOnce(T) -> Result<U, ErrorKind>,
    ) -> Result<Located<U>> {
        match change(self.value) {
            Ok(value) => Ok(Located::new(value, self.mark)),
            Err(kind) => Err(self.mark.error(kind)),
        }
    }
}

impl Located<String> {
    /// Refuses a text that does not pass a check, as a value of `key`.
    pub(crate) fn named(
        self,
        key: &str,
        check: impl FnOnce(&str) -> Result<String, String>,
    ) -> Result<Self> {
        self.check(|got| {
            check(&got).map_err(|why| ErrorKind::BadValue {
                key: key.to_owned(),
                got,
                why,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let source = Source::option("a = 1\nü = \"é\" # x\n".to_owned());
        let start = source.text.find('"').unwrap();
        let place = source.place(&(start..start + 4));
        assert_eq!((place.line, place.column), (2, 5));
        assert_eq!(place.excerpt, "  |\n2 | ü = \"é\" # x\n  |     ^^^");
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let source = Source::option(format!("{}HERE{}", "x".repeat(5000), "y".repeat(5000)));
        let place = source.place(&(5000..5004));
        let lines: Vec<&str> = place.excerpt.lines().collect();
        let marker = lines[2].find('^').unwrap();
        assert_eq!(&lines[1][marker..marker + 4], "HERE");
        assert!(lines[1].len() < 130);
    }

    #[test]
    fn bytes_that_are_no_text_are_placed() {
        let error = Source::from_bytes(b"a = 1\nb = \"\xff\"".to_vec(), "x.toml".to_owned())
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("x.toml:2:6: "), "{error}");
        assert!(error.contains("0xff"), "{error}");
    }
}
