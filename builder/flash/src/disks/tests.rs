//! Machines whose `/sys` and `/proc` are folders.

use super::*;
use crate::{Consent, LARGE, Refusal};
use std::os::unix::fs::symlink;

const GB: u64 = 1_000_000_000;

/// A machine that is put together disk by disk.
struct Machine {
    folder: tempfile::TempDir,
    mounts: String,
    swaps: String,
    minor: u32,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["sys/block", "sys/devices", "proc/self"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        Self {
            folder,
            mounts: String::new(),
            swaps: "Filename Type Size Used Priority\n".into(),
            minor: 0,
        }
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{text}\n")).unwrap();
    }

    /// Adds a disk at a place among the devices; gives its number.
    fn disk(&mut self, at: &str, size: u64, removable: bool) -> String {
        let name = at.rsplit('/').next().unwrap();
        let path = format!("sys/devices/{at}");
        self.minor += 16;
        let number = format!("8:{}", self.minor);
        for (file, text) in [
            ("dev", number.as_str()),
            ("size", &(size / 512).to_string()),
            ("removable", if removable { "1" } else { "0" }),
            ("ro", "0"),
            ("queue/logical_block_size", "512"),
        ] {
            self.write(&format!("{path}/{file}"), text);
        }
        for folder in ["holders", "slaves"] {
            fs::create_dir_all(self.folder.path().join(&path).join(folder)).unwrap();
        }
        let link = self.folder.path().join("sys/block").join(name);
        symlink(format!("../devices/{at}"), link).unwrap();
        number
    }

    /// Adds a partition to a disk; gives its number.
    fn part(&mut self, disk: &str, name: &str) -> String {
        self.minor += 1;
        let number = format!("8:{}", self.minor);
        self.write(&format!("sys/block/{disk}/{name}/dev"), &number);
        self.write(&format!("sys/block/{disk}/{name}/partition"), "1");
        let holders = format!("sys/block/{disk}/{name}/holders");
        fs::create_dir_all(self.folder.path().join(holders)).unwrap();
        number
    }

    /// Puts a device on another one.
    fn stack(&self, upper: &str, lower: &str) {
        let path = self.folder.path();
        let slaves = path.join("sys/block").join(upper).join("slaves");
        symlink("../..", slaves.join(lower.rsplit('/').next().unwrap())).unwrap();
        let holders = path.join("sys/block").join(lower).join("holders");
        symlink("../..", holders.join(upper)).unwrap();
    }

    fn mount(&mut self, number: &str, point: &str, source: &str) {
        self.mounts
            .push_str(&format!("36 35 {number} / {point} rw - ext4 {source} rw\n"));
    }

    fn disks(&self) -> Vec<Disk> {
        self.write("proc/self/mountinfo", &self.mounts);
        self.write("proc/swaps", &self.swaps);
        System::at(self.folder.path()).disks().unwrap()
    }

    fn named(&self, name: &str) -> Disk {
        let mut disks = self.disks().into_iter();
        disks.find(|disk| disk.name == name).unwrap()
    }
}

const STICK: &str = "pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/host2/target2:0:0/2:0:0:0/block/sdb";
const SSD: &str = "pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda";

fn forced(name: &str) -> Consent {
    Consent {
        name: Some(name.into()),
        unmount: false,
    }
}

fn system(part: &str) -> Use {
    Use::System { part: part.into() }
}

