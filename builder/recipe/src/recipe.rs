//! Recipes, the site file and `--set` options: layers of wishes that are laid over each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::IdentifiersFile;
use crate::check;
use crate::error::{ErrorKind, Result};
use crate::plan::{Architecture, PageSize, RootFilesystem};
use crate::section::{Section, read};
use crate::source::{Located, Source};
use crate::trust::TrustWishes;
use crate::wishes::{UnitState, Wishes};

const PAGE_SIZES: [(&str, PageSize); 3] = [
    ("4K", PageSize::Small),
    ("16K", PageSize::Middle),
    ("64K", PageSize::Large),
];

/// What a recipe's file says.
#[derive(Debug)]
pub(crate) struct RecipeFile {
    pub(crate) description: Located<String>,
    pub(crate) include: Vec<Located<String>>,
    pub(crate) layer: Layer,
}

/// One file's (or option's) wishes.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    pub(crate) packages: PackageWishes,
    pub(crate) wishes: Wishes,
}

/// Wishes about packages.
#[derive(Debug, Default)]
pub(crate) struct PackageWishes {
    pub(crate) install: Vec<Located<String>>,
    pub(crate) by_architecture: BTreeMap<String, Vec<Located<String>>>,
    pub(crate) remove: Vec<Located<String>>,
    /// Reasons by package.
    pub(crate) left_out: BTreeMap<String, Located<String>>,
}

impl RecipeFile {
    /// Reads a recipe's file.
    pub(crate) fn parse(source: &Arc<Source>) -> Result<Self> {
        read(source, |file| {
            Ok(Self {
                description: file.need("description")?.parsed(check::line)?,
                include: file.checked("include", check::name)?,
                layer: Layer::read(file, Speaker::Recipe)?,
            })
        })
    }
}

/// Who speaks: a site file may say less than a recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaker {
    /// A recipe, or an option of the command line.
    Recipe,
    /// A site file: what may differ from device to device, and nothing else.
    Site,
}

impl Layer {
    /// Reads a site file.
    pub(crate) fn parse_site(source: &Arc<Source>) -> Result<Self> {
        read(source, |file| Self::read(file, Speaker::Site))
    }

    /// Reads an option of the command line, told as TOML.
    pub(crate) fn parse_option(source: &Arc<Source>) -> Result<Self> {
        read(source, |file| Self::read(file, Speaker::Recipe))
    }

    fn read(file: &mut Section<'_>, speaker: Speaker) -> Result<Self> {
        let mut layer = Self::default();
        let wishes = &mut layer.wishes;
        wishes.overlays = file.checked("overlays", overlay_name)?;
        wishes.read_kernel(file.section("kernel")?, speaker)?;
        wishes.read_system(file.section("system")?)?;
        wishes.read_units(file.section("units")?)?;
        let mut health = file.section("health")?;
        wishes.sockets = health.checked("sockets", check::socket)?;
        health.finish()?;
        wishes.state.read_data(file.section("data")?)?;
        if speaker == Speaker::Recipe {
            wishes.read_identity(file)?;
            let mut packages = file.section("packages")?;
            wishes.scalars.recommends = packages.truth("recommends")?;
            layer.packages = PackageWishes::read(packages)?;
            wishes.read_pins(file.section("pins")?)?;
            let mut initrd = file.section("initrd")?;
            wishes.initrd_modules = initrd.checked("modules", check::module)?;
            wishes.initrd_overlays = initrd.checked("overlays", overlay_name)?;
            initrd.finish()?;
            wishes.identifiers = IdentifiersFile::read(file)?;
            wishes.read_trim(file.section("trim")?)?;
            wishes.read_image(file.section("image")?)?;
            wishes.state.read(file)?;
            wishes.trust = TrustWishes::read(file.section("trust")?)?;
            let mut scripts = file.section("scripts")?;
            wishes.scalars.reviewed_scripts = scripts.parsed("reviewed", check::toml_file)?;
            scripts.finish()?;
        }
        Ok(layer)
    }
}

impl Wishes {
    fn read_identity(&mut self, file: &mut Section<'_>) -> Result<()> {
        self.scalars.name = file.parsed("name", check::name)?;
        self.scalars.version = file.parsed("version", check::version)?;
        self.scalars.base = file.parsed("base", check::name)?;
        // FAT, which an ESP is, can tell the times from 1980 to 2107.
        self.scalars.epoch = file
            .get("source-date-epoch")
            .map(|value| value.number(315_532_800, 4_354_819_199))
            .transpose()?;
        Ok(())
    }

    fn read_pins(&mut self, section: Section<'_>) -> Result<()> {
        for (name, value) in section.names() {
            let packages = value.checked(check::package_name)?;
            self.pins.insert(name.value, (name.mark, packages));
        }
        Ok(())
    }

