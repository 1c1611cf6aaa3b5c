//! Relations between packages (Debian Policy, chapter 7): `a (>= 1) | b:any, c`.

use std::cmp::Ordering;

use debversion::Version;

/// More relations than this in one field are refused.
const RELATIONS: usize = 100_000;

/// How a version is constrained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Earlier,
    EarlierOrEqual,
    Equal,
    LaterOrEqual,
    Later,
}

impl Operator {
    /// Whether a version that compares so to the one in the relation satisfies it.
    pub(crate) fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Earlier => ordering == Ordering::Less,
            Self::EarlierOrEqual => ordering != Ordering::Greater,
            Self::Equal => ordering == Ordering::Equal,
            Self::LaterOrEqual => ordering != Ordering::Less,
            Self::Later => ordering == Ordering::Greater,
        }
    }
}

/// One package, by name, and what of it is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Relation<'a> {
    pub(crate) name: &'a str,
    /// `any`, `native`, or an architecture.
    pub(crate) qualifier: Option<&'a str>,
    pub(crate) version: Option<(Operator, Version)>,
}

impl<'a> Relation<'a> {
    /// Reads one relation.
    pub(crate) fn parse(text: &'a str) -> Result<Self, String> {
        let fault = |what: &str| Err(format!("{what} in {text:.200?}"));
        let (package, rest) = match text.split_once('(') {
            Some((package, rest)) => (package.trim(), Some(rest)),
            None => (text.trim(), None),
        };
        let version = match rest {
            None => None,
            Some(rest) => {
                let Some(rest) = rest.trim_end().strip_suffix(')') else {
                    return fault("no closing bracket");
                };
                let rest = rest.trim();
                let operators = [
                    ("<<", Operator::Earlier),
                    ("<=", Operator::EarlierOrEqual),
                    (">>", Operator::Later),
                    (">=", Operator::LaterOrEqual),
                    ("=", Operator::Equal),
                    // Deprecated since 1996, and still what dpkg reads so.
                    ("<", Operator::EarlierOrEqual),
                    (">", Operator::LaterOrEqual),
                ];
                let found = operators
                    .iter()
                    .find_map(|(sign, operator)| Some((*operator, rest.strip_prefix(sign)?)));
                let Some((operator, version)) = found else {
                    return fault("no operator");
                };
                let Ok(version) = version.trim().parse() else {
                    return fault("no sound version");
                };
                Some((operator, version))
            }
        };
        let (name, qualifier) = match package.split_once(':') {
            Some((name, qualifier)) => (name, Some(qualifier)),
            None => (package, None),
        };
        let sound = |text: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte);
            !text.is_empty() && text.bytes().all(allowed)
        };
        if !sound(name) || !qualifier.is_none_or(sound) {
            return fault("no sound name");
        }
        Ok(Self {
            name,
            qualifier,
            version,
        })
    }
}

/// The groups of a field: each has to be met by one of its alternatives.
pub(crate) fn groups(field: &str) -> impl Iterator<Item = &str> {
    field
        .split(',')
        .map(str::trim)
        .filter(|group| !group.is_empty())
        .take(RELATIONS)
}

/// The alternatives of a group, in the order of preference.
pub(crate) fn alternatives(group: &str) -> Result<Vec<Relation<'_>>, String> {
    group.split('|').map(Relation::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_relations() {
        let group = alternatives("a (>= 1:2) | b:any|\n c ( << 3~ )").unwrap();
        assert_eq!(group.len(), 3);
        assert_eq!((group[0].name, group[0].qualifier), ("a", None));
        assert_eq!(
            group[0].version,
            Some((Operator::LaterOrEqual, "1:2".parse().unwrap()))
        );
        assert_eq!((group[1].name, group[1].qualifier), ("b", Some("any")));
        assert_eq!(
            group[2].version,
            Some((Operator::Earlier, "3~".parse().unwrap()))
        );
        assert_eq!(
            groups("a, b |c,\n d,").collect::<Vec<_>>(),
            ["a", "b |c", "d"]
        );
    }

    #[test]
    fn refuses_what_is_none() {
        for text in [
            "",
            "a (",
            "a (1)",
            "a (>= )",
            "a b",
            "a:",
            "a (>= 1) b",
            "../x",
            "a (>= 1 2)",
        ] {
            assert!(Relation::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,60}", other in "[a-z:|(<>=0-9.~) ]{0,40}") {
            let _ = alternatives(&text);
            let _ = alternatives(&other);
        }
    }
}
