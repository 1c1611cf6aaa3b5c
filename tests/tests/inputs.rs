//! Where inputs come from, and how a lock keeps them: with archives made for the tests, in
//! Ubuntu's shape, and with the project's own base for Ubuntu, whose key and address they take.
//!
//! What this proves of Ubuntu: pockets, components, zstd, phased updates, `[names]` of the base,
//! from a signed index to a sound image. What it cannot: that Ubuntu's own packages give one that
//! boots, for the packages in this archive are Debian's.

use fortress_tests::{
    FixturePackage, Oracle, Program, Ran, UbuntuProject, bench_arguments, bench_bytes, bench_lock,
    bench_reference, names, store_of_downloads, target_folder,
};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Runs a command with more arguments.
#[track_caller]
fn run(ubuntu: &UbuntuProject, command: &str, more: &[&str]) -> Ran {
    let mut arguments = ubuntu.arguments(command);
    arguments.extend(more.iter().map(|one| (*one).to_owned()));
    Program::new(&arguments).run()
}

#[track_caller]
fn lock_text(ubuntu: &UbuntuProject) -> String {
    fs::read_to_string(ubuntu.lock()).unwrap()
}

/// A command that names no mirror.
fn without_mirrors(ubuntu: &UbuntuProject, command: &str) -> Vec<String> {
    let mut arguments = ubuntu.arguments(command);
    while let Some(place) = arguments.iter().position(|one| one == "--mirror") {
        arguments.drain(place..place + 2);
    }
    arguments
}

/// The version of a package that a lock names.
#[track_caller]
fn version(lock: &str, package: &str) -> String {
    value(lock, package, "version")
}

#[track_caller]
fn value(lock: &str, package: &str, key: &str) -> String {
    let table = lock
        .split("[[package]]\n")
        .find(|table| table.starts_with(&format!("name = \"{package}\"\n")));
    let start = format!("{key} = \"");
    let mut lines = table
        .unwrap_or_else(|| panic!("no {package}: {lock}"))
        .lines();
    let value = lines.find_map(|line| line.strip_prefix(&start)).unwrap();
    value.trim_end_matches('"').to_owned()
}

/// A newer version comes out, and takes the older one's place in the pool.
fn update_tool(ubuntu: &mut UbuntuProject) {
    fs::remove_file(ubuntu.file("tool_1.0_amd64.deb")).unwrap();
    ubuntu.add("noble-updates", FixturePackage::new("tool", "1.1"));
    ubuntu.archive.publish();
}

#[test]
fn a_lock_is_made_used_kept_and_renewed() {
    let mut ubuntu = UbuntuProject::new().with_empty_packages();
    let said = run(&ubuntu, "image", &["--locked"]).refusal(4);
    assert!(said.contains(ubuntu.lock().to_str().unwrap()), "{said}");
    assert!(said.contains("there is no lock"), "{said}");
    assert!(said.contains("\nhint: "), "{said}");
    assert!(!ubuntu.lock().exists());

    run(&ubuntu, "lock", &[]).success();
    let first = lock_text(&ubuntu);
    assert_eq!(version(&first, "tool"), "1.0");
    // Others can use it, and see what changed in it.
    assert!(!first.contains("://") && !first.contains(ubuntu.archive.url().as_str()));
    let tables = first.split("[[package]]\nname = \"").skip(1);
    let locked: Vec<&str> = tables
        .map(|table| table.split('"').next().unwrap())
        .collect();
    assert!(locked.len() == 4 && locked.is_sorted(), "{locked:?}");

    // There is something newer: the lock stands, until it is asked to be renewed.
    update_tool(&mut ubuntu);
    run(&ubuntu, "lock", &[]).success();
    run(&ubuntu, "lock", &["--locked"]).success();
    assert_eq!(lock_text(&ubuntu), first);
    let ran = run(&ubuntu, "lock", &["--update"]);
    assert!(
        ran.errors.contains("tool") && ran.errors.contains("1.1"),
        "{ran:?}"
    );
    ran.success();
    assert_eq!(version(&lock_text(&ubuntu), "tool"), "1.1");

    // The recipe asks for something else.
    ubuntu.add("noble", FixturePackage::new("other", "7"));
    ubuntu.archive.publish();
    ubuntu
        .project
        .replace("recipes/made.toml", "\"tool\"", "\"tool\", \"other\"");
    let second = lock_text(&ubuntu);
    let said = run(&ubuntu, "lock", &["--locked"]).refusal(4);
    assert!(
        said.contains("was made for other packages or suites"),
        "{said}"
    );
    assert!(
        said.contains("\nhint: '--update' makes a new lock"),
        "{said}"
    );
    assert_eq!(lock_text(&ubuntu), second);
    run(&ubuntu, "lock", &[]).success();
    assert_eq!(version(&lock_text(&ubuntu), "other"), "7");

    // What is no lock is never written over, or taken for one.
    fs::write(ubuntu.lock(), "[[package]]\nname = 7\n").unwrap();
    let said = run(&ubuntu, "lock", &[]).refusal(4);
    assert!(said.contains(ubuntu.lock().to_str().unwrap()), "{said}");
}