    fn read_kernel(&mut self, mut section: Section<'_>, speaker: Speaker) -> Result<()> {
        self.command_line = section.checked("command-line", check::kernel_argument)?;
        if speaker == Speaker::Recipe {
            self.scalars.flavour = section.parsed("flavour", check::name)?;
            self.scalars.page_size = section
                .get("page-size")
                .map(|value| value.word(&PAGE_SIZES))
                .transpose()?;
            self.kernel_packages = section.checked("packages", check::package)?;
            self.load = section.checked("load", check::module)?;
        }
        section.finish()
    }

    fn read_system(&mut self, mut section: Section<'_>) -> Result<()> {
        self.scalars.hostname = section.parsed("hostname", check::hostname)?;
        self.scalars.locale = section.parsed("locale", check::locale)?;
        self.scalars.time_zone = section.parsed("time-zone", check::time_zone)?;
        section.finish()
    }

    fn read_units(&mut self, mut section: Section<'_>) -> Result<()> {
        for (key, state) in [
            ("enable", UnitState::Enabled),
            ("disable", UnitState::Disabled),
            ("mask", UnitState::Masked),
        ] {
            for unit in section.checked(key, check::unit)? {
                if let Some(first) = self.units.get(&unit.value) {
                    return Err(unit.mark.error(ErrorKind::Contradiction {
                        what: "unit",
                        name: unit.value,
                        one: state.as_str(),
                        other: first.value.as_str(),
                        first: first.mark.origin().to_string(),
                    }));
                }
                self.units
                    .insert(unit.value, Located::new(state, unit.mark));
            }
        }
        self.scalars.default_target = section.parsed("default-target", check::unit)?;
        section.finish()
    }

    fn read_trim(&mut self, mut section: Section<'_>) -> Result<()> {
        self.scalars.documentation = section.truth("documentation")?;
        self.scalars.manuals = section.truth("manuals")?;
        self.scalars.locales = section.truth("locales")?;
        self.keep_locales = section.checked("keep-locales", check::locale)?;
        self.trim_paths = section.checked("paths", check::pattern)?;
        section.finish()
    }

    fn read_image(&mut self, mut section: Section<'_>) -> Result<()> {
        let filesystem = section.get("filesystem");
        self.scalars.filesystem = filesystem
            .map(|value| value.word(&[("ext4", RootFilesystem::Ext4)]))
            .transpose()?;
        self.scalars.headroom_percent = section.small("headroom-percent", 0, 1000)?;
        self.scalars.headroom = section.size("headroom")?;
        self.scalars.slots = section.small("slots", 1, 2)?;
        self.scalars.esp_size = section
            .get("esp-size")
            .map(|value| value.partition_size())
            .transpose()?;
        section.finish()
    }
}

impl PackageWishes {
    fn read(mut section: Section<'_>) -> Result<Self> {
        let mut wishes = Self {
            install: section.checked("install", check::package)?,
            ..Self::default()
        };
        for (architecture, value) in section.section("by-architecture")?.names() {
            let name = architecture.named("packages.by-architecture", architecture_name)?;
            let packages = value.checked(check::package)?;
            wishes.by_architecture.insert(name.value, packages);
        }
        wishes.remove = section.checked("remove", check::package)?;
        for (name, value) in section.section("left-out")?.names() {
            let name = name.named("packages.left-out", check::package_name)?;
            let reason = value.parsed(check::line)?;
            wishes.left_out.insert(name.value, reason);
        }
        section.finish()?;
        wishes.contradiction()?;
        Ok(wishes)
    }

    /// Refuses a package that one file wants both in and out.
    fn contradiction(&self) -> Result<()> {
        let wanted = self
            .install
            .iter()
            .chain(self.by_architecture.values().flatten());
        for package in wanted {
            let name = check::name_of(&package.value);
            let removed = self
                .remove
                .iter()
                .find(|r| check::name_of(&r.value) == name);
            let other = match (removed, self.left_out.get(name)) {
                (Some(removed), _) => ("removed", &removed.mark),
                (None, Some(reason)) => ("left out", &reason.mark),
                (None, None) => continue,
            };
            return Err(package.mark.error(ErrorKind::Contradiction {
                what: "package",
                name: name.to_owned(),
                one: "installed",
                other: other.0,
                first: other.1.origin().to_string(),
            }));
        }
        Ok(())
    }
}

/// Any word does for an overlay's name here: [`crate::overlay`] tells what leaves the project.
fn overlay_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err("it must be the name of an overlay".to_owned());
    }
    Ok(text.to_owned())
}

fn architecture_name(text: &str) -> Result<String, String> {
    let all: Vec<&str> = Architecture::ALL.iter().map(|a| a.as_str()).collect();
    if all.contains(&text) {
        Ok(text.to_owned())
    } else {
        Err(format!("it must be one of {}", all.join(", ")))
    }
}
