//! AppArmor: an empty `/etc/apparmor.d/local/NAME` for the changes of whoever runs the machine,
//! for each profile whose package makes one (dh_apparmor's scripts).

use crate::place::is_there;
use crate::{Done, Result};
use fortress_package::Package;
use fortress_tree::{Tree, TreePath};

const PROFILES: &str = "/etc/apparmor.d/";
/// How dh_apparmor's part of a script names its profile.
const NAMING: &str = "APP_PROFILE=";

/// Makes them where they are missing.
///
/// # Errors
/// When the tree refuses.
pub fn run(tree: &mut Tree, packages: &[Package]) -> Result<Done> {
    let mut made = 0;
    for package in packages {
        let script = package.member_text("postinst").unwrap_or_default();
        let names = script
            .lines()
            .filter_map(|line| line.trim().strip_prefix(NAMING));
        let names = names.filter_map(|value| value.trim_matches('"').strip_prefix(PROFILES));
        for name in names.filter(|name| !name.contains('/')) {
            let local = TreePath::new(&format!("{PROFILES}local/{name}"))?;
            if is_there(tree, &TreePath::new(&format!("{PROFILES}{name}"))?)
                && !is_there(tree, &local)
            {
                tree.write(&local, 0o644, "")?;
                made += 1;
            }
        }
    }
    Ok(Done::new(format!("{made} local files")))
}
