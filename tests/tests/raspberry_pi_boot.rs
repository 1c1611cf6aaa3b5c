//! Images for Raspberry Pis, started: the board's firmware is played on them, and what it chooses is
//! started under QEMU, on a Raspberry Pi 3 and on QEMU's own arm64 machine.
//!
//! The test is one: boots are what takes long, and two at once on two cores take longer still.

use fortress_progress::Silent;
use fortress_qemu::raspberry_pi::{
    Board, FirmwareOutcome, RaspberryPiReport, RaspberryPiTest, Refusal, Situation, Started,
    resolve, run,
};
use fortress_qemu::{Alteration, BootTest, Expectation, HealthReport, Machine, RebootBy, Verdict};
use fortress_tests::{Program, strangers_keys, target_folder, test_keys};
use fortress_trust::{KeySet, Role};
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A service that restarts the machine once, after the first health report, as an update would.
const RESTART_ONCE: &str = "\
[Unit]
Description=Restart This Machine Once
# multi-user.target is not to wait for it: the report comes after that.
DefaultDependencies=no
After=fortress-health.service
ConditionPathExists=!/var/lib/restarted

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'sleep 5; > /var/lib/restarted; sync /var/lib; exec systemctl --no-block reboot'

[Install]
WantedBy=multi-user.target
";

