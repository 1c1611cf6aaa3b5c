//! tmpfiles.d against systemd-tmpfiles of Debian 13: what is made at build time, and what a
//! boot makes of an empty `/var`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by them")]

use fortress_configuration::{database, state, tmpfiles};
use fortress_tests::Oracle;
use fortress_tree::{Content, Kind, Metadata, Node, Tree, TreePath};

mod laid;

const EPOCH: i64 = 1_700_000_000;
const LINES: &str = r#"# Lines for the root file system, and some for elsewhere.
d /etc/made 0750 root adm -
d /etc/made/below - - - -
d /etc/there 0711 - - -
d /etc/kept :0700 :root :adm -
f /etc/made/file 0640 root adm - two\nlines %o %%
f /etc/there/file 0600 - - - unchanged
f+ /etc/there/again - - - - written anew
F /etc/there/replaced - - - - in place of it
F! /etc/made/replaced 0600 - - - as noble has it
f~ /etc/made/binary 0644 - - - aGVsbG8=
w /etc/there/written - - - - over
w+ /etc/there/appended - - - - \x20and more
w /etc/there/missing - - - - nothing
L /etc/link - - - - ../usr/target
L /etc/there/file-stays - - - - /nowhere
L+ /etc/there/file-goes - - - - /nowhere
L= /etc/there/link-elsewhere - - - - /nowhere
L= /etc/there/file-for-link - - - - /nowhere
L? /etc/leads - - - - ../usr/target
L? /etc/dangles - - - - /nowhere
L /etc/from-factory
C /etc/copied - - - - /usr/share/template
C /etc/copied-file 0600 - - - /usr/share/template/one
C /etc/there/full - - - - /usr/share/template
C+ /etc/there/merged - - - - /usr/share/template
p /etc/pipe 0622 - - -
p+ /etc/there/file-for-pipe 0600 - - -
e /etc/there/e* 0700 - - -
z /etc/there/z[12] 0600 - adm -
Z /etc/there/deep ~0750 - adm -
d= /etc/there/wrong-kind 0755 - - -
v /srv/volume - - - -
q /srv/quota 0700 - - -
D /opt/emptied 0755 - - -
d "/etc/with blank" - - - -
x /etc/ignored
r! /etc/there/stays
d /run/not-here - - - -
d /var/not-here - - - -
"#;

fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

