//! UEFI firmware, found through the descriptors that QEMU's packages install.
//!
//! Form and rules: QEMU's `docs/interop/firmware.json`. A descriptor in a folder of higher
//! priority hides those of the same name in lower ones, an empty one hides them altogether; among
//! what is left the first by file name that fits is taken.

use crate::error::{Error, Result};
use crate::machine::Architecture;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A descriptor, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Descriptor {
    #[serde(default)]
    description: String,
    #[serde(rename = "interface-types")]
    interfaces: Vec<String>,
    mapping: Mapping,
    targets: Vec<Target>,
    features: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Mapping {
    device: String,
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    executable: Option<Flash>,
    #[serde(default)]
    nvram_template: Option<Flash>,
    /// Of the device `memory`.
    #[serde(default)]
    filename: Option<PathBuf>,
}

#[derive(Debug, Deserialize, Clone)]
struct Flash {
    filename: PathBuf,
    format: String,
}

#[derive(Debug, Deserialize)]
struct Target {
    architecture: String,
    machines: Vec<String>,
}

/// How a firmware is put into the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Placement {
    /// In flash, with a variable store of its own where the firmware has one.
    Flash {
        executable: PathBuf,
        format: String,
        variables: Option<(PathBuf, String)>,
    },
    /// Loaded into memory (`-bios`).
    Memory(PathBuf),
}

/// A firmware that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) description: String,
    pub(crate) placement: Placement,
    /// Whether it needs system management mode, and flash that only that mode may write.
    pub(crate) needs_smm: bool,
}

impl Found {
    /// The file that holds the code.
    pub(crate) fn file(&self) -> &Path {
        match &self.placement {
            Placement::Flash { executable, .. } => executable,
            Placement::Memory(file) => file,
        }
    }
}

/// The folders that hold descriptors, lowest priority first.
pub(crate) fn folders() -> Vec<PathBuf> {
    let mut folders = vec![
        PathBuf::from("/usr/share/qemu/firmware"),
        PathBuf::from("/etc/qemu/firmware"),
    ];
    let own = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".config")));
    folders.extend(own.map(|own| own.join("qemu/firmware")));
    folders
}

/// Finds a UEFI firmware. Descriptors that cannot be read are told to `warn`.
pub(crate) fn find(
    folders: &[PathBuf],
    architecture: Architecture,
    secure_boot: bool,
    warn: &mut dyn FnMut(&str),
) -> Result<Found> {
    let mut descriptors = BTreeMap::new();
    for folder in folders {
        let Ok(entries) = std::fs::read_dir(folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                descriptors.insert(entry.file_name(), path);
            }
        }
    }
    for path in descriptors.values() {
        let text = match std::fs::read(path) {
            Ok(text) if text.is_empty() => continue,
            Ok(text) => text,
            Err(error) => {
                warn(&format!(
                    "firmware descriptor {}: {error}; it is left out",
                    path.display()
                ));
                continue;
            }
        };
        match serde_json::from_slice::<Descriptor>(&text) {
            Ok(descriptor) => {
                if let Some(found) = fit(descriptor, architecture, secure_boot) {
                    return Ok(found);
                }
            }
            Err(error) => warn(&format!(
                "firmware descriptor {}: {error}; it is left out",
                path.display()
            )),
        }
    }
    Err(Error::NoFirmware {
        wanted: format!(
            "UEFI {} Secure Boot for {} on {}",
            if secure_boot { "with" } else { "without" },
            architecture.name(),
            architecture.machine()
        ),
        searched: folders
            .iter()
            .map(|folder| folder.display().to_string())
            .collect::<Vec<_>>()
            .join(", "),
        install: install_line(architecture).to_owned(),
    })
}

/// The line that installs a firmware.
pub(crate) fn install_line(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "sudo apt-get install ovmf",
        Architecture::Aarch64 => "sudo apt-get install qemu-efi-aarch64",
    }
}

