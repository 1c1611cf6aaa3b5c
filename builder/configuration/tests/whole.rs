//! All jobs on real packages, held against a root of the same packages whose scripts ran: every
//! difference is explained by a rule below, and every rule explains something.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by them")]

mod difference;
mod rules;

use fortress_configuration::modules::NoCache;
use fortress_configuration::{Settings, TrimSettings, configure, database};
use fortress_package::{Archive, Options, Package, unpack};
use fortress_progress::Silent;
use fortress_tests::Oracle;
use fortress_tree::{Spool, Tree, TreePath};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;

/// Built once for all tests of this file.
fn built(oracle: &Oracle) -> &'static (Tree, Vec<Package>) {
    static BUILT: OnceLock<(Tree, Vec<Package>)> = OnceLock::new();
    BUILT.get_or_init(|| build(oracle))
}

/// The oracle's packages, unpacked and configured with nothing left out.
fn build(oracle: &Oracle) -> (Tree, Vec<Package>) {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(oracle.packages())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|name| name == "deb"))
        .collect();
    paths.sort();
    let archives: Vec<Archive> = paths
        .into_iter()
        .map(|path| Archive {
            name: path.file_name().unwrap().to_str().unwrap().to_owned(),
            path,
            sha256: None,
        })
        .collect();
    let spool = Spool::new(&std::env::temp_dir()).unwrap();
    let mut tree = Tree::new(1_800_000_000);
    let packages = unpack(&archives, &mut tree, &spool, &Options::default(), &Silent).unwrap();
    let settings = Settings {
        trim: TrimSettings {
            documentation: false,
            manuals: false,
            locales: None,
            paths: Vec::new(),
        },
        ..Settings::default()
    };
    let report = configure(&mut tree, &packages, &settings, &NoCache, &Silent).unwrap();
    for (job, done) in &report.jobs {
        println!("{job}: {}", done.summary);
    }
    let warnings: Vec<String> = report.warnings().collect();
    println!("{}", warnings.join("\n"));
    (tree, packages)
}

#[test]
fn the_tree_equals_one_whose_scripts_ran_but_for_what_is_explained() {
    let oracle = Oracle::open();
    let (tree, _) = built(&oracle);
    let theirs = Tree::load(oracle.root(), 1_800_000_000).unwrap();
    let differences = difference::between(tree, &theirs);
    let mut unexplained = Vec::new();
    let mut used = vec![false; rules::RULES.len()];
    for difference in &differences {
        match rules::RULES
            .iter()
            .position(|rule| rule.explains(difference))
        {
            Some(index) => used[index] = true,
            None => unexplained.push(difference.to_string()),
        }
    }
    println!("{} differences", differences.len());
    assert!(
        unexplained.is_empty(),
        "{} unexplained:\n{}",
        unexplained.len(),
        unexplained.join("\n")
    );
    for (rule, used) in rules::RULES.iter().zip(used) {
        assert!(used, "nothing is explained by {rule:?}");
    }
}

fn text(tree: &Tree, path: &str) -> String {
    tree.read_text(&TreePath::new(path).unwrap()).unwrap()
}

/// The fields of an account file by name.
fn records(text: &str) -> BTreeMap<String, Vec<String>> {
    let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
    text.lines()
        .map(fields)
        .map(|fields| (fields[0].clone(), fields))
        .collect()
}

/// Sorted, with what may differ taken out: IDs that no table of Debian's fixes, the day of the
/// last change, and how a password is locked.
fn comparable(file: &str, text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for mut fields in records(text).into_values() {
        let hide = |field: &mut String| {
            if field
                .parse::<u32>()
                .is_ok_and(|id| (100..1000).contains(&id))
                && field != "100"
            {
                *field = "system".into();
            }
        };
        match file {
            "passwd" => fields[2..4].iter_mut().for_each(|id| {
                // adduser's first user has ID 100, which is Debian's group of users.
                if id == "100" {
                    *id = "101".into();
                }
                hide(id);
            }),
            "group" => hide(&mut fields[2]),
            "shadow" => fields[2] = "day".into(),
            _ => {}
        }
        if fields[1] == "!" {
            fields[1] = "!*".into();
        }
        lines.push(fields.join(":"));
    }
    lines
}

#[test]
fn accounts_equal_those_that_scripts_make_but_for_order_and_ids() {
    let oracle = Oracle::open();
    let (tree, _) = built(&oracle);
    for file in ["passwd", "group", "shadow", "gshadow"] {
        let path = format!("/etc/{file}");
        let theirs = std::fs::read_to_string(oracle.root().join(&path[1..])).unwrap();
        assert_eq!(
            comparable(file, &text(tree, &path)),
            comparable(file, &theirs),
            "{path}"
        );
    }
    let users = records(&text(tree, "/etc/passwd"));
    let groups = records(&text(tree, "/etc/group"));
    for (name, user) in &users {
        assert!(
            groups.values().any(|group| group[2] == user[3]),
            "{name} is in no group"
        );
    }
    let shadow = records(&text(tree, "/etc/shadow"));
    assert!(shadow.keys().eq(users.keys()));
    for (name, fields) in shadow {
        assert!(
            ["*", "!*"].contains(&fields[1].as_str()),
            "{name} can log in"
        );
    }
}

#[test]
fn the_database_is_what_dpkg_would_have_written() {
    let oracle = Oracle::open();
    let (tree, packages) = built(&oracle);
    let theirs = oracle.root().join("var/lib/dpkg");
    let ours = TreePath::new(database::FOLDER).unwrap();
    let same = |name: &str| {
        let one = text(tree, ours.join(name).unwrap().as_str());
        let other = std::fs::read_to_string(theirs.join(name)).unwrap();
        if one != other {
            let line = one
                .lines()
                .zip(other.lines())
                .find(|(one, other)| one != other);
            panic!(
                "{name}: {line:?}, {} lines, expected {}",
                one.lines().count(),
                other.lines().count()
            );
        }
    };
    same("status");
    same("statoverride");
    same("arch");
    same("arch-native");
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    // Listeners stand in the order in which packages were unpacked.
    let expected = std::fs::read_to_string(theirs.join("triggers/File")).unwrap();
    let found = text(tree, ours.join("triggers/File").unwrap().as_str());
    assert_eq!(sorted(&found), sorted(&expected));
    for folder in ["alternatives", "triggers"] {
        for entry in std::fs::read_dir(theirs.join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name != "Lock" && name != "File" {
                same(&format!("{folder}/{name}"));
            }
        }
    }
    for package in packages {
        let stem = package.info_name();
        same(&format!("info/{stem}.list"));
        for name in ["md5sums", "conffiles", "triggers", "templates"] {
            if package.members.contains_key(name) {
                same(&format!("info/{stem}.{name}"));
            }
        }
    }
    let diversions = |text: String| {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut entries: Vec<Vec<String>> = lines.chunks(3).map(<[String]>::to_vec).collect();
        entries.sort();
        entries
    };
    let mut expected = diversions(std::fs::read_to_string(theirs.join("diversions")).unwrap());
    // libc6 diverts what base-files ships too, while both are unpacked on a system that runs.
    expected.retain(|entry| !entry[0].starts_with("/lib64/"));
    assert_eq!(
        diversions(text(tree, ours.join("diversions").unwrap().as_str())),
        expected
    );
}
