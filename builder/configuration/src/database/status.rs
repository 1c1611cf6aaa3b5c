//! A package's paragraph in dpkg's `status` file.

use super::is_file;
use crate::{Error, Result};
use fortress_package::Package;
use fortress_tree::{Tree, TreePath};
use md5::{Digest, Md5};
use std::io::Read;

/// dpkg's own order of fields; `Status` and `Conffiles` are its own to fill. Fields that are
/// not here follow in the order of the package's control file.
const ORDER: [&str; 31] = [
    "Package",
    "Essential",
    "Protected",
    "Status",
    "Priority",
    "Section",
    "Installed-Size",
    "Origin",
    "Maintainer",
    "Bugs",
    "Architecture",
    "Multi-Arch",
    "Source",
    "Version",
    "Config-Version",
    "Replaces",
    "Provides",
    "Depends",
    "Pre-Depends",
    "Recommends",
    "Suggests",
    "Breaks",
    "Conflicts",
    "Enhances",
    "Conffiles",
    "Filename",
    "Size",
    "MD5sum",
    "Description",
    "Triggers-Pending",
    "Triggers-Awaited",
];
/// Fields that dpkg writes as it understands them: on one line, one blank after each comma.
const RELATIONS: [&str; 9] = [
    "Replaces",
    "Provides",
    "Depends",
    "Pre-Depends",
    "Recommends",
    "Suggests",
    "Breaks",
    "Conflicts",
    "Enhances",
];

/// The paragraph, with the empty line after it.
pub(super) fn paragraph(tree: &Tree, package: &Package) -> Result<String> {
    let mut text = String::new();
    for name in ORDER {
        match name {
            "Status" => text.push_str("Status: install ok installed\n"),
            "Conffiles" => text.push_str(&configuration_files(tree, package)?),
            name => {
                if let Some(value) = package.control.get(name) {
                    field(&mut text, name, value);
                }
            }
        }
    }
    for (name, value) in package.control.fields() {
        if !ORDER.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            field(&mut text, name, value);
        }
    }
    text.push('\n');
    Ok(text)
}

fn field(text: &mut String, name: &str, value: &str) {
    if RELATIONS.contains(&name) {
        let parts: Vec<String> = value
            .split(',')
            .map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "))
            .filter(|part| !part.is_empty())
            .collect();
        text.push_str(&format!("{name}: {}\n", parts.join(", ")));
    } else if !(matches!(name, "Essential" | "Protected") && value == "no") {
        let blank = if value.is_empty() || value.starts_with('\n') {
            ""
        } else {
            " "
        };
        text.push_str(&format!("{name}:{blank}{value}\n"));
    }
}

/// `Conffiles`: each with the MD5 of what is in the tree. Those that an upgrade would remove
/// (deb-conffiles(5)) have none on a system that never had them.
fn configuration_files(tree: &Tree, package: &Package) -> Result<String> {
    let mut text = String::new();
    for line in package.member_text("conffiles").unwrap_or_default().lines() {
        let line = line.trim();
        let value = if let Some(name) = line.strip_prefix("remove-on-upgrade ") {
            format!("{} newconffile remove-on-upgrade", name.trim())
        } else if line.starts_with('/') && is_file(tree, &TreePath::new(line)?) {
            format!("{line} {}", md5_of(tree, &TreePath::new(line)?)?)
        } else {
            continue;
        };
        if text.is_empty() {
            text.push_str("Conffiles:\n");
        }
        text.push_str(&format!(" {value}\n"));
    }
    Ok(text)
}

fn md5_of(tree: &Tree, path: &TreePath) -> Result<String> {
    let failed = |source| Error::Io {
        what: path.to_string(),
        source,
    };
    let mut reader = tree.content(path)?.reader().map_err(failed)?;
    let mut digest = Md5::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match reader.read(&mut buffer).map_err(failed)? {
            0 => break,
            length => digest.update(&buffer[..length]),
        }
    }
    Ok(digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}