/// The descriptor as a firmware, if it is what is wanted and can be used.
fn fit(descriptor: Descriptor, architecture: Architecture, secure_boot: bool) -> Option<Found> {
    let has = |feature: &str| descriptor.features.iter().any(|own| own == feature);
    let uefi = descriptor.interfaces.iter().any(|own| own == "uefi");
    let target = descriptor.targets.iter().any(|target| {
        target.architecture == architecture.name()
            && target
                .machines
                .iter()
                .any(|machine| matches_glob(machine, architecture.versioned_machine()))
    });
    // Enrolled keys are the vendor's: with them a store of our own could not be filled.
    if !uefi || !target || has("secure-boot") != secure_boot || has("enrolled-keys") {
        return None;
    }
    let needs_smm = has("requires-smm");
    let mapping = descriptor.mapping;
    let placement = match mapping.device.as_str() {
        "flash" => {
            let executable = mapping.executable?;
            let variables = match mapping.mode.as_deref() {
                None | Some("split") => {
                    let template = mapping.nvram_template?;
                    Some((template.filename, template.format))
                }
                Some("stateless") => None,
                _ => return None,
            };
            Placement::Flash {
                executable: executable.filename,
                format: executable.format,
                variables,
            }
        }
        "memory" => Placement::Memory(mapping.filename?),
        _ => return None,
    };
    let found = Found {
        description: descriptor.description,
        placement,
        needs_smm,
    };
    found.file().is_file().then_some(found)
}

/// Whether a name fits a pattern in which `*` stands for anything.
fn matches_glob(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else {
        return rest.is_empty();
    };
    for piece in middle {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(code: &Path, description: &str, features: &str) -> String {
        format!(
            r#"{{"description":"{description}","interface-types":["uefi"],"mapping":{{
            "device":"flash","executable":{{"filename":"{0}","format":"raw"}},
            "nvram-template":{{"filename":"{0}","format":"raw"}}}},
            "targets":[{{"architecture":"x86_64","machines":["pc-i440fx-*","pc-q35-*"]}}],
            "features":[{features}],"tags":[]}}"#,
            code.display()
        )
    }

    #[test]
    fn higher_folders_hide_lower_ones_and_the_first_name_wins() {
        let folder = tempfile::tempdir().unwrap();
        let (low, high) = (folder.path().join("low"), folder.path().join("high"));
        std::fs::create_dir(&low).unwrap();
        std::fs::create_dir(&high).unwrap();
        let code = folder.path().join("CODE.fd");
        std::fs::write(&code, "code").unwrap();
        std::fs::write(low.join("10-a.json"), "not JSON").unwrap();
        std::fs::write(
            low.join("20-b.json"),
            descriptor(&code, "secure", "\"secure-boot\""),
        )
        .unwrap();
        std::fs::write(low.join("30-c.json"), descriptor(&code, "plain", "")).unwrap();
        std::fs::write(
            low.join("40-d.json"),
            descriptor(&folder.path().join("missing"), "missing", ""),
        )
        .unwrap();
        let folders = [low, high.clone()];
        let mut warnings = Vec::new();
        let mut find = |secure_boot| {
            super::find(&folders, Architecture::X86_64, secure_boot, &mut |line| {
                warnings.push(line.to_owned());
            })
        };
        assert_eq!(find(false).unwrap().description, "plain");
        assert_eq!(find(true).unwrap().description, "secure");
        std::fs::write(high.join("30-c.json"), "").unwrap();
        let error = find(false).unwrap_err().to_string();
        assert!(error.contains("without Secure Boot") && error.contains("apt-get install ovmf"));
        assert!(warnings[0].contains("10-a.json"));
    }

    #[test]
    fn stars_stand_for_anything() {
        assert!(matches_glob("pc-q35-*", "pc-q35-10.0"));
        assert!(matches_glob("*", "virt-10.0"));
        assert!(matches_glob("virt-*.0", "virt-10.0"));
        assert!(matches_glob("virt", "virt"));
        assert!(!matches_glob("virt", "virt-10.0"));
        assert!(!matches_glob("pc-i440fx-*", "pc-q35-10.0"));
        assert!(!matches_glob("a*b*c", "acb"));
    }
}
