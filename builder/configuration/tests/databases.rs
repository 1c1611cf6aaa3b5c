//! The hardware database and the journal's catalog against systemd's own tools.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by them")]

#[path = "host/mod.rs"]
mod host;

use fortress_configuration::{catalog, hardware};
use fortress_tests::Oracle;
use fortress_tree::{Tree, TreePath};
use proptest::prelude::*;
use std::fs;

fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

#[test]
fn the_hardware_database_is_the_bytes_that_systemd_hwdb_writes() {
    let oracle = Oracle::open();
    let sources = ["/usr/lib/udev/hwdb.d", "/usr/lib/x86_64-linux-gnu/systemd"];
    let mut tree = host::load(oracle.root(), &sources);
    assert!(hardware::write(&mut tree).unwrap() > 100_000);
    let theirs = fs::read(oracle.root().join("usr/lib/udev/hwdb.bin")).unwrap();
    assert!(tree.read(&path("/usr/lib/udev/hwdb.bin")).unwrap() == theirs);
}

/// Sources with what Debian's have not: a file's path, its text.
const HARDWARE: [(&str, &str); 5] = [
    (
        "/usr/lib/udev/hwdb.d/10-a.hwdb",
        "# note\nusb:v1*\nusb:v12*\n A=1\n   B=2 # why\n\t C=3\n D\n =5\n E=\n\n\
         orphan:*\n\nx:*\n A=1\nx:y*\n A=2\n\n indented=1\nlast:*\n",
    ),
    (
        "/usr/lib/udev/hwdb.d/20-b.hwdb",
        "usb:v1*\n A=later\n B=2\n\nusb:v1\n A=other\n",
    ),
    ("/usr/lib/udev/hwdb.d/30-c.hwdb", "masked:*\n A=1\n"),
    (
        "/etc/udev/hwdb.d/20-b.hwdb",
        "usb:v1*\n A=etc\n\nusb:*\n A=\u{e9}\n",
    ),
    ("/usr/lib/udev/hwdb.d/40-d.txt", "other:*\n A=1\n"),
];

#[test]
fn every_form_of_record_is_as_systemd_hwdb_has_it() {
    let oracle = Oracle::open();
    let mut tree = Tree::new(0);
    for (file, text) in HARDWARE {
        tree.write(&path(file), 0o644, text).unwrap();
    }
    tree.link(&path("/etc/udev/hwdb.d/30-c.hwdb"), "/dev/null")
        .unwrap();
    let library = "/usr/lib/x86_64-linux-gnu/systemd/libsystemd-shared-257.so";
    tree.write(&path(library), 0o644, "").unwrap();
    let root = oracle.folder();
    host::store(&tree, root.path());
    assert!(hardware::write(&mut tree).unwrap() > 5);

    // Asked by name, systemd-hwdb finds the same properties in both.
    let inside = oracle.inside(root.path());
    let database = root.path().join("usr/lib/udev/hwdb.bin");
    let _ = oracle.run(&["systemd-hwdb", "--usr", "--root", &inside, "update"]);
    let ask = || {
        let names = [
            "usb:v1", "usb:v12", "usb:v1x", "x:yz", "x:", "masked:1", "orphan:1", "other:1",
            "usb:q",
        ];
        names.map(|name| {
            oracle
                .run(&["systemd-hwdb", "--root", &inside, "query", name])
                .success()
        })
    };
    let theirs = ask();
    fs::remove_file(&database).unwrap();
    fs::write(
        &database,
        tree.read(&path("/usr/lib/udev/hwdb.bin")).unwrap(),
    )
    .unwrap();
    assert_eq!(ask(), theirs);
    assert!(
        theirs[0].contains("A=") && theirs[5].is_empty(),
        "{theirs:?}"
    );
}

