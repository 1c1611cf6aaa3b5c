//! The same packages installed by mmdebstrap, scripts and all.

use fortress_archive::Lock;
use fortress_package::Archive;
use fortress_store::Digest;
use fortress_tests::target_folder;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// As mmdebstrap must find it in the archive to see which packages are essential.
const SUITE: &str = "trixie";

/// Takes away what mmdebstrap has from this machine, which differs from machine to machine.
const FORGET_MACHINE: &str = r#"cd "$1/etc" && rm -f hostname .resolv.conf.systemd-resolved.bak"#;

/// A root in which the packages of a lock are installed.
pub(crate) struct Installed(PathBuf);

impl Installed {
    /// Made once for the packages of a lock, and kept below the target folder.
    pub(crate) fn open(name: &str, lock: &Lock, archives: &[Archive]) -> Self {
        let folder = target_folder().join("scripts-ran");
        let root = folder.join(name);
        let mark = folder.join(format!("{name}.complete"));
        fs::create_dir_all(&folder).unwrap();
        let packages = lock.packages.iter();
        let wanted: String = packages
            .map(|package| format!("{} {}\n", package.sha256, package.name))
            .collect();
        if fs::read_to_string(&mark).is_ok_and(|found| found == wanted) {
            return Self(root);
        }
        let _ = fs::remove_file(&mark);
        if root.exists() {
            fs::remove_dir_all(&root).unwrap();
        }
        let packages = tempfile::tempdir_in(&folder).unwrap();
        offer(packages.path(), lock, archives);
        install(&root, packages.path(), lock);
        assert_eq!(names(lock), found(&root), "what mmdebstrap installed");
        fs::write(mark, wanted).unwrap();
        Self(root)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.0
    }
}

/// Makes an archive of the packages, for apt to install from.
fn offer(folder: &Path, lock: &Lock, archives: &[Archive]) {
    use std::os::unix::fs::PermissionsExt;
    // apt reads as a user of its own.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    let mut index = String::new();
    for (package, archive) in lock.packages.iter().zip(archives) {
        let file = format!("{}.deb", package.sha256);
        let copy = folder.join(&file);
        fs::copy(&archive.path, &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).unwrap();
        let control = Command::new("dpkg-deb")
            .arg("--field")
            .arg(&copy)
            .output()
            .unwrap();
        assert!(control.status.success(), "{}: {control:?}", archive.name);
        index.push_str(std::str::from_utf8(&control.stdout).unwrap());
        let (size, sha256) = (package.size, package.sha256);
        writeln!(
            index,
            "Filename: ./{file}\nSize: {size}\nSHA256: {sha256}\n"
        )
        .unwrap();
    }
    let (sha256, size) = (Digest::of(index.as_bytes()), index.len());
    let release =
        format!("Suite: {SUITE}\nCodename: {SUITE}\nSHA256:\n {sha256} {size} Packages\n");
    fs::write(folder.join("Packages"), index).unwrap();
    fs::write(folder.join("Release"), release).unwrap();
}

fn install(root: &Path, packages: &Path, lock: &Lock) {
    let include: Vec<String> = lock
        .packages
        .iter()
        .map(|package| format!("{}={}", package.name, package.version))
        .collect();
    let ran = Command::new("mmdebstrap")
        .args(["--mode=root", "--format=directory", "--variant=essential"])
        .arg(format!("--architectures={}", lock.architecture))
        .arg(format!("--include={}", include.join(",")))
        .arg(format!("--customize-hook={FORGET_MACHINE}"))
        .arg(SUITE)
        .arg(root)
        .arg(format!(
            "deb [trusted=yes] copy://{} ./",
            packages.display()
        ))
        .output();
    match ran {
        Ok(output) if output.status.success() => {}
        other => panic!("mmdebstrap (which needs root) cannot install the packages: {other:?}"),
    }
}

fn names(lock: &Lock) -> BTreeSet<String> {
    let packages = lock.packages.iter();
    packages
        .map(|package| format!("{} {}", package.name, package.version))
        .collect()
}

fn found(root: &Path) -> BTreeSet<String> {
    let status = fs::read_to_string(root.join("var/lib/dpkg/status")).unwrap();
    let field = |stanza: &str, name: &str| {
        let mut lines = stanza.lines();
        lines.find_map(|line| line.strip_prefix(name).map(|value| value.trim().to_owned()))
    };
    let stanzas = status
        .split("\n\n")
        .filter(|stanza| !stanza.trim().is_empty());
    stanzas
        .map(|stanza| {
            let value = |name| field(stanza, name).unwrap_or_default();
            assert_eq!(value("Status:"), "install ok installed", "{stanza}");
            format!("{} {}", value("Package:"), value("Version:"))
        })
        .collect()
}
