//! Overlays: plain file trees of the host that are laid over a tree.

use crate::{Content, Error, Kind, Metadata, Node, Result, Tree, TreePath};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Lays the files and links of a folder over the tree, and gives where they went, in order.
///
/// What the host knows beside names and bytes does not count: files get 0755 if their owner may
/// execute them, else 0644, belong to root, and are of the tree's epoch. Directories that the
/// tree has stay as they are, new ones get 0755. Paths below a link of the tree land where the
/// link leads (`lib/x` in `/usr/lib/x`). A file or link takes the place of a file or link. Link
/// targets are kept: an absolute one means the tree's root.
///
/// # Errors
/// A device, socket or named pipe; a name that is not UTF-8; a relative link that climbs above
/// the folder; a file where the tree has a directory, or the other way round; a folder that
/// cannot be read.
pub fn apply(tree: &mut Tree, folder: &Path) -> Result<Vec<TreePath>> {
    // A file that has other names keeps its old bytes under them.
    let linked = tree
        .iter()
        .filter_map(|(_, node)| match &node.kind {
            Kind::HardLink(file) => Some(file.clone()),
            _ => None,
        })
        .collect();
    let mut overlay = Overlay {
        tree,
        linked,
        placed: Vec::new(),
    };
    overlay.directory(folder, &TreePath::root())?;
    Ok(overlay.placed)
}

struct Overlay<'a> {
    tree: &'a mut Tree,
    linked: BTreeSet<TreePath>,
    placed: Vec<TreePath>,
}

impl Overlay<'_> {
    /// Lays what is in a folder of the host into a directory of the tree.
    fn directory(&mut self, folder: &Path, path: &TreePath) -> Result<()> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).map_err(|source| unreadable(folder, source))? {
            let name = entry
                .map_err(|source| unreadable(folder, source))?
                .file_name();
            match name.into_string() {
                Ok(name) => names.push(name),
                Err(name) => {
                    return Err(refused(&folder.join(name), "its name is not UTF-8".into()));
                }
            }
        }
        names.sort();
        for name in names {
            self.entry(&folder.join(&name), &path.join(&name)?)?;
        }
        Ok(())
    }

    fn entry(&mut self, host: &Path, path: &TreePath) -> Result<()> {
        let metadata = fs::symlink_metadata(host).map_err(|source| unreadable(host, source))?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            self.tree.make_directories(path)?;
            return self.directory(host, path);
        }
        if kind.is_symlink() {
            let target = fs::read_link(host).map_err(|source| unreadable(host, source))?;
            let Ok(target) = target.into_os_string().into_string() else {
                return Err(refused(host, "its target is not UTF-8".into()));
            };
            if climbs_out(path, &target) {
                let reason = format!("it is a link to {target}, which is outside the overlay");
                return Err(refused(host, reason));
            }
            return self.place(path, Node::symlink(target));
        }
        if !kind.is_file() {
            let reason = "it is neither a file, a link nor a directory".into();
            return Err(refused(host, reason));
        }
        let mode = match metadata.permissions().mode() & 0o100 {
            0 => 0o644,
            _ => 0o755,
        };
        let content = Content::host_file(host)?;
        self.place(path, Node::file(Metadata::new(mode), content))
    }

    fn place(&mut self, path: &TreePath, node: Node) -> Result<()> {
        let real = match path.parent() {
            Some(parent) => self.tree.make_directories(&parent)?.join(path.name())?,
            None => path.clone(),
        };
        if let Some(Kind::Directory) = self.tree.get(&real).map(|node| &node.kind) {
            return Err(Error::Type {
                path: real,
                found: "a directory",
                expected: "a file or link that the overlay can replace",
            });
        }
        if self.linked.contains(&real) {
            self.tree.remove_where(|path, _| *path == real);
        }
        self.tree.insert(real.clone(), node)?;
        self.placed.push(real);
        Ok(())
    }
}

/// Whether a relative link at `path` leads above the root on its way, taken by its spelling.
fn climbs_out(path: &TreePath, target: &str) -> bool {
    if target.starts_with('/') {
        return false;
    }
    let mut depth = path.components().count() as i64 - 1;
    target.split('/').any(|name| {
        depth += match name {
            "" | "." => 0,
            ".." => -1,
            _ => 1,
        };
        depth < 0
    })
}

fn unreadable(host: &Path, source: std::io::Error) -> Error {
    Error::Io {
        operation: "read",
        what: format!("overlay {}", host.display()),
        source,
    }
}

