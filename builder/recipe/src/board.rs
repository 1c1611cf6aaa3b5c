//! Boards: what a machine is, and nothing of what runs on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::check;
use crate::error::Result;
use crate::plan::{Architecture, Firmware, PartitionKind, PartitionSize, Slot};
use crate::raspberry_pi::RaspberryPiFile;
use crate::section::{Section, Value, read};
use crate::source::{Located, Mark, Source};

/// What a board's file says.
#[derive(Debug)]
pub(crate) struct BoardFile {
    pub(crate) description: Located<String>,
    pub(crate) recipe: Option<Located<String>>,
    pub(crate) architecture: Located<Architecture>,
    pub(crate) firmware: Located<Firmware>,
    pub(crate) consoles: Vec<Located<String>>,
    pub(crate) command_line: Vec<Located<String>>,
    pub(crate) modules: Vec<Located<String>>,
    pub(crate) packages: ByBase,
    pub(crate) pins: PinsByBase,
    pub(crate) kernels: BTreeMap<String, Flavour>,
    pub(crate) alignment: Option<Located<u64>>,
    pub(crate) partitions: Vec<PartitionFile>,
    pub(crate) raspberry_pi: Option<RaspberryPiFile>,
    pub(crate) qemu: QemuFile,
}

/// Lists of packages by base: under the name of a base, of a distribution, or `all`.
#[derive(Debug, Default)]
pub(crate) struct ByBase {
    pub(crate) lists: Vec<(Located<String>, Vec<Located<String>>)>,
}

/// Pins by base, as [`ByBase`] keeps packages.
#[derive(Debug, Default)]
pub(crate) struct PinsByBase {
    pub(crate) tables: Vec<(Located<String>, Pins)>,
}

/// Where an archive is first named, and the packages taken from it.
pub(crate) type Pins = BTreeMap<String, (Mark, Vec<Located<String>>)>;

/// One of the kernels that fit a board.
#[derive(Debug)]
pub(crate) struct Flavour {
    pub(crate) packages: ByBase,
    /// By base too: modules are called and cut otherwise from kernel to kernel.
    pub(crate) modules: ByBase,
}

/// A partition as written.
#[derive(Debug)]
pub(crate) struct PartitionFile {
    pub(crate) kind: Located<PartitionKind>,
    pub(crate) slot: Option<Located<Slot>>,
    pub(crate) label: Option<Located<String>>,
    pub(crate) size: Located<PartitionSize>,
}

/// The emulated machine as written.
#[derive(Debug)]
pub(crate) struct QemuFile {
    pub(crate) memory: Option<Located<u64>>,
    pub(crate) processors: Option<Located<u32>>,
    pub(crate) disk: Option<Located<String>>,
}

const ARCHITECTURES: [(&str, Architecture); 2] = [
    ("amd64", Architecture::Amd64),
    ("arm64", Architecture::Arm64),
];
const FIRMWARE: [(&str, Firmware); 2] = [
    ("uefi", Firmware::Uefi),
    ("raspberry-pi", Firmware::RaspberryPi),
];
const KINDS: [(&str, PartitionKind); 6] = [
    ("esp", PartitionKind::Esp),
    ("boot-select", PartitionKind::BootSelect),
    ("boot", PartitionKind::Boot),
    ("root", PartitionKind::Root),
    ("root-verity", PartitionKind::RootVerity),
    ("root-verity-sig", PartitionKind::RootVeritySig),
];
const SLOTS: [(&str, Slot); 2] = [("a", Slot::A), ("b", Slot::B)];

impl BoardFile {
    /// Reads a board's file.
    pub(crate) fn parse(source: &Arc<Source>) -> Result<Self> {
        read(source, |file| {
            let description = file.need("description")?.parsed(check::line)?;
            let recipe = file.parsed("recipe", check::name)?;
            let architecture = file.need("architecture")?.word(&ARCHITECTURES)?;
            let firmware = file.need("firmware")?.word(&FIRMWARE)?;
            let consoles = file.checked("consoles", check::word)?;
            let command_line = file.checked("command-line", check::kernel_argument)?;
            let mut initrd = file.section("initrd")?;
            let modules = initrd.checked("modules", check::module)?;
            initrd.finish()?;
            Ok(Self {
                description,
                recipe,
                architecture,
                firmware,
                consoles,
                command_line,
                modules,
                packages: ByBase::read(file.section("packages")?)?,
                pins: PinsByBase::read(file.section("pins")?)?,
                kernels: kernels(file)?,
                alignment: file.get("alignment").map(alignment).transpose()?,
                partitions: partitions(file)?,
                raspberry_pi: RaspberryPiFile::read(file.section("raspberry-pi")?)?,
                qemu: qemu(file)?,
            })
        })
    }
}

impl ByBase {
    fn read(section: Section<'_>) -> Result<Self> {
        let mut lists = Vec::new();
        for (name, value) in section.names() {
            lists.push((name, value.checked(check::package)?));
        }
        Ok(Self { lists })
    }

