//! dpkg's database in the hands of dpkg itself, on a root laid out with documentation trimmed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by them")]

use fortress_configuration::{Identifiers, PackageData, Settings, TrimSettings};
use fortress_configuration::{alternatives, database, files, trim, users};
use fortress_package::{Archive, Options, unpack};
use fortress_progress::Silent;
use fortress_tests::Oracle;
use fortress_tree::{Spool, Tree, TreePath};
use std::fs;

mod laid;

/// Some packages of the oracle root: one with configuration files, one with alternatives, one
/// for several architectures, one that everything else lies upon.
const PACKAGES: [&str; 7] = [
    "base-files",
    "base-passwd",
    "bash",
    "mawk",
    "debianutils",
    "libtinfo6",
    "netbase",
];

#[test]
fn dpkg_lists_and_verifies_what_is_there() {
    let oracle = Oracle::open();
    let folder = oracle.folder();
    let mut archives = Vec::new();
    for entry in fs::read_dir(oracle.packages()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if PACKAGES.contains(&name.split('_').next().unwrap()) {
            archives.push(Archive {
                name,
                path,
                sha256: None,
            });
        }
    }
    archives.sort_by(|one, other| one.name.cmp(&other.name));
    assert_eq!(archives.len(), PACKAGES.len());
    let spool = Spool::new(&std::env::temp_dir()).unwrap();
    let mut tree = Tree::new(1_700_000_000);
    let packages = unpack(&archives, &mut tree, &spool, &Options::default(), &Silent).unwrap();
    let data = PackageData::known().unwrap();
    let path = TreePath::new(database::FOLDER).unwrap();
    let (_, gone) = trim::run(&mut tree, &TrimSettings::default()).unwrap();
    assert!(!gone.is_empty());
    let settings = Settings::default();
    users::run(
        &mut tree,
        &PACKAGES,
        "amd64",
        &data,
        &Identifiers::known().unwrap(),
        &settings,
    )
    .unwrap();
    files::run(&mut tree, &PACKAGES, "amd64", &data).unwrap();
    alternatives::run(&mut tree, &packages, "amd64", &data, &path).unwrap();
    database::run(&mut tree, &packages, "amd64", &data, &gone).unwrap();
    tree.remove(&TreePath::new(database::LINK.0).unwrap());
    tree.link(&TreePath::new(database::LINK.0).unwrap(), database::LINK.1)
        .unwrap();
    laid::lay(&tree, folder.path());

    let root = format!("--root={}", oracle.inside(folder.path()));
    let verified = oracle.run(&["dpkg", &root, "--verify"]);
    assert_eq!(
        (
            verified.status,
            verified.output.as_str(),
            verified.errors.as_str()
        ),
        (0, "", "")
    );
    let audited = oracle.run(&["dpkg", &root, "--audit"]);
    assert_eq!(
        (
            audited.status,
            audited.output.as_str(),
            audited.errors.as_str()
        ),
        (0, "", "")
    );
    let listed = oracle.run(&["dpkg", &root, "-l"]).success();
    for package in &packages {
        let is_listed = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.len() > 3
                && words[0] == "ii"
                && words[1] == package.info_name()
                && words[2] == package.version
        };
        assert!(listed.lines().any(is_listed), "{}: {listed}", package.name);
    }
    let owner = oracle
        .run(&["dpkg", &root, "--search", "/etc/bash.bashrc"])
        .success();
    assert_eq!(owner, "bash: /etc/bash.bashrc\n");
    let inside = oracle.inside(folder.path());
    let (altdir, admindir) = (
        format!("{inside}/etc/alternatives"),
        format!("{inside}/var/lib/dpkg/alternatives"),
    );
    let chosen = oracle.run(&[
        "update-alternatives",
        "--altdir",
        &altdir,
        "--admindir",
        &admindir,
        "--query",
        "awk",
    ]);
    assert!(chosen.success().contains("Value: /usr/bin/mawk\n"));

    // Verification finds what does not belong.
    fs::write(folder.path().join("usr/bin/mawk"), "changed").unwrap();
    fs::write(folder.path().join("etc/bash.bashrc"), "changed").unwrap();
    let verified = oracle.run(&["dpkg", &root, "--verify"]).output;
    let lines: Vec<&str> = verified.lines().collect();
    assert_eq!(
        lines,
        ["??5?????? c /etc/bash.bashrc", "??5??????   /usr/bin/mawk"]
    );
}
