//! Machines with UEFI: what is on the EFI system partition.

use crate::Result;
use crate::boot::{command_line, write_file};
use crate::identity::Identity;
use crate::seal::Boot;
use fortress_boot::uki::{self, SBAT, UkiSections};
use fortress_filesystem::fat::{self, FatKind, FatOptions};
use fortress_recipe::{Architecture, PartitionKind, Plan};
use fortress_tree::{Content, Tree, TreePath};

/// How often a new image may fail before the boot loader falls back to the other slot
/// ([Automatic Boot Assessment](https://systemd.io/AUTOMATIC_BOOT_ASSESSMENT/)).
const TRIES: u32 = 3;

/// Writes the EFI system partition.
pub(crate) fn write(boot: &Boot<'_>) -> Result<()> {
    let esp = boot.disk.region(PartitionKind::Esp)?;
    let options = efi_options(boot.identity, esp.length, boot.epoch);
    fat::write(&efi_files(boot)?, &options, boot.image, esp.offset)?;
    Ok(())
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
fn efi_files(boot: &Boot<'_>) -> Result<Tree> {
    let (root, plan) = (boot.root, boot.plan);
    let names = names(*plan.board.architecture);
    let programs = TreePath::new("/usr/lib/systemd/boot/efi")?;
    let loader = root.content(&programs.join(names.loader)?)?.clone();
    let stub = root.read(&programs.join(names.stub)?)?;
    let sections = UkiSections {
        stub: &stub,
        os_release: &root.read(&TreePath::new("/usr/lib/os-release")?)?,
        command_line: &command_line(plan, boot.root_hash),
        device_tree: None,
        uname: &boot.kernel.release,
        pcr_public_key: b"",
        linux: boot.kernel.image.clone(),
        initrd: boot.initrd.clone(),
        sbat: SBAT,
        pcr_signature: b"",
    };
    let image = write_file(&boot.scratch.join("uki"), |out| {
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
fn uki_name(plan: &Plan) -> String {
    format!("{}_{}+{TRIES}.efi", plan.name.value, plan.version.value)
}

/// GUIDs and volume IDs of the EFI system partition.
fn efi_options(identity: &Identity, size: u64, epoch: i64) -> FatOptions {
    FatOptions {
        kind: FatKind::Fat32,
        size,
        sectors_per_cluster: None,
        volume_id: identity.volume_id("esp"),
        label: "ESP".into(),
        epoch,
    }
}
