//! Folders of drop-in files and their lines, as sysusers.d and tmpfiles.d have them.

use crate::{Error, Result, fragments};
use fortress_tree::{Tree, TreePath};

/// Where drop-in folders are, the strongest first.
const PLACES: [&str; 4] = ["/etc", "/run", "/usr/local/lib", "/usr/lib"];

/// A file of a drop-in folder.
#[derive(Debug, Clone)]
pub(crate) struct DropIn {
    /// Where it is.
    pub(crate) path: TreePath,
    /// What is in it.
    pub(crate) text: String,
}

/// The files `*.conf` that count in `folder` ("sysusers.d"), by name.
pub(crate) fn files(tree: &Tree, folder: &str) -> Result<Vec<DropIn>> {
    let folders = PLACES.map(|place| format!("{place}/{folder}"));
    let paths = fragments::find(tree, &folders.each_ref().map(String::as_str), ".conf")?;
    let read = |path: TreePath| {
        let text = tree.read_text(&path)?;
        Ok(DropIn { path, text })
    };
    paths.into_iter().map(read).collect()
}

/// The lines that say something, with their numbers from 1.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// Takes up to `most` words off the front of a line: words may be quoted with `'` or `"`, and a
/// backslash takes the next character as it is, or, with `escapes`, as C writes it. Gives the
/// words and what is left of the line.
pub(crate) fn words(line: &str, most: usize, escapes: bool) -> Text<(Vec<String>, &str)> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while words.len() < most && !rest.is_empty() {
        let (word, after) = first_word(rest, escapes)?;
        words.push(word);
        rest = after.trim_start();
    }
    Ok((words, rest))
}

type Text<T> = std::result::Result<T, String>;

fn first_word(text: &str, escapes: bool) -> Text<(String, &str)> {
    let bytes = text.as_bytes();
    let mut word = Vec::new();
    let mut quote = None;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match (byte, quote) {
            (b'\\', _) if escapes => {
                at += 1 + unescape_one(&bytes[at + 1..], &mut word)?;
                continue;
            }
            (b'\\', _) => {
                at += 1;
                word.push(*bytes.get(at).ok_or("ends with a backslash")?);
            }
            (other, Some(open)) if other == open => quote = None,
            (b'\'' | b'"', None) => quote = Some(byte),
            (b' ' | b'\t' | b'\n' | b'\r', None) => break,
            _ => word.push(byte),
        }
        at += 1;
    }
    if quote.is_some() {
        return Err("has a quote that does not end".into());
    }
    let word = String::from_utf8(word).map_err(|_| "has an escape that is not UTF-8")?;
    Ok((word, text.get(at..).unwrap_or_default()))
}

/// A text with C's escapes replaced.
pub(crate) fn unescape(text: &str) -> Text<Vec<u8>> {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'\\' => at += unescape_one(&bytes[at..], &mut plain)?,
            other => plain.push(other),
        }
    }
    Ok(plain)
}

/// Appends what an escape stands for (`bytes` begins after its backslash) and gives its length.
fn unescape_one(bytes: &[u8], plain: &mut Vec<u8>) -> Text<usize> {
    let refused = || "has an unknown escape".to_owned();
    let number = |digits: std::ops::Range<usize>, base| {
        let digits = bytes.get(digits).ok_or_else(refused)?;
        let text = std::str::from_utf8(digits).map_err(|_| refused())?;
        u32::from_str_radix(text, base).map_err(|_| refused())
    };
    let character = |code| {
        char::from_u32(code)
            .filter(|found| *found != '\0')
            .ok_or_else(refused)
    };
    let single = match bytes.first().copied().ok_or("ends with a backslash")? {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        b's' => b' ',
        quoted @ (b'\\' | b'"' | b'\'') => quoted,
        b'x' => {
            plain.push(number(1..3, 16).and_then(|code| byte_of(code).ok_or_else(refused))?);
            return Ok(3);
        }
        digit @ (b'u' | b'U') => {
            let length = if digit == b'u' { 4 } else { 8 };
            let found = character(number(1..1 + length, 16)?)?;
            plain.extend(found.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(1 + length);
        }
        b'0'..=b'7' => {
            plain.push(number(0..3, 8).and_then(|code| byte_of(code).ok_or_else(refused))?);
            return Ok(3);
        }
        _ => return Err(refused()),
    };
    plain.push(single);
    Ok(1)
}

fn byte_of(code: u32) -> Option<u8> {
    u8::try_from(code).ok().filter(|byte| *byte != 0)
}

/// What a line's mistake is, as this crate's error.
pub(crate) fn mistake(file: &TreePath, line: usize, reason: impl Into<String>) -> Error {
    Error::Line {
        file: file.clone(),
        line,
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_systemd_does() {
        let (found, rest) =
            words(r#"u  a-b "Two words" 'x"y' \a\ b  rest of it "#, 5, false).unwrap();
        assert_eq!(found, ["u", "a-b", "Two words", "x\"y", "a b"]);
        assert_eq!(rest, "rest of it ");
        let (found, _) = words(r"f /a\x20b\n\u00e4\101", 9, true).unwrap();
        assert_eq!(found, ["f", "/a b\n\u{e4}A"]);
        for wrong in [r#"a "b"#, "a \\", "'"] {
            assert!(words(wrong, 9, false).is_err(), "{wrong}");
        }
        for wrong in [r"\xff", r"\x0", r"\000", r"\q", r"\ud800"] {
            assert!(words(wrong, 9, true).is_err(), "{wrong}");
        }
        assert_eq!(unescape(r"a\\b\t").unwrap(), b"a\\b\t");
    }
}
