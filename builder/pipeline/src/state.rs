//! What the image says of the state: the partitions that a machine makes at its first boot, how
//! they are encrypted, and the drives that it opens. `overlays/initrd/usr/lib/fortress/state` and
//! `overlays/common/usr/lib/fortress/data` read it.

use crate::Result;
use fortress_boot::initrd::StateSupport;
use fortress_recipe::{Encryption, Plan, VarFilesystem};
use fortress_tree::{Tree, TreePath};

/// What the scripts read: assignments, as a POSIX shell takes them.
const SETTINGS: &str = "/usr/lib/fortress/state.conf";
/// Definitions of partitions (repart.d(5)). The initrd's script says how they are encrypted.
const DEFINITIONS: &str = "/usr/lib/repart.d";
/// What makes systemd use the swap.
const SWAP_WANTED: &str = "/usr/lib/systemd/system/swap.target.wants/fortress-swap.service";
/// What udev does when it sees a data drive.
const DRIVE_RULES: &str = "/usr/lib/udev/rules.d/90-fortress-data.rules";

/// Writes all of it into the root.
pub(crate) fn write(plan: &Plan, tree: &mut Tree) -> Result<()> {
    let mut write = |path: &str, text: String| -> Result<()> {
        Ok(tree.write(&TreePath::new(path)?, 0o644, text)?)
    };
    let var = &plan.var;
    write(
        SETTINGS,
        format!(
            "# How the state is encrypted; docs/state.md.\n\
             ENCRYPT={}\nWITHOUT_TPM={}\nSECURE_BOOT={}\nSWAP={}\n",
            var.encrypt.as_str(),
            var.without_tpm.as_str(),
            var.secure_boot.as_str(),
            if plan.swap.size.is_some() {
                "yes"
            } else {
                "no"
            },
        ),
    )?;
    let format = match *var.format {
        VarFilesystem::Ext4 => "ext4",
    };
    write(
        &format!("{DEFINITIONS}/50-var.conf"),
        format!(
            "# The machine's state: made at the first boot from the rest of the disk.\n\
             [Partition]\nType=var\nLabel=var\nFormat={format}\nSizeMinBytes={}\n",
            *var.minimum_size
        ),
    )?;
    if let Some(size) = &plan.swap.size {
        write(
            &format!("{DEFINITIONS}/60-swap.conf"),
            format!(
                "# Room for memory that is put away. The initrd opens it, and nothing else is to try.\n\
                 [Partition]\nType=swap\nLabel=swap\nFormat=swap\nNoAuto=yes\n\
                 SizeMinBytes={size}\nSizeMaxBytes={size}\n",
                size = **size
            ),
        )?;
        tree.link(&TreePath::new(SWAP_WANTED)?, "../fortress-swap.service")?;
    }
    if !plan.data.drives.is_empty() {
        let mut rules =
            String::from("# Data drives that the recipe names are opened when they are seen.\n");
        for drive in &plan.data.drives {
            // A dependency of the device's unit would not do: that of a drive which the initrd saw
            // already is active before the real root has units.
            rules.push_str(&format!(
                "ACTION!=\"remove\", SUBSYSTEM==\"block\", \
                 ENV{{ID_PART_ENTRY_NAME}}==\"fortress-data-{name}\", TAG+=\"systemd\", \
                 ENV{{SYSTEMD_WANTS}}+=\"fortress-data@{name}.service\"\n",
                name = drive.value
            ));
        }
        tree.write(&TreePath::new(DRIVE_RULES)?, 0o644, rules)?;
    }
    Ok(())
}

/// What the initrd needs to open the state.
pub(crate) fn support(plan: &Plan) -> StateSupport {
    StateSupport {
        encrypted: *plan.var.encrypt != Encryption::None,
        tpm: plan.var.uses_tpm(),
        swap: plan.swap.size.is_some(),
        key_stick: plan.var.uses_key_file(),
    }
}
