//! The dynamic linker's cache against glibc's ldconfig.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by them")]

#[path = "host/mod.rs"]
mod host;

use fortress_configuration::libraries;
use fortress_tests::Oracle;
use fortress_tree::{Kind, Tree, TreePath};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;

fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

/// Asserts that two caches are the same but for the name of the program that wrote them: all
/// up to the extensions, and those behind the header and the section with that name.
fn compare(ours: &[u8], theirs: &[u8]) {
    let word = |cache: &[u8], at: usize| {
        u32::from_le_bytes(cache[at..at + 4].try_into().unwrap()) as usize
    };
    let extensions = word(theirs, 32);
    assert!(
        ours[..extensions] == theirs[..extensions],
        "the entries differ"
    );
    let sections = |cache: &[u8]| -> BTreeMap<usize, Vec<u8>> {
        let sections = (0..word(cache, extensions + 4)).map(|number| {
            let section = extensions + 8 + number * 16;
            let (start, size) = (word(cache, section + 8), word(cache, section + 12));
            (word(cache, section), cache[start..start + size].to_vec())
        });
        sections.collect()
    };
    let (mut ours, mut theirs) = (sections(ours), sections(theirs));
    assert!(ours.remove(&0).unwrap().starts_with(b"fortress-build"));
    assert!(theirs.remove(&0).unwrap().starts_with(b"ldconfig"));
    assert_eq!(ours, theirs);
}

#[test]
fn the_cache_of_a_debian_is_what_ldconfig_writes() {
    let oracle = Oracle::open();
    let mut tree = host::load(
        oracle.root(),
        &[
            "/lib",
            "/usr/lib/x86_64-linux-gnu",
            "/etc/ld.so.conf",
            "/etc/ld.so.conf.d",
            "/usr/local/lib",
        ],
    );
    let nodes = tree.count();
    assert!(libraries::write(&mut tree).unwrap() > 100);
    let ours = tree.read(&path("/etc/ld.so.cache")).unwrap();
    let theirs = fs::read(oracle.root().join("etc/ld.so.cache")).unwrap();
    compare(&ours, &theirs);
    // Debian's packages bring all links along.
    assert_eq!(tree.count(), nodes + 1);
    // ldconfig itself reads it without a complaint.
    let folder = oracle.folder();
    let file = folder.path().join("cache");
    fs::write(&file, &ours).unwrap();
    let listed = oracle
        .run(&["ldconfig", "-p", "-C", &oracle.inside(&file)])
        .success();
    assert!(listed.contains("libc.so.6 (libc6,x86-64) => /lib/x86_64-linux-gnu/libc.so.6"));
}

/// Every link in a tree, with its target.
fn links(tree: &Tree) -> BTreeMap<String, String> {
    let links = tree.iter().filter_map(|(path, node)| match &node.kind {
        Kind::Symlink(target) => Some((path.to_string(), target.clone())),
        _ => None,
    });
    links.collect()
}

