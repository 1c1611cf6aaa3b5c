//! Deciding: what the board, the base and the laid-over recipes come to.

mod archives;
mod image;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::base::{BaseFile, Rename};
use crate::board::{BoardFile, ByBase, Flavour};
use crate::check::name_of;
use crate::composition::{Composition, append};
use crate::error::{Error, ErrorKind, Result, nearest};
use crate::library::{BaseSummary, REVIEWED_SCRIPTS};
use crate::origin::{Origin, Sourced};
use crate::overlay::{self, OverlayFolder};
use crate::plan::{
    Base, Board, Health, Identifiers, Kernel, LeftOut, Overlay, PackageRequest, Plan, ProjectFile,
    Qemu, RaspberryPi, Stepping, System, Trim, Units,
};
use crate::raspberry_pi::RaspberryPiFile;
use crate::source::{Located, Source};
use crate::wishes::UnitState;

/// Everything that was read for one request.
pub(crate) struct Inputs<'l> {
    /// The project folder.
    pub(crate) root: &'l Path,
    /// All bases of the project.
    pub(crate) bases: Vec<BaseSummary>,
    /// Where overlays are looked for.
    pub(crate) overlays: OverlayFolder,
    /// The site file, and where the overlays that it names are looked for first.
    pub(crate) site_overlays: Option<(Arc<Source>, OverlayFolder)>,
    pub(crate) board_name: Located<String>,
    pub(crate) board: BoardFile,
    pub(crate) recipe_name: Located<String>,
    pub(crate) base_name: Located<String>,
    pub(crate) base: BaseFile,
    pub(crate) composition: Composition,
}

/// The packages of a plan.
struct Packages {
    install: Vec<Sourced<PackageRequest>>,
    left_out: Vec<Sourced<LeftOut>>,
    absent: Vec<Sourced<LeftOut>>,
}

/// What a flavour of the kernel brings.
struct KernelChoice {
    flavour: Sourced<String>,
    packages: Vec<Located<String>>,
    modules: Vec<Located<String>>,
}