/// What both sides begin with.
fn begin() -> Tree {
    let mut tree = Tree::new(EPOCH);
    for (name, text) in [
        ("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
        ("/etc/group", "root:x:0:\nadm:x:4:\n"),
        ("/etc/there/file", "there"),
        ("/etc/there/again", "there, and longer than what comes"),
        ("/etc/there/replaced", "there"),
        ("/etc/there/file-for-link", ""),
        ("/etc/there/file-for-pipe", ""),
        ("/etc/there/written", "there, and longer"),
        ("/etc/there/appended", "there"),
        ("/etc/there/file-stays", ""),
        ("/etc/there/file-goes", ""),
        ("/etc/there/stays", ""),
        ("/etc/there/wrong-kind", ""),
        ("/etc/there/z1", ""),
        ("/etc/there/z2", ""),
        ("/etc/there/z3", ""),
        ("/etc/there/deep/below/file", ""),
        ("/etc/there/full/something", ""),
        ("/etc/there/merged/something", ""),
        ("/etc/there/merged/one", "kept"),
        ("/etc/there/entered/x", ""),
        ("/etc/kept/x", ""),
        ("/usr/target", ""),
        ("/usr/share/template/one", "1"),
        ("/usr/share/template/two/three", "3"),
        ("/usr/share/factory/etc/from-factory", ""),
        ("/usr/lib/os-release", "ID=debian\n"),
        ("/usr/lib/tmpfiles.d/test.conf", LINES),
    ] {
        tree.write(&path(name), 0o644, text).unwrap();
    }
    tree.get_mut(&path("/etc/there/deep/below/file"))
        .unwrap()
        .metadata
        .mode = 0o640;
    tree.link(&path("/etc/there/link-elsewhere"), "/elsewhere")
        .unwrap();
    for name in ["/srv", "/opt", "/run", "/var"] {
        tree.make_directories(&path(name)).unwrap();
    }
    tree
}

fn listing(tree: &Tree, within: &[&str]) -> Vec<String> {
    let mut lines = Vec::new();
    for place in within {
        for (path, node) in tree.within(&path(place)) {
            let Metadata {
                mode, user, group, ..
            } = &node.metadata;
            let what = match &node.kind {
                Kind::File(content) => String::from_utf8(content.read().unwrap()).unwrap(),
                Kind::Symlink(target) => {
                    lines.push(format!("{path} -> {target}"));
                    continue;
                }
                other => other.name().to_owned(),
            };
            lines.push(format!("{path} {mode:o} {user}:{group} {what}"));
        }
    }
    lines
}

#[test]
fn lines_for_the_root_are_followed_as_systemd_tmpfiles_does() {
    let oracle = Oracle::open();
    let folder = oracle.folder();
    let mut tree = begin();
    laid::lay(&tree, folder.path());
    let done = tmpfiles::run(&mut tree, "host", "amd64").unwrap();
    let root = format!("--root={}", oracle.inside(folder.path()));
    let told = oracle.run_with_proc(&[
        "systemd-tmpfiles",
        &root,
        "--create",
        "--boot",
        "--prefix=/etc",
        "--prefix=/srv",
        "--prefix=/opt",
    ]);
    assert_eq!(told.status, 0, "{told:?}");
    let theirs = Tree::load(folder.path(), EPOCH).unwrap();
    let places = ["/etc", "/srv", "/opt", "/run", "/var"];
    assert_eq!(
        listing(&tree, &places),
        listing(&theirs, &places),
        "{}",
        told.errors
    );
    assert!(done.warnings.is_empty(), "{:?}", done.warnings);
}

#[test]
fn a_boot_fills_an_empty_var() {
    let oracle = Oracle::open();
    let folder = oracle.folder();
    let mut tree = Tree::new(EPOCH);
    for (name, mode, user, group, text) in [
        (
            "/etc/passwd",
            0o644,
            0,
            0,
            "root:x:0:0:root:/root:/bin/sh\ntss:x:101:101::/:/bin/false\n",
        ),
        (
            "/etc/group",
            0o644,
            0,
            0,
            "root:x:0:\ntss:x:101:\nmail:x:8:\n",
        ),
        ("/var/lib/a/state with blanks %H", 0o640, 101, 8, "kept\n"),
        ("/var/lib/a/empty", 0o600, 101, 101, ""),
        ("/var/lib/tpm/x", 0o644, 0, 0, "x"),
        (
            "/var/cache/unknown/file",
            0o604,
            4711,
            4712,
            "owner without a name",
        ),
        ("/var/log/wtmp", 0o664, 0, 8, ""),
        ("/var/lib/dpkg/status", 0o644, 0, 0, "gone"),
        ("/usr/lib/sysimage/dpkg/status", 0o644, 0, 0, "here"),
        (
            "/usr/lib/tmpfiles.d/var.conf",
            0o644,
            0,
            0,
            "d /var/log 0755 - - -\nd /var/lib 0755 - - -\nL /var/run - - - - ../run\n",
        ),
    ] {
        let metadata = Metadata::new(mode).owned_by(user, group);
        tree.place(&path(name), Node::file(metadata, Content::from(text)))
            .unwrap();
    }
    let private = tree.get_mut(&path("/var/lib/tpm")).unwrap();
    private.metadata = Metadata {
        mode: 0o2770,
        modified: EPOCH,
        ..Metadata::new(0).owned_by(101, 101)
    };
    tree.link(&path("/var/spool/mail"), "../mail").unwrap();
    tree.link(&path("/var/run"), "../run").unwrap();
    tree.make_directories(&path("/run")).unwrap();
    let mut expected = tree.clone();
    expected.remove(&path(database::LINK.0));
    expected
        .link(&path(database::LINK.0), database::LINK.1)
        .unwrap();
    state::run(&mut tree, &[database::LINK], "host", "amd64").unwrap();
    assert_eq!(tree.within(&path("/var")).count(), 1);
    laid::lay(&tree, folder.path());
    let root = format!("--root={}", oracle.inside(folder.path()));
    let told = oracle.run_with_proc(&["systemd-tmpfiles", &root, "--create", "--boot"]);
    assert_eq!(told.status, 0, "{told:?}");
    assert!(!told.errors.contains("Duplicate"), "{}", told.errors);
    let theirs = Tree::load(folder.path(), EPOCH).unwrap();
    assert_eq!(listing(&theirs, &["/var"]), listing(&expected, &["/var"]));
}
