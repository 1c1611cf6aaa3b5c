//! What a board says of the Raspberry Pi's firmware: which files it wants, and how many bytes of
//! them.

use crate::check;
use crate::error::Result;
use crate::section::Section;
use crate::source::Located;

/// The section `[raspberry-pi]` as written.
#[derive(Debug)]
pub(crate) struct RaspberryPiFile {
    pub(crate) device_trees: Vec<Located<String>>,
    pub(crate) steppings: Vec<SteppingFile>,
    pub(crate) firmware: Vec<Located<String>>,
    pub(crate) config: Vec<Located<String>>,
    pub(crate) boot_image_limit: Option<Located<u64>>,
}

/// A chip that the firmware tells apart by an overlay alone.
#[derive(Debug)]
pub(crate) struct SteppingFile {
    pub(crate) overlay: Located<String>,
    pub(crate) from: Located<String>,
    pub(crate) to: Located<String>,
}

impl RaspberryPiFile {
    /// Reads the section; none if it is not there.
    pub(crate) fn read(mut section: Section<'_>) -> Result<Option<Self>> {
        let there = section.is_there();
        let device_trees = section.checked("device-trees", device_tree)?;
        let steppings = section.get("steppings").map(|value| value.section());
        let steppings = steppings.transpose()?.map(steppings_of).transpose()?;
        let file = Self {
            device_trees,
            steppings: steppings.unwrap_or_default(),
            firmware: section.checked("firmware", file_name)?,
            config: section.checked("config", config_line)?,
            boot_image_limit: section.size("boot-image-limit")?,
        };
        section.finish()?;
        Ok(there.then_some(file))
    }
}

fn steppings_of(section: Section<'_>) -> Result<Vec<SteppingFile>> {
    let mut steppings = Vec::new();
    for (name, value) in section.names() {
        let overlay = name.named("raspberry-pi.steppings", check::name)?;
        let pair = value.checked(device_tree)?;
        let [from, to] = <[_; 2]>::try_from(pair).map_err(|pair: Vec<_>| {
            let why = "it is two device trees: the one that the firmware takes, and the right one";
            value.bad(format!("a list of {}", pair.len()), why)
        })?;
        steppings.push(SteppingFile { overlay, from, to });
    }
    Ok(steppings)
}

fn device_tree(text: &str) -> Result<String, String> {
    match text.strip_suffix(".dtb") {
        Some(stem) if !stem.is_empty() => file_name(text),
        _ => Err("it must be the name of a .dtb file".to_owned()),
    }
}

/// The name of a file that FAT takes and that leads nowhere else.
fn file_name(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    match starts && text.len() <= 128 && text.chars().all(allowed) {
        true => Ok(text.to_owned()),
        false => Err("it must be a file name of ASCII letters, digits and ._+-".to_owned()),
    }
}

/// A line of config.txt. The firmware cuts lines off at 98 characters, and which files it takes,
/// and from where, is the builder's to say.
fn config_line(text: &str) -> Result<String, String> {
    const OURS: [&str; 11] = [
        "auto_initramfs",
        "boot_ramdisk",
        "cmdline",
        "include",
        "initramfs",
        "kernel",
        "os_prefix",
        "overlay_prefix",
        "ramfsfile",
        "start_file",
        "fixup_file",
    ];
    let key = text.split(['=', ' ']).next().unwrap_or_default();
    if text.is_empty() || text.len() > 98 || text.chars().any(|c| !matches!(c, ' '..='~')) {
        return Err("it must be a line of at most 98 ASCII characters".to_owned());
    }
    if OURS.contains(&key) {
        return Err(format!("`{key}` is the builder's to say"));
    }
    Ok(text.to_owned())
}
