//! Raspberry Pis: what their firmware starts from.

use crate::boot::{Kernel, command_line, write_file};
use crate::digests::hexadecimal;
use crate::manifest::RaspberryPiFacts;
use crate::seal::Boot;
use crate::volume::BootVolume;
use crate::{Error, Result};
use fortress_boot::gzip;
use fortress_boot::raspberry_pi::{
    self as files, BOOT_IMAGE, BOOT_SIGNATURE, BootFiles, CONFIG, OUTER_CONFIG, SECTORS_PER_CLUSTER,
};
use fortress_disk::Region;
use fortress_filesystem::fat::{self, FatKind, FatOptions};
use fortress_recipe::{PartitionKind, Plan, RaspberryPi, Slot};
use fortress_store::{Digest, Hasher, Store};
use fortress_tree::{Content, Tree, TreePath};
use fortress_trust::{PublicKeys, Signer};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// What the store calls kept kernels.
const KEPT: &str = "kernel";
/// Where the firmware's own files are, by distribution.
const FIRMWARE: [&str; 2] = ["/usr/lib/raspi-firmware", "/usr/lib/linux-firmware-raspi"];

/// Refuses what no boot image could be made of, before the work of writing the root.
pub(crate) fn check(plan: &Plan, root: &Tree, kernel: &Kernel) -> Result<()> {
    files::check_kernel(&kernel.image)?;
    let board = board(plan)?;
    device_trees(board, root, kernel)?;
    overlays(board, root, kernel)?;
    firmware(board, root)?;
    named_files(board)
}

/// The kernel as the firmware takes it, compressed; or the one that an earlier build made of it.
pub(crate) fn kernel(kernel: &Content, store: &Store) -> Result<Content> {
    if gzip::is_gzip(kernel)? {
        return Ok(kernel.clone());
    }
    let mut hasher = Hasher::new();
    hasher.update(gzip::FORMAT.as_bytes());
    hasher.update(&[0]);
    hash(kernel, &mut hasher)?;
    let key = hasher.finish();
    let kept = match store.derived(KEPT, &key)? {
        Some(kept) => kept,
        None => store.keep_derived::<Error>(KEPT, &key, |folder| {
            write_file(&folder.join("kernel"), |out| Ok(gzip::write(kernel, out)?)).map(drop)
        })?,
    };
    Ok(Content::host_file(&kept.path().join("kernel"))?)
}

/// Writes the boot partitions.
pub(crate) fn write(boot: &Boot<'_>) -> Result<()> {
    let board = board(boot.plan)?;
    let image = boot_image(boot, board)?;
    let mut slot = Tree::new(boot.epoch);
    let mut add = |name: &str, content: Content| -> Result<()> {
        Ok(slot.write(&TreePath::root().join(name)?, 0o644, content)?)
    };
    add(CONFIG, OUTER_CONFIG.into())?;
    add(
        BOOT_SIGNATURE,
        unsigned(&digest(&image)?, boot.epoch).into(),
    )?;
    add(BOOT_IMAGE, image)?;
    // A board without the owner's key looks for these before it looks into boot.img.
    for (name, content) in firmware(board, boot.root)? {
        add(&name, content)?;
    }
    volume(boot, PartitionKind::Boot, "BOOT", &slot)?;

    let partition = |slot| boot.disk.number(PartitionKind::Boot, Some(slot));
    let normal = partition(Slot::A).unwrap_or(1);
    let mut select = Tree::new(boot.epoch);
    let path = TreePath::root().join(files::AUTOBOOT)?;
    select.write(&path, 0o644, files::autoboot(normal, partition(Slot::B))?)?;
    volume(boot, PartitionKind::BootSelect, "BOOTCFG", &select)
}

/// Writes a partition's file system.
fn volume(boot: &Boot<'_>, kind: PartitionKind, label: &str, tree: &Tree) -> Result<()> {
    let region = boot.disk.region(kind)?;
    let options = options(boot, label, region.length);
    Ok(fat::write(tree, &options, boot.image, region.offset)?)
}

