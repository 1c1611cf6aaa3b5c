//! A tree laid out in a folder of this machine.

use fortress_tree::{Kind, Metadata, Tree};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::Path;

/// Lays it out, owners and modes and all.
pub(crate) fn lay(tree: &Tree, folder: &Path) {
    for (path, node) in tree.iter() {
        let host = folder.join(path.relative());
        let Metadata {
            mode, user, group, ..
        } = &node.metadata;
        match &node.kind {
            Kind::Directory if path.is_root() => continue,
            Kind::Directory => fs::create_dir(&host).unwrap(),
            Kind::File(content) => fs::write(&host, content.read().unwrap()).unwrap(),
            Kind::HardLink(target) => {
                fs::hard_link(folder.join(target.relative()), &host).unwrap();
                continue;
            }
            Kind::Symlink(target) => {
                symlink(target, &host).unwrap();
                lchown(&host, Some(*user), Some(*group)).unwrap();
                continue;
            }
            other => panic!("{path}: {other:?}"),
        }
        chown(&host, Some(*user), Some(*group)).unwrap();
        fs::set_permissions(&host, fs::Permissions::from_mode(u32::from(*mode))).unwrap();
    }
}
