//! The commands, a file each.

pub(crate) mod attach;
pub(crate) mod boards;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod flash;
pub(crate) mod image;
pub(crate) mod keys;
pub(crate) mod lock;
pub(crate) mod manual;
pub(crate) mod pack;
pub(crate) mod plan;
pub(crate) mod recipes;
pub(crate) mod sign;
pub(crate) mod store;
mod table;
pub(crate) mod test;
pub(crate) mod verify;

/// Prints a result as JSON.
fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
