//! Bases: the releases of distributions that images are made from.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::check;
use crate::error::{ErrorKind, Result, nearest};
use crate::section::{Section, Value, read};
use crate::source::{Located, Source};

/// What a base's file says.
#[derive(Debug)]
pub(crate) struct BaseFile {
    pub(crate) description: Located<String>,
    pub(crate) distribution: Located<String>,
    pub(crate) release: Located<String>,
    pub(crate) mirrors: BTreeMap<String, MirrorFile>,
    pub(crate) archives: Vec<ArchiveFile>,
    pub(crate) names: BTreeMap<String, Rename>,
    /// Units that the release does not have.
    pub(crate) absent_units: Vec<Located<String>>,
    pub(crate) identifiers: IdentifiersFile,
}

/// A mirror as written.
#[derive(Debug)]
pub(crate) struct MirrorFile {
    pub(crate) name: Located<String>,
    pub(crate) url: Located<String>,
    pub(crate) url_by_architecture: BTreeMap<String, Located<String>>,
    pub(crate) snapshot: Option<Located<String>>,
    pub(crate) security: Option<Located<bool>>,
}

/// A suite as written.
#[derive(Debug)]
pub(crate) struct ArchiveFile {
    pub(crate) name: Located<String>,
    pub(crate) mirror: Located<String>,
    pub(crate) suite: Located<String>,
    pub(crate) components: Vec<Located<String>>,
    pub(crate) keys: Vec<Located<String>>,
    pub(crate) priority: Option<Located<i32>>,
    pub(crate) optional: bool,
    /// Days.
    pub(crate) grace: Option<Located<u32>>,
}

/// What a package is called in this base.
#[derive(Debug)]
pub(crate) enum Rename {
    /// It goes by these names.
    To(Vec<Located<String>>),
    /// It does not exist, and that is well, because …
    Nothing(Located<String>),
}

/// Fixed ids as written.
#[derive(Debug, Default, Clone)]
pub(crate) struct IdentifiersFile {
    pub(crate) users: BTreeMap<String, Located<u32>>,
    pub(crate) groups: BTreeMap<String, Located<u32>>,
}

impl BaseFile {
    /// Reads a base's file.
    pub(crate) fn parse(source: &Arc<Source>) -> Result<Self> {
        read(source, |file| {
            let description = file.need("description")?.parsed(check::line)?;
            let distribution = file.need("distribution")?.parsed(check::name)?;
            let release = file.need("release")?.parsed(check::name)?;
            let mirrors = mirrors(file)?;
            let archives = archives(file, &mirrors)?;
            let mut names = BTreeMap::new();
            for (name, value) in file.section("names")?.names() {
                let name = name.named("names", check::package_name)?;
                names.insert(name.value, rename(&value)?);
            }
            let absent_units = file.checked("absent-units", check::unit)?;
            let identifiers = IdentifiersFile::read(file)?;
            Ok(Self {
                description,
                distribution,
                release,
                mirrors,
                archives,
                names,
                absent_units,
                identifiers,
            })
        })
    }
}

fn mirrors(file: &mut Section<'_>) -> Result<BTreeMap<String, MirrorFile>> {
    let mut mirrors = BTreeMap::new();
    for (name, value) in file.section("mirrors")?.names() {
        let name = name.named("mirrors", check::name)?;
        let mut section = value.section()?;
        let url = section.need("url")?.parsed(check::url)?;
        let mut url_by_architecture = BTreeMap::new();
        for (architecture, url) in section.section("url-by-architecture")?.names() {
            let architecture = architecture.named("url-by-architecture", check::name)?;
            url_by_architecture.insert(architecture.value, url.parsed(check::url)?);
        }
        let snapshot = section.parsed("snapshot", check::snapshot)?;
        let security = section.truth("security")?;
        section.finish()?;
        let key = name.value.clone();
        let mirror = MirrorFile {
            name,
            url,
            url_by_architecture,
            snapshot,
            security,
        };
        mirrors.insert(key, mirror);
    }
    Ok(mirrors)
}

