//! What boots the root, whatever the firmware: its kernel, the initrd, the command line.

use crate::{Error, Result, root_signature, state};
use fortress_boot::initrd::{self, InitrdSettings};
use fortress_configuration::modules::ModuleIndex;
use fortress_disk::verity::RootHash;
use fortress_recipe::{Plan, VeritySignature};
use fortress_store::{Digest, Store};
use fortress_tree::{Content, Tree, TreePath};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

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
        state: state::support(plan),
        module_names: plan
            .initrd_modules
            .iter()
            .map(|name| name.value.clone())
            .collect(),
    };
    let mut tree = initrd::collect(root, &settings)?;
    root_signature::mark(root, modules.release(), &mut tree)?;
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
    // The initrd has no modprobe where the kernel looks for one at first: while it starts it asks for
    // modules that it does well without, and each question would start a process.
    parts.push("sysctl.kernel.modprobe=/usr/sbin/modprobe");
    if *plan.trust.verity_signature == VeritySignature::Always {
        parts.push("dm_verity.require_signatures=1");
    }
    parts.join(" ")
}

/// Writes a file through `write`, and gives it as a content.
pub(crate) fn write_file(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<Content> {
    let file = File::create(path).map_err(|source| Error::io("create", path, source))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    write(&mut out)?;
    out.flush()
        .map_err(|source| Error::io("write", path, source))?;
    Ok(Content::host_file(path)?)
}
