//! The project's own boards, recipes, bases and keys.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by them"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use fortress_recipe::{Error, ErrorKind, Library, Plan, Request};
use fortress_tests::Oracle;

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap()
}

fn try_plan(board: &str, recipe: &str, base: Option<&str>) -> Result<Plan, Error> {
    let request = Request {
        board: board.to_owned(),
        recipe: Some(recipe.to_owned()),
        base: base.map(str::to_owned),
        ..Request::default()
    };
    Library::open(&root()).unwrap().plan(&request)
}

fn plan(board: &str, recipe: &str, base: Option<&str>) -> Plan {
    try_plan(board, recipe, base).unwrap_or_else(|error| panic!("{error}"))
}

fn packages(plan: &Plan) -> Vec<&str> {
    plan.packages
        .iter()
        .map(|package| package.name.as_str())
        .collect()
}

#[test]
fn every_recipe_can_be_planned_for_every_board_from_every_base() {
    let library = Library::open(&root()).unwrap();
    let mut planned = 0;
    for board in library.boards().unwrap() {
        for recipe in library.recipes().unwrap() {
            for base in library.bases().unwrap() {
                if recipe.version.is_none() {
                    continue;
                }
                let plan = match try_plan(&board.name, &recipe.name, Some(&base.name)) {
                    Ok(plan) => plan,
                    // A recipe for virtual machines cannot be one for a Raspberry Pi.
                    Err(error) if is_flavour(&error) && recipe.name == "bench" => continue,
                    Err(error) => panic!("{error}"),
                };
                let json = serde_json::to_string_pretty(&plan).unwrap();
                // The same anywhere: no folder of this machine is in it.
                assert!(!json.contains(root().to_str().unwrap()));
                for (key, value, origin) in plan.explain() {
                    assert!(!origin.is_empty(), "{key} = {value} comes from nowhere");
                }
                planned += 1;
            }
        }
    }
    assert!(planned >= 14, "{planned}");
}

fn is_flavour(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Unknown {
            what: "kernel flavour",
            ..
        }
    )
}

#[test]
fn every_origin_is_a_line_that_has_to_do_with_the_value() {
    let plan = plan("x86", "host", Some("debian-13"));
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut checked = 0;
    for (key, value, origin) in plan.explain() {
        let Some((file, line)) = origin.rsplit_once(':') else {
            continue;
        };
        let Ok(line) = line.parse::<usize>() else {
            continue;
        };
        let lines = files.entry(file.to_owned()).or_insert_with(|| {
            let text = std::fs::read_to_string(root().join(file)).unwrap();
            text.lines().map(str::to_owned).collect()
        });
        let written = &lines[line - 1];
        // As written: keys are by their names, consoles without `console=`, sizes with units.
        let value = value.strip_prefix("keys/archive/").unwrap_or(&value);
        let value = value.strip_suffix(".asc").unwrap_or(value);
        let value = value.strip_prefix("console=").unwrap_or(value);
        let value = value.split(": ").next().unwrap();
        let size = value
            .parse::<u64>()
            .map(|bytes| [bytes >> 10, bytes >> 20, bytes >> 30]);
        let fits = written.contains(value)
            || size.is_ok_and(|sizes| {
                sizes
                    .iter()
                    .any(|n| *n > 0 && written.contains(&n.to_string()))
            });
        assert!(fits, "{key} = {value} is said to be at {origin}: {written}");
        checked += 1;
    }
    assert!(checked > 150, "{checked}");
}

#[test]
fn the_host_is_the_same_from_both_bases_but_for_names() {
    let debian = plan("x86", "host", Some("debian-13"));
    let ubuntu = plan("x86", "host", None);
    assert_eq!(ubuntu.base.name.value, "ubuntu-24.04");
    assert_eq!(ubuntu.base.name.origin.to_string(), "recipes/host.toml:5");
    assert!(packages(&debian).contains(&"linux-image-amd64"));
    assert!(packages(&ubuntu).contains(&"linux-image-generic"));
    let written = |plan: &Plan| -> Vec<String> {
        let kernel: Vec<&str> = plan
            .kernel
            .packages
            .iter()
            .map(|p| p.value.as_str())
            .collect();
        let of_base = plan
            .packages
            .iter()
            .filter(|p| !kernel.contains(&p.name.as_str()));
        let mut names: Vec<String> = of_base
            .map(|p| p.written.clone().unwrap_or_else(|| p.name.clone()))
            .chain(plan.absent.iter().map(|absent| absent.name.clone()))
            .collect();
        names.sort();
        names
    };
    assert_eq!(written(&debian), written(&ubuntu));
    assert_eq!(
        debian.identifiers.users.keys().collect::<Vec<_>>(),
        ubuntu.identifiers.users.keys().collect::<Vec<_>>()
    );
    for (name, id) in &debian.identifiers.groups {
        assert_eq!(id.value, ubuntu.identifiers.groups[name].value, "{name}");
    }
}

