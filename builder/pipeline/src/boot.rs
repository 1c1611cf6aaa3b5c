//! What boots the root: its kernel, the initrd, the unified kernel image, the EFI system
//! partition's files.

use crate::identity::Identity;
use crate::{Error, Result};
use fortress_boot::initrd::{self, InitrdSettings};
use fortress_boot::uki::{self, SBAT, UkiSections};
use fortress_configuration::modules::ModuleIndex;
use fortress_disk::verity::RootHash;
use fortress_recipe::{Architecture, Plan};
use fortress_store::{Digest, Store};
use fortress_tree::{Content, Tree, TreePath};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// How often a new image may fail before the boot loader falls back to the other slot
/// ([Automatic Boot Assessment](https://systemd.io/AUTOMATIC_BOOT_ASSESSMENT/)).
const TRIES: u32 = 3;

/// A kernel, taken out of the root: it boots from the EFI system partition.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// As `uname -r` gives it.
    pub(crate) release: String,
    /// The kernel itself.
    pub(crate) image: Content,
}

/// Takes the one kernel out of the root's `/boot`, and keeps its configuration beside its modules.
pub(crate) fn take_kernel(
    root: &mut Tree,
    modules: &BTreeMap<String, ModuleIndex>,
) -> Result<Kernel> {
    let releases: Vec<&str> = modules.keys().map(String::as_str).collect();
    let release = match releases.as_slice() {
        [one] => (*one).to_owned(),
        [] => {
            return Err(Error::Kernel {
                found: "no kernel modules".into(),
            });
        }
        several => {
            return Err(Error::Kernel {
                found: format!("several kernels ({})", several.join(", ")),
            });
        }
    };
    let folder = TreePath::new("/usr/lib/modules")?.join(&release)?;
    let places = [
        TreePath::new(&format!("/boot/vmlinuz-{release}"))?,
        folder.join("vmlinuz")?,
    ];
    let image = places
        .iter()
        .find_map(|place| root.content(place).ok().cloned())
        .ok_or_else(|| Error::Kernel {
            found: format!(
                "modules of kernel {release}, but no kernel at {} or {}",
                places[0], places[1]
            ),
        })?;
    let configuration = TreePath::new(&format!("/boot/config-{release}"))?;
    if let Ok(content) = root.content(&configuration).cloned() {
        root.write(&folder.join("config")?, 0o644, content)?;
    }
    let boot = TreePath::new("/boot")?;
    root.remove_where(|path, _| path.is_within(&boot) && *path != boot);
    root.remove_where(|path, _| *path == places[1]);
    Ok(Kernel { release, image })
}

/// What the store calls kept initrds.
const KEPT: &str = "initrd";

/// Collects and compresses the initrd, or takes the one that an earlier build made of the same
/// files.
pub(crate) fn write_initrd(
    root: &Tree,
    modules: &ModuleIndex,
    plan: &Plan,
    store: &Store,
) -> Result<Content> {
    let settings = InitrdSettings {
        modules,
        module_names: plan
            .initrd_modules
            .iter()
            .map(|name| name.value.clone())
            .collect(),
    };
    let mut tree = initrd::collect(root, &settings)?;
    for overlay in &plan.initrd_overlays {
        fortress_tree::overlay::apply(&mut tree, &overlay.folder.path)?;
    }
    let key = Digest::from(initrd::digest(&tree)?);
    let kept = match store.derived(KEPT, &key)? {
        Some(kept) => kept,
        None => store.keep_derived::<Error>(KEPT, &key, |folder| {
            write_file(&folder.join("initrd"), |out| Ok(initrd::write(&tree, out)?)).map(drop)
        })?,
    };
    Ok(Content::host_file(&kept.path().join("initrd"))?)
}

/// The command line: what the plan says, and the root hash.
pub(crate) fn command_line(plan: &Plan, root_hash: &RootHash) -> String {
    let mut parts: Vec<&str> = plan
        .kernel
        .command_line
        .iter()
        .map(|part| part.as_str())
        .collect();
    let root_hash = format!("roothash={root_hash}");
    parts.push(&root_hash);
    parts.join(" ")
}

/// File names that differ between machines.
struct Names {
    boot: &'static str,
    loader: &'static str,
    stub: &'static str,
}

fn names(architecture: Architecture) -> Names {
    match architecture {
        Architecture::Amd64 => Names {
            boot: "BOOTX64.EFI",
            loader: "systemd-bootx64.efi",
            stub: "linuxx64.efi.stub",
        },
        Architecture::Arm64 => Names {
            boot: "BOOTAA64.EFI",
            loader: "systemd-bootaa64.efi",
            stub: "linuxaa64.efi.stub",
        },
    }
}

/// The files of the EFI system partition: boot loader, its settings, and the unified kernel image
/// that names the root hash.
pub(crate) fn efi_files(
    root: &Tree,
    kernel: &Kernel,
    initrd: Content,
    plan: &Plan,
    root_hash: &RootHash,
    folder: &Path,
) -> Result<Tree> {
    let names = names(*plan.board.architecture);
    let programs = TreePath::new("/usr/lib/systemd/boot/efi")?;
    let loader = root.content(&programs.join(names.loader)?)?.clone();
    let stub = root.read(&programs.join(names.stub)?)?;
    let sections = UkiSections {
        stub: &stub,
        os_release: &root.read(&TreePath::new("/usr/lib/os-release")?)?,
        command_line: &command_line(plan, root_hash),
        device_tree: None,
        uname: &kernel.release,
        pcr_public_key: b"",
        linux: kernel.image.clone(),
        initrd,
        sbat: SBAT,
        pcr_signature: b"",
    };
    let image = write_file(&folder.join("uki"), |out| {
        Ok(uki::build(&sections, out).map(drop)?)
    })?;
    let mut tree = Tree::new(root.epoch());
    let mut add = |path: &str, content: Content| -> Result<()> {
        Ok(tree.write(&TreePath::new(path)?, 0o755, content)?)
    };
    add(&format!("/EFI/BOOT/{}", names.boot), loader.clone())?;
    add(&format!("/EFI/systemd/{}", names.loader), loader)?;
    add(&format!("/EFI/Linux/{}", uki_name(plan)), image)?;
    // No editor: the command line is part of what is verified.
    add(
        "/loader/loader.conf",
        "timeout 0\neditor no\nauto-firmware no\n".into(),
    )?;
    // The boot loader's interface version 1: unified kernel images are found in EFI/Linux.
    add("/loader/entries.srel", "type1\n".into())?;
    Ok(tree)
}

/// The unified kernel image's file name, with the tries that it has.
pub(crate) fn uki_name(plan: &Plan) -> String {
    format!("{}_{}+{TRIES}.efi", plan.name.value, plan.version.value)
}

/// Writes a file through `write`, and gives it as a content.
fn write_file(path: &PathBuf, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<Content> {
    let file = File::create(path).map_err(|source| Error::io("create", path, source))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    write(&mut out)?;
    out.flush()
        .map_err(|source| Error::io("write", path, source))?;
    Ok(Content::host_file(path)?)
}

/// GUIDs and volume IDs of the EFI system partition.
pub(crate) fn efi_options(
    identity: &Identity,
    size: u64,
    epoch: i64,
) -> fortress_filesystem::fat::FatOptions {
    fortress_filesystem::fat::FatOptions {
        kind: fortress_filesystem::fat::FatKind::Fat32,
        size,
        sectors_per_cluster: None,
        volume_id: identity.volume_id("esp"),
        label: "ESP".into(),
        epoch,
    }
}
