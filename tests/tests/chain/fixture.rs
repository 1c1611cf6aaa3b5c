//! The owner's images, and the machine that was set up with one of them.

use fortress_progress::Silent;
use fortress_qemu::{BootTest, Firmware, RebootBy, Report, SecureBoot, Step, Tpm, Verdict, run};
use fortress_tests::{Program, ProjectCopy, target_folder};
use serde_json::Value;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// What a chain of trust needs, and little more.
const RECIPE: &str = r#"
description = "What a chain of trust needs, and little more"
version = "1"
base = "debian-13"
include = ["common"]
overlays = ["chain"]

[kernel]
flavour = "virtual"

[var]
encrypt = "tpm2"
"#;

/// A mark in the state, made by the first boot that sees it; and a file that nothing reads but
/// this check, after all else was started.
const CHECK: &str = r#"
marker=/var/lib/chain-marker
if [ ! -e "$marker" ]; then
    echo "made by boot $boot_id" > "$marker"
    sync "$marker" /var/lib
fi
read_line "$marker"
passed marker "$value"
read_line /usr/share/chain/late
passed late "${#value} characters"
"#;

/// The files that are read late, and never.
pub(crate) const LATE: &str = "/usr/share/chain/late";
pub(crate) const NEVER: &str = "/usr/share/chain/never";

/// An image that was built.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) image: PathBuf,
    pub(crate) manifest: Value,
}

impl Built {
    /// Where a partition of slot A lies, by the start of its type's name here.
    pub(crate) fn partition(&self, number: usize) -> (u64, u64) {
        let partition = &self.manifest["partitions"][number];
        let number = |name: &str| partition[name].as_u64().unwrap();
        (number("offset"), number("length"))
    }

    pub(crate) fn guid(&self, number: usize) -> &str {
        self.manifest["partitions"][number]["guid"]
            .as_str()
            .unwrap()
    }

    pub(crate) fn command_line(&self) -> String {
        self.manifest["command_line"].as_str().unwrap().to_owned()
    }
}

/// The partitions, by their place in the table.
pub(crate) const ESP: usize = 0;
pub(crate) const ROOT: usize = 1;
pub(crate) const VERITY: usize = 2;
pub(crate) const SIGNATURE: usize = 3;
/// How many partitions a slot has: those of slot B follow those of slot A.
pub(crate) const SLOT: usize = 3;

/// The machine, set up.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) built: Built,
    /// What the tests' folders lie in.
    folder: PathBuf,
    project: ProjectCopy,
    /// Its disk, variables and TPM, as the first two boots left them.
    pub(crate) kept: PathBuf,
    /// The disk as it is, for tools that read and write disks.
    pub(crate) disk: PathBuf,
    pub(crate) report: Report,
}

/// The machine on which every test is based.
pub(crate) fn machine() -> &'static Machine {
    static MACHINE: OnceLock<Machine> = OnceLock::new();
    MACHINE.get_or_init(Machine::set_up)
}

impl Machine {
    fn set_up() -> Self {
        let folder = target_folder().join("chain-tests");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let project = ProjectCopy::new();
        // Of a text that one can see in hexadecimal, and larger than a block.
        let text = "nobody has changed this ".repeat(400) + "\n";
        project
            .write("recipes/chain.toml", RECIPE)
            .write("overlays/chain/usr/lib/fortress/health.d/90-chain", CHECK)
            .write(&format!("overlays/chain{LATE}"), &text)
            .write(&format!("overlays/chain{NEVER}"), &text);
        let built = build(&project, &folder, "1", &[], None);
        let kept = folder.join("machine");
        let mut test = new_machine(&built, &kept);
        test.plan.push(Step::Reboot(RebootBy::Reset));
        test.keep = true;
        let report = run(&test, &Silent).unwrap();
        assert_eq!(report.verdict, Verdict::Passed, "{report}");
        assert_eq!(report.secure_boot, SecureBoot::Enrolled, "{report}");
        let disk = folder.join("machine.img");
        let converted = Command::new("qemu-img")
            .args(["convert", "-q", "-O", "raw"])
            .args([&kept.join("disk.qcow2"), &disk])
            .status()
            .unwrap();
        assert!(converted.success());
        Self {
            built,
            folder,
            project,
            kept,
            disk,
            report,
        }
    }