#[test]
fn variants_versions_and_missing_links_are_as_ldconfig_has_them() {
    let oracle = Oracle::open();
    let root = oracle.folder();
    let at = |path: &str| root.path().join(path);
    let theirs = |name: &str| oracle.root().join("usr/lib/x86_64-linux-gnu").join(name);
    for folder in [
        "etc/more.d",
        "opt/a",
        "opt/b/glibc-hwcaps/x86-64-v3",
        "opt/b/glibc-hwcaps/x86-64-v2",
        "usr/lib",
    ] {
        fs::create_dir_all(at(folder)).unwrap();
    }
    symlink("usr/lib", at("lib")).unwrap();
    fs::write(
        at("etc/ld.so.conf"),
        "# note\ninclude more.d/*.conf\n/opt/b/ # b\n/opt/none\n",
    )
    .unwrap();
    fs::write(at("etc/more.d/10.conf"), "/opt/a\n/opt/b\n").unwrap();
    fs::write(at("etc/more.d/.20.conf"), "/usr/lib\n").unwrap();
    fs::write(at("etc/more.d/30.txt"), "/usr/lib\n").unwrap();
    let copy = |name: &str, to: &str| fs::copy(theirs(name), at(to)).unwrap();
    // Its own name leads nowhere yet; of two versions the newer counts.
    copy("libz.so.1", "opt/a/libz.so.1.9");
    copy("libz.so.1", "opt/a/libz.so.1.10");
    // A stale link, a development link, a file under its own name, a module without a name.
    copy("libelf.so.1", "opt/a/libelf-0.1.so");
    symlink("libelf-0.0.so", at("opt/a/libelf.so.1")).unwrap();
    copy("libbz2.so.1.0", "opt/a/libbz2.so.1.0");
    symlink("libbz2.so.1.0", at("opt/a/libbz2.so")).unwrap();
    symlink("libbz2.so.1.0", at("opt/a/libother.so")).unwrap();
    copy("libc.so.6", "usr/lib/libc.so.6");
    copy("ld-linux-x86-64.so.2", "usr/lib/ld-linux-x86-64.so.2");
    // What is no library.
    fs::write(at("opt/a/libscript.so"), "INPUT(-lz)\n").unwrap();
    fs::write(at("opt/a/libempty.so.1"), "").unwrap();
    copy("libz.so.1", "opt/a/notlib.so.1");
    // The same library in two folders, and for better processors.
    copy("libz.so.1", "opt/b/libz.so.1");
    copy("libz.so.1", "opt/b/glibc-hwcaps/x86-64-v2/libz.so.1.2");
    copy(
        "libcrypto.so.3",
        "opt/b/glibc-hwcaps/x86-64-v3/libcrypto.so.3",
    );
    copy("libz.so.1", "opt/b/glibc-hwcaps/x86-64-v3/libz.so.1");
    copy("libcrypto.so.3", "opt/b/libcrypto.so.3");
    // Two that say which level of x86-64 they need: the first, as Debian's, and the third.
    copy("libm.so.6", "opt/b/glibc-hwcaps/x86-64-v2/libm.so.6");
    let mut third = fs::read(theirs("libm.so.6")).unwrap();
    let property = [2, 0x80, 0, 0xc0, 4, 0, 0, 0, 1, 0, 0, 0];
    let place = third
        .windows(12)
        .position(|bytes| bytes == property)
        .unwrap();
    third[place + 8] = 7;
    fs::write(at("opt/b/glibc-hwcaps/x86-64-v3/libm.so.6"), third).unwrap();

    let mut tree = host::load(root.path(), &["/etc", "/opt", "/usr", "/lib"]);
    // libbz2 with its development link, libc, ld-linux, libm and libcrypto twice, libelf, and libz
    // once in a and thrice in b.
    assert_eq!(libraries::write(&mut tree).unwrap(), 13);
    let inside = oracle.inside(root.path());
    let outcome = oracle.run(&["ldconfig", "-X", "-r", &inside]);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    let outcome = oracle.run(&["ldconfig", "-r", &inside]);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    let after = host::load(root.path(), &["/etc", "/opt", "/usr", "/lib"]);
    assert_eq!(links(&tree), links(&after));
    let cache = path("/etc/ld.so.cache");
    compare(&tree.read(&cache).unwrap(), &after.read(&cache).unwrap());
}

#[test]
fn configuration_that_leads_nowhere_is_refused_with_its_line() {
    for (text, part) in [
        (
            "/lib\nrelative/path\n",
            "/etc/ld.so.conf, line 2: \"relative/path\" is no absolute path",
        ),
        ("include /etc/ld.so.conf\n", "includes go deeper than"),
        ("/a/../../b\n", "'..'"),
    ] {
        let mut tree = Tree::new(0);
        tree.write(&path("/etc/ld.so.conf"), 0o644, text).unwrap();
        let error = libraries::write(&mut tree).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn damaged_libraries_never_panic() {
    let oracle = Oracle::open();
    let library = fs::read(oracle.root().join("usr/lib/x86_64-linux-gnu/libcap.so.2")).unwrap();
    // The headers, and the dynamic section, which lies near the end of what is loaded.
    let dynamic = library.windows(16).position(|bytes| {
        bytes[0] == 1 && bytes[1..8].iter().all(|byte| *byte == 0) && bytes[10..16] == [0; 6]
    });
    let dynamic = dynamic.unwrap();
    let change = (any::<prop::sample::Index>(), any::<u8>(), any::<bool>());
    let strategy = (
        prop::collection::vec(change, 1..12),
        any::<prop::sample::Index>(),
    );
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(500));
    let ran = runner.run(&strategy, |(changes, cut)| {
        let mut bytes = library.clone();
        for (at, byte, header) in changes {
            let at = at.index(700);
            bytes[if header { at } else { dynamic + at }] = byte;
        }
        if cut.index(4) == 0 {
            bytes.truncate(cut.index(bytes.len()));
        }
        let mut tree = Tree::new(0);
        tree.write(&path("/usr/lib/libcap.so.2.66"), 0o644, bytes)
            .unwrap();
        let _ = libraries::write(&mut tree);
        Ok(())
    });
    ran.unwrap();
}
