//! Where packages come from: the suites of the base, their mirrors and their keys.

use super::{Inputs, or, sorted, sourced};
use crate::error::{ErrorKind, Result, nearest};
use crate::origin::Sourced;
use crate::plan::{Archive, Mirror, ProjectFile};
use crate::source::Located;

impl Inputs<'_> {
    /// The base's suites, and those of its optional ones from which something is taken.
    pub(super) fn archives(&mut self) -> Result<Vec<Archive>> {
        let mut pins = std::mem::take(&mut self.composition.wishes.pins);
        let mut archives = Vec::new();
        for archive in std::mem::take(&mut self.base.archives) {
            let only = match pins.remove(&archive.name.value) {
                Some((mark, _)) if !archive.optional => {
                    return Err(mark.error(ErrorKind::BadValue {
                        key: "pins".to_owned(),
                        got: archive.name.value,
                        why: "this archive is always used; only optional ones are pinned"
                            .to_owned(),
                    }));
                }
                Some((_, packages)) => packages,
                None => Vec::new(),
            };
            if archive.optional && only.is_empty() {
                // Nobody takes anything from it. A pin of nothing is the same.
                archives.push((archive.name.value, None));
                continue;
            }
            let name = archive.name.value.clone();
            let archive = Archive {
                name: archive.name.sourced(),
                mirror: self.mirror(&archive.mirror)?,
                suite: archive.suite.sourced(),
                components: sourced(archive.components),
                keys: archive
                    .keys
                    .into_iter()
                    .map(|key| self.key(key))
                    .collect::<Result<_>>()?,
                only: sorted(only),
                priority: or(archive.priority, 500),
                grace: or(archive.grace, 0),
            };
            archives.push((name, Some(archive)));
        }
        archives.sort_by(|one, other| one.0.cmp(&other.0));
        if let Some((name, (mark, _))) = pins.pop_first() {
            let known: Vec<String> = archives.into_iter().map(|(name, _)| name).collect();
            return Err(mark.error(ErrorKind::Unknown {
                what: "archive",
                nearest: nearest(&name, known.iter().map(String::as_str)),
                name,
                known,
            }));
        }
        Ok(archives
            .into_iter()
            .filter_map(|(_, archive)| archive)
            .collect())
    }

    fn mirror(&self, name: &Located<String>) -> Result<Mirror> {
        let architecture = self.board.architecture.value.as_str();
        let Some(mirror) = self.base.mirrors.get(&name.value) else {
            let key = name.value.clone();
            let within = "mirrors".to_owned();
            return Err(name.mark.error(ErrorKind::MissingKey { key, within }));
        };
        let own = mirror.url_by_architecture.get(architecture);
        Ok(Mirror {
            name: mirror.name.clone().sourced(),
            distribution: self.base.distribution.clone().sourced(),
            security: or(mirror.security.clone(), false),
            url: own.unwrap_or(&mirror.url).clone().sourced(),
            snapshot: mirror.snapshot.clone().map(Located::sourced),
        })
    }

    fn key(&self, name: Located<String>) -> Result<Sourced<ProjectFile>> {
        let shown = format!("keys/archive/{}.asc", name.value);
        let path = self.root.join(&shown);
        if path.is_file() {
            return Ok(name.map(|_| ProjectFile { shown, path }).sourced());
        }
        let mut known: Vec<String> = std::fs::read_dir(self.root.join("keys/archive"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter_map(|file| file.strip_suffix(".asc").map(str::to_owned))
            .collect();
        known.sort();
        Err(name.mark.error(ErrorKind::Unknown {
            what: "archive key",
            nearest: nearest(&name.value, known.iter().map(String::as_str)),
            name: name.value,
            known,
        }))
    }
}