fn options(boot: &Boot<'_>, label: &str, size: u64) -> FatOptions {
    FatOptions {
        kind: FatKind::Fat32,
        size,
        sectors_per_cluster: Some(SECTORS_PER_CLUSTER),
        volume_id: boot.identity.volume_id(label),
        label: label.into(),
        epoch: boot.epoch,
    }
}

/// Makes boot.img.
fn boot_image(boot: &Boot<'_>, board: &RaspberryPi) -> Result<Content> {
    let command_line = command_line(boot.plan, boot.root_hash);
    let tree = files::boot_files(
        &BootFiles {
            kernel: boot.kernel.image.clone(),
            initrd: boot.initrd.clone(),
            command_line: &command_line,
            device_trees: device_trees(board, boot.root, boot.kernel)?,
            overlays: overlays(board, boot.root, boot.kernel)?,
            firmware: firmware(board, boot.root)?,
            config: board.config.iter().map(|line| line.as_str()).collect(),
        },
        boot.epoch,
    )?;
    let length = files::boot_image_length(&tree)?;
    if length > *board.boot_image_limit {
        return Err(Error::BootImage {
            board: boot.plan.board.name.value.clone(),
            length,
            limit: *board.boot_image_limit,
            kernel: boot.kernel.image.length(),
            initrd: boot.initrd.length(),
        });
    }
    let path = boot.scratch.join(BOOT_IMAGE);
    let failed = |source| Error::io("write", &path, source);
    let file = File::create(&path).map_err(failed)?;
    file.set_len(length).map_err(failed)?;
    fat::write(&tree, &options(boot, "BOOTIMG", length), &file, 0)?;
    Ok(Content::host_file(&path)?)
}

fn board(plan: &Plan) -> Result<&RaspberryPi> {
    let board = plan.board.raspberry_pi.as_ref();
    board.ok_or_else(|| Error::Firmware {
        board: plan.board.name.value.clone(),
        firmware: "raspberry-pi".into(),
    })
}

/// The kernel's device trees that the firmware asks for.
fn device_trees(
    board: &RaspberryPi,
    root: &Tree,
    kernel: &Kernel,
) -> Result<Vec<(String, Content)>> {
    let names = board.device_trees.iter();
    names
        .map(|name| Ok((name.value.clone(), device_tree(name, root, kernel)?)))
        .collect()
}

