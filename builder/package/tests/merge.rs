//! Packages that meet in one tree: dpkg's rules.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test a panic is the verdict"
)]

mod common;

use common::*;
use fortress_package::{Diversion, Error};
use fortress_tree::Kind;

fn replacing(name: &str, replaces: &str, entries: &[Vec<u8>]) -> Vec<u8> {
    package_with(name, &format!("Replaces: {replaces}\n"), entries)
}

#[test]
fn files_that_differ_are_an_error_that_names_both() {
    let one = package("one", &[directory("./etc"), file("./etc/x", "1")]);
    for (other, difference) in [
        (file("./etc/x", "2"), "with different contents"),
        (
            patched(file("./etc/x", "1"), 100, b"0000600\0"),
            "with different owners, modes",
        ),
        (symlink("./etc/x", "y"), "as a file and as a symbolic link"),
        (directory("./etc/x"), "as a directory and as a file"),
    ] {
        let error = Bench::new()
            .unpack(&[one.clone(), package("two", &[other])])
            .unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("/etc/x: a and b both ship it, "), "{text}");
        assert!(
            text.contains(difference),
            "{text:?} does not say {difference:?}"
        );
    }
    let error = Bench::new()
        .unpack(&[
            package("one", &[directory("./x")]),
            package("two", &[file("./x", "")]),
        ])
        .unwrap_err();
    assert!(
        error.to_string().contains("as a directory and as a file"),
        "{error}"
    );
}

#[test]
fn files_that_are_the_same_are_shared() {
    let entries = [
        directory("./usr"),
        file("./usr/x", "1"),
        symlink("./usr/l", "x"),
        hard_link("./usr/h", "./usr/x"),
    ];
    let (tree, packages) = Bench::new()
        .unpack(&[package("one", &entries), package("two", &entries)])
        .unwrap();
    assert_eq!(tree.count(), 5);
    assert_eq!(packages[0].paths, packages[1].paths);
    assert_eq!(tree.read_text(&path("/usr/h")).unwrap(), "1");
}

#[test]
fn the_replacing_file_wins_whoever_comes_first() {
    let old = package("old", &[file("./x", "old"), file("./y", "y")]);
    let new = replacing("new", "old (<< 2)", &[file("./x", "new")]);
    for packages in [[old.clone(), new.clone()], [new, old.clone()]] {
        let (tree, packages) = Bench::new().unpack(&packages).unwrap();
        assert_eq!(tree.read_text(&path("/x")).unwrap(), "new");
        for package in packages {
            let expected = if package.name == "old" {
                ["/y"]
            } else {
                ["/x"]
            };
            assert_eq!(package.paths, expected, "{}", package.name);
        }
    }
    let other_version = replacing("new", "old (<< 1.0-1)", &[file("./x", "new")]);
    let error = Bench::new().unpack(&[old, other_version]).unwrap_err();
    assert!(matches!(error, Error::Conflict { .. }));
}

#[test]
fn hard_links_outlive_the_file_that_is_replaced() {
    let old = package(
        "old",
        &[
            file("./x", "old"),
            hard_link("./y", "./x"),
            hard_link("./z", "./x"),
        ],
    );
    let new = replacing("new", "old", &[file("./x", "new")]);
    for packages in [[old.clone(), new.clone()], [new, old]] {
        let (tree, _) = Bench::new().unpack(&packages).unwrap();
        for (name, contents) in [("/x", "new"), ("/y", "old"), ("/z", "old")] {
            assert_eq!(tree.read_text(&path(name)).unwrap(), contents, "{name}");
        }
        let kind = &tree.get(&path("/z")).unwrap().kind;
        assert!(
            matches!(kind, Kind::HardLink(file) if *file == path("/y")),
            "{kind:?}"
        );
    }
}

#[test]
fn a_diversion_moves_the_file_of_everybody_else() {
    let mut bench = Bench::new();
    bench.options.diversions.push(Diversion {
        package: "keeper".into(),
        path: path("/usr/bin/x"),
        to: path("/usr/bin/x.real"),
    });
    let keeper = package(
        "keeper",
        &[directory("./usr/bin"), file("./usr/bin/x", "kept")],
    );
    let other = package(
        "other",
        &[directory("./usr/bin"), file("./usr/bin/x", "diverted")],
    );
    for packages in [[keeper.clone(), other.clone()], [other, keeper]] {
        let (tree, packages) = bench.unpack(&packages).unwrap();
        assert_eq!(tree.read_text(&path("/usr/bin/x")).unwrap(), "kept");
        assert_eq!(
            tree.read_text(&path("/usr/bin/x.real")).unwrap(),
            "diverted"
        );
        assert!(
            packages
                .iter()
                .all(|package| package.paths.contains(&"/usr/bin/x".into()))
        );
    }
}

