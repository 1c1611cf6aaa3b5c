//! The build itself.

use crate::error::WRITE_IMAGE;
use crate::identity::Identity;
use crate::image::{Sealed, check, seal_root};
use crate::manifest::{self, Manifest};
use crate::root::KeptFacts;
use crate::{Error, ListeningSocket, Result, Settings, boot, inputs, root};
use fortress_archive::Lock;
use fortress_configuration::modules::ModuleIndex;
use fortress_configuration::{Identifiers, TrimSettings, UnitSettings, configure};
use fortress_disk::ImageFile;
use fortress_filesystem::fat;
use fortress_package::{Archive, Package, Reviewed, ScriptFinding, review};
use fortress_progress::Unit;
use fortress_recipe::{Encryption, Firmware, PartitionKind, Plan, VarFilesystem};
use fortress_store::{Digest, Hasher};
use fortress_tree::{Content, Tree, TreePath, overlay};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What a build has made.
#[derive(Debug, Clone)]
pub struct Built {
    /// The disk image, a sparse file.
    pub image: PathBuf,
    /// The manifest beside it.
    pub manifest_path: PathBuf,
    /// What it says.
    pub manifest: Manifest,
    /// Bytes that the image takes on the disk.
    pub allocated: u64,
    /// Bytes of all packages together.
    pub downloads: u64,
}

/// Builds the image of a plan.
///
/// # Errors
/// The first thing that fails; then no artefact is left in the output folder.
pub fn build(plan: &Plan, settings: &Settings<'_>) -> Result<Built> {
    run(plan, settings).map_err(|error| error.placed(plan).in_folder(&settings.output))
}

fn run(plan: &Plan, settings: &Settings<'_>) -> Result<Built> {
    if *plan.board.firmware != Firmware::Uefi {
        return Err(Error::Firmware {
            board: plan.board.name.value.clone(),
            firmware: format!("{:?}", *plan.board.firmware),
        });
    }
    fs::create_dir_all(&settings.output)
        .map_err(|source| Error::io("create", &settings.output, source))?;
    // Whether it can be written to is better known before the work than after it.
    tempfile::tempfile_in(&settings.output)
        .map_err(|source| Error::io(WRITE_IMAGE, &settings.output, source))?;
    let sources = inputs::sources(plan, settings)?;
    let lock = inputs::lock(plan, &sources, settings)?;
    let archives = inputs::fetch(&lock, plan, &sources, settings)?;
    let epoch = epoch(plan, &lock);

    let Root {
        mut tree,
        scripts,
        overlays,
        modules,
    } = make_root(plan, &archives, epoch, settings)?;
    let kernel = boot::take_kernel(&mut tree, &modules)?;
    check(settings.observer)?;

    let name = format!(
        "{}_{}_{}_{}",
        plan.name.value, plan.version.value, plan.board.name.value, plan.base.name.value
    );
    let image_path = settings.output.join(format!("{name}.img"));
    let identity = Identity::new(&plan.name, &plan.version, &plan.board.name);
    let scratch = settings.store.scratch()?;
    // The root and its hash tree on one side, the initrd on the other.
    let (sealed, initrd) = rayon::join(
        || seal_root(plan, &tree, &identity, epoch, &image_path, settings),
        || boot::write_initrd(&tree, &modules[&kernel.release], plan, settings.store),
    );
    let Sealed {
        disk,
        image,
        root_hash,
    } = sealed?;
    let initrd = initrd?;
    check(settings.observer)?;

    let (image_facts, partitions) = std::thread::scope(|scope| {
        // The disk has work to do while the rest is made.
        let written = scope.spawn(|| image.write_back());
        let stage = settings.observer.stage("seal", Some(2), Unit::Items);
        stage.doing("unified kernel image");
        let efi = boot::efi_files(&tree, &kernel, initrd, plan, &root_hash, scratch.path())?;
        let esp = disk.region(PartitionKind::Esp)?;
        fat::write(
            &efi,
            &boot::efi_options(&identity, esp.length, epoch),
            image.file(),
            esp.offset,
        )?;
        disk.write_table(&image)?;
        stage.advance(1);
        stage.doing("digests");
        let facts = disk.facts(&image, format!("{name}.img"))?;
        stage.advance(1);
        match written.join() {
            Ok(written) => written?,
            Err(panic) => std::panic::resume_unwind(panic),
        }
        Ok::<_, Error>(facts)
    })?;
    check(settings.observer)?;

    let manifest = Manifest {
        format: manifest::FORMAT,
        name: plan.name.value.clone(),
        version: plan.version.value.clone(),
        board: plan.board.name.value.clone(),
        base: plan.base.name.value.clone(),
        architecture: plan.board.architecture.as_str().to_owned(),
        builder: env!("CARGO_PKG_VERSION").to_owned(),
        source_date_epoch: epoch,
        kernel: kernel.release.clone(),
        command_line: boot::command_line(plan, &root_hash),
        root_hash: root_hash.to_string(),
        image: image_facts,
        machine: machine(plan),
        partitions,
        suites: suites(&lock),
        packages: package_facts(&lock),
        overlays,
        scripts,
    };
    publish(
        image,
        manifest,
        &settings.output.join(format!("{name}.manifest.json")),
        &archives,
    )
}