    /// The list of a base: that under its own name, else its distribution's, else `all`.
    pub(crate) fn of(&self, base: &str, distribution: &str) -> Option<&[Located<String>]> {
        by_base(&self.lists, base, distribution).map(Vec::as_slice)
    }
}

impl PinsByBase {
    fn read(section: Section<'_>) -> Result<Self> {
        let mut tables = Vec::new();
        for (name, value) in section.names() {
            let mut pins = Pins::new();
            for (archive, packages) in value.section()?.names() {
                let packages = packages.checked(check::package_name)?;
                pins.insert(archive.value, (archive.mark, packages));
            }
            tables.push((name, pins));
        }
        Ok(Self { tables })
    }

    /// The pins of a base: those under its own name, else its distribution's, else `all`.
    pub(crate) fn of(&self, base: &str, distribution: &str) -> Option<&Pins> {
        by_base(&self.tables, base, distribution)
    }
}

fn by_base<'a, T>(
    tables: &'a [(Located<String>, T)],
    base: &str,
    distribution: &str,
) -> Option<&'a T> {
    [base, distribution, "all"].iter().find_map(|wanted| {
        let found = tables.iter().find(|(name, _)| name.value == *wanted);
        found.map(|(_, table)| table)
    })
}

/// What partitions start at multiples of: at least the 1 MiB that everybody expects.
fn alignment(value: Value<'_>) -> Result<Located<u64>> {
    let size = value.size()?;
    if !size.value.is_power_of_two() || !(1 << 20..=1 << 30).contains(&size.value) {
        return Err(value.bad(size.value, "it must be a power of two from 1M to 1G"));
    }
    Ok(size)
}

fn kernels(file: &mut Section<'_>) -> Result<BTreeMap<String, Flavour>> {
    let section = file.section("kernel")?;
    let mut kernels = BTreeMap::new();
    for (name, value) in section.names() {
        let name = name.named("kernel", check::name)?;
        let mut flavour = value.section()?;
        let modules = flavour.get("modules").map(modules).transpose()?;
        let modules = modules.unwrap_or_default();
        let packages = ByBase::read(flavour.section("packages")?)?;
        flavour.finish()?;
        kernels.insert(name.value, Flavour { packages, modules });
    }
    Ok(kernels)
}

/// A list for every base, or a table of lists by base.
fn modules(value: Value<'_>) -> Result<ByBase> {
    let mut lists = Vec::new();
    if value.is_table() {
        for (name, value) in value.section()?.names() {
            lists.push((name, value.checked(check::module)?));
        }
    } else {
        let list = value.checked(check::module)?;
        lists.push((Located::new("all".to_owned(), value.mark.clone()), list));
    }
    Ok(ByBase { lists })
}

fn partitions(file: &mut Section<'_>) -> Result<Vec<PartitionFile>> {
    let mut partitions: Vec<PartitionFile> = Vec::new();
    for mut section in file.sections("partitions")? {
        let kind = section.need("kind")?.word(&KINDS)?;
        let slot = section
            .get("slot")
            .map(|slot| slot.word(&SLOTS))
            .transpose()?;
        let label = section.parsed("label", label_text)?;
        let value = section.need("size")?;
        let size = partition_size(&value, kind.value)?;
        section.finish()?;
        let same = |other: &&PartitionFile| {
            other.kind.value == kind.value
                && other.slot.as_ref().map(|slot| slot.value) == slot.as_ref().map(|s| s.value)
        };
        if let Some(first) = partitions.iter().find(same) {
            let name = kind.value.as_str();
            return Err(kind.mark.twice("partition", name, &first.kind.mark));
        }
        partitions.push(PartitionFile {
            kind,
            slot,
            label,
            size,
        });
    }
    Ok(partitions)
}

/// GPT has room for 36 UTF-16 units in a label; ASCII keeps it simple.
fn label_text(text: &str) -> Result<String, String> {
    if text.len() > 36 {
        return Err("a GPT label has room for 36 characters".to_owned());
    }
    check::word(text)
}

fn partition_size(value: &Value<'_>, kind: PartitionKind) -> Result<Located<PartitionSize>> {
    if value.is_text() && value.text()?.value == "content" {
        return value.parsed(|_| match kind {
            PartitionKind::Root | PartitionKind::RootVerity => Ok(PartitionSize::Content),
            _ => Err("only root and root-verity are as large as their content".to_owned()),
        });
    }
    Ok(value.partition_size()?.map(PartitionSize::Bytes))
}

fn qemu(file: &mut Section<'_>) -> Result<QemuFile> {
    let mut section = file.section("qemu")?;
    let qemu = QemuFile {
        memory: section.size("memory")?,
        processors: section.small("processors", 1, 256)?,
        disk: section.parsed("disk", check::word)?,
    };
    section.finish()?;
    Ok(qemu)
}