#[test]
fn a_merged_usr_does_not_depend_on_whose_turn_it_is() {
    let base = package_with(
        "base-files",
        "Essential: yes\n",
        &[
            directory("./"),
            patched(directory("./usr"), 136, b"00000000011\0"),
            directory("./usr/lib"),
            symlink("./lib", "usr/lib"),
        ],
    );
    let early = package(
        "a-lib",
        &[
            directory("./lib"),
            directory("./lib/a"),
            file("./lib/a/x", "x"),
        ],
    );
    let late = package(
        "z-lib",
        &[directory("./usr/lib/a"), file("./usr/lib/a/y", "y")],
    );
    let all = [[0, 1, 2], [1, 0, 2], [2, 1, 0]].map(|order| {
        let packages = [&base, &early, &late];
        let packages = order.map(|index| packages[index].clone());
        let (tree, packages) = Bench::new().unpack(&packages).unwrap();
        let early = packages
            .iter()
            .find(|package| package.name == "a-lib")
            .unwrap();
        assert_eq!(early.paths, ["/lib", "/lib/a", "/lib/a/x"]);
        assert_eq!(tree.get(&path("/usr")).unwrap().metadata.modified, 9);
        tree.listing().unwrap()
    });
    assert!(all[0].contains("/usr/lib/a/x 0644") && all[0].contains("/lib 0644 0:0 link usr/lib"));
    assert_eq!(all[0], all[1]);
    assert_eq!(all[1], all[2]);
    // The same file by both names is one file.
    let twice = package("b-lib", &[file("./usr/lib/a/x", "other")]);
    let error = Bench::new().unpack(&[base, early, twice]).unwrap_err();
    assert!(
        error.to_string().starts_with("/usr/lib/a/x: b and c"),
        "{error}"
    );
}

#[test]
fn links_of_one_package_hold_for_another_and_never_lead_out() {
    let link = package(
        "link",
        &[
            directory("./srv"),
            symlink("./srv/data", "../../../var/data"),
        ],
    );
    let user = package(
        "user",
        &[directory("./srv/data"), file("./srv/data/x", "x")],
    );
    let (tree, _) = Bench::new().unpack(&[link, user]).unwrap();
    assert_eq!(tree.read_text(&path("/var/data/x")).unwrap(), "x");
    let circle = package("circle", &[symlink("./a", "b"), symlink("./b", "a")]);
    let user = package("user", &[file("./a/x", "x")]);
    let error = Bench::new().unpack(&[circle, user]).unwrap_err();
    assert_eq!(error.to_string(), "package b: cannot unpack /a");
    let file_there = package("one", &[file("./a", "")]);
    let below = package("two", &[file("./a/x", "x")]);
    let error = Bench::new().unpack(&[file_there, below]).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("a and b both ship it, as a directory"),
        "{error}"
    );
}

#[test]
fn the_first_directory_decides_and_a_link_does_not_replace_it() {
    let first = package(
        "first",
        &[
            patched(directory("./d"), 100, b"0002770\0"),
            file("./d/x", "x"),
        ],
    );
    let second = package("second", &[directory("./d")]);
    let (tree, _) = Bench::new().unpack(&[first.clone(), second]).unwrap();
    assert_eq!(tree.get(&path("/d")).unwrap().metadata.mode, 0o2770);
    let deep = package(
        "deep",
        &[directory("./u"), directory("./u/d"), file("./u/d/x", "x")],
    );
    let link = package("link", &[directory("./u"), symlink("./u/d", "e")]);
    let (tree, _) = Bench::new().unpack(&[deep, link]).unwrap();
    assert!(tree.get(&path("/u/d")).unwrap().is_directory());
    // A directory that only follows from what lies in it gets its metadata later.
    let inner = package("inner", &[file("./v/x", "x")]);
    let outer = package("outer", &[patched(directory("./v"), 100, b"0000700\0")]);
    let (tree, _) = Bench::new().unpack(&[inner, outer]).unwrap();
    assert_eq!(tree.get(&path("/v")).unwrap().metadata.mode, 0o700);
}

#[test]
fn a_package_comes_once() {
    let one = package("one", &[]);
    let error = Bench::new().unpack(&[one.clone(), one]).unwrap_err();
    assert!(
        error.to_string().contains("one for amd64 is there twice"),
        "{error}"
    );
}

#[test]
fn what_fails_leaves_no_package_in_the_tree_and_says_why_first() {
    let bench = Bench::new();
    let fine = bench.archive("fine", &package("fine", &[file("./x", "x")]));
    let bad = bench.archive("bad", b"nothing");
    let folder = tempfile::tempdir().unwrap();
    let spool = fortress_tree::Spool::new(folder.path()).unwrap();
    let mut tree = fortress_tree::Tree::new(0);
    let result = fortress_package::unpack(
        &[fine, bad],
        &mut tree,
        &spool,
        &bench.options,
        &fortress_progress::Silent,
    );
    assert!(
        result
            .unwrap_err()
            .to_string()
            .starts_with("package bad is cut off")
    );
    assert_eq!(tree.count(), 1);
}

#[test]
fn whoever_watches_can_stop_it() {
    struct Impatient;
    impl fortress_progress::Observer for Impatient {
        fn stage(
            &self,
            _: &str,
            _: Option<u64>,
            _: fortress_progress::Unit,
        ) -> Box<dyn fortress_progress::Stage> {
            Box::new(fortress_progress::Silent)
        }
        fn note(&self, _: &str) {}
        fn warn(&self, _: &str) {}
        fn cancelled(&self) -> bool {
            true
        }
    }
    let bench = Bench::new();
    let archive = bench.archive("a", &package("a", &[file("./x", "x")]));
    let folder = tempfile::tempdir().unwrap();
    let spool = fortress_tree::Spool::new(folder.path()).unwrap();
    let mut tree = fortress_tree::Tree::new(0);
    let result =
        fortress_package::unpack(&[archive], &mut tree, &spool, &bench.options, &Impatient);
    assert!(matches!(result, Err(Error::Cancelled)));
}