/// The root's file tree of a plan: packages, overlays, configuration, and the kernel still in
/// `/boot`. It is what [`build`] writes, for whoever wants to look into it.
///
/// # Errors
/// The first thing that fails.
pub fn tree(plan: &Plan, settings: &Settings<'_>) -> Result<Tree> {
    let sources = inputs::sources(plan, settings)?;
    let lock = inputs::lock(plan, &sources, settings)?;
    let archives = inputs::fetch(&lock, plan, &sources, settings)?;
    Ok(make_root(plan, &archives, epoch(plan, &lock), settings)?.tree)
}

/// The root's file tree, and what came up while it was made.
struct Root {
    tree: Tree,
    scripts: Vec<manifest::ScriptFacts>,
    overlays: Vec<manifest::OverlayFacts>,
    modules: BTreeMap<String, ModuleIndex>,
}

/// Makes the root's file tree.
fn make_root(
    plan: &Plan,
    archives: &[Archive],
    epoch: i64,
    settings: &Settings<'_>,
) -> Result<Root> {
    let (mut tree, packages) = root::unpacked(
        archives,
        epoch,
        settings.store,
        &Default::default(),
        settings.observer,
    )?;
    let scripts = reviewed(plan, &packages, settings)?;
    let overlays = apply_overlays(plan, &mut tree)?;
    add_settings(plan, &mut tree)?;
    let modules = configured(plan, &mut tree, &packages, archives, settings)?;
    Ok(Root {
        tree,
        scripts,
        overlays,
        modules,
    })
}

/// Gives the artefacts their names: the manifest last, so that one never stands without its image.
fn publish(
    image: ImageFile,
    manifest: Manifest,
    path: &Path,
    archives: &[Archive],
) -> Result<Built> {
    use std::os::unix::fs::MetadataExt;
    // An old manifest must not stand beside a new image.
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io("replace", path, error));
        }
        _ => {}
    }
    let image = image.finish()?;
    let text =
        serde_json::to_string_pretty(&manifest).map_err(|error| Error::Kept(error.to_string()))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let failed = |source| Error::io("write", path, source);
    let mut file = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(failed)?;
    std::io::Write::write_all(&mut file, format!("{text}\n").as_bytes()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    let allocated = fs::metadata(&image).map_or(0, |metadata| metadata.blocks() * 512);
    let downloads = archives
        .iter()
        .filter_map(|archive| fs::metadata(&archive.path).ok());
    Ok(Built {
        image,
        manifest_path: path.to_owned(),
        manifest,
        allocated,
        downloads: downloads.map(|metadata| metadata.len()).sum(),
    })
}

/// The time of everything in the image.
fn epoch(plan: &Plan, lock: &Lock) -> i64 {
    match &plan.source_date_epoch {
        Some(epoch) => epoch.value,
        None => lock.newest_date().unwrap_or_default(),
    }
}

/// What is left of maintainer scripts, for the manifest; an error in a strict build.
fn reviewed(
    plan: &Plan,
    packages: &[Package],
    settings: &Settings<'_>,
) -> Result<Vec<manifest::ScriptFacts>> {
    let path = &plan.reviewed_scripts.path;
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Error::io("read", path, error)),
    };
    let findings = review(packages, &Reviewed::from_toml(&text)?);
    let unknown: Vec<&ScriptFinding> = findings
        .iter()
        .filter(|finding| finding.covered.is_none())
        .collect();
    let names = || {
        unknown
            .iter()
            .map(|finding| format!("{} ({})", finding.package, finding.script))
    };
    if settings.strict && !unknown.is_empty() {
        return Err(Error::Unreviewed {
            scripts: names().collect(),
        });
    }
    if !unknown.is_empty() {
        let list: Vec<String> = names().collect();
        settings.observer.warn(&format!(
            "nobody has reviewed what {} maintainer script(s) would do, none of which is run: {}",
            list.len(),
            list.join(", ")
        ));
    }
    Ok(findings
        .into_iter()
        .map(|finding| manifest::ScriptFacts {
            package: finding.package,
            script: finding.script,
            sha256: finding.sha256,
            covered: finding.covered,
        })
        .collect())
}

/// Lays the overlays over the root.
fn apply_overlays(plan: &Plan, tree: &mut Tree) -> Result<Vec<manifest::OverlayFacts>> {
    let mut facts = Vec::new();
    for overlay in &plan.overlays {
        let paths = overlay::apply(tree, &overlay.folder.path)?;
        let mut files = Vec::new();
        for path in paths {
            if let Ok(content) = tree.content(&path) {
                files.push((path.to_string(), digest(&path, content)?.to_string()));
            }
        }
        facts.push(manifest::OverlayFacts {
            name: overlay.name.clone(),
            files,
        });
    }
    Ok(facts)
}

