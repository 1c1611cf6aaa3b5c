//! Users and groups against systemd-sysusers of Debian 13.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by them")]

use fortress_configuration::{Identifiers, PackageData, Settings, users};
use fortress_tests::Oracle;
use fortress_tree::{Metadata, Node, Tree, TreePath};
use std::fs;
use std::path::Path;

const FILES: [&str; 4] = ["passwd", "group", "shadow", "gshadow"];
const EPOCH: i64 = 1_800_000_000;

/// Files of a root, given to both sides.
const ROOT: [(&str, &str); 6] = [
    (
        "usr/lib/sysusers.d/a.conf",
        "# every type of line\n\
         g  plain     -\n\
         g  numbered  312\n\
         g  shadow    42\n\
         u  daemon1   -   \"A daemon\"\n\
         u  daemon2   321 \"Another, %o %w\" /var/lib/%a /bin/sh\n\
         u! locked    322:numbered 'Locked \\'one'\n\
         u  _strict   323:312\n\
         u  any-group -:plain\n\
         m  member1   numbered\n\
         m  daemon2   implicit-group\n\
         m  another   numbered\n",
    ),
    (
        "usr/lib/sysusers.d/b.conf",
        "u hidden - \"hidden by /etc\"\n",
    ),
    (
        "etc/sysusers.d/b.conf",
        "r - 500-510\nu later - \"Later\" - -\ng later-group -\nu owner /usr/owned \"Owner of a file\"\n",
    ),
    ("etc/sysusers.d/masked.conf", ""),
    ("usr/lib/os-release", "ID=debian\nVERSION_ID=\"13\"\n"),
    ("usr/owned", ""),
];
const PASSWD: &str =
    "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nnogroup:x:65534:\nexisting:x:90:root\n";
const SHADOW: &str = "root:*:20000:0:99999:7:::\nnobody:*:20000:0:99999:7:::\n";
const GSHADOW: &str = "root:*::\nnogroup:*::\nexisting:*::root\n";

fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

fn ours() -> (Tree, Vec<String>) {
    let mut tree = Tree::new(EPOCH);
    for (name, text) in ROOT {
        tree.write(&path(name), 0o644, text).unwrap();
    }
    for (name, text) in FILES.into_iter().zip([PASSWD, GROUP, SHADOW, GSHADOW]) {
        tree.write(&path(&format!("/etc/{name}")), 0o644, text)
            .unwrap();
    }
    let owned = tree.get_mut(&path("/usr/owned")).unwrap();
    owned.metadata.user = 509;
    owned.metadata.group = 509;
    let (data, fixed) = (PackageData::default(), Identifiers::default());
    let done = users::run(&mut tree, &[], "amd64", &data, &fixed, &Settings::default()).unwrap();
    (tree, done.warnings)
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// Their input with the IDs that our names gave, so that nothing is left to choose.
fn with_ids(text: &str, tree: &Tree) -> String {
    let id = |file: &str, name: &str| {
        let text = tree.read_text(&path(&format!("/etc/{file}"))).unwrap();
        let found = lines(&text)
            .into_iter()
            .find(|line| line.starts_with(&format!("{name}:")));
        found.map_or("-".into(), |line| {
            line.split(':').nth(2).unwrap().to_owned()
        })
    };
    let mut changed = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.splitn(3, char::is_whitespace).collect();
        let rest: Vec<&str> = line.split_whitespace().collect();
        let file = match words[0] {
            "g" => "group",
            "u" | "u!" => "passwd",
            _ => "",
        };
        match rest.get(2) {
            Some(&"-") if !file.is_empty() => {
                let after = line.split_once(" - ").map_or("", |(_, after)| after);
                changed.push_str(&format!(
                    "{} {} {} {after}\n",
                    rest[0],
                    rest[1],
                    id(file, rest[1])
                ));
            }
            Some(own) if own.starts_with("-:") => {
                changed.push_str(&format!(
                    "{} {} {}{}\n",
                    rest[0],
                    rest[1],
                    id(file, rest[1]),
                    &own[1..]
                ));
            }
            _ => changed.push_str(&format!("{line}\n")),
        }
    }
    // What memberships alone ask for has no line of its own.
    if text.contains("every type") {
        for name in ["member1", "another"] {
            changed.push_str(&format!("u {name} {}\n", id("passwd", name)));
        }
        changed.push_str(&format!(
            "g implicit-group {}\n",
            id("group", "implicit-group")
        ));
    }
    changed
}

