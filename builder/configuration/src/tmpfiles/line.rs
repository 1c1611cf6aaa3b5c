//! Lines of tmpfiles.d(5).

use crate::drop_in::{unescape, words};
use crate::specifier::{Specifiers, Unexpanded};
use base64::Engine;
use fortress_tree::TreePath;

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Its letter.
    pub(crate) kind: char,
    /// `+`: replace, or add to, what is there.
    pub(crate) plus: bool,
    /// `?`: a link is made only if what it leads to is there.
    pub(crate) if_target: bool,
    /// `=`: what is there is removed if it is of another kind.
    pub(crate) replace_kind: bool,
    /// The path or, for kinds that take patterns, the pattern.
    pub(crate) path: TreePath,
    /// Permission bits.
    pub(crate) mode: Option<Mode>,
    /// Owner, by name or number; none is root for what is made.
    pub(crate) user: Option<Owner>,
    /// Group, by name or number.
    pub(crate) group: Option<Owner>,
    /// What to write, where to lead, what to copy; its escapes and specifiers replaced.
    pub(crate) argument: Option<Vec<u8>>,
}

/// Permission bits with their prefixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mode {
    /// The bits.
    pub(crate) bits: u16,
    /// `~`: no more than what is there already has.
    pub(crate) masked: bool,
    /// `:`: for what is made only.
    pub(crate) only_new: bool,
}

/// A user or group with its prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Name or number.
    pub(crate) name: String,
    /// `:`: for what is made only.
    pub(crate) only_new: bool,
}

/// Why a line is not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Skipped {
    /// Only a running system can follow it.
    Runtime,
    /// It means nothing.
    Wrong(String),
}

impl From<String> for Skipped {
    fn from(reason: String) -> Self {
        Self::Wrong(reason)
    }
}

impl From<Unexpanded> for Skipped {
    fn from(why: Unexpanded) -> Self {
        match why {
            Unexpanded::Runtime(_) => Self::Runtime,
            unknown => Self::Wrong(unknown.reason()),
        }
    }
}

const KINDS: &str = "fFwdDevqQpLcbCxXrRzZtThHaA";

/// Reads a line.
pub(crate) fn parse(text: &str, specifiers: &Specifiers) -> Result<Line, Skipped> {
    let (fields, rest) = words(text, 6, true)?;
    let mut fields = fields.into_iter();
    let action = fields.next().unwrap_or_default();
    let path = fields.next().ok_or_else(|| "lacks a path".to_owned())?;
    let mut field = || fields.next().filter(|text| !text.is_empty() && text != "-");
    let (mode, user, group, _age) = (field(), field(), field(), field());
    let mut letters = action.chars();
    let kind = letters.next().filter(|kind| KINDS.contains(*kind));
    let kind = kind.ok_or_else(|| format!("{action:?} is no type of line"))?;
    let modifiers = letters.as_str();
    // What `f+` was called before systemd 239, and what Ubuntu 24.04 calls it still.
    let (kind, replaces) = match kind {
        'F' => ('f', true),
        kind => (kind, false),
    };
    if let Some(unknown) = modifiers.chars().find(|found| !"!-+=~^$?".contains(*found)) {
        return Err(format!("{unknown:?} is no modifier").into());
    }
    let path = specifiers.expand(&path)?;
    if !path.starts_with('/') {
        return Err(format!("{path:?} does not begin with /").into());
    }
    let argument = match rest.trim() {
        "" | "-" => None,
        _ if modifiers.contains('^') => return Err(Skipped::Runtime),
        rest => Some(argument(rest, modifiers.contains('~'), specifiers)?),
    };
    Ok(Line {
        kind,
        plus: replaces || modifiers.contains('+'),
        if_target: modifiers.contains('?'),
        replace_kind: modifiers.contains('='),
        path: TreePath::new(&path).map_err(|error| error.to_string())?,
        mode: mode.map(|text| parse_mode(&text)).transpose()?,
        user: user.map(|text| owner(&text, specifiers)).transpose()?,
        group: group.map(|text| owner(&text, specifiers)).transpose()?,
        argument,
    })
}

fn argument(text: &str, base64: bool, specifiers: &Specifiers) -> Result<Vec<u8>, Skipped> {
    if base64 {
        let decoded = base64::engine::general_purpose::STANDARD.decode(text);
        return decoded.map_err(|error| format!("its argument is not base64: {error}").into());
    }
    let plain = unescape(text)?;
    match String::from_utf8(plain) {
        Ok(text) => Ok(specifiers.expand(&text)?.into_bytes()),
        Err(bytes) => Ok(bytes.into_bytes()),
    }
}

fn parse_mode(text: &str) -> Result<Mode, Skipped> {
    let bits = text.trim_start_matches(['~', ':']);
    let prefixes = &text[..text.len() - bits.len()];
    match u16::from_str_radix(bits, 8) {
        Ok(value) if value <= 0o7777 => Ok(Mode {
            bits: value,
            masked: prefixes.contains('~'),
            only_new: prefixes.contains(':'),
        }),
        _ => Err(format!("{text:?} is no octal mode").into()),
    }
}

fn owner(text: &str, specifiers: &Specifiers) -> Result<Owner, Skipped> {
    let name = text.trim_start_matches(':');
    Ok(Owner {
        name: specifiers.expand(name)?,
        only_new: name.len() < text.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fortress_tree::Tree;

    #[test]
    fn lines_are_read_with_all_their_fields() {
        let specifiers = Specifiers::of(&Tree::new(0), "host", "amd64").unwrap();
        let line = parse(
            r#"f+! /etc/%H ~:0640 :root adm 1d  two\nlines "quoted" "#,
            &specifiers,
        )
        .unwrap();
        assert_eq!(line.kind, 'f');
        assert!(line.plus && !line.if_target);
        assert_eq!(line.path.as_str(), "/etc/host");
        let mode = Mode {
            bits: 0o640,
            masked: true,
            only_new: true,
        };
        assert_eq!(line.mode, Some(mode));
        assert!(line.user.unwrap().only_new && !line.group.unwrap().only_new);
        assert_eq!(line.argument.unwrap(), b"two\nlines \"quoted\"");
        let replacing = parse("F! /run/nologin 0644 - - - wait", &specifiers);
        assert_eq!(
            replacing,
            parse("f+! /run/nologin 0644 - - - wait", &specifiers)
        );
        assert!(replacing.unwrap().plus);
        let line = parse("f~ /x - - - - aGk=", &specifiers).unwrap();
        assert_eq!(line.argument.unwrap(), b"hi");
        for runtime in ["d /var/%m", "f^ /x - - - - credential", "L /x - - - - /%b"] {
            assert_eq!(
                parse(runtime, &specifiers),
                Err(Skipped::Runtime),
                "{runtime}"
            );
        }
        for wrong in [
            "d",
            "k /x",
            "d& /x",
            "d x",
            "d /x 9",
            "d /%y",
            "d /..",
            "f~ /x - - - - ?",
        ] {
            assert!(
                matches!(parse(wrong, &specifiers), Err(Skipped::Wrong(_))),
                "{wrong}"
            );
        }
    }
}
