//! The build itself.

use crate::error::WRITE_IMAGE;
use crate::identity::Identity;
use crate::image::{Sealed, check, seal_root};
use crate::manifest::{self, Manifest};
use crate::publish::publish;
use crate::seal::Boot;
use crate::{Error, Result, Settings, boot, facts, inputs, seal, system};
use fortress_archive::Lock;
use fortress_progress::Unit;
use fortress_recipe::Plan;
use fortress_tree::Tree;
use std::fs;
use std::path::PathBuf;

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
    fs::create_dir_all(&settings.output)
        .map_err(|source| Error::io("create", &settings.output, source))?;
    // Whether it can be written to is better known before the work than after it.
    tempfile::tempfile_in(&settings.output)
        .map_err(|source| Error::io(WRITE_IMAGE, &settings.output, source))?;
    let sources = inputs::sources(plan, settings)?;
    let lock = inputs::lock(plan, &sources, settings)?;
    let archives = inputs::fetch(&lock, plan, &sources, settings)?;
    let epoch = epoch(plan, &lock);

    let system::System {
        mut tree,
        scripts,
        overlays,
        modules,
    } = system::make(plan, &archives, epoch, settings)?;
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
        stage.doing("boot files");
        seal::write(&Boot {
            plan,
            root: &tree,
            kernel: &kernel,
            initrd,
            root_hash: &root_hash,
            identity: &identity,
            epoch,
            disk: &disk,
            image: image.file(),
            scratch: scratch.path(),
        })?;
        disk.write_table(&image)?;
        stage.advance(1);
        stage.doing("digests");
        let digests = disk.facts(&image, format!("{name}.img"))?;
        stage.advance(1);
        match written.join() {
            Ok(written) => written?,
            Err(panic) => std::panic::resume_unwind(panic),
        }
        Ok::<_, Error>(digests)
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
        machine: facts::machine(plan),
        partitions,
        suites: facts::suites(&lock),
        packages: facts::packages(&lock),
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
    Ok(system::make(plan, &archives, epoch(plan, &lock), settings)?.tree)
}

/// The time of everything in the image.
fn epoch(plan: &Plan, lock: &Lock) -> i64 {
    match &plan.source_date_epoch {
        Some(epoch) => epoch.value,
        None => lock.newest_date().unwrap_or_default(),
    }
}
