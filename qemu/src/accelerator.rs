//! Whether KVM truly works here.
//!
//! `/dev/kvm` may be there and yet unable to run a stock kernel: nested in another hypervisor it
//! may refuse a register or not know an instruction, and the emulator aborts or stops with an
//! internal error. There is no way to tell but to try, so the first test tries, and what it met
//! is remembered until this machine's kernel restarts.

use crate::error::{Error, Result};
use crate::machine::{Acceleration, Architecture};
use crate::report::Accelerator;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What a test is to be tried with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    /// KVM; if it breaks, emulation, unless KVM alone was asked for.
    Kvm,
    /// Emulation, and why.
    Emulation(String),
}

/// What was met when KVM was last tried.
#[derive(Debug, Serialize, Deserialize)]
struct Verdict {
    boot_id: String,
    emulator: String,
    broken: String,
}

/// Chooses by what is asked, what this machine has, and what is remembered.
pub(crate) fn choose(
    asked: Acceleration,
    architecture: Architecture,
    emulator: &str,
    memory: Option<&Path>,
) -> Result<Choice> {
    let obstacle = obstacle(architecture).or_else(|| remembered(memory?, emulator));
    match (asked, obstacle) {
        (Acceleration::Emulation, _) => Ok(Choice::Emulation("emulation was asked for".to_owned())),
        (Acceleration::Kvm, Some(why)) => Err(Error::NoKvm { why }),
        (Acceleration::Automatic, Some(why)) => Ok(Choice::Emulation(why)),
        (_, None) => Ok(Choice::Kvm),
    }
}

/// Why KVM cannot even be tried.
pub(crate) fn obstacle(architecture: Architecture) -> Option<String> {
    if architecture.name() != std::env::consts::ARCH {
        return Some(format!(
            "this machine is {}, the image is for {}",
            std::env::consts::ARCH,
            architecture.name()
        ));
    }
    std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .err()
        .map(|error| format!("/dev/kvm cannot be opened: {error}"))
}

/// Where the verdict is remembered: a file in the user's cache folder.
pub(crate) fn memory() -> Option<PathBuf> {
    let folder = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))?;
    Some(folder.join("fortress/kvm.json"))
}

fn boot_id() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}

/// Why KVM is known not to work since this machine's kernel started, with this emulator.
pub(crate) fn remembered(memory: &Path, emulator: &str) -> Option<String> {
    let verdict: Verdict = serde_json::from_slice(&std::fs::read(memory).ok()?).ok()?;
    (verdict.boot_id == boot_id()? && verdict.emulator == emulator).then(|| {
        format!(
            "KVM did not work when it was last tried: {}",
            verdict.broken
        )
    })
}

/// Remembers that KVM does not work. It is a convenience, so failing to write it is no error.
pub(crate) fn remember(memory: &Path, emulator: &str, broken: &str) {
    let (Some(boot_id), Some(folder)) = (boot_id(), memory.parent()) else {
        return;
    };
    let verdict = Verdict {
        boot_id,
        emulator: emulator.to_owned(),
        broken: broken.to_owned(),
    };
    let Ok(text) = serde_json::to_vec(&verdict) else {
        return;
    };
    if std::fs::create_dir_all(folder).is_err() {
        return;
    }
    if let Ok(mut file) = tempfile::NamedTempFile::new_in(folder) {
        use std::io::Write;
        if file.write_all(&text).is_ok() {
            let _ = file.persist(memory);
        }
    }
}

/// The report's words.
pub(crate) fn tell(choice: &Choice) -> Accelerator {
    match choice {
        Choice::Kvm => Accelerator {
            name: "kvm".to_owned(),
            why: "this machine's KVM runs it".to_owned(),
        },
        Choice::Emulation(why) => Accelerator {
            name: "tcg".to_owned(),
            why: why.clone(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_holds_for_this_boot_and_this_emulator() {
        let folder = tempfile::tempdir().unwrap();
        let memory = folder.path().join("cache/kvm.json");
        remember(&memory, "QEMU 10", "internal error");
        assert!(
            remembered(&memory, "QEMU 10")
                .unwrap()
                .ends_with("internal error")
        );
        assert_eq!(remembered(&memory, "QEMU 11"), None);
        let text = std::fs::read_to_string(&memory).unwrap();
        let other = text.replace(&boot_id().unwrap(), "another boot");
        std::fs::write(&memory, other).unwrap();
        assert_eq!(remembered(&memory, "QEMU 10"), None);
    }

    #[test]
    fn a_foreign_architecture_is_emulated() {
        let foreign = match std::env::consts::ARCH {
            "aarch64" => Architecture::X86_64,
            _ => Architecture::Aarch64,
        };
        let choice = choose(Acceleration::Automatic, foreign, "QEMU", None).unwrap();
        assert!(matches!(choice, Choice::Emulation(why) if why.contains("the image is for")));
        assert!(choose(Acceleration::Kvm, foreign, "QEMU", None).is_err());
    }
}
