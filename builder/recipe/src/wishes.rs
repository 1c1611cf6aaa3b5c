//! What files and options wish, but for packages: what later ones say is laid over it.

use std::collections::BTreeMap;

use crate::base::IdentifiersFile;
use crate::composition::append;
use crate::plan::{PageSize, RootFilesystem};
use crate::source::{Located, Mark};
use crate::state::StateWishes;
use crate::trust::TrustWishes;

/// Wishes of one file, or of all so far. Lists append without doubles; of single values the later one
/// wins, and of two words about a unit.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) scalars: Scalars,
    /// Where an archive is first named, and the packages taken from it.
    pub(crate) pins: BTreeMap<String, (Mark, Vec<Located<String>>)>,
    pub(crate) overlays: Vec<Located<String>>,
    pub(crate) kernel_packages: Vec<Located<String>>,
    pub(crate) command_line: Vec<Located<String>>,
    pub(crate) load: Vec<Located<String>>,
    pub(crate) initrd_modules: Vec<Located<String>>,
    pub(crate) initrd_overlays: Vec<Located<String>>,
    pub(crate) units: BTreeMap<String, Located<UnitState>>,
    pub(crate) identifiers: IdentifiersFile,
    pub(crate) keep_locales: Vec<Located<String>>,
    pub(crate) trim_paths: Vec<Located<String>>,
    pub(crate) sockets: Vec<Located<String>>,
    pub(crate) state: StateWishes,
    pub(crate) trust: TrustWishes,
}

impl Wishes {
    /// Lays later wishes over these.
    pub(crate) fn merge(&mut self, later: Self) {
        // Naming every field makes the compiler refuse one that is forgotten.
        let Self {
            scalars,
            pins,
            overlays,
            kernel_packages,
            command_line,
            load,
            initrd_modules,
            initrd_overlays,
            units,
            identifiers,
            keep_locales,
            trim_paths,
            sockets,
            state,
            trust,
        } = later;
        self.scalars.merge(scalars);
        for (archive, (mark, packages)) in pins {
            let (_, pinned) = self.pins.entry(archive).or_insert((mark, Vec::new()));
            append(pinned, packages);
        }
        append(&mut self.overlays, overlays);
        append(&mut self.kernel_packages, kernel_packages);
        append(&mut self.command_line, command_line);
        append(&mut self.load, load);
        append(&mut self.initrd_modules, initrd_modules);
        append(&mut self.initrd_overlays, initrd_overlays);
        self.units.extend(units);
        self.identifiers.merge(identifiers);
        append(&mut self.keep_locales, keep_locales);
        append(&mut self.trim_paths, trim_paths);
        append(&mut self.sockets, sockets);
        self.state.merge(state);
        self.trust.merge(trust);
    }
}

/// What a unit shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnitState {
    Enabled,
    Disabled,
    Masked,
}

impl UnitState {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Masked => "masked",
        }
    }
}

/// Keys with one value: the later one wins.
#[derive(Debug, Default)]
pub(crate) struct Scalars {
    pub(crate) name: Option<Located<String>>,
    pub(crate) version: Option<Located<String>>,
    pub(crate) base: Option<Located<String>>,
    pub(crate) epoch: Option<Located<i64>>,
    pub(crate) recommends: Option<Located<bool>>,
    pub(crate) flavour: Option<Located<String>>,
    pub(crate) page_size: Option<Located<PageSize>>,
    pub(crate) default_target: Option<Located<String>>,
    pub(crate) hostname: Option<Located<String>>,
    pub(crate) locale: Option<Located<String>>,
    pub(crate) time_zone: Option<Located<String>>,
    pub(crate) documentation: Option<Located<bool>>,
    pub(crate) manuals: Option<Located<bool>>,
    pub(crate) locales: Option<Located<bool>>,
    pub(crate) filesystem: Option<Located<RootFilesystem>>,
    pub(crate) headroom_percent: Option<Located<u32>>,
    pub(crate) headroom: Option<Located<u64>>,
    pub(crate) slots: Option<Located<u32>>,
    pub(crate) esp_size: Option<Located<u64>>,
    pub(crate) reviewed_scripts: Option<Located<String>>,
}

impl Scalars {
    /// Lays later values over these.
    pub(crate) fn merge(&mut self, later: Self) {
        macro_rules! later_wins {
            ($($field:ident),* $(,)?) => {
                // Naming every field makes the compiler refuse one that is forgotten.
                let Self { $($field),* } = later;
                $(if $field.is_some() {
                    self.$field = $field;
                })*
            };
        }
        later_wins!(
            name,
            version,
            base,
            epoch,
            recommends,
            flavour,
            page_size,
            default_target,
            hostname,
            locale,
            time_zone,
            documentation,
            manuals,
            locales,
            filesystem,
            headroom_percent,
            headroom,
            slots,
            esp_size,
            reviewed_scripts,
        );
    }
}
