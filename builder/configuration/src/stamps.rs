//! The stamps by which systemd sees that `/etc` and `/var` are up to date with `/usr`, so that
//! no unit with `ConditionNeedsUpdate=` runs at the first boot for what is done already.

use crate::{Done, Result};
use fortress_tree::{Tree, TreePath};

const NANOSECONDS: i64 = 1_000_000_000;

/// Writes `/etc/.updated` and `/var/.updated` with the tree's epoch, which is also the latest
/// that `/usr` can be.
///
/// # Errors
/// When the tree refuses.
pub fn run(tree: &mut Tree) -> Result<Done> {
    let stamp = format!(
        "# Made together with the system in /usr.\nTIMESTAMP_NSEC={}\n",
        tree.epoch().max(0).saturating_mul(NANOSECONDS)
    );
    for path in ["/etc/.updated", "/var/.updated"] {
        tree.write(&TreePath::new(path)?, 0o644, stamp.as_str())?;
    }
    Ok(Done::new("2 stamps"))
}