#[track_caller]
fn tool(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {output:?}"
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// An image that was built, and its manifest.
struct Image {
    path: PathBuf,
    manifest: Value,
}

impl Image {
    /// Builds an image for a Raspberry Pi 5 whose state needs no key, and that restarts once.
    fn build(folder: &Path, version: &str) -> Self {
        let unit = folder.join("overlays/restart/usr/lib/systemd/system/restart-once.service");
        fs::create_dir_all(unit.parent().unwrap()).unwrap();
        fs::write(unit, RESTART_ONCE).unwrap();
        let site = folder.join("site.toml");
        let text = "overlays = [\"restart\"]\nunits.enable = [\"restart-once.service\"]\n";
        fs::write(&site, text).unwrap();
        let lock = target_folder().join("test-locks/pi-pi5-debian-13.toml");
        let (version, output) = (format!("version={version}"), folder.join("output"));
        let paths = [&site, &lock, &output].map(|path| path.to_str().unwrap());
        let [site, lock, output] = paths;
        let arguments = [
            "image",
            "--board",
            "pi5",
            "--json",
            "--site",
            site,
            "--lock",
            lock,
            "--output",
            output,
            "--set",
            "var.encrypt=none",
            "--set",
            &version,
        ];
        let built: Value = serde_json::from_str(&Program::new(&arguments).run().success()).unwrap();
        let manifest = fs::read(built["manifest"].as_str().unwrap()).unwrap();
        Self {
            path: built["image"].as_str().unwrap().into(),
            manifest: serde_json::from_slice(&manifest).unwrap(),
        }
    }

    /// Number (from 1), offset and length of a partition.
    #[track_caller]
    fn partition(&self, purpose: &str, slot: &str) -> (usize, u64, u64) {
        let partitions = self.manifest["partitions"].as_array().unwrap();
        let fits = |own: &&Value| own["purpose"] == purpose && own["slot"] == slot;
        let at = partitions.iter().position(|own| fits(&own)).unwrap();
        let number = |name: &str| partitions[at][name].as_u64().unwrap();
        (at + 1, number("offset"), number("length"))
    }

    fn root_hash(&self) -> &str {
        self.manifest["root_hash"].as_str().unwrap()
    }

    /// The device tree that QEMU's Raspberry Pi 3 needs, by debugfs.
    fn device_tree(&self, folder: &Path) -> PathBuf {
        let to = folder.join("bcm2837-rpi-3-b.dtb");
        let device = format!(
            "{}?offset={}",
            self.path.display(),
            self.partition("root", "a").1
        );
        let kernel = self.manifest["kernel"].as_str().unwrap();
        let request = format!(
            "dump /usr/lib/modules/{kernel}/dtb/broadcom/bcm2837-rpi-3-b.dtb {}",
            to.display()
        );
        tool("debugfs", &["-R", &request, &device]);
        assert!(fs::metadata(&to).unwrap().len() > 1000);
        to
    }

    /// A copy of it, holes and all.
    fn copy(&self, to: &Path) -> Self {
        let paths = [&self.path, &to.to_path_buf()].map(|path| path.to_str().unwrap().to_owned());
        tool("cp", &["--sparse=always", &paths[0], &paths[1]]);
        Self {
            path: to.to_owned(),
            manifest: self.manifest.clone(),
        }
    }

    /// Slot A's boot partition, as mtools names it.
    fn boot(&self) -> String {
        format!("{}@@{}", self.path.display(), self.partition("boot", "a").1)
    }

    fn select(&self) -> String {
        let partitions = self.manifest["partitions"].as_array().unwrap();
        let select = partitions
            .iter()
            .find(|own| own["purpose"] == "boot-select");
        format!("{}@@{}", self.path.display(), select.unwrap()["offset"])
    }
}

fn situation(keys: &Path) -> Situation {
    let keys = KeySet::open(keys).unwrap();
    Situation {
        owner: Some(keys.public().rsa(Role::RaspberryPi).unwrap().clone()),
        ..Situation::new(Board::Pi5)
    }
}

fn started(image: &Image, situation: &Situation, folder: &Path) -> Result<Started, Refusal> {
    resolve(&image.path, situation, &folder.join("started"))
}

#[track_caller]
fn refused(image: &Image, situation: &Situation, folder: &Path, why: &str) {
    let said = started(image, situation, folder).unwrap_err().to_string();
    assert!(said.contains(why), "{said:?} is not about {why:?}");
}

/// Replaces a file of a FAT.
fn replace(volume: &str, name: &str, contents: &[u8], folder: &Path) {
    let file = folder.join("replacement");
    fs::write(&file, contents).unwrap();
    let to = format!("::{name}");
    tool("mcopy", &["-o", "-i", volume, file.to_str().unwrap(), &to]);
}

fn boot(
    image: &Image,
    work: &str,
    machines: &[Machine],
    change: impl FnOnce(&mut RaspberryPiTest),
) -> RaspberryPiReport {
    let folder = target_folder().join("boot-tests").join(work);
    fs::create_dir_all(&folder).unwrap();
    let mut common = BootTest::new(&image.path, &folder);
    common.timeout = Duration::from_secs(500);
    let mut test = RaspberryPiTest {
        common,
        situation: situation(test_keys()),
        device_tree: Some(image.device_tree(&folder)),
        machines: machines.to_vec(),
        reboot: None,
    };
    change(&mut test);
    run(&test, &Silent).unwrap()
}

fn health(report: &RaspberryPiReport, boot: usize) -> &HealthReport {
    let machine = report.machines.last().unwrap();
    machine.report.boots[boot].health.as_ref().unwrap()
}

/// What no board starts, and what it says of it.
fn refusals(image: &Image, folder: &Path) {
    let owner = situation(test_keys());
    let good = started(image, &owner, folder).unwrap();
    assert!(good.signed);
    let facts = &image.manifest["boot"]["boot_image_sha256"];
    assert_eq!(good.boot_image.as_deref(), facts.as_str());
    assert_eq!(
        Some(&*good.command_line),
        image.manifest["command_line"].as_str()
    );
    assert!(good.command_line.contains(image.root_hash()));
    // A board without the key starts the same, and so does one with the newer processor.
    let bought = Situation {
        newer_stepping: true,
        ..Situation::new(Board::Pi5)
    };
    let bought = started(image, &bought, folder).unwrap();
    assert_eq!(bought.boot_image, good.boot_image);
    assert_eq!(bought.overlays.len(), 1);

    let copy = image.copy(&folder.join("copy.img"));
    let boot_image = folder.join("boot.img");
    let outer = copy.boot();
    tool(
        "mcopy",
        &[
            "-n",
            "-i",
            &outer,
            "::boot.img",
            boot_image.to_str().unwrap(),
        ],
    );
    let original = fs::read(&boot_image).unwrap();

    let mut flipped = original.clone();
    flipped[original.len() / 2] ^= 1;
    replace(&outer, "boot.img", &flipped, folder);
    refused(&copy, &owner, folder, "is for another boot.img");

    // A file that config.txt names and that is not there; boards without a key get as far.
    fs::write(&boot_image, &original).unwrap();
    tool("mdel", &["-i", boot_image.to_str().unwrap(), "::initrd"]);
    replace(&outer, "boot.img", &fs::read(&boot_image).unwrap(), folder);
    let board = Situation::new(Board::Pi5);
    refused(
        &copy,
        &board,
        folder,
        "no file \"initrd\", which config.txt names",
    );
    replace(&outer, "config.txt", b"boot_ramdisk=1\nkernel\n", folder);
    refused(
        &copy,
        &board,
        folder,
        "line 2 of \"config.txt\" of partition 2",
    );
    tool("mdel", &["-i", &outer, "::config.txt"]);
    refused(
        &copy,
        &board,
        folder,
        "partition 2 has no file \"config.txt\"",
    );

    // The same boot.img by somebody else.
    replace(&outer, "boot.img", &original, folder);
    assert!(started(&copy, &owner, folder).unwrap().signed);
    let stranger = situation(strangers_keys().path());
    refused(
        &copy,
        &stranger,
        folder,
        "not the one in this board's EEPROM",
    );

    replace(
        &copy.select(),
        "autoboot.txt",
        b"[all]\nboot_partition=3\n",
        folder,
    );
    refused(&copy, &owner, folder, "partition 3: there is no FAT in it");

    // The program says so too, before it starts a machine.
    let manifest = image.path.with_extension("manifest.json");
    fs::copy(manifest, copy.path.with_extension("manifest.json")).unwrap();
    let ran = Program::new(&["test", copy.path.to_str().unwrap()]).run();
    assert_eq!(ran.code, 10, "{ran:?}");
    assert!(ran.output.contains("the board would not start"), "{ran:?}");
    // And names no machine that is another board.
    let ran = Program::new(&["test", copy.path.to_str().unwrap(), "--machine", "raspi4b"]).run();
    let said = ran.refusal(13);
    assert!(
        said.contains("cannot stand in for a Raspberry Pi 5\nhint: "),
        "{said}"
    );
}

/// Puts another image's slot A into this one's slot B, as an update will.
fn fill_slot_b(image: &Image, from: &Image) {
    let to = File::options().write(true).open(&image.path).unwrap();
    let source = File::open(&from.path).unwrap();
    let entries = from.manifest["partitions"].as_array().unwrap();
    for purpose in ["boot", "root", "root-verity"] {
        let (number, offset, room) = image.partition(purpose, "b");
        let (other, other_offset, length) = from.partition(purpose, "a");
        assert!(length <= room, "{purpose}: {length} bytes, room for {room}");
        let mut piece = vec![0; 1 << 20];
        for at in (0..length).step_by(piece.len()) {
            let count = piece.len().min((length - at) as usize);
            source
                .read_exact_at(&mut piece[..count], other_offset + at)
                .unwrap();
            to.write_all_at(&piece[..count], offset + at).unwrap();
        }
        let guid = entries[other - 1]["guid"].as_str().unwrap();
        let label = entries[other - 1]["label"].as_str().unwrap();
        tool(
            "sgdisk",
            &[
                &format!("--partition-guid={number}:{guid}"),
                &format!("--change-name={number}:{label}"),
                image.path.to_str().unwrap(),
            ],
        );
    }
}

#[test]
fn the_image_starts_as_a_board_would_start_it_and_not_when_it_was_changed() {
    let folder = tempfile::tempdir_in(target_folder()).unwrap();
    let folder = folder.path();
    let image = Image::build(folder, "0.1.0");
    refusals(&image, folder);

    // On the card of a Raspberry Pi 3, twice: the guest restarts the board by its watchdog.
    let report = boot(&image, "pi-card", &[Machine::RaspberryPi3], |test| {
        test.reboot = Some(RebootBy::Guest);
    });
    assert_eq!(report.verdict, Verdict::Passed, "{report}");
    assert!(
        report
            .to_string()
            .contains("no Raspberry Pi 5 was emulated")
    );
    assert!(matches!(&report.firmware, FirmwareOutcome::Started(started) if started.signed));
    let [first, second] = [0, 1].map(|boot| health(&report, boot));
    assert_eq!(first.machine_id, second.machine_id);
    assert_ne!(first.boot_id, second.boot_id);
    for health in [first, second] {
        assert!(health.root.verity && health.root.read_only);
        assert_eq!(health.root.root_hash, image.root_hash());
    }

    // A bit of its root, seen by the kernel there.
    let mut byte = [0];
    let offset = image.partition("root", "a").1 + 1024;
    let file = File::open(&image.path).unwrap();
    file.read_exact_at(&mut byte, offset).unwrap();
    let report = boot(&image, "pi-changed", &[Machine::RaspberryPi3], |test| {
        test.common.expectation = Expectation::Caught;
        test.common.alterations = vec![Alteration {
            offset,
            bytes: vec![byte[0] ^ 1],
        }];
    });
    assert_eq!(report.verdict, Verdict::Passed, "{report}");
    assert!(report.summary.contains("was caught"), "{report}");

    // The next version in slot B, tried once as the firmware does.
    let next = Image::build(&folder.join("next"), "0.2.0");
    assert_ne!(next.root_hash(), image.root_hash());
    let both = image.copy(&folder.join("both.img"));
    fill_slot_b(&both, &next);
    let report = boot(&both, "pi-slot-b", &[Machine::Usual], |test| {
        test.situation.tryboot = true;
    });
    assert_eq!(report.verdict, Verdict::Passed, "{report}");
    let health = health(&report, 0);
    assert_eq!(health.root.root_hash, next.root_hash());
    assert_eq!(health.image, "pi 0.2.0");
    let still = started(&both, &situation(test_keys()), folder).unwrap();
    assert_eq!(still.partition, 2);
    assert!(still.command_line.contains(image.root_hash()));
}