/// Refuses settings that name what will not be in boot.img: the firmware would go on without it.
fn named_files(board: &RaspberryPi) -> Result<()> {
    let missing = |line: &str, reason: &str| {
        Err(Error::BootFile {
            file: line.to_owned(),
            reason: reason.to_owned(),
        })
    };
    let has_tree = |name: &str| board.device_trees.iter().any(|tree| tree.value == name);
    let has_overlay = |name: &str| board.steppings.iter().any(|one| one.overlay.value == name);
    for line in &board.config {
        match line.split_once('=') {
            Some(("device_tree", name)) if !has_tree(name) => {
                return missing(line, "it is not among the board's device-trees");
            }
            Some(("dtoverlay", value)) => {
                // What follows the name are its parameters.
                let name = value.split([',', ':']).next().unwrap_or_default();
                if !name.is_empty() && !has_overlay(name) {
                    return missing(line, "boot.img has no such overlay");
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// A device tree of the kernel, where Debian 13, later Debians or Ubuntu have it.
fn device_tree(name: &str, root: &Tree, kernel: &Kernel) -> Result<Content> {
    let release = &kernel.release;
    let folders = [
        format!("/usr/lib/modules/{release}/dtb/broadcom"),
        format!("/usr/lib/linux-image-{release}/broadcom"),
        format!("/usr/lib/firmware/{release}/device-tree/broadcom"),
    ];
    find(root, &folders, name).ok_or_else(|| Error::BootFile {
        file: name.to_owned(),
        reason: format!("kernel {release} has no such device tree"),
    })
}

fn find(root: &Tree, folders: &[impl AsRef<str>], name: &str) -> Option<Content> {
    folders.iter().find_map(|folder| {
        let path = TreePath::new(folder.as_ref()).ok()?.join(name).ok()?;
        root.content(&path).ok().cloned()
    })
}

/// The overlays for chips that the firmware tells apart by them: Raspberry Pi's own kernels bring
/// them, and for others they are made.
fn overlays(board: &RaspberryPi, root: &Tree, kernel: &Kernel) -> Result<Vec<(String, Vec<u8>)>> {
    let steppings = board.steppings.iter();
    steppings
        .map(|stepping| {
            let read = |name: &str| -> Result<Vec<u8>> {
                let content = device_tree(name, root, kernel)?;
                content
                    .read()
                    .map_err(|source| Error::io("read", Path::new(name), source))
            };
            let name = &stepping.overlay.value;
            let release = &kernel.release;
            let own = [format!("/usr/lib/firmware/{release}/device-tree/overlays")];
            let overlay = match find(root, &own, &format!("{name}.dtbo")) {
                Some(content) => content
                    .read()
                    .map_err(|source| Error::io("read", Path::new(name), source))?,
                None => {
                    let (from, to) = (read(&stepping.from)?, read(&stepping.to)?);
                    let (from, to) = ((&*stepping.from.value, &*from), (&*stepping.to.value, &*to));
                    files::stepping_overlay(name, from, to)?
                }
            };
            Ok((name.clone(), overlay))
        })
        .collect()
}

/// The firmware's own files.
fn firmware(board: &RaspberryPi, root: &Tree) -> Result<Vec<(String, Content)>> {
    let names = board.firmware.iter();
    names
        .map(|name| {
            let content = find(root, &FIRMWARE, name).ok_or_else(|| Error::BootFile {
                file: name.value.clone(),
                reason: format!("no package has it in {}", FIRMWARE.join(" or ")),
            })?;
            Ok((name.value.clone(), content))
        })
        .collect()
}

fn hash(content: &Content, hasher: &mut Hasher) -> Result<()> {
    let failed = |source| Error::io("read", Path::new(BOOT_IMAGE), source);
    let mut reader = content.reader().map_err(failed)?;
    let mut buffer = vec![0; content.length().min(1 << 20) as usize];
    loop {
        match reader.read(&mut buffer).map_err(failed)? {
            0 => return Ok(()),
            length => hasher.update(&buffer[..length]),
        }
    }
}

fn digest(content: &Content) -> Result<Digest> {
    let mut hasher = Hasher::new();
    hash(content, &mut hasher)?;
    Ok(hasher.finish())
}

/// boot.sig with zeros in the place of the signature.
fn unsigned(digest: &Digest, epoch: i64) -> String {
    format!(
        "{digest}\nts: {epoch}\nrsa2048: {}\n",
        hexadecimal(&[0; 256])
    )
}

/// Puts the signature of boot.img in its place, and tells what was signed.
pub(crate) fn sign(
    image: &File,
    boot: Region,
    facts: &mut RaspberryPiFacts,
    epoch: u64,
    keys: &PublicKeys,
    signer: &dyn Signer,
) -> Result<()> {
    let volume = BootVolume::open(image, "boot", boot)?;
    let mut file = volume.file(BOOT_IMAGE)?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => hasher.update(&buffer[..length]),
            Err(source) => return Err(Error::io("read", Path::new(BOOT_IMAGE), source)),
        }
    }
    let digest = hasher.finish();
    let text =
        fortress_trust::raspberry_pi::sign(keys, signer, BOOT_IMAGE, digest.as_bytes(), epoch)?;
    volume.replace(BOOT_SIGNATURE, text.as_bytes())?;
    facts.boot_image_sha256 = digest.to_string();
    facts.boot_image_length = file.region().length;
    Ok(())
}
