//! The build itself.

use crate::digests::hexadecimal;
use crate::documents::{self, Document};
use crate::error::WRITE_IMAGE;
use crate::identity::Identity;
use crate::image::{Sealed, check, seal_root, verity_salt};
use crate::manifest::{self, Manifest};
use crate::publish::{self, Outcome};
use crate::seal::Boot;
use crate::{
    Error, Result, Settings, Signing, boot, facts, inputs, root_signature, sbom, seal, system,
};
use fortress_archive::Lock;
use fortress_disk::ImageFile;
use fortress_progress::Unit;
use fortress_recipe::{Firmware, Plan};
use fortress_tree::Tree;
use fortress_trust::{Collected, Recording};
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
    /// What is to be signed, for an image that is signed later.
    pub requests: Option<PathBuf>,
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
    if !settings.store.is_writable() {
        settings.observer.note(&format!(
            "the store {} can only be read: nothing that is computed is kept for other builds",
            settings.store.path().display()
        ));
    }
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
    let mut kernel = boot::take_kernel(&mut tree, &modules)?;
    seal::check(plan, &tree, &kernel)?;
    if *plan.board.firmware == Firmware::Uefi
        && !root_signature::is_checked(&tree, &kernel.release)?
    {
        settings.observer.warn(&format!(
            "kernel {} cannot check the signature of the root hash: that the root is yours follows \
             from the signed unified kernel image alone, which names the hash",
            kernel.release
        ));
    }
    check(settings.observer)?;

    let name = format!(
        "{}_{}_{}_{}",
        plan.name.value, plan.version.value, plan.board.name.value, plan.base.name.value
    );
    let image_path = settings.output.join(format!("{name}.img"));
    let identity = Identity::new(&plan.name, &plan.version, &plan.board.name);
    let scratch = settings.store.scratch()?;
    // The root and its hash tree on one side, initrd and kernel on the other.
    let (sealed, (initrd, prepared)) = rayon::join(
        || seal_root(plan, &tree, &identity, epoch, &image_path, settings),
        || {
            rayon::join(
                || boot::write_initrd(&tree, &modules[&kernel.release], plan, settings.store),
                || seal::kernel(plan, &kernel, settings.store),
            )
        },
    );
    let Sealed {
        disk,
        image,
        root_hash,
    } = sealed?;
    let initrd = initrd?;
    kernel.image = prepared?;
    check(settings.observer)?;

    let (image_facts, partitions) = disk.facts(format!("{name}.img"));
    let mut manifest = Manifest {
        format: manifest::FORMAT,
        name: plan.name.value.clone(),
        version: plan.version.value.clone(),
        board: plan.board.name.value.clone(),
        base: plan.base.name.value.clone(),
        architecture: plan.board.architecture.as_str().to_owned(),
        builder: env!("CARGO_PKG_VERSION").to_owned(),
        source_date_epoch: epoch,
        recipe: facts::recipe(plan),
        lock_sha256: facts::lock(&lock),
        keys: facts::keys(settings.keys)?,
        kernel: kernel.release.clone(),
        command_line: boot::command_line(plan, &root_hash),
        root_hash: root_hash.to_string(),
        verity_salt: hexadecimal(&verity_salt(&identity)),
        image: image_facts,
        machine: facts::machine(plan),
        partitions,
        boot: seal::no_facts(plan),
        suites: facts::suites(&lock),
        packages: facts::packages(&lock),
        overlays,
        scripts,
    };
    let sbom = sbom::text(&manifest, &lock, plan)?;
    let (texts, outcome) = std::thread::scope(|scope| {
        // The disk has work to do while the rest is made.
        let written = scope.spawn(|| image.write_back());
        let stage = settings.observer.stage("seal", Some(3), Unit::Items);
        stage.doing("boot files");
        manifest.boot = seal::write(&Boot {
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
            keys: settings.keys,
        })?;
        disk.write_table(&image)?;
        stage.advance(1);
        stage.doing("signatures");
        let signed = signed(&image, &mut manifest, &sbom, settings)?;
        stage.advance(1);
        stage.doing("writing");
        match written.join() {
            Ok(written) => written?,
            Err(panic) => std::panic::resume_unwind(panic),
        }
        stage.advance(1);
        Ok::<_, Error>(signed)
    })?;
    check(settings.observer)?;

    publish::built(image, manifest, texts, &outcome, &archives)
}

/// Seals an image: puts in what signatures there are, and writes its documents.
fn signed(
    image: &ImageFile,
    manifest: &mut Manifest,
    sbom: &str,
    settings: &Settings<'_>,
) -> Result<(Vec<Document>, Outcome)> {
    let keys = settings.keys;
    match settings.signing {
        Signing::Now(signer) => {
            let recording = Recording::new(signer);
            seal::sign(image.file(), manifest, keys, &recording)?;
            let texts = documents::all(manifest, sbom, keys, &recording)?;
            Ok((texts, Outcome::Signed(recording.signatures())))
        }
        Signing::Later => {
            let collected = Collected::deferred(keys);
            seal::sign(image.file(), manifest, keys, &collected)?;
            let texts = documents::all(manifest, sbom, keys, &collected)?;
            Ok((texts, Outcome::Requested(collected.requests()?)))
        }
    }
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