    /// A test that goes on where this machine was left.
    pub(crate) fn next(&self, name: &str) -> BootTest {
        let mut test = BootTest::new(&self.disk, self.folder.join(name));
        test.firmware = Firmware::Uefi { secure_boot: true };
        test.tpm = Some(Tpm::default());
        let mut test = test.continuing(&self.kept);
        test.image = self.disk.clone();
        test.timeout = Duration::from_secs(400);
        test
    }

    /// The same, with a disk that somebody has laid hands on.
    pub(crate) fn attacked(&self, name: &str, attack: impl FnOnce(&Path)) -> BootTest {
        let mut test = self.next(name);
        test.image = self.folder.join(format!("{name}.img"));
        let copied = Command::new("cp")
            .args(["--sparse=always", "--reflink=auto"])
            .args([&self.disk, &test.image])
            .status()
            .unwrap();
        assert!(copied.success());
        attack(&test.image);
        test
    }

    /// Builds another version, or the same one, by these keys.
    pub(crate) fn build(&self, version: &str, keys: Option<&Path>) -> Built {
        let name = format!(
            "version-{version}{}",
            if keys.is_some() { "-other" } else { "" }
        );
        build(&self.project, &self.folder.join(name), version, &[], keys)
    }

    /// Builds this version with other settings of its recipe.
    pub(crate) fn build_with(&self, name: &str, settings: &[&str]) -> Built {
        build(&self.project, &self.folder.join(name), "1", settings, None)
    }

    /// A test that boots an image in another machine, which is new.
    pub(crate) fn other(&self, name: &str, built: &Built) -> BootTest {
        new_machine(built, &self.folder.join(name))
    }

    /// A folder for what a test makes.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        let folder = self.folder.join(format!("{name}.scratch"));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// The recovery key, from the console of the first boot.
    pub(crate) fn recovery_key(&self) -> String {
        let log = std::fs::read_to_string(&self.report.serial_log).unwrap();
        // Eight groups of eight letters (modhex), each line with its time before it.
        log.lines()
            .filter_map(|line| line.split_whitespace().last())
            .find(|word| {
                let groups: Vec<&str> = word.split('-').collect();
                groups.len() == 8 && groups.iter().all(|group| group.len() == 8)
            })
            .unwrap()
            .to_owned()
    }

    /// What a health check of a boot told.
    pub(crate) fn marker(report: &Report, boot: usize) -> String {
        let health = report.boots[boot].health.as_ref().unwrap();
        let check = health.checks.iter().find(|check| check.name == "marker");
        check.unwrap().detail.clone()
    }
}

/// A machine with Secure Boot and a TPM that nothing was started in before.
fn new_machine(built: &Built, work: &Path) -> BootTest {
    let mut test = BootTest::new(&built.image, work);
    test.firmware = Firmware::Uefi { secure_boot: true };
    test.tpm = Some(Tpm::default());
    test.extra_space = 640 << 20;
    test.timeout = Duration::from_secs(400);
    test.command_line = Some(built.command_line());
    test
}

fn build(
    project: &ProjectCopy,
    output: &Path,
    version: &str,
    settings: &[&str],
    keys: Option<&Path>,
) -> Built {
    let lock = target_folder().join("test-locks/chain-x86-debian-13.toml");
    let version = format!("version={version}");
    let words = ["image", "--board", "x86", "--recipe", "chain", "--json"];
    let mut arguments = words.map(OsString::from).to_vec();
    for setting in std::iter::once(&*version).chain(settings.iter().copied()) {
        arguments.extend(["--set", setting].map(OsString::from));
    }
    for (option, path) in [
        ("--project", project.path()),
        ("--lock", &lock),
        ("--output", output),
    ] {
        arguments.extend([option.into(), path.as_os_str().to_owned()]);
    }
    let mut program = Program::new(&arguments);
    if let Some(keys) = keys {
        program = program.variable("FORTRESS_KEYS", keys);
    }
    let result: Value = serde_json::from_str(&program.run().success()).unwrap();
    let manifest = std::fs::read(result["manifest"].as_str().unwrap()).unwrap();
    Built {
        image: result["image"].as_str().unwrap().into(),
        manifest: serde_json::from_slice(&manifest).unwrap(),
    }
}