fn archives(
    file: &mut Section<'_>,
    mirrors: &BTreeMap<String, MirrorFile>,
) -> Result<Vec<ArchiveFile>> {
    file.need("archives")?;
    let mut archives: Vec<ArchiveFile> = Vec::new();
    for mut section in file.sections("archives")? {
        let name = section.need("name")?.parsed(check::name)?;
        if let Some(first) = archives.iter().find(|other| other.name.value == name.value) {
            return Err(name.mark.twice("archive", &name.value, &first.name.mark));
        }
        let mirror = section.need("mirror")?.text()?;
        if !mirrors.contains_key(&mirror.value) {
            let known: Vec<String> = mirrors.keys().cloned().collect();
            return Err(mirror.mark.error(ErrorKind::Unknown {
                what: "mirror",
                nearest: nearest(&mirror.value, known.iter().map(String::as_str)),
                name: mirror.value,
                known,
            }));
        }
        let priority = section.get("priority").map(|value| value.number(1, 990));
        let priority = priority.transpose()?;
        let optional = section.truth("optional")?.is_some_and(|truth| truth.value);
        let grace = section.small("grace", 0, 365)?;
        if let (Some(grace), false) = (&grace, optional) {
            return Err(grace.mark.error(ErrorKind::BadValue {
                key: "archives.grace".to_owned(),
                got: grace.value.to_string(),
                why: "only archives from which single packages are taken (optional) may be out of \
                      date"
                    .to_owned(),
            }));
        }
        let archive = ArchiveFile {
            mirror,
            suite: section.need("suite")?.parsed(check::word)?,
            components: filled(&section.need("components")?, check::word)?,
            keys: filled(&section.need("keys")?, check::name)?,
            // From 1 to 990, so it fits.
            priority: priority.map(|priority| priority.map(|number| number as i32)),
            optional,
            grace,
            name,
        };
        section.finish()?;
        archives.push(archive);
    }
    Ok(archives)
}

/// A list that must have something in it.
fn filled(
    value: &Value<'_>,
    check: impl Fn(&str) -> Result<String, String>,
) -> Result<Vec<Located<String>>> {
    let texts = value.checked(check)?;
    if texts.is_empty() {
        return Err(value.bad("[]", "something must be in it"));
    }
    Ok(texts)
}

fn rename(value: &Value<'_>) -> Result<Rename> {
    if value.is_text() {
        return Ok(Rename::To(vec![value.parsed(check::package)?]));
    }
    if !value.is_table() {
        let packages = value.checked(check::package)?;
        if packages.is_empty() {
            let why = "say why the package is not needed: { missing = \"why\" }";
            return Err(value.bad("[]", why));
        }
        return Ok(Rename::To(packages));
    }
    let mut section = value.section()?;
    let reason = section.need("missing")?.parsed(check::line)?;
    section.finish()?;
    Ok(Rename::Nothing(reason))
}

impl IdentifiersFile {
    /// Reads the tables `users` and `groups`.
    pub(crate) fn read(file: &mut Section<'_>) -> Result<Self> {
        Ok(Self {
            users: ids(file.section("users")?, "users")?,
            groups: ids(file.section("groups")?, "groups")?,
        })
    }

    /// Lays a later table over this one.
    pub(crate) fn merge(&mut self, later: Self) {
        self.users.extend(later.users);
        self.groups.extend(later.groups);
    }

    /// Refuses one id for two names.
    pub(crate) fn check(&self) -> Result<()> {
        for (what, table) in [("user id", &self.users), ("group id", &self.groups)] {
            let mut by_id: BTreeMap<u32, &Located<u32>> = BTreeMap::new();
            let mut entries: Vec<&Located<u32>> = table.values().collect();
            // What was said first is right, and what was said later is wrong.
            entries.sort_by_key(|id| id.mark.origin());
            for id in entries {
                if let Some(first) = by_id.insert(id.value, id) {
                    return Err(id.mark.twice(what, &id.value.to_string(), &first.mark));
                }
            }
        }
        Ok(())
    }
}

fn ids(section: Section<'_>, key: &str) -> Result<BTreeMap<String, Located<u32>>> {
    let mut ids = BTreeMap::new();
    for (name, value) in section.names() {
        let name = name.named(key, check::account)?;
        // 65535 and 4294967295 are "nobody meant" in system calls.
        let id = value.number(0, 0xffff_fffe)?.check(|id| {
            u32::try_from(id)
                .ok()
                .filter(|id| *id != 0xffff)
                .ok_or(ErrorKind::BadValue {
                    key: name.value.clone(),
                    got: id.to_string(),
                    why: "the kernel gives this id another meaning".to_owned(),
                })
        })?;
        ids.insert(name.value, id);
    }
    Ok(ids)
}