fn refused(host: &Path, reason: String) -> Error {
    Error::Overlay {
        path: host.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    fn merged_usr() -> Tree {
        let mut tree = Tree::new(7);
        tree.make_directories(&path("/usr/lib")).unwrap();
        tree.link(&path("/lib"), "usr/lib").unwrap();
        tree.write(&path("/usr/lib/old"), 0o600, "old").unwrap();
        tree
    }

    fn folder(files: &[(&str, u32)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, mode) in files {
            let file = folder.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, *name).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(*mode)).unwrap();
        }
        folder
    }

    #[test]
    fn names_bytes_and_the_executable_bit_are_all_that_counts() {
        let mut tree = merged_usr();
        let folder = folder(&[
            ("lib/new", 0o640),
            ("etc/a/run", 0o700),
            ("lib/old", 0o4777),
        ]);
        symlink("/etc/a", folder.path().join("etc/link")).unwrap();
        let placed = apply(&mut tree, folder.path()).unwrap();
        let names: Vec<_> = placed.iter().map(TreePath::as_str).collect();
        assert_eq!(
            names,
            ["/etc/a/run", "/etc/link", "/usr/lib/new", "/usr/lib/old"]
        );
        for (name, mode) in [
            ("/etc", 0o755),
            ("/etc/a/run", 0o755),
            ("/usr/lib/new", 0o644),
            ("/usr/lib/old", 0o755),
        ] {
            let metadata = &tree.get(&path(name)).unwrap().metadata;
            assert_eq!(metadata.mode, mode, "{name}");
            assert_eq!(
                (metadata.user, metadata.group, metadata.modified),
                (0, 0, 7),
                "{name}"
            );
        }
        assert_eq!(tree.read_text(&path("/etc/link/run")).unwrap(), "etc/a/run");
        assert_eq!(tree.read_text(&path("/lib/old")).unwrap(), "lib/old");
    }

    #[test]
    fn other_names_of_a_file_keep_its_bytes() {
        let mut tree = merged_usr();
        let mut link = Node::symlink("");
        link.kind = Kind::HardLink(path("/usr/lib/old"));
        tree.insert(path("/usr/lib/other"), link).unwrap();
        let folder = folder(&[("usr/lib/old", 0o644)]);
        apply(&mut tree, folder.path()).unwrap();
        assert_eq!(tree.read_text(&path("/usr/lib/other")).unwrap(), "old");
        assert_eq!(
            tree.read_text(&path("/usr/lib/old")).unwrap(),
            "usr/lib/old"
        );
    }

    #[test]
    fn what_has_no_place_in_an_overlay_is_refused() {
        let refusal = |prepare: &dyn Fn(&Path)| {
            let folder = folder(&[("etc/x", 0o644)]);
            prepare(&folder.path().join("etc"));
            let error = apply(&mut merged_usr(), folder.path()).unwrap_err();
            error.to_string()
        };
        let socket = |etc: &Path| drop(UnixListener::bind(etc.join("socket")).unwrap());
        assert!(refusal(&socket).contains("neither a file"));
        let climbing = |etc: &Path| symlink("../../shadow", etc.join("link")).unwrap();
        assert!(refusal(&climbing).contains("outside the overlay"));
        let name = std::ffi::OsStr::from_bytes(b"\xff");
        let not_text = |etc: &Path| fs::write(etc.join(name), "").unwrap();
        assert!(refusal(&not_text).contains("not UTF-8"));
        let over_directory = |etc: &Path| {
            fs::create_dir(etc.join("../usr")).unwrap();
            fs::write(etc.join("../usr/lib"), "").unwrap();
        };
        assert!(refusal(&over_directory).contains("/usr/lib: is a directory"));
        let below_file = |etc: &Path| {
            fs::create_dir_all(etc.join("../usr/lib/old")).unwrap();
            fs::write(etc.join("../usr/lib/old/x"), "").unwrap();
        };
        assert!(refusal(&below_file).contains("/usr/lib/old: is a file"));
        let missing = apply(&mut merged_usr(), Path::new("/nowhere/at/all"));
        assert!(missing.unwrap_err().to_string().contains("/nowhere/at/all"));
    }

    #[test]
    fn a_link_may_climb_within_the_overlay() {
        assert!(!climbs_out(&path("/usr/lib/a"), "../../etc/x"));
        assert!(climbs_out(&path("/usr/lib/a"), "../../../etc/x"));
        assert!(climbs_out(&path("/a"), "../a"));
        assert!(!climbs_out(&path("/a"), "/../a"));
        assert!(climbs_out(&path("/a/b"), "../../a/b"));
    }
}