#[test]
fn a_plan_is_the_same_from_another_folder() {
    let here = serde_json::to_string(&plan("x86", "host", None)).unwrap();
    let copy = tempfile::tempdir().unwrap();
    for folder in ["boards", "recipes", "overlays", "keys"] {
        let status = Command::new("cp")
            .arg("-r")
            .arg(root().join(folder))
            .arg(copy.path())
            .status()
            .unwrap();
        assert!(status.success());
    }
    let request = Request {
        board: "x86".to_owned(),
        recipe: Some("host".to_owned()),
        ..Request::default()
    };
    let plan = Library::open(copy.path()).unwrap().plan(&request).unwrap();
    assert_eq!(serde_json::to_string(&plan).unwrap(), here);
}

#[test]
fn the_benchmark_builds_what_was_measured() {
    // The roots of the set of packages that docs/benchmarks.md compares with other builders.
    let mut roots: Vec<&str> = "linux-image-cloud-amd64 systemd systemd-sysv udev dbus \
        systemd-cryptsetup cryptsetup-bin systemd-repart nftables wireguard-tools auditd apparmor \
        iproute2 kmod libpam-systemd ca-certificates iputils-ping procps systemd-resolved \
        e2fsprogs systemd-boot-efi tpm2-tools"
        .split_whitespace()
        .collect();
    roots.sort_unstable();
    let plan = plan("x86", "bench", None);
    assert_eq!(packages(&plan), roots);
    assert!(plan.left_out.is_empty());
}

/// Files of keys, with the fingerprints that keys/README.md gives for them.
fn fingerprints() -> BTreeMap<String, String> {
    let readme = std::fs::read_to_string(root().join("keys/README.md")).unwrap();
    readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|row| {
            let parts: Vec<&str> = row.split('`').collect();
            (parts[0].to_owned(), parts[2].replace(' ', ""))
        })
        .collect()
}

#[test]
fn the_archive_keys_are_those_of_the_table() {
    let table = fingerprints();
    let home = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root().join("keys/archive")).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        let output = Command::new("gpg")
            .env("GNUPGHOME", home.path())
            .args(["--batch", "--show-keys", "--with-colons"])
            .arg(&path)
            .output()
            .expect("gpg runs (sudo apt-get install gpg)");
        assert!(output.status.success(), "{output:?}");
        let output = String::from_utf8(output.stdout).unwrap();
        // One key a file, and no other beside it; what follows are subkeys.
        assert_eq!(
            output
                .lines()
                .filter(|line| line.starts_with("pub:"))
                .count(),
            1,
            "{file}"
        );
        let fingerprint = output
            .lines()
            .find(|line| line.starts_with("fpr:"))
            .unwrap();
        assert_eq!(
            fingerprint.split(':').nth(9),
            table.get(&file).map(String::as_str),
            "{file}"
        );
        files.push(file);
    }
    files.sort();
    // Certificates of firmware have a table of their own.
    let archive_keys = table.keys().filter(|file| file.ends_with(".asc"));
    assert_eq!(files, archive_keys.cloned().collect::<Vec<_>>());
}

#[test]
fn debians_keys_are_those_of_debians_package() {
    let oracle = Oracle::open();
    let mut compared = 0;
    for file in fingerprints()
        .keys()
        .filter(|file| file.starts_with("debian-"))
    {
        let theirs = oracle.root().join("etc/apt/trusted.gpg.d").join(file);
        let ours = root().join("keys/archive").join(file);
        assert!(
            std::fs::read(ours).unwrap() == std::fs::read(theirs).unwrap(),
            "{file}"
        );
        compared += 1;
    }
    assert_eq!(compared, 3);
}
