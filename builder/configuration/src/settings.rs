//! What decides how a tree is configured, apart from the packages in it.

use crate::PackageData;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything that [`crate::configure`] is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The machine's name, as in `/etc/hostname`.
    pub hostname: String,
    /// The system's locale (`LANG`), `C.UTF-8` or one that the tree has compiled.
    pub locale: String,
    /// The time zone, a name below `/usr/share/zoneinfo`.
    pub time_zone: String,
    /// Which units run.
    pub units: UnitSettings,
    /// User and group IDs beyond, or other than, the built-in table's.
    pub identifiers: Identifiers,
    /// What is left out of the image.
    pub trim: TrimSettings,
    /// What the scripts of single packages would have done, beyond (or, for a package that it
    /// names, in place of) the built-in data.
    pub package_data: PackageData,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hostname: "localhost".into(),
            locale: "C.UTF-8".into(),
            time_zone: "Etc/UTC".into(),
            units: UnitSettings::default(),
            identifiers: Identifiers::default(),
            trim: TrimSettings::default(),
            package_data: PackageData::default(),
        }
    }
}

/// Which units run, beyond what the tree's presets say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UnitSettings {
    /// Units to enable, also those that a preset disables.
    pub enable: Vec<String>,
    /// Units to disable, also those that a preset enables.
    pub disable: Vec<String>,
    /// Units that may not run at all.
    pub mask: Vec<String>,
    /// The unit that `default.target` leads to; none leaves the tree's own.
    pub default_target: Option<String>,
}

/// Fixed IDs of system users and groups, so that they never depend on the order or the set of
/// packages. A name that is not here and has no ID of its own in sysusers.d gets one derived from
/// the name (and is reported).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Identifiers {
    /// User IDs by user name.
    pub users: BTreeMap<String, u32>,
    /// Group IDs by group name.
    pub groups: BTreeMap<String, u32>,
}

/// What is left out of the image. Copyright files always stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrimSettings {
    /// Leave out `/usr/share/doc` but for copyright files, and what goes with it (doc-base, lintian, info).
    pub documentation: bool,
    /// Leave out manual pages.
    pub manuals: bool,
    /// Message catalogues and translated manuals to keep, by locale name (`de`, `pt_BR`);
    /// none keeps all.
    pub locales: Option<Vec<String>>,
    /// Other paths to leave out, with `*`, `?` and `[…]` within a name and `**` across names.
    pub paths: Vec<String>,
}

impl Default for TrimSettings {
    fn default() -> Self {
        Self {
            documentation: true,
            manuals: true,
            locales: Some(Vec::new()),
            paths: Vec::new(),
        }
    }
}
