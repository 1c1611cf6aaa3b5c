//! Lines of sysusers.d(5).

use crate::drop_in::words;
use crate::specifier::Specifiers;

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// `u`, `u!`: a user, and a group of its name unless it says which.
    User(Wish),
    /// `g`: a group.
    Group { name: String, id: Id },
    /// `m`: a user's membership in a group.
    Member { user: String, group: String },
    /// `r`: IDs to choose from.
    Range { first: u32, last: u32 },
}

/// A user that a line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) name: String,
    pub(super) id: Id,
    pub(super) group: Option<GroupOf>,
    pub(super) description: String,
    pub(super) home: Option<String>,
    pub(super) shell: Option<String>,
    pub(super) locked: bool,
}

/// Which ID an account gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Id {
    /// `-`: whichever.
    Any,
    /// This one.
    Fixed(u32),
    /// That of the owner of a file.
    OwnerOf(String),
}

/// A user's own group, when the line says which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GroupOf {
    /// By number; it must exist.
    Id(u32),
    /// By name; it must exist.
    Name(String),
}

/// Longest user or group name (utmp's limit, less the final NUL).
const LONGEST_NAME: usize = 31;

/// Reads a line.
pub(super) fn parse(line: &str, specifiers: &Specifiers) -> Result<Line, String> {
    let (fields, rest) = words(line, 6, false)?;
    if !rest.is_empty() {
        return Err(format!("has more than six fields: {rest:?}"));
    }
    let mut expanded = Vec::new();
    for field in fields {
        expanded.push(match field.as_str() {
            "" | "-" => None,
            text => Some(specifiers.expand(text).map_err(|why| why.reason())?),
        });
    }
    expanded.resize(6, None);
    let Ok([action, name, id, description, home, shell]) =
        <[Option<String>; 6]>::try_from(expanded)
    else {
        return Err("has more than six fields".into());
    };
    let action = action.unwrap_or_default();
    let needs_none = |what: &str, field: &Option<String>| match field {
        Some(text) => Err(format!(
            "a line of type {action:?} takes no {what}: {text:?}"
        )),
        None => Ok(()),
    };
    if !action.starts_with('u') {
        needs_none("description", &description)?;
        needs_none("home directory", &home)?;
        needs_none("shell", &shell)?;
    }
    match action.as_str() {
        "u" | "u!" => {
            let (id, group) = user_id(id.as_deref())?;
            Ok(Line::User(Wish {
                name: account_name(name)?,
                id,
                group,
                description: passwd_field("description", description)?.unwrap_or_default(),
                home: absolute("home directory", home)?,
                shell: absolute("shell", shell)?,
                locked: action == "u!",
            }))
        }
        "g" => Ok(Line::Group {
            name: account_name(name)?,
            id: one_id(id.as_deref())?,
        }),
        "m" => Ok(Line::Member {
            user: account_name(name)?,
            group: account_name(id)?,
        }),
        "r" => {
            needs_none("name", &name)?;
            range(&id.ok_or("a line of type \"r\" needs a range of IDs")?)
        }
        other => Err(format!("{other:?} is none of the types u, u!, g, m and r")),
    }
}

/// A name that can stand in passwd and group.
pub(super) fn account_name(name: Option<String>) -> Result<String, String> {
    let name = name.ok_or("lacks the name of a user or group")?;
    let begins_well = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let goes_on_well = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    match begins_well && name.bytes().all(goes_on_well) && name.len() <= LONGEST_NAME {
        true => Ok(name),
        false => Err(format!("{name:?} is no valid name of a user or group")),
    }
}

fn user_id(id: Option<&str>) -> Result<(Id, Option<GroupOf>), String> {
    let Some((user, group)) = id.and_then(|id| id.split_once(':')) else {
        return Ok((one_id(id)?, None));
    };
    let group = match group.parse() {
        Ok(number) => GroupOf::Id(valid_id(number)?),
        Err(_) => GroupOf::Name(account_name(Some(group.to_owned()))?),
    };
    Ok((one_id(Some(user).filter(|user| *user != "-"))?, Some(group)))
}

fn one_id(id: Option<&str>) -> Result<Id, String> {
    match id {
        None => Ok(Id::Any),
        Some(path) if path.starts_with('/') => Ok(Id::OwnerOf(path.to_owned())),
        Some(number) => match number.parse() {
            Ok(number) => Ok(Id::Fixed(valid_id(number)?)),
            Err(_) => Err(format!("{number:?} is neither an ID nor a path")),
        },
    }
}

/// Refuses the two numbers that mean "none" to the kernel.
fn valid_id(id: u32) -> Result<u32, String> {
    match id {
        0xffff | u32::MAX => Err(format!("{id} is not an ID that anybody can have")),
        id => Ok(id),
    }
}

fn range(text: &str) -> Result<Line, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if first <= last => Ok(Line::Range { first, last }),
        _ => Err(format!("{text:?} is no range of IDs")),
    }
}

fn passwd_field(what: &str, field: Option<String>) -> Result<Option<String>, String> {
    match &field {
        Some(text) if text.contains(|found: char| found == ':' || found.is_control()) => Err(
            format!("{what} {text:?} holds a colon or a control character"),
        ),
        _ => Ok(field),
    }
}

fn absolute(what: &str, field: Option<String>) -> Result<Option<String>, String> {
    match passwd_field(what, field)? {
        Some(path) if !path.starts_with('/') => {
            Err(format!("{what} {path:?} does not begin with /"))
        }
        field => Ok(field),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Result<Line, String> {
        let tree = fortress_tree::Tree::new(0);
        parse(text, &Specifiers::of(&tree, "host", "amd64").unwrap())
    }

    #[test]
    fn every_type_of_line_is_read() {
        let user = line(r#"u! _x-1 12:group "A 100%% name" /var/lib/%H -"#).unwrap();
        assert_eq!(
            user,
            Line::User(Wish {
                name: "_x-1".into(),
                id: Id::Fixed(12),
                group: Some(GroupOf::Name("group".into())),
                description: "A 100% name".into(),
                home: Some("/var/lib/host".into()),
                shell: None,
                locked: true,
            })
        );
        let group = |id| Line::Group {
            name: "a".into(),
            id,
        };
        assert_eq!(line("g a").unwrap(), group(Id::Any));
        assert_eq!(
            line("g a /bin/x -").unwrap(),
            group(Id::OwnerOf("/bin/x".into()))
        );
        let (user, group) = ("a".into(), "b".into());
        assert_eq!(line("m a b").unwrap(), Line::Member { user, group });
        assert_eq!(line("r - 5-9").unwrap(), Line::Range { first: 5, last: 9 });
        assert!(matches!(
            line("u a -:12"),
            Ok(Line::User(Wish {
                id: Id::Any,
                group: Some(GroupOf::Id(12)),
                ..
            }))
        ));
    }

    #[test]
    fn lines_that_mean_nothing_say_why() {
        for (wrong, why) in [
            ("x a", "none of the types"),
            ("u", "lacks the name"),
            ("u 1a", "no valid name"),
            ("u a b", "neither an ID"),
            ("u a 65535", "anybody can have"),
            ("u a - \"x:y\"", "colon"),
            ("u a - - relative", "begin with /"),
            ("g a - x", "takes no description"),
            ("r a 1-2", "takes no name"),
            ("r - 9-5", "no range"),
            ("m a", "lacks the name"),
            ("u a%m", "running system"),
            ("u a - - - - more", "more than six"),
        ] {
            let said = line(wrong).unwrap_err();
            assert!(said.contains(why), "{wrong}: {said}");
        }
    }
}
