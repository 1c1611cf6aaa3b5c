//! Configuration in fragments: several folders, of which the first that has a name decides.

use crate::Result;
use fortress_tree::{Kind, Tree, TreePath};
use std::collections::BTreeMap;

/// The files that end with `suffix` in `folders`, in order of their names. Of two of one name
/// the one in the earlier folder counts; a link to `/dev/null` masks the name.
pub(crate) fn find(tree: &Tree, folders: &[&str], suffix: &str) -> Result<Vec<TreePath>> {
    let mut found: BTreeMap<String, Option<TreePath>> = BTreeMap::new();
    for folder in folders {
        let folder = TreePath::new(folder)?;
        for (name, node) in tree.entries(&folder) {
            if !name.ends_with(suffix) || name.starts_with('.') || node.is_directory() {
                continue;
            }
            let masked = matches!(&node.kind, Kind::Symlink(target) if target == "/dev/null");
            let path = folder.join(name)?;
            let usable = !masked && tree.content(&path).is_ok();
            if usable || masked {
                found
                    .entry(name.to_owned())
                    .or_insert(usable.then_some(path));
            }
        }
    }
    Ok(found.into_values().flatten().collect())
}
