//! What this machine lacks for a boot test.

use crate::accelerator;
use crate::bench;
use crate::firmware;
use crate::machine::Architecture;
use crate::program;
use crate::tpm;
use serde::Serialize;

/// What is to be looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoctorOptions {
    /// The architectures that are to be tested.
    pub architectures: Vec<Architecture>,
}

/// One thing that a boot test needs or is better with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Need {
    /// What it is.
    pub what: String,
    /// Whether it is there and usable.
    pub present: bool,
    /// Whether tests run without it, if only slower.
    pub optional: bool,
    /// Where it is and which version, or what is wrong with it.
    pub detail: String,
    /// The line that installs it or puts it right, when it is not there.
    pub install: Option<String>,
}

/// Says what this machine has and lacks for a boot test. Nothing is changed, and no machine is
/// started.
pub fn doctor(options: &DoctorOptions) -> Vec<Need> {
    let mut needs = Vec::new();
    for &architecture in &options.architectures {
        let install = bench::install_line(architecture);
        needs.push(program_need(architecture.emulator(), install, false));
        for (secure_boot, kind) in [(false, "UEFI firmware"), (true, "Secure Boot firmware")] {
            let found =
                firmware::find(&firmware::folders(), architecture, secure_boot, &mut |_| {});
            needs.push(Need {
                what: format!("{kind} for {}", architecture.name()),
                present: found.is_ok(),
                // Images for arm64 are for Raspberry Pis, which start without UEFI.
                optional: secure_boot || architecture == Architecture::Aarch64,
                detail: match &found {
                    Ok(found) => found.file().display().to_string(),
                    Err(error) => error
                        .to_string()
                        .lines()
                        .next()
                        .unwrap_or_default()
                        .to_owned(),
                },
                install: found
                    .is_err()
                    .then(|| firmware::install_line(architecture).to_owned()),
            });
        }
        needs.push(kvm(architecture));
    }
    for name in ["qemu-img", "qemu-io"] {
        needs.push(program_need(name, "sudo apt-get install qemu-utils", false));
    }
    let mut swtpm = program_need("swtpm", tpm::INSTALL, true);
    if !swtpm.present {
        swtpm.detail = "not in PATH: machines are tested without a TPM".to_owned();
    }
    needs.push(swtpm);
    needs.push(program_need(
        "setpriv",
        "sudo apt-get install util-linux",
        true,
    ));
    needs
}

/// Whether tests can have firmware with Secure Boot here, in setup mode.
///
/// # Errors
/// The line that installs one, when there is none.
pub fn has_secure_boot(architecture: Architecture) -> std::result::Result<(), &'static str> {
    firmware::find(&firmware::folders(), architecture, true, &mut |_| {})
        .map(drop)
        .map_err(|_| firmware::install_line(architecture))
}

/// Whether tests can have a TPM here.
///
/// # Errors
/// The line that installs what plays one, when it is missing.
pub fn has_tpm() -> std::result::Result<(), &'static str> {
    program::find("swtpm").map(drop).ok_or(tpm::INSTALL)
}

fn program_need(name: &str, install: &str, optional: bool) -> Need {
    let found = program::find(name);
    Need {
        what: name.to_owned(),
        present: found.is_some(),
        optional,
        detail: match &found {
            Some(path) => match program::version(path) {
                Some(version) => format!("{} ({version})", path.display()),
                None => path.display().to_string(),
            },
            None => "not in PATH".to_owned(),
        },
        install: found.is_none().then(|| install.to_owned()),
    }
}

fn kvm(architecture: Architecture) -> Need {
    let emulator = program::find(architecture.emulator())
        .and_then(|path| program::version(&path))
        .unwrap_or_default();
    let obstacle = accelerator::obstacle(architecture);
    let closed = obstacle.is_some() && std::path::Path::new("/dev/kvm").exists();
    let native = architecture.name() == std::env::consts::ARCH;
    let broken = accelerator::memory().and_then(|own| accelerator::remembered(&own, &emulator));
    let wrong = obstacle.or(broken);
    Need {
        what: format!("KVM for {}", architecture.name()),
        present: wrong.is_none(),
        optional: true,
        install: (closed && native)
            .then(|| "sudo usermod -aG kvm \"$USER\", then log in anew".to_owned()),
        detail: wrong
            .unwrap_or_else(|| "/dev/kvm can be opened; the first test tries it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lack_says_what_to_do() {
        let needs = doctor(&DoctorOptions {
            architectures: vec![Architecture::X86_64, Architecture::Aarch64],
        });
        assert!(needs.iter().any(|need| need.what == "qemu-img"));
        for need in needs.iter().filter(|need| !need.present && !need.optional) {
            let line = need.install.as_deref().unwrap();
            assert!(line.starts_with("sudo apt-get install "), "{need:?}");
        }
    }
}
