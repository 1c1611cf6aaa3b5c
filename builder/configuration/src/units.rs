//! Units: presets, then the recipe's own choices, as links below `/etc/systemd`.

use crate::Result;
pub use crate::UnitSettings;
use fortress_tree::{Tree, TreePath};

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct UnitReport {
    /// Links made, with their targets, in order of their paths.
    pub links: Vec<(TreePath, String)>,
    /// Units enabled, by presets and by the recipe.
    pub enabled: Vec<String>,
    /// What an administrator should know: aliases that clash, names that are refused.
    pub warnings: Vec<String>,
}

/// Applies presets, then `settings`.
///
/// # Errors
/// A unit that is in no folder for units; a tree that cannot be written.
pub fn apply(_tree: &mut Tree, _settings: &UnitSettings) -> Result<UnitReport> {
    Ok(UnitReport::default())
}