#[test]
fn disks_are_told_by_size_model_and_bus() {
    let mut machine = Machine::new();
    machine.disk(STICK, 32 * GB, true);
    machine.write("sys/block/sdb/device/vendor", "SanDisk ");
    machine.write("sys/block/sdb/device/model", "Ultra Fit       ");
    machine.disk(SSD, 500 * GB, false);
    machine.write("sys/block/sda/device/vendor", "ATA     ");
    machine.write("sys/block/sda/device/model", "Samsung SSD 870");
    let card = "platform/soc/fe340000.mmc/mmc_host/mmc0/mmc0:aaaa/block/mmcblk0";
    machine.disk(card, 64 * GB, false);
    machine.write("sys/block/mmcblk0/device/name", "SC64G");
    machine.write("sys/block/mmcblk0/device/type", "SD");
    machine.disk(
        "platform/soc/mmc_host/mmc1/mmc1:1/block/mmcblk1",
        32 * GB,
        false,
    );
    machine.write("sys/block/mmcblk1/device/type", "MMC");
    machine.disk(
        "pci0000:00/0000:01:00.0/nvme/nvme0/nvme0n1",
        1000 * GB,
        false,
    );
    machine.disk("pci0000:00/virtio1/block/vda", 10 * GB, false);
    machine.disk("virtual/block/loop0", GB, false);
    machine.disk("virtual/block/zram0", GB, false);
    let disks = machine.disks();
    let seen: Vec<(&str, Bus, bool)> = disks
        .iter()
        .map(|disk| (disk.name.as_str(), disk.bus, disk.removable))
        .collect();
    assert_eq!(
        seen,
        [
            ("loop0", Bus::Loop, false),
            ("mmcblk0", Bus::Mmc, true),
            ("mmcblk1", Bus::Mmc, false),
            ("nvme0n1", Bus::Nvme, false),
            ("sda", Bus::Ata, false),
            ("sdb", Bus::Usb, true),
            ("vda", Bus::Virtio, false),
            ("zram0", Bus::Other, false),
        ]
    );
    let stick = machine.named("sdb");
    assert_eq!(stick.model, "SanDisk Ultra Fit");
    assert_eq!(stick.size, 32 * GB);
    assert_eq!(machine.named("sda").model, "Samsung SSD 870");
    assert_eq!(machine.named("mmcblk0").model, "SC64G");
}

#[test]
fn a_small_stick_needs_no_name_and_others_do() {
    let mut machine = Machine::new();
    machine.disk(STICK, 32 * GB, true);
    machine.disk(SSD, 100 * GB, false);
    let stick = machine.named("sdb");
    assert_eq!(stick.refusal(GB, &Consent::default()), None);
    let needs = |disk: &Disk, consent: &Consent| {
        matches!(disk.refusal(GB, consent), Some(Refusal::NeedsName { .. }))
    };
    let ssd = machine.named("sda");
    assert!(needs(&ssd, &Consent::default()));
    assert!(needs(&ssd, &forced("sdb")), "the name of another disk");
    for name in ["sda", "/dev/sda"] {
        assert_eq!(ssd.refusal(GB, &forced(name)), None);
    }
    let sized = |size| Disk {
        size,
        ..stick.clone()
    };
    assert!(!needs(&sized(LARGE), &Consent::default()));
    assert!(needs(&sized(LARGE + 512), &Consent::default()));
    assert!(!needs(&sized(LARGE + 512), &forced("sdb")));
}

#[test]
fn a_name_helps_against_nothing_else() {
    let mut machine = Machine::new();
    machine.disk(STICK, 32 * GB, true);
    let stick = machine.named("sdb");
    let refusal = |disk: Disk| disk.refusal(GB, &forced("sdb"));
    let changed = |change: fn(&mut Disk)| {
        let mut disk = stick.clone();
        change(&mut disk);
        refusal(disk)
    };
    assert_eq!(changed(|_| ()), None);
    assert_eq!(
        changed(|disk| disk.read_only = true),
        Some(Refusal::ReadOnly)
    );
    assert_eq!(changed(|disk| disk.size = 0), Some(Refusal::Empty));
    let (size, needed) = (GB - 512, GB);
    assert_eq!(
        changed(|disk| disk.size = GB - 512),
        Some(Refusal::TooSmall { size, needed })
    );
    assert_eq!(
        changed(|disk| disk.sector = 4096),
        Some(Refusal::Sectors { size: 4096 })
    );
}