fn write(root: &Path, name: &str, text: &str) {
    let file = root.join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

#[test]
fn accounts_equal_those_of_systemd_sysusers() {
    let oracle = Oracle::open();
    let folder = oracle.folder();
    let (tree, warnings) = ours();
    for (name, text) in ROOT {
        write(folder.path(), name, &with_ids(text, &tree));
    }
    for (name, text) in FILES.into_iter().zip([PASSWD, GROUP, SHADOW, GSHADOW]) {
        write(folder.path(), &format!("etc/{name}"), text);
    }
    std::os::unix::fs::chown(folder.path().join("usr/owned"), Some(509), Some(509)).unwrap();
    let root = format!("--root={}", oracle.inside(folder.path()));
    let epoch = format!("SOURCE_DATE_EPOCH={EPOCH}");
    let told = oracle.run_with_proc(&["env", &epoch, "systemd-sysusers", &root]);
    assert_eq!(told.status, 0, "{told:?}");
    for name in FILES {
        let mut ours = lines(&tree.read_text(&path(&format!("/etc/{name}"))).unwrap());
        let mut theirs = lines(&fs::read_to_string(folder.path().join("etc").join(name)).unwrap());
        ours.sort();
        theirs.sort();
        assert_eq!(ours, theirs, "{name}: {}", told.errors);
    }
    assert!(
        warnings
            .iter()
            .any(|line| line.contains("user daemon1 has no fixed ID")),
        "{warnings:?}"
    );
    let passwd = tree.read_text(&path("/etc/passwd")).unwrap();
    assert!(passwd.contains("\nowner:x:509:509:"), "{passwd}");
    assert!(!passwd.contains("hidden"), "{passwd}");
}

#[test]
fn ids_do_not_depend_on_what_else_is_there() {
    let make = |lines: &str| {
        let mut tree = Tree::new(0);
        tree.write(&path("/usr/lib/sysusers.d/x.conf"), 0o644, lines)
            .unwrap();
        let (data, fixed) = (PackageData::default(), Identifiers::known().unwrap());
        users::run(&mut tree, &[], "arm64", &data, &fixed, &Settings::default()).unwrap();
        let text = tree.read_text(&path("/etc/passwd")).unwrap();
        let mut found = lines_of(&text);
        found.sort();
        found
    };
    fn lines_of(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }
    let both = make("u first -\nu second -\nu messagebus -\n");
    assert_eq!(both, make("u messagebus -\nu second -\nu first -\n"));
    assert!(make("u second -\n").iter().all(|line| both.contains(line)));
    assert!(
        both.iter()
            .any(|line| line.starts_with("messagebus:x:997:997:"))
    );
}

#[test]
fn what_cannot_be_made_says_why() {
    for (lines, said) in [
        (
            "u a 10\nu b 10\n",
            "user \"b\" cannot be given ID 10: user \"a\" has it",
        ),
        (
            "g a 10\ng b 10\n",
            "group \"b\" cannot be given ID 10: group \"a\" has it",
        ),
        ("u a -:nowhere\n", "put into group nowhere"),
        ("u a 10:11\n", "put into group 11"),
        (
            "u a\nk b\n",
            "/usr/lib/sysusers.d/x.conf, line 2: \"k\" is none",
        ),
        ("r - 600-600\nu a -\nu b -\n", "all 1 IDs"),
    ] {
        let mut tree = Tree::new(0);
        tree.write(&path("/usr/lib/sysusers.d/x.conf"), 0o644, lines)
            .unwrap();
        let (data, fixed) = (PackageData::default(), Identifiers::default());
        let made = users::run(&mut tree, &[], "amd64", &data, &fixed, &Settings::default());
        let error = made.unwrap_err().to_string();
        assert!(error.contains(said), "{lines:?}: {error}");
    }
}

#[test]
fn every_owner_in_the_package_data_exists() {
    let oracle = Oracle::open();
    let mut tree = Tree::new(0);
    let places = [
        "usr/share/base-passwd/passwd.master",
        "usr/share/base-passwd/group.master",
        "usr/lib/sysusers.d/dbus.conf",
        "usr/lib/sysusers.d/systemd-journal.conf",
    ];
    for place in places {
        let text = fs::read_to_string(oracle.root().join(place)).unwrap();
        tree.write(&path(place), 0o644, text).unwrap();
    }
    let folder = Node::directory(Metadata::new(0o755));
    tree.place(&path("/var/lib/tpm"), folder).unwrap();
    let data = PackageData::known().unwrap();
    let fixed = Identifiers::known().unwrap();
    let present: Vec<&str> = data.packages.keys().map(String::as_str).collect();
    let settings = Settings::default();
    let done = users::run(&mut tree, &present, "amd64", &data, &fixed, &settings).unwrap();
    assert_eq!(
        done.warnings,
        Vec::<String>::new(),
        "an account without a fixed ID"
    );
    fortress_configuration::files::run(&mut tree, &present, "amd64", &data).unwrap();
    fortress_configuration::owners::run(&mut tree, &present, "amd64", &data).unwrap();
    let tpm = tree.get(&path("/var/lib/tpm")).unwrap();
    assert_eq!((tpm.metadata.user, tpm.metadata.group), (101, 101));
    let group = tree.read_text(&path("/etc/group")).unwrap();
    assert!(
        group.contains("\nlibvirt-qemu:x:64055:libvirt-qemu\n"),
        "{group}"
    );
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    /// Whatever a package ships as sysusers.d or tmpfiles.d is followed or refused.
    #[test]
    fn any_lines_are_followed_or_refused(
        lines in "([ugmrdfLCzZwe][!+=?^~-]{0,2} [/a-z%\\\\\"'*\\[.-]{0,12}( [-a-z0-9:/%~]{0,6}){0,5}\n){0,4}",
    ) {
        for folder in ["sysusers.d", "tmpfiles.d"] {
            let mut tree = Tree::new(0);
            let file = path(&format!("/usr/lib/{folder}/x.conf"));
            tree.write(&file, 0o644, lines.as_str()).unwrap();
            let (data, fixed) = (PackageData::default(), Identifiers::default());
            let settings = Settings::default();
            let _ = users::run(&mut tree, &[], "amd64", &data, &fixed, &settings);
            let _ = fortress_configuration::tmpfiles::run(&mut tree, "h", "amd64");
            if fortress_configuration::state::run(&mut tree, &[], "h", "amd64").is_ok() {
                proptest::prop_assert_eq!(tree.entries(&path("/var")).count(), 0);
            }
        }
    }
}
