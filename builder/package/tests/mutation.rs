//! Whatever bytes come in, an answer comes out: no panic, no endless loop, no unbounded memory,
//! and no node outside of what packages may make.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test a panic is the verdict"
)]

mod common;

use common::*;
use fortress_package::{Control, Reviewed};
use fortress_tree::Kind;
use proptest::prelude::*;

/// A package that has one of everything.
fn rich() -> Vec<u8> {
    let attribute = pax(&[
        ("SCHILY.xattr.security.capability", b"\x01\0\0\x02\n=\0"),
        ("mtime", b"5.5"),
    ]);
    let long = "deep/".repeat(30) + "name";
    let long_name = entry(
        "././@LongLink",
        b'L',
        "",
        long.len() as u64 + 1,
        format!("{long}\0").as_bytes(),
    );
    let entries = [
        directory("./"),
        directory("./usr"),
        file("./usr/small", "small"),
        file("./usr/large", &"large".repeat(60_000)),
        file("./usr/empty", ""),
        hard_link("./usr/other", "./usr/small"),
        symlink("./bin", "usr/bin"),
        attribute,
        file("./usr/ping", "ping"),
        long_name,
        file("short", "long"),
    ];
    package_with("a", "Essential: yes\nReplaces: b (<< 2)\n", &entries)
}

/// Unpacks it, and checks what comes out.
fn try_unpack(bytes: &[u8]) {
    let mut bench = Bench::new();
    bench.options.limits.unpacked = 4 << 20;
    let Ok((tree, packages)) = bench.unpack(&[bytes.to_vec()]) else {
        return;
    };
    assert_eq!(packages.len(), 1);
    for (path, node) in tree.iter() {
        let parent = path.parent().and_then(|parent| tree.get(&parent));
        assert!(path.is_root() || parent.is_some_and(|parent| parent.is_directory()));
        match &node.kind {
            Kind::File(_) => drop(tree.read(path).unwrap()),
            Kind::HardLink(file) => {
                assert!(matches!(tree.get(file).unwrap().kind, Kind::File(_)));
            }
            Kind::Directory | Kind::Symlink(_) => {}
            other => panic!("{path} is {}", other.name()),
        }
    }
}

#[test]
fn one_of_everything_is_unpacked() {
    let (tree, packages) = Bench::new().unpack(&[rich()]).unwrap();
    let long = format!("/{}name", "deep/".repeat(30));
    assert_eq!(tree.read_text(&path(&long)).unwrap(), "long");
    assert_eq!(tree.read_text(&path("/usr/other")).unwrap(), "small");
    assert_eq!(tree.read(&path("/usr/large")).unwrap().len(), 300_000);
    let ping = &tree.get(&path("/usr/ping")).unwrap().metadata;
    assert_eq!(ping.modified, 5);
    assert_eq!(ping.attributes["security.capability"], b"\x01\0\0\x02\n=\0");
    assert!(packages[0].essential);
    assert_eq!(packages[0].paths[..3], ["/.", "/usr", "/usr/small"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn changed_bytes(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = rich();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        try_unpack(&bytes);
    }

    #[test]
    fn changed_headers_with_right_checksums(
        which in 0usize..11,
        changes in prop::collection::vec((0usize..512, any::<u8>()), 1..6),
    ) {
        let mut entries = vec![
            directory("./usr"),
            file("./usr/a", "aaa"),
            hard_link("./usr/b", "./usr/a"),
            symlink("./s", "usr"),
            pax(&[("path", b"usr/c")]),
            file("x", "ccc"),
            entry("././@LongLink", b'L', "", 6, b"usr/d\0"),
            file("x", "ddd"),
            directory("./usr/e"),
            file("./usr/e/f", &"f".repeat(100_000)),
            file("./usr/g", ""),
        ];
        let mut header: [u8; 512] = entries[which][..512].try_into().unwrap();
        for (at, byte) in changes {
            header[at] = byte;
        }
        entries[which][..512].copy_from_slice(&with_checksum(header));
        try_unpack(&package("a", &entries));
    }

    #[test]
    fn any_bytes_at_all(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        try_unpack(&bytes);
        try_unpack(&[b"!<arch>\n", &bytes[..]].concat());
        let control = control("Package: a\nVersion: 1\nArchitecture: all\n");
        for data in ["data.tar", "data.tar.xz", "data.tar.zst", "data.tar.gz"] {
            let members = [("debian-binary", &b"2.0\n"[..]), ("control.tar", &control), (data, &bytes)];
            try_unpack(&ar(&members));
        }
    }

    #[test]
    fn any_text_for_control_and_reviews(text in any::<String>()) {
        let _ = Control::parse("a", text.clone());
        let _ = Reviewed::from_toml(&text);
    }
}
