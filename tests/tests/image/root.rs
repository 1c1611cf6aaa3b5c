//! The root file system: sound, verified, with every package whole, and nothing drawn at random.

use crate::fixture::{image, locked};
use fortress_tests::{names, project_folder, tool};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

#[test]
fn the_root_is_sound_and_verified() {
    let image = image();
    let (root, verity) = (image.path("root"), image.path("verity"));
    let (root, verity) = (root.to_str().unwrap(), verity.to_str().unwrap());
    tool("e2fsck", &["-fn", root]);
    let superblock = tool("dumpe2fs", &["-h", root]);
    for line in [
        "Block size:               4096",
        "Filesystem state:         clean",
        "Filesystem volume name:   root",
    ] {
        assert!(superblock.contains(line), "{line}: {superblock}");
    }
    let root_hash = image.text("root_hash");
    tool("veritysetup", &["verify", root, verity, root_hash]);
    // That tool does say no.
    let changed = image.path("changed");
    fs::copy(root, &changed).unwrap();
    let file = File::options()
        .read(true)
        .write(true)
        .open(&changed)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 1024).unwrap();
    file.write_all_at(&[!byte[0]], 1024).unwrap();
    let refused = Command::new("veritysetup")
        .args(["verify", changed.to_str().unwrap(), verity, root_hash])
        .output()
        .unwrap();
    fs::remove_file(changed).unwrap();
    assert!(!refused.status.success());
}

#[test]
fn dpkg_sees_the_locked_packages_whole() {
    let image = image();
    let packages = image.manifest["packages"].as_array().unwrap();
    let mut named: Vec<String> = packages
        .iter()
        .map(|package| {
            let keys = ["name", "version", "architecture"];
            keys.map(|key| package[key].as_str().unwrap()).join(" ")
        })
        .collect();
    named.sort();
    assert_eq!(named, locked());

    // /var is made at boot, by this tool.
    let tree = image.inside("tree");
    let root = format!("--root={tree}");
    let made = ["systemd-tmpfiles", &root, "--create"];
    image.oracle.run_with_proc(&made).success();
    let listed = image.oracle.run(&["dpkg", &root, "-l", "*"]).success();
    let listed = listed.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let name = words.get(1)?.split(':').next()?;
        (words[0] == "ii").then(|| [name, words[2], words[3]].join(" "))
    });
    let mut listed: Vec<String> = listed.collect();
    listed.sort();
    assert_eq!(listed, named);

    assert_eq!(image.oracle.run(&["dpkg", &root, "--audit"]).success(), "");
    let verified = image.oracle.run(&["dpkg", &root, "--verify"]).success();
    let release = image.text("kernel");
    let expected = [
        // They boot from the EFI system partition.
        format!("missing     /boot/System.map-{release}"),
        format!("missing     /boot/config-{release}"),
        format!("missing     /boot/vmlinuz-{release}"),
        // The image's name and version are in it.
        "??5??????   /usr/lib/os-release".to_owned(),
    ];
    let lines: Vec<&str> = verified.lines().collect();
    assert_eq!(lines, expected);
}

#[test]
fn systemd_finds_no_fault_with_the_units() {
    let image = image();
    let root = format!("--root={}", image.inside("tree"));
    let verify = ["systemd-analyze", &root, "--man=no", "verify"];
    for target in ["default.target", "basic.target", "systemd-networkd.service"] {
        let outcome = image
            .oracle
            .run_with_proc(&[verify.as_slice(), &[target]].concat());
        assert_eq!(
            (outcome.status, outcome.errors.as_str()),
            (0, ""),
            "{target}"
        );
    }
    // Every unit that a target pulls in is there.
    let broken = |path: &Path| !path.exists();
    let system = image.path("tree/etc/systemd/system");
    for folder in names(&system) {
        if folder.ends_with(".wants") {
            for unit in names(&system.join(&folder)) {
                let link = fs::read_link(system.join(&folder).join(&unit)).unwrap();
                let unit = image.path("tree").join(link.strip_prefix("/").unwrap());
                // A template's instance is its template.
                assert!(!broken(&unit), "{folder}: {}", unit.display());
            }
        }
    }
}

#[test]
fn udevadm_finds_no_fault_with_the_rules() {
    let image = image();
    let verify = |path: &str| image.oracle.run(&["udevadm", "verify", path]);
    verify(&format!("--root={}", image.inside("tree"))).success();
    let rules = project_folder().join("overlays/initrd/usr/lib/udev/rules.d");
    for name in names(&rules) {
        fs::copy(rules.join(&name), image.path(&name)).unwrap();
        verify(&image.inside(&name)).success();
    }
    // It would have found one.
    fs::write(image.path("broken.rules"), "SUBSYSTEM=\"block\"\n").unwrap();
    assert_ne!(verify(&image.inside("broken.rules")).status, 0);
}

#[test]
fn nobody_logs_in_and_nothing_was_drawn_at_random() {
    let image = image();
    let shadow = fs::read_to_string(image.path("tree/etc/shadow")).unwrap();
    for line in shadow.lines() {
        let password = line.split(':').nth(1).unwrap();
        assert!(password.starts_with(['!', '*']), "{line}");
    }
    let machine = fs::read_to_string(image.path("tree/etc/machine-id")).unwrap();
    assert!(
        machine.is_empty() || machine == "uninitialized\n",
        "{machine}"
    );
    let keys = names(&image.path("tree/etc/ssh"));
    assert!(!keys.iter().any(|name| name.contains("key")), "{keys:?}");
    assert_eq!(names(&image.path("tree/etc/wireguard")), [""; 0]);
    // As written, not as tmpfiles.d makes it: the machine's state begins empty.
    let root = image.path("root");
    let list = tool("debugfs", &["-R", "ls -p /var", root.to_str().unwrap()]);
    let names = list.lines().filter_map(|line| line.split('/').nth(5));
    let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
    assert_eq!(names, [".", ".."]);
}