impl Inputs<'_> {
    /// The plan.
    pub(crate) fn plan(mut self) -> Result<Plan> {
        self.check_base_names()?;
        self.add_board_pins();
        self.composition.wishes.identifiers = {
            let mut identifiers = std::mem::take(&mut self.base.identifiers);
            identifiers.merge(std::mem::take(&mut self.composition.wishes.identifiers));
            identifiers.check()?;
            identifiers
        };
        let kernel = self.kernel()?;
        let packages = self.packages(&kernel)?;
        let archives = self.archives()?;
        let (partitions, image) = self.image()?;
        let overlays = std::mem::take(&mut self.composition.wishes.overlays);
        let overlays = self.find_overlays(overlays)?;
        let initrd_overlays = std::mem::take(&mut self.composition.wishes.initrd_overlays);
        let initrd_overlays = self.find_overlays(initrd_overlays)?;
        let reviewed_scripts = self.reviewed_scripts()?;

        let Self {
            board_name,
            board,
            recipe_name,
            base_name,
            base,
            composition,
            ..
        } = self;
        let mut initrd_modules = board.modules;
        append(&mut initrd_modules, kernel.modules);
        append(&mut initrd_modules, composition.wishes.initrd_modules);
        let mut command_line: Vec<Located<String>> = board
            .consoles
            .iter()
            .map(|console| console.clone().map(|console| format!("console={console}")))
            .collect();
        append(&mut command_line, board.command_line);
        append(&mut command_line, composition.wishes.command_line);

        let scalars = composition.wishes.scalars;
        let (var, swap, data) = composition
            .wishes
            .state
            .decided(&board_name, board.firmware.value)?;
        let recipe = recipe_name.sourced();
        let name = match scalars.name {
            Some(name) => name.sourced(),
            None => recipe.clone(),
        };
        let Some(version) = scalars.version.map(Located::sourced) else {
            // The library asks for one before it comes here.
            let key = "version".to_owned();
            let within = String::new();
            return Err(Error::new(ErrorKind::MissingKey { key, within }, None));
        };
        let hostname = match scalars.hostname {
            Some(hostname) => hostname.sourced(),
            // What may be in a name of an image may not all be in a host name.
            None => Sourced::default_value(name.value.replace(['.', '+'], "-")),
        };
        Ok(Plan {
            name,
            version,
            recipe,
            board: Board {
                name: board_name.sourced(),
                description: board.description.sourced(),
                architecture: board.architecture.sourced(),
                firmware: board.firmware.sourced(),
                consoles: sourced(board.consoles),
                alignment: or(board.alignment, 1 << 20),
                partitions,
                raspberry_pi: board.raspberry_pi.map(raspberry_pi),
                qemu: Qemu {
                    memory: or(board.qemu.memory, 1 << 30),
                    processors: or(board.qemu.processors, 2),
                    disk: or(board.qemu.disk, "virtio-blk".to_owned()),
                },
            },
            base: Base {
                name: base_name.sourced(),
                description: base.description.sourced(),
                distribution: base.distribution.sourced(),
                release: base.release.sourced(),
                archives,
            },
            source_date_epoch: scalars.epoch.map(Located::sourced),
            packages: packages.install,
            recommends: or(scalars.recommends, false),
            left_out: packages.left_out,
            absent: packages.absent,
            overlays,
            kernel: Kernel {
                flavour: kernel.flavour,
                page_size: scalars.page_size.map(Located::sourced),
                packages: sourced(kernel.packages),
                command_line: sourced(command_line),
                load: sorted(composition.wishes.load),
            },
            initrd_modules: sourced(initrd_modules),
            initrd_overlays,
            units: units(
                composition.wishes.units,
                &base.absent_units,
                scalars.default_target,
            ),
            system: System {
                hostname,
                locale: or(scalars.locale, "C.UTF-8".to_owned()),
                time_zone: or(scalars.time_zone, "UTC".to_owned()),
            },
            identifiers: Identifiers {
                users: sourced_map(composition.wishes.identifiers.users),
                groups: sourced_map(composition.wishes.identifiers.groups),
            },
            trim: Trim {
                documentation: or(scalars.documentation, true),
                manuals: or(scalars.manuals, true),
                locales: or(scalars.locales, true),
                keep_locales: sorted(composition.wishes.keep_locales),
                paths: sorted(composition.wishes.trim_paths),
            },
            image,
            var,
            swap,
            data,
            health: Health {
                sockets: sorted(composition.wishes.sockets),
            },
            trust: composition.wishes.trust.decided(),
            reviewed_scripts,
        })
    }

    /// Refuses lists of a board that are for a base that does not exist.
    fn check_base_names(&self) -> Result<()> {
        let mut known: Vec<String> = vec!["all".to_owned()];
        for base in &self.bases {
            known.extend([base.name.clone(), base.distribution.clone()]);
        }
        known.sort();
        known.dedup();
        let kernels = self.board.kernels.values();
        let lists = kernels
            .flat_map(|flavour| [&flavour.packages, &flavour.modules])
            .chain([&self.board.packages])
            .flat_map(|by_base| by_base.lists.iter().map(|(name, _)| name));
        let pins = self.board.pins.tables.iter().map(|(name, _)| name);
        for name in lists.chain(pins) {
            if !known.contains(&name.value) {
                return Err(name.mark.error(ErrorKind::Unknown {
                    what: "base or distribution",
                    name: name.value.clone(),
                    nearest: nearest(&name.value, known.iter().map(String::as_str)),
                    known,
                }));
            }
        }
        Ok(())
    }

    /// What the board's hardware needs of optional archives comes before the recipes' wishes.
    fn add_board_pins(&mut self) {
        let (base, distribution) = (&self.base_name.value, &self.base.distribution.value);
        for (archive, (mark, packages)) in
            self.board.pins.of(base, distribution).into_iter().flatten()
        {
            let entry = self.composition.wishes.pins.entry(archive.clone());
            let (_, pinned) = entry.or_insert_with(|| (mark.clone(), Vec::new()));
            append(pinned, packages.clone());
        }
    }

    fn find_overlays(&self, names: Vec<Located<String>>) -> Result<Vec<Sourced<Overlay>>> {
        let find = |name: Located<String>| {
            let mut folders = vec![&self.overlays];
            if let Some((site, beside)) = &self.site_overlays
                && Arc::ptr_eq(site, &name.mark.source)
            {
                folders.insert(0, beside);
            }
            Ok(overlay::find(name, &folders)?.sourced())
        };
        names.into_iter().map(find).collect()
    }

    fn packages_of(&self, lists: &ByBase) -> Option<Vec<Located<String>>> {
        lists
            .of(&self.base_name.value, &self.base.distribution.value)
            .map(<[_]>::to_vec)
    }

    fn kernel(&mut self) -> Result<KernelChoice> {
        let own = std::mem::take(&mut self.composition.wishes.kernel_packages);
        let wanted = self.composition.wishes.scalars.flavour.take();
        let name = wanted.as_ref().map_or("generic", |flavour| &flavour.value);
        let found: Option<&Flavour> = self.board.kernels.get(name);
        if own.is_empty() || (found.is_none() && wanted.is_some()) {
            // Whoever names no packages needs a flavour of the board's.
            let mark = wanted.as_ref().map_or(&self.board_name.mark, |w| &w.mark);
            let Some(flavour) = found else {
                let known: Vec<String> = self.board.kernels.keys().cloned().collect();
                return Err(mark.error(ErrorKind::Unknown {
                    what: "kernel flavour",
                    name: name.to_owned(),
                    nearest: nearest(name, known.iter().map(String::as_str)),
                    known,
                }));
            };
            if self.packages_of(&flavour.packages).is_none() {
                return Err(mark.error(ErrorKind::NoKernel {
                    board: self.board_name.value.clone(),
                    flavour: name.to_owned(),
                    base: self.base_name.value.clone(),
                }));
            }
        }
        let modules = found.and_then(|flavour| self.packages_of(&flavour.modules));
        let modules = modules.unwrap_or_default();
        let of_board = found.and_then(|flavour| self.packages_of(&flavour.packages));
        let packages = if own.is_empty() {
            of_board.unwrap_or_default()
        } else {
            own
        };
        let flavour = or(wanted, "generic".to_owned());
        Ok(KernelChoice {
            flavour,
            packages,
            modules,
        })
    }

    /// Brings all packages together, under the names that the base has for them.
    fn packages(&mut self, kernel: &KernelChoice) -> Result<Packages> {
        let mut install: BTreeMap<String, Sourced<PackageRequest>> = BTreeMap::new();
        let mut absent = Vec::new();
        let mut left_out: BTreeMap<String, Sourced<LeftOut>> = BTreeMap::new();
        let mut put = |name: String, written: Option<String>, origin: Origin| {
            let request = PackageRequest { name, written };
            let key = name_of(&request.name).to_owned();
            install.entry(key).or_insert(Sourced::new(request, origin));
        };
        for package in std::mem::take(&mut self.composition.packages).into_values() {
            let origin = package.mark.origin();
            match self.base.names.get(name_of(&package.value)) {
                None => put(package.value, None, origin),
                Some(Rename::To(names)) => {
                    for name in names {
                        let written = Some(package.value.clone());
                        put(name.value.clone(), written, origin.clone());
                    }
                }
                Some(Rename::Nothing(reason)) => absent.push(Sourced::new(
                    LeftOut {
                        name: package.value,
                        reason: reason.value.clone(),
                    },
                    reason.mark.origin(),
                )),
            }
        }
        let of_board = self.packages_of(&self.board.packages).unwrap_or_default();
        for package in of_board.into_iter().chain(kernel.packages.clone()) {
            let origin = package.mark.origin();
            put(package.value, None, origin);
        }
        for (name, reason) in std::mem::take(&mut self.composition.left_out) {
            let names = match self.base.names.get(&name) {
                None => vec![name],
                Some(Rename::To(names)) => names.iter().map(|name| name.value.clone()).collect(),
                Some(Rename::Nothing(_)) => Vec::new(),
            };
            for name in names {
                if let Some(wanted) = install.get(&name) {
                    return Err(reason.mark.error(ErrorKind::Contradiction {
                        what: "package",
                        name,
                        one: "left out",
                        other: "installed",
                        first: wanted.origin.to_string(),
                    }));
                }
                let entry = LeftOut {
                    name: name.clone(),
                    reason: reason.value.clone(),
                };
                left_out.insert(name, Sourced::new(entry, reason.mark.origin()));
            }
        }
        Ok(Packages {
            install: install.into_values().collect(),
            left_out: left_out.into_values().collect(),
            absent,
        })
    }

    fn reviewed_scripts(&mut self) -> Result<Sourced<ProjectFile>> {
        let file = |name: &str| {
            let shown = format!("recipes/{name}");
            let path = self.root.join(&shown);
            ProjectFile { shown, path }
        };
        match &self.composition.wishes.scalars.reviewed_scripts {
            None => Ok(Sourced::default_value(file(REVIEWED_SCRIPTS))),
            Some(named) => {
                let file = file(&named.value);
                if !file.path.is_file() {
                    return Err(named.mark.error(ErrorKind::Unknown {
                        what: "file of reviewed scripts",
                        name: file.shown,
                        nearest: None,
                        known: Vec::new(),
                    }));
                }
                Ok(Sourced::new(file, named.mark.origin()))
            }
        }
    }
}

