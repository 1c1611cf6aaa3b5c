//! Whether one package replaces files of another (`Replaces`, deb-control(5)).

use crate::Package;
use debversion::Version;
use std::cmp::Ordering;

/// Whether `package` says that it replaces files of `other`. Only the other's own name counts,
/// not what it provides, as with dpkg.
pub(crate) fn replaces(package: &Package, other: &Package) -> bool {
    package
        .control
        .get("Replaces")
        .unwrap_or_default()
        .split(',')
        .any(|relation| matches(relation.trim(), other))
}

/// Whether a relation such as `name:any (<< 1.2)` names `other`.
fn matches(relation: &str, other: &Package) -> bool {
    let (name, rest) = match relation.split_once('(') {
        Some((name, rest)) => (name.trim(), Some(rest)),
        None => (relation, None),
    };
    let (name, architecture) = name.split_once(':').unwrap_or((name, "any"));
    if name != other.name || !(architecture == "any" || architecture == other.architecture) {
        return false;
    }
    let Some(rest) = rest else { return true };
    let Some(rest) = rest.trim_end().strip_suffix(')') else {
        return false;
    };
    let rest = rest.trim();
    let digits = rest.trim_start_matches(['<', '=', '>']);
    let operator = &rest[..rest.len() - digits.len()];
    let (Ok(has), Ok(wanted)) = (
        other.version.parse::<Version>(),
        digits.trim().parse::<Version>(),
    ) else {
        return false;
    };
    let order = has.cmp(&wanted);
    match operator {
        "<<" => order == Ordering::Less,
        "<=" | "<" => order != Ordering::Greater,
        "=" => order == Ordering::Equal,
        ">=" | ">" => order != Ordering::Less,
        ">>" => order == Ordering::Greater,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Control;

    fn package(name: &str, version: &str, replaces: &str) -> Package {
        let text = format!("Package: {name}\nReplaces: {replaces}\n");
        Package {
            name: name.into(),
            version: version.into(),
            architecture: "amd64".into(),
            control: Control::parse(name, text).unwrap(),
            members: Default::default(),
            paths: Vec::new(),
            essential: false,
        }
    }

    #[test]
    fn versions_decide() {
        let old = package("old", "1:2.0-1", "");
        for (relation, expected) in [
            ("old", true),
            ("other, old", true),
            ("older", false),
            ("old (<< 1:2.0-2)", true),
            ("old (<< 1:2.0-1)", false),
            ("old (<=1:2.0-1)", true),
            ("old (= 2.0-1)", false),
            ("old (>= 1:1), other (<< 1)", true),
            ("old (>> 1:2.0-1)", false),
            ("old:amd64 (<< 2:0)", true),
            ("old:arm64", false),
            ("old:any", true),
            ("old (<< 1:2.0-2", false),
            ("old (~ 1)", false),
        ] {
            let new = package("new", "1", relation);
            assert_eq!(replaces(&new, &old), expected, "{relation}");
        }
    }
}