/// SHA-256 of a content, however long it is.
fn digest(path: &TreePath, content: &Content) -> Result<Digest> {
    let failed = |source| Error::io("read", Path::new(path.as_str()), source);
    let mut reader = content.reader().map_err(failed)?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; content.length().min(1 << 20) as usize];
    loop {
        match reader.read(&mut buffer).map_err(failed)? {
            0 => return Ok(hasher.finish()),
            length => hasher.update(&buffer[..length]),
        }
    }
}

/// Writes what the plan says and programs in the image read.
fn add_settings(plan: &Plan, tree: &mut Tree) -> Result<()> {
    let lines = |values: &[fortress_recipe::Sourced<String>]| -> String {
        values
            .iter()
            .map(|value| format!("{}\n", value.value))
            .collect()
    };
    let mut write = |path: &str, text: String| -> Result<()> {
        Ok(tree.write(&TreePath::new(path)?, 0o644, text)?)
    };
    if !plan.kernel.load.is_empty() {
        write(
            "/usr/lib/modules-load.d/fortress.conf",
            lines(&plan.kernel.load),
        )?;
    }
    let mut sockets = String::from("# What the recipe lets listen.\n");
    for socket in &plan.health.sockets {
        sockets.push_str(&socket.value.parse::<ListeningSocket>()?.line());
    }
    write("/usr/lib/fortress/sockets.d/50-recipe", sockets)?;
    let var = &plan.image.var;
    let format = match *var.format {
        VarFilesystem::Ext4 => "ext4",
    };
    let encrypt = match *var.encrypt {
        Encryption::None => "",
    };
    write(
        "/usr/lib/repart.d/50-var.conf",
        format!(
            "# The machine's state: made at the first boot from the rest of the disk.\n\
             [Partition]\nType=var\nLabel=var\nFormat={format}\nSizeMinBytes={}\n{encrypt}",
            *var.minimum_size
        ),
    )?;
    let path = TreePath::new("/usr/lib/os-release")?;
    let mut text = tree.read_text(&path)?;
    text.push_str(&format!(
        "IMAGE_ID={}\nIMAGE_VERSION={}\n",
        plan.name.value, plan.version.value
    ));
    tree.write(&path, 0o644, text)?;
    Ok(())
}

/// Runs the jobs of the configuration; gives what is known of kernel modules.
fn configured(
    plan: &Plan,
    tree: &mut Tree,
    packages: &[Package],
    archives: &[Archive],
    settings: &Settings<'_>,
) -> Result<BTreeMap<String, ModuleIndex>> {
    let values = |of: &[fortress_recipe::Sourced<String>]| -> Vec<String> {
        of.iter().map(|one| one.value.clone()).collect()
    };
    let numbers = |of: &std::collections::BTreeMap<String, fortress_recipe::Sourced<u32>>| {
        of.iter()
            .map(|(name, id)| (name.clone(), id.value))
            .collect()
    };
    let told = fortress_configuration::Settings {
        hostname: plan.system.hostname.value.clone(),
        locale: plan.system.locale.value.clone(),
        time_zone: plan.system.time_zone.value.clone(),
        units: UnitSettings {
            enable: values(&plan.units.enable),
            disable: values(&plan.units.disable),
            mask: values(&plan.units.mask),
            default_target: plan
                .units
                .default_target
                .as_ref()
                .map(|target| target.value.clone()),
        },
        identifiers: Identifiers {
            users: numbers(&plan.identifiers.users),
            groups: numbers(&plan.identifiers.groups),
        },
        trim: TrimSettings {
            documentation: *plan.trim.documentation,
            manuals: *plan.trim.manuals,
            locales: plan.trim.locales.then(|| values(&plan.trim.keep_locales)),
            paths: values(&plan.trim.paths),
        },
        ..Default::default()
    };
    let facts = KeptFacts::open(settings.store, archives)?;
    let report = configure(tree, packages, &told, &facts, settings.observer)?;
    facts.close()?;
    Ok(report.modules)
}

/// The machine of a boot test: the board's, or a plain one.
fn machine(plan: &Plan) -> manifest::MachineFacts {
    let qemu = plan.board.qemu.as_ref();
    manifest::MachineFacts {
        memory: qemu.map_or(1 << 30, |qemu| *qemu.memory),
        processors: qemu.map_or(2, |qemu| *qemu.processors),
        disk: qemu
            .map_or("virtio-blk", |qemu| qemu.disk.as_str())
            .to_owned(),
        sockets: plan
            .health
            .sockets
            .iter()
            .map(|socket| socket.value.clone())
            .collect(),
    }
}

fn suites(lock: &Lock) -> Vec<manifest::SuiteFacts> {
    lock.suites
        .iter()
        .map(|suite| manifest::SuiteFacts {
            archive: suite.name.clone(),
            suite: suite.suite.clone(),
            date: suite.date,
            release_sha256: suite.release_sha256.to_string(),
        })
        .collect()
}

fn package_facts(lock: &Lock) -> Vec<manifest::PackageFacts> {
    lock.packages
        .iter()
        .map(|package| manifest::PackageFacts {
            name: package.name.clone(),
            version: package.version.clone(),
            architecture: package.architecture.clone(),
            sha256: package.sha256.to_string(),
            path: package.path.clone(),
        })
        .collect()
}
