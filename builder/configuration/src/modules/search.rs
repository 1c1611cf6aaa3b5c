//! Which of several files of one module counts: depmod.d(5).

use crate::{Error, Result};
use fortress_tree::{Tree, TreePath};
use std::collections::BTreeMap;

/// Folders of configuration, the first of them first.
const FOLDERS: [&str; 3] = [
    "/etc/depmod.d",
    "/usr/local/lib/depmod.d",
    "/usr/lib/depmod.d",
];

/// The order in which the folders of a kernel release are searched.
#[derive(Debug)]
pub(super) struct SearchOrder {
    /// Folders, the best first; `built-in` stands for all that are not named.
    folders: Vec<String>,
    /// Single modules that come from a certain folder: `FOLDER/NAME` without a suffix.
    overrides: Vec<String>,
}

impl SearchOrder {
    /// Reads the tree's depmod.d for a kernel release.
    pub(super) fn read(tree: &Tree, release: &str) -> Result<Self> {
        let mut files = BTreeMap::new();
        for folder in FOLDERS {
            let folder = TreePath::new(folder)?;
            for (name, _) in tree.entries(&folder) {
                if name.ends_with(".conf") {
                    let path = folder.join(name)?;
                    files.entry(name.to_owned()).or_insert(path);
                }
            }
        }
        let mut order = Self {
            folders: Vec::new(),
            overrides: Vec::new(),
        };
        for path in files.into_values() {
            let text = tree.read_text(&path)?;
            for (number, line) in text.lines().enumerate() {
                let words: Vec<&str> = line.split_ascii_whitespace().collect();
                match words[..] {
                    [] => {}
                    [first, ..] if first.starts_with('#') => {}
                    ["search", ..] => order
                        .folders
                        .extend(words[1..].iter().map(|it| (*it).into())),
                    ["override", name, kernel, folder] => {
                        if kernel.contains(['[', '(', '\\', '+', '^', '$', '|', '?']) {
                            return Err(Error::Line {
                                file: path,
                                line: number + 1,
                                reason: format!(
                                    "override for kernels {kernel:?}: only '*' and a release's \
                                     own name are understood, not regular expressions"
                                ),
                            });
                        }
                        if ["*", ".*", release].contains(&kernel) {
                            order.overrides.push(format!("{folder}/{name}"));
                        }
                    }
                    ["external" | "exclude" | "include" | "make_map_files", ..] => {}
                    _ => {
                        return Err(Error::Line {
                            file: path,
                            line: number + 1,
                            reason: format!("{line:?} is no line of depmod.d(5)"),
                        });
                    }
                }
            }
        }
        if order.folders.is_empty() {
            order.folders = vec!["updates".into(), "built-in".into()];
        }
        Ok(order)
    }

    /// Whether `file` counts rather than `other`, both below the release's folder.
    pub(super) fn prefers(&self, file: &str, other: &str) -> bool {
        let overridden = |file: &str| {
            let stem = file.rfind(".ko").map_or(file, |at| &file[..at]);
            self.overrides.iter().any(|it| it == stem)
        };
        match (overridden(file), overridden(other)) {
            (true, _) => true,
            (_, true) => false,
            _ => self.place(file) < self.place(other),
        }
    }

    fn place(&self, file: &str) -> usize {
        let within = |folder: &String| {
            let rest = file.strip_prefix(folder.as_str());
            rest.is_some_and(|rest| rest.starts_with('/'))
        };
        let named = self.folders.iter().position(within);
        let rest = || self.folders.iter().position(|it| it == "built-in");
        named.or_else(rest).unwrap_or(self.folders.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_come_first_unless_configured_otherwise() {
        let mut tree = Tree::new(0);
        let order = SearchOrder::read(&tree, "6.1").unwrap();
        assert!(order.prefers("updates/dkms/a.ko", "kernel/a.ko"));
        assert!(!order.prefers("kernel/a.ko", "updates/a.ko.xz"));
        assert!(!order.prefers("kernel/b/a.ko", "kernel/a/a.ko"));

        let path = TreePath::new("/etc/depmod.d/a.conf").unwrap();
        let text = "search built-in updates\n# note\noverride a * weak\noverride b 5.0 weak\n";
        tree.write(&path, 0o644, text).unwrap();
        let order = SearchOrder::read(&tree, "6.1").unwrap();
        assert!(order.prefers("kernel/c.ko", "updates/c.ko"));
        assert!(order.prefers("weak/a.ko.zst", "kernel/a.ko"));
        assert!(!order.prefers("weak/b.ko", "kernel/b.ko"));
    }

    #[test]
    fn nonsense_is_refused_with_its_line() {
        let mut tree = Tree::new(0);
        let path = TreePath::new("/etc/depmod.d/a.conf").unwrap();
        tree.write(&path, 0o644, "search x\nserach y\n").unwrap();
        let error = SearchOrder::read(&tree, "6.1").unwrap_err().to_string();
        assert!(
            error.starts_with("/etc/depmod.d/a.conf, line 2: "),
            "{error}"
        );
    }
}