#[test]
fn the_running_system_is_found_below_everything_that_it_stands_on() {
    let mut machine = Machine::new();
    machine.disk(SSD, 500 * GB, false);
    machine.part("sda", "sda1");
    machine.part("sda", "sda2");
    let root = machine.disk("virtual/block/dm-1", 100 * GB, false);
    machine.disk("virtual/block/dm-0", 400 * GB, false);
    machine.write("sys/block/dm-0/dm/name", "luks-disk");
    machine.write("sys/block/dm-1/dm/name", "vg-root");
    machine.stack("dm-1", "dm-0");
    machine.stack("dm-0", "sda/sda2");
    machine.mount(&root, "/", "/dev/mapper/vg-root");
    for name in ["sda", "dm-0", "dm-1"] {
        let disk = machine.named(name);
        assert!(disk.uses.contains(&system("/")), "{disk:?}");
        let consent = Consent {
            name: Some(name.into()),
            unmount: true,
        };
        let refusal = disk.refusal(GB, &consent);
        assert!(matches!(refusal, Some(Refusal::System { .. })), "{name}");
    }
    let held = Use::Held {
        by: "dm-0 (luks-disk)".into(),
    };
    assert!(machine.named("sda").uses.contains(&held));
}

#[test]
fn the_running_system_is_found_by_the_source_where_the_number_is_none() {
    // btrfs, and the image of a live system on a stick.
    let mut machine = Machine::new();
    machine.disk(SSD, 500 * GB, false);
    machine.part("sda", "sda1");
    machine.mount("0:31", "/", "/dev/sda1");
    machine.disk(STICK, 32 * GB, true);
    let stick = machine.part("sdb", "sdb1");
    machine.mount(&stick, "/run/live/medium", "/dev/sdb1");
    let image = machine.disk("virtual/block/loop0", GB, false);
    machine.write(
        "sys/block/loop0/loop/backing_file",
        "/run/live/medium/root.squashfs",
    );
    machine.mount(&image, "/usr", "/dev/loop0");
    assert_eq!(machine.named("sda").uses, [system("/")]);
    let stick = machine.named("sdb");
    assert!(stick.uses.contains(&system("/usr")), "{stick:?}");
    machine
        .swaps
        .push_str("/dev/sdb1 partition 1 0 -2\n/swapfile file 1 0 -2\n");
    assert!(machine.named("sdb").uses.contains(&system("swap")));
}

#[test]
fn what_is_mounted_is_unmounted_only_if_asked() {
    let mut machine = Machine::new();
    machine.disk(STICK, 32 * GB, true);
    let first = machine.part("sdb", "sdb1");
    let second = machine.part("sdb", "sdb2");
    machine.mount(&first, "/media/me/my\\040stick", "/dev/sdb1");
    machine.mount(&second, "/media/me/my\\040stick/inner", "/dev/sdb2");
    let stick = machine.named("sdb");
    let points: Vec<PathBuf> = ["/media/me/my stick/inner", "/media/me/my stick"]
        .map(PathBuf::from)
        .to_vec();
    let refusal = stick.refusal(GB, &forced("sdb"));
    let mounted = Refusal::Mounted {
        points: points.clone(),
    };
    assert_eq!(refusal, Some(mounted));
    assert_eq!(stick.mount_points(), points, "the inner one first");
    let unmount = Consent {
        name: None,
        unmount: true,
    };
    assert_eq!(stick.refusal(GB, &unmount), None);
    // What stands on it is not unmounted away.
    machine.disk("virtual/block/dm-0", GB, false);
    machine.stack("dm-0", "sdb/sdb1");
    let held = machine.named("sdb").refusal(GB, &unmount);
    assert_eq!(held, Some(Refusal::Held { by: "dm-0".into() }));
}

#[test]
fn a_machine_that_tells_nothing_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let error = System::at(folder.path()).disks().unwrap_err();
    assert!(error.to_string().contains("sys/block"), "{error}");
}