#[test]
fn the_catalog_is_the_bytes_that_journalctl_writes() {
    let oracle = Oracle::open();
    let mut tree = host::load(oracle.root(), &["/usr/lib/systemd/catalog"]);
    assert!(catalog::write(&mut tree).unwrap() > 100);
    let theirs = fs::read(oracle.root().join("var/lib/systemd/catalog/database")).unwrap();
    assert!(
        tree.read(&path("/usr/lib/systemd/catalog/database"))
            .unwrap()
            == theirs
    );
    let link = tree
        .read_text(&path("/usr/lib/tmpfiles.d/fortress-catalog.conf"))
        .unwrap();
    assert!(link.contains("L+ /var/lib/systemd/catalog/database"));
}

const CATALOG: [(&str, &str); 4] = [
    (
        "/usr/lib/systemd/catalog/10-a.catalog",
        "# note\n-- fc2e22bc6ee647b6b90729ab34a250b1 de\nSubject: deutsch\n\nText.\n\nMehr.\n\n\
         -- fc2e22bc6ee647b6b90729ab34a250b1\nSubject: first\n\nBody of the first.\n-- not a heading\n\
         \n-- 00000000000000000000000000000001\nSubject: headers only\n",
    ),
    (
        "/usr/lib/systemd/catalog/20-b.catalog",
        "-- fc2e22bc6ee647b6b90729ab34a250b1\nDefined-By: second\n\n\
         -- 00000000000000000000000000000001\nSubject: more\n\nA body.\n",
    ),
    (
        "/usr/lib/systemd/catalog/30-c.pt_BR.catalog",
        "-- fc2e22bc6ee647b6b90729ab34a250b1\nSubject: portugu\u{ea}s\n\nTexto.\n",
    ),
    (
        "/usr/local/lib/systemd/catalog/30-c.pt_BR.catalog",
        "-- 00000000000000000000000000000002\nX: y\n",
    ),
];

#[test]
fn entries_are_merged_as_journalctl_merges_them() {
    let oracle = Oracle::open();
    let mut tree = Tree::new(0);
    for (file, text) in CATALOG {
        tree.write(&path(file), 0o644, text).unwrap();
    }
    let root = oracle.folder();
    host::store(&tree, root.path());
    fs::create_dir_all(root.path().join("var/lib/systemd/catalog")).unwrap();
    catalog::write(&mut tree).unwrap();
    let option = format!("--root={}", oracle.inside(root.path()));
    oracle
        .run(&["journalctl", &option, "--update-catalog"])
        .success();
    let theirs = fs::read(root.path().join("var/lib/systemd/catalog/database")).unwrap();
    let ours = tree
        .read(&path("/usr/lib/systemd/catalog/database"))
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&ours),
        String::from_utf8_lossy(&theirs)
    );
}

#[test]
fn what_is_no_catalog_is_refused_with_its_line() {
    for text in [
        "\nSubject: x\n",
        "\n-- fc2e22bc6ee647b6b90729ab34a250b1 x\n",
    ] {
        let mut tree = Tree::new(0);
        tree.write(&path("/usr/lib/systemd/catalog/x.catalog"), 0o644, text)
            .unwrap();
        let error = catalog::write(&mut tree).unwrap_err().to_string();
        assert!(
            error.starts_with("/usr/lib/systemd/catalog/x.catalog, line 2: "),
            "{error}"
        );
    }
}

proptest! {
    #[test]
    fn any_bytes_are_compiled_or_refused(text in "([a-c*:=#; \n-]|-- [0-9a-f]{32}){0,80}", bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        for text in [text.as_bytes(), &bytes] {
            let mut tree = Tree::new(0);
            tree.write(&path("/usr/lib/udev/hwdb.d/x.hwdb"), 0o644, text.to_vec()).unwrap();
            tree.write(&path("/usr/lib/systemd/catalog/x.catalog"), 0o644, text.to_vec()).unwrap();
            let _ = hardware::write(&mut tree);
            let _ = catalog::write(&mut tree);
        }
    }
}