fn raspberry_pi(file: RaspberryPiFile) -> RaspberryPi {
    RaspberryPi {
        device_trees: sourced(file.device_trees),
        steppings: file
            .steppings
            .into_iter()
            .map(|stepping| Stepping {
                overlay: stepping.overlay.sourced(),
                from: stepping.from.sourced(),
                to: stepping.to.sourced(),
            })
            .collect(),
        firmware: sourced(file.firmware),
        config: sourced(file.config),
        // What the oldest of them takes.
        boot_image_limit: or(file.boot_image_limit, 64 << 20),
    }
}

/// What becomes of units. One that the base does not have need not be turned off; turning it on stays
/// an error.
fn units(
    states: BTreeMap<String, Located<UnitState>>,
    absent: &[Located<String>],
    target: Option<Located<String>>,
) -> Units {
    let is_absent = |name: &str| absent.iter().any(|unit| unit.value == name);
    let of = |wanted: UnitState| {
        states
            .iter()
            .filter(|(_, state)| state.value == wanted)
            .filter(|(name, _)| wanted == UnitState::Enabled || !is_absent(name))
            .map(|(name, state)| Sourced::new(name.clone(), state.mark.origin()))
            .collect()
    };
    Units {
        enable: of(UnitState::Enabled),
        disable: of(UnitState::Disabled),
        mask: of(UnitState::Masked),
        default_target: target.map(Located::sourced),
    }
}

/// The value that was given, or the default one.
fn or<T>(given: Option<Located<T>>, default: T) -> Sourced<T> {
    given.map_or_else(|| Sourced::default_value(default), Located::sourced)
}

fn sourced(list: Vec<Located<String>>) -> Vec<Sourced<String>> {
    list.into_iter().map(Located::sourced).collect()
}

fn sorted(list: Vec<Located<String>>) -> Vec<Sourced<String>> {
    let mut list = sourced(list);
    list.sort();
    list
}

fn sourced_map(map: BTreeMap<String, Located<u32>>) -> BTreeMap<String, Sourced<u32>> {
    map.into_iter()
        .map(|(name, id)| (name, id.sourced()))
        .collect()
}