#[test]
fn a_package_that_has_left_the_mirror() {
    let mut ubuntu = UbuntuProject::new().with_empty_packages();
    let snapshots = ubuntu.output().with_file_name("snapshots");
    let template = format!("file://{}/{{timestamp}}", snapshots.display());
    let base = "recipes/bases/ubuntu-24.04.toml";
    let public = "https://snapshot.ubuntu.com/ubuntu/{timestamp}";
    ubuntu.project.replace(base, public, &template);
    run(&ubuntu, "lock", &[]).success();
    let old = fs::read(ubuntu.file("tool_1.0_amd64.deb")).unwrap();
    update_tool(&mut ubuntu);

    let said = run(&ubuntu, "image", &[]).refusal(4);
    assert!(said.contains("tool 1.0"), "{said}");
    assert!(said.contains("--update"), "{said}");
    assert!(!ubuntu.output().exists() || names(&ubuntu.output()).is_empty());

    // The distribution's snapshot service has it, under the date of the lock's suite.
    let lock = lock_text(&ubuntu);
    let date = lock
        .split("date = \"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let path = value(&lock, "tool", "path");
    let kept = snapshots.join(date.replace(['-', ':'], "")).join(path);
    fs::create_dir_all(kept.parent().unwrap()).unwrap();
    // It must still be what was locked.
    fs::write(&kept, b"another").unwrap();
    let said = run(&ubuntu, "image", &[]).refusal(4);
    assert!(said.contains("tool 1.0"), "{said}");
    fs::write(&kept, old).unwrap();
    // Now all is there, and it turns out that these packages are empty.
    let ran = run(&ubuntu, "image", &[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.errors.contains("unpack: ended"), "{ran:?}");
}

#[test]
fn offline_with_nothing_in_the_store() {
    let ubuntu = UbuntuProject::new().with_empty_packages();
    let mut arguments = without_mirrors(&ubuntu, "image");
    arguments.push("--offline".into());
    let without_network = ["unshare", "--net"];
    let said = Program::under(&without_network, &arguments)
        .run()
        .refusal(4);
    assert!(
        said.contains("offline: the store remembers no index"),
        "{said}"
    );
    assert!(
        said.contains("\nhint: build once with the network"),
        "{said}"
    );
    // With a lock, it is the packages that are missing, and all of them are named. A mirror that
    // is a folder is no network.
    run(&ubuntu, "lock", &["--offline"]).success();
    let said = Program::under(&without_network, &arguments)
        .run()
        .refusal(4);
    assert!(
        said.contains("cannot work offline: not in the store: "),
        "{said}"
    );
    assert!(
        said.contains("tool 1.0") && said.contains("base-files 1"),
        "{said}"
    );
    // The index is remembered now, so that a new lock needs no network.
    fs::remove_file(ubuntu.lock()).unwrap();
    let mut arguments = without_mirrors(&ubuntu, "lock");
    arguments.push("--offline".into());
    Program::under(&without_network, &arguments).run().success();
    assert_eq!(version(&lock_text(&ubuntu), "tool"), "1.0");
}

#[test]
fn a_store_that_can_only_be_read() {
    const SCRIPT: &str = r#"mount --bind "$0" "$0"; mount -o remount,bind,ro "$0"; exec "$@""#;
    let folder = || tempfile::tempdir_in(target_folder()).unwrap();
    let (output, temporary, store) = (folder(), folder(), store_of_downloads());
    let build = || {
        let path = store.path().to_str().unwrap();
        let starter = ["unshare", "--mount", "sh", "-euc", SCRIPT, path];
        Program::under(&starter, &bench_arguments(output.path()))
            .variable("FORTRESS_STORE", path)
            .variable("TMPDIR", temporary.path())
            .run()
    };
    let ran = build();
    assert!(ran.errors.contains("can only be read"), "{ran:?}");
    ran.success();
    assert_eq!(bench_bytes(output.path()), *bench_reference());
    assert_eq!(names(&store.path().join("derived")), [""; 0]);
    assert_eq!(names(temporary.path()), [""; 0]);

    // Nothing can be downloaded into it.
    fs::remove_dir_all(store.path().join("blobs")).unwrap();
    fs::create_dir(store.path().join("blobs")).unwrap();
    let said = build().refusal(4);
    assert!(said.contains("cannot add to the store"), "{said}");
    assert!(said.contains("\nhint: "), "{said}");
    assert!(said.contains("--store"), "{said}");
}

#[test]
fn mirrors_are_the_machines_own_unless_others_are_named() {
    const SCRIPT: &str = r#"mount --bind "$0" /etc/apt && exec "$@""#;
    let ubuntu = UbuntuProject::new().with_empty_packages();
    let apt = tempfile::tempdir().unwrap();
    let root = ubuntu.archive.root().display();
    let sources = format!(
        "deb file:{root} noble main universe\ndeb file:{root} noble-security main universe\n"
    );
    fs::write(apt.path().join("sources.list"), sources).unwrap();
    let starter = ["unshare", "--mount", "--net", "sh", "-euc", SCRIPT];
    let starter = [starter.as_slice(), &[apt.path().to_str().unwrap()]].concat();
    // Without --mirror.
    let mut arguments = without_mirrors(&ubuntu, "lock");
    Program::under(&starter, &arguments).run().success();
    assert_eq!(version(&lock_text(&ubuntu), "tool"), "1.0");
    // One that is named is the only one.
    arguments.extend(["--update", "--mirror", "main=file:///nowhere"].map(str::to_owned));
    let said = Program::under(&starter, &arguments).run().refusal(4);
    assert!(said.contains("file:///nowhere"), "{said}");
    // One that the base does not have would change nothing.
    arguments.extend(["--mirror", "mian=file:///nowhere"].map(str::to_owned));
    let said = Program::under(&starter, &arguments).run().refusal(2);
    assert!(said.contains("has no mirror of that name"), "{said}");
}

#[test]
fn phased_updates_wait_and_security_does_not() {
    let mut ubuntu = UbuntuProject::new();
    let phased = FixturePackage::new("tool", "1.2").field("Phased-Update-Percentage", "30");
    ubuntu.add("noble-updates", phased);
    let mut ubuntu = ubuntu.with_empty_packages();
    run(&ubuntu, "lock", &[]).success();
    assert_eq!(version(&lock_text(&ubuntu), "tool"), "1.0");
    ubuntu.add("noble-security", FixturePackage::new("tool", "1.1"));
    ubuntu.archive.publish();
    run(&ubuntu, "lock", &["--update"]).success();
    let lock = lock_text(&ubuntu);
    assert_eq!(version(&lock, "tool"), "1.1");
    assert_eq!(value(&lock, "tool", "source"), "security");
}

/// The packages of the bench image as an archive of Ubuntu's shape would have them.
fn ubuntu_of_real_packages() -> UbuntuProject {
    bench_reference();
    let mut ubuntu = UbuntuProject::new();
    let lock = fs::read_to_string(bench_lock()).unwrap();
    let blobs = target_folder().join("test-store/blobs");
    let mut kernel = String::new();
    for (number, table) in lock.split("[[package]]\n").skip(1).enumerate() {
        let one = |key: &str| {
            let start = format!("{key} = \"");
            let found = table.lines().find_map(|line| line.strip_prefix(&start));
            found.unwrap().trim_end_matches('"').to_owned()
        };
        let (name, digest) = (one("name"), one("sha256"));
        let mut package = FixturePackage::from_deb(&blobs.join(&digest[..2]).join(&digest));
        if name == "systemd" {
            // In Ubuntu 24.04 they are one package; here it asks for those that Debian has made
            // of it since.
            let depends = format!(
                "{}, systemd-cryptsetup, systemd-repart",
                package.get("Depends")
            );
            package = package.depends(&depends);
        }
        if name.starts_with("linux-image-6.") {
            kernel.clone_from(&name);
        }
        let pocket = match name.as_str() {
            "nftables" => "noble-updates",
            "openssl" => "noble-security",
            _ => "noble",
        };
        let component = ["main", "universe"][number % 2];
        ubuntu.archive.add(pocket, component, package);
    }
    let virtual_kernel = FixturePackage::new("linux-image-virtual", "6.8.0-1").depends(&kernel);
    ubuntu.add("noble", virtual_kernel);
    let phased = FixturePackage::new("bash", "99").field("Phased-Update-Percentage", "10");
    ubuntu.add("noble-updates", phased);
    ubuntu.archive.publish();
    ubuntu
}

#[track_caller]
fn tool(name: &str, arguments: &[&str]) {
    let output = Command::new(name).args(arguments).output().unwrap();
    assert!(output.status.success(), "{name} {arguments:?}: {output:?}");
}

/// A partition's bytes, as a file.
#[track_caller]
fn extract(image: &Path, partition: &Value, to: &Path) {
    use std::io::{Read, Seek, SeekFrom};
    let number = |key: &str| partition[key].as_u64().unwrap();
    let mut file = fs::File::open(image).unwrap();
    file.seek(SeekFrom::Start(number("offset"))).unwrap();
    let mut out = fs::File::create(to).unwrap();
    std::io::copy(&mut file.take(number("length")), &mut out).unwrap();
}

#[test]
fn an_image_from_an_archive_in_ubuntus_shape() {
    let ubuntu = ubuntu_of_real_packages();
    let mut arguments = ubuntu.arguments("image");
    for argument in arguments.iter_mut().filter(|argument| *argument == "made") {
        *argument = "bench".into();
    }
    arguments.extend(["--base".into(), "ubuntu-24.04".into()]);
    // No network, not even by accident.
    let ran = Program::under(&["unshare", "--net"], &arguments).run();
    ran.success();
    let image = ubuntu.output().join("bench_1_x86_ubuntu-24.04.img");
    let manifest = fs::read(image.with_extension("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["base"], "ubuntu-24.04");
    let suites = manifest["suites"].as_array().unwrap().iter();
    let suites: Vec<&str> = suites
        .map(|suite| suite["suite"].as_str().unwrap())
        .collect();
    assert_eq!(suites, ["noble", "noble-security", "noble-updates"]);

    let lock = lock_text(&ubuntu);
    for (package, source) in [
        ("nftables", "updates"),
        ("openssl", "security"),
        ("systemd", "release"),
    ] {
        assert_eq!(value(&lock, package, "source"), source, "{package}");
    }
    assert_ne!(version(&lock, "bash"), "99");
    assert!(lock.contains("\npath = \"pool/main/") && lock.contains("\npath = \"pool/universe/"));

    let oracle = Oracle::open();
    let folder = oracle.folder();
    let shared = folder.path().join("image");
    tool(
        "cp",
        &[
            "--sparse=always",
            image.to_str().unwrap(),
            shared.to_str().unwrap(),
        ],
    );
    let path = oracle.inside(&shared);
    oracle
        .run(&["systemd-dissect", "--validate", &path])
        .success();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for (name, partition) in ["esp", "root", "verity"].iter().zip(0..) {
        extract(
            &image,
            &manifest["partitions"][partition],
            Path::new(&at(name)),
        );
    }
    tool("fsck.fat", &["-n", &at("esp")]);
    tool("e2fsck", &["-fn", &at("root")]);
    let root_hash = manifest["root_hash"].as_str().unwrap();
    tool(
        "veritysetup",
        &["verify", &at("root"), &at("verity"), root_hash],
    );
}
