//! Names of units: `sshd.service`, the template `getty@.service`, its instance
//! `getty@tty1.service` (systemd.unit(5)).

/// What a unit can be. The first six may have aliases.
const KINDS: [&str; 11] = [
    "service",
    "socket",
    "target",
    "device",
    "timer",
    "path",
    "mount",
    "automount",
    "swap",
    "slice",
    "scope",
];
const LONGEST: usize = 255;

/// A valid name of a unit, in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnitName<'a> {
    pub(super) prefix: &'a str,
    /// None: no template; empty: a template; else an instance of one.
    pub(super) instance: Option<&'a str>,
    pub(super) kind: &'a str,
}

impl<'a> UnitName<'a> {
    /// Takes a name apart; none if it is not valid.
    pub(super) fn parse(name: &'a str) -> Option<Self> {
        let (stem, kind) = name.rsplit_once('.')?;
        let (prefix, instance) = match stem.split_once('@') {
            Some((prefix, instance)) => (prefix, Some(instance)),
            None => (stem, None),
        };
        let fits = |letter: char| letter.is_ascii_alphanumeric() || ":_.\\@-".contains(letter);
        (KINDS.contains(&kind)
            && !prefix.is_empty()
            && name.len() <= LONGEST
            && name.chars().all(fits))
        .then_some(Self {
            prefix,
            instance,
            kind,
        })
    }

    pub(super) fn is_template(&self) -> bool {
        self.instance == Some("")
    }

    pub(super) fn is_instance(&self) -> bool {
        self.instance.is_some_and(|instance| !instance.is_empty())
    }

    /// The template that an instance (or a template) comes from.
    pub(super) fn template(&self) -> Option<String> {
        self.instance?;
        Some(format!("{}@.{}", self.prefix, self.kind))
    }

    /// The instance of a template with that name.
    pub(super) fn with_instance(&self, instance: &str) -> String {
        format!("{}@{instance}.{}", self.prefix, self.kind)
    }

    /// Whether this name may be another one for the unit `other`.
    pub(super) fn may_be_alias_of(&self, other: &UnitName<'_>) -> bool {
        let same_form = match (self.instance, other.instance) {
            (None, None) => true,
            (Some(own), Some(others)) => {
                own.is_empty() == others.is_empty() && (own == others || own.is_empty())
                    || others.is_empty()
            }
            _ => false,
        };
        self.kind == other.kind && KINDS[..6].contains(&self.kind) && same_form
    }
}

/// A name as systemctl takes it: without a kind it is a service.
pub(super) fn completed(name: &str) -> String {
    match UnitName::parse(name) {
        Some(_) => name.to_owned(),
        None => format!("{name}.service"),
    }
}
