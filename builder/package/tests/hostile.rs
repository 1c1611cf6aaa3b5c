//! Packages that should not be: each is refused with its name and the reason.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test a panic is the verdict"
)]

mod common;

use common::*;
use fortress_package::{Archive, Error};
use std::io::Write;

#[track_caller]
fn assert_refused(entries: &[Vec<u8>], reason: &str) {
    let text = Bench::new().refusal(&package("a", entries));
    assert!(text.contains(reason), "{text:?} does not say {reason:?}");
}

#[test]
fn paths_that_leave_the_tree() {
    assert_refused(&[file("/etc/passwd", "x")], "is an absolute path");
    assert_refused(&[file("./../etc/passwd", "x")], "contains '..'");
    assert_refused(&[file("./usr/../../x", "x")], "contains '..'");
    assert_refused(&[file("..", "x")], "contains '..'");
    assert_refused(
        &[pax(&[("path", b"/abs")]), file("x", "x")],
        "is an absolute path",
    );
    assert_refused(&[pax(&[("path", b"a\0b")]), file("x", "x")], "NUL");
    assert_refused(
        &[pax(&[("path", b"a\xff")]), file("x", "x")],
        "is not UTF-8",
    );
    assert_refused(
        &[pax(&[("path", b"a\nb")]), file("x", "x")],
        "contains a newline",
    );
    assert_refused(&[pax(&[("path", b"")]), file("x", "x")], "is an empty name");
    let long = "n".repeat(256);
    assert_refused(
        &[pax(&[("path", long.as_bytes())]), file("x", "x")],
        "over 255 bytes",
    );
}

#[test]
fn links_through_which_other_entries_would_leave() {
    assert_refused(
        &[symlink("./x", "/etc"), file("./x/passwd", "x")],
        "\"/x/passwd\" lies behind /x",
    );
    assert_refused(
        &[
            symlink("./a", ".."),
            directory("./a/b"),
            file("./a/b/c", "x"),
        ],
        "lies behind /a",
    );
    assert_refused(
        &[file("./x/passwd", "x"), symlink("./x", "/etc")],
        "\"/x\" takes the place of a directory",
    );
    assert_refused(&[symlink("./", "/etc")], "is the root");
    assert_refused(&[symlink("./x", "")], "link to nothing");
    assert_refused(
        &[pax(&[("linkpath", b"a\nb")]), symlink("./x", "")],
        "newline or NUL",
    );
    assert_refused(&[hard_link("./x", "/etc/shadow")], "is an absolute path");
    assert_refused(
        &[hard_link("./x", "./etc/shadow")],
        "is no file that the package ships",
    );
    assert_refused(&[hard_link("./x", "../shadow")], "contains '..'");
    assert_refused(
        &[symlink("./s", "t"), hard_link("./x", "./s")],
        "is no file that the package ships",
    );
    assert_refused(
        &[hard_link("./x", "./x")],
        "is no file that the package ships",
    );
    assert_refused(
        &[directory("./d"), hard_link("./x", "./d")],
        "is no file that the package ships",
    );
}

#[test]
fn entries_on_top_of_one_another() {
    assert_refused(&[file("./x", "1"), file("./x", "2")], "\"/x\" comes twice");
    assert_refused(&[file("./x", "1"), directory("./x")], "\"/x\" comes twice");
    assert_refused(
        &[directory("./x"), file("./x", "1")],
        "takes the place of a directory",
    );
    assert_refused(&[file("./x", "1"), file("./x/y", "2")], "lies behind /x");
}

#[test]
fn kinds_that_no_package_has() {
    for kind in [b'3', b'4', b'6'] {
        assert_refused(
            &[entry("./x", kind, "", 0, b"")],
            "is a device node or named pipe",
        );
    }
    assert_refused(&[entry("./x", b'S', "", 0, b"")], "is a sparse file");
    assert_refused(&[entry("./x", b'M', "", 0, b"")], "is of a kind");
    assert_refused(&[entry("./x", b's', "", 0, b"")], "is of a kind");
    assert_refused(&[entry("./x", b'g', "", 0, b"")], "is of a kind");
    assert_refused(
        &[pax(&[("GNU.sparse.major", b"1")]), file("./x", "1")],
        "\"GNU.sparse.major\" is not understood",
    );
    let directory = entry("./x", b'5', "", 3, b"abc");
    assert_refused(&[directory], "has contents but is no regular file");
    let mut bench = Bench::new();
    bench.options.allow_devices = true;
    let devices = [
        entry("./c", b'3', "", 0, b""),
        entry("./b", b'4', "", 0, b""),
        entry("./p", b'6', "", 0, b""),
    ];
    let (tree, _) = bench.unpack(&[package("a", &devices)]).unwrap();
    let listing = tree.listing().unwrap();
    for line in [
        "/b 0644 0:0 block 1:3\n",
        "/c 0644 0:0 character 1:3\n",
        "/p 0644 0:0 fifo\n",
    ] {
        assert!(listing.contains(line), "{listing}");
    }
}

#[test]
fn numbers_that_cannot_be() {
    let with = |at, bytes: &[u8]| patched(file("./x", "1"), at, bytes);
    assert_refused(
        &[with(108, b"\xff\xff\xff\xff\xff\xff\xff\xff")],
        "user ID in a header",
    );
    assert_refused(
        &[with(108, b"\x80\0\0\0\xff\xff\xff\xff")],
        "has user ID 4294967295",
    );
    assert_refused(
        &[with(116, b"\x80\0\0\x01\0\0\0\0")],
        "has group ID 4294967296",
    );
    assert_refused(
        &[with(
            136,
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        )],
        "time in a header",
    );
    assert_refused(&[with(136, b"77777777777\0"), pax(&[])], "no entry");
    assert_refused(
        &[with(136, b"\x80\0\0\0\0\0\0\x04\0\0\0\0")],
        "is of a time",
    );
    assert_refused(&[with(100, b"rwxr-xr-")], "mode in a header");
    assert_refused(
        &[with(
            124,
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        )],
        "size in a header",
    );
    let modified = pax(&[("mtime", b"-1")]);
    assert_refused(
        &[modified, file("./x", "1")],
        "mtime has a value that is no number",
    );
    let mut damaged = file("./x", "1");
    damaged[0] = b'y';
    assert_refused(
        &[damaged],
        "data.tar, byte 0: is no header: its checksum is wrong",
    );
}

#[test]
fn sizes_that_lie() {
    // More than follows, more than is allowed, more than can be counted.
    assert_refused(
        &[entry("./x", b'0', "", 5000, b"abc")],
        "is cut off: data.tar ends at byte",
    );
    assert_refused(
        &[entry("./x", b'0', "", 500_000, b"abc")],
        "is cut off: data.tar ends at byte",
    );
    let huge = patched(
        file("./x", "1"),
        124,
        b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff",
    );
    assert_refused(&[huge], "bytes of unpacked files");
    let huge = patched(
        file("./x", "1"),
        124,
        b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
    );
    assert_refused(&[huge], "bytes of unpacked files");
    let size = pax(&[("size", b"99999999999999999999")]);
    assert_refused(
        &[size, file("./x", "1")],
        "size has a value that is no number",
    );
}

#[test]
fn headers_that_are_too_large() {
    let name = vec![b'n'; 5000];
    assert_refused(
        &[entry("x", b'L', "", 5000, &name), file("./x", "1")],
        "a name is longer than 4096 bytes",
    );
    let value = vec![b'v'; 200 * 1024];
    assert_refused(
        &[pax(&[("comment", &value)]), file("./x", "1")],
        "a pax header is larger than 192 KiB",
    );
    let not_well_formed = entry("x", b'x', "", 9, b"20 a=b\nxx");
    assert_refused(&[not_well_formed, file("./x", "1")], "not well formed");
    let mut bench = Bench::new();
    bench.options.limits.entries = 2;
    let many = [file("./a", ""), file("./b", ""), file("./c", "")];
    let text = bench.refusal(&package("a", &many));
    assert!(text.contains("it has 3 entries, and at most 2"), "{text}");
    bench.options.limits.entries = 3;
    bench.options.limits.names = 8;
    let text = bench.refusal(&package("a", &many));
    assert!(text.contains("9 bytes of names"), "{text}");
}

#[test]
fn bombs() {
    let xz = |bytes: &[u8]| {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let zeros = vec![0u8; 80 << 20];
    let archive = tar(&[entry("./x", b'0', "", zeros.len() as u64, &zeros)]);
    let with_data = |name: &str, data: &[u8]| {
        let control = control("Package: a\nVersion: 1\nArchitecture: all\n");
        ar(&[
            ("debian-binary", b"2.0\n"),
            ("control.tar", &control),
            (name, data),
        ])
    };
    // 80 MiB in some 12 KiB: more than 400 times, and more than 64 MiB.
    for (name, bytes) in [
        ("data.tar.xz", xz(&archive)),
        ("data.tar.zst", zstd::encode_all(&archive[..], 3).unwrap()),
    ] {
        let text = Bench::new().refusal(&with_data(name, &bytes));
        assert!(text.contains("bytes of unpacked files"), "{text}");
        assert!(text.contains("at most 67108864 are allowed"), "{text}");
    }
    // What comes after the archive's end counts, too.
    let behind = [tar(&[file("./x", "1")]), zeros.clone()].concat();
    let text = Bench::new().refusal(&with_data("data.tar.xz", &xz(&behind)));
    assert!(text.contains("bytes of unpacked files"), "{text}");
    let mut bench = Bench::new();
    bench.options.limits.unpacked = 1000;
    let text = bench.refusal(&package("a", &[file("./x", &"1".repeat(2000))]));
    assert!(text.contains("at most 1000 are allowed"), "{text}");
    // A dictionary of 1 GiB.
    let mut options = liblzma::stream::LzmaOptions::new_preset(0).unwrap();
    options.dict_size(1 << 30);
    let mut filters = liblzma::stream::Filters::new();
    filters.lzma2(&options);
    let check = liblzma::stream::Check::Crc32;
    let mut header = liblzma::stream::Stream::new_stream_encoder(&filters, check).map_or_else(
        |_| Vec::new(),
        |stream| {
            let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
            encoder.write_all(b"x").unwrap();
            encoder.finish().unwrap()
        },
    );
    assert!(!header.is_empty(), "liblzma makes no such dictionary");
    header.truncate(header.len());
    let text = Bench::new().refusal(&with_data("data.tar.xz", &header));
    assert!(text.contains("more than 80 MiB of memory"), "{text}");
}

#[test]
fn control_archives() {
    let with_control = |entries: &[Vec<u8>]| {
        ar(&[
            ("debian-binary", b"2.0\n"),
            ("control.tar", &tar(entries)),
            ("data.tar", &tar(&[])),
        ])
    };
    let fine = "Package: a\nVersion: 1\nArchitecture: all\n";
    let mut bench = Bench::new();
    bench.options.limits.control_member = 100;
    bench.options.limits.control_total = 150;
    for (entries, reason) in [
        (vec![], "there is none in control.tar"),
        (
            vec![file("./control", &"x".repeat(101))],
            "101 bytes in one control file",
        ),
        (
            vec![
                file("./control", fine),
                file("./a", &"x".repeat(60)),
                file("./b", &"x".repeat(60)),
            ],
            "bytes of control files",
        ),
        (
            vec![file("./control", fine), file("./control", fine)],
            "comes twice",
        ),
        (
            vec![symlink("./control", "/etc/shadow")],
            "is no regular file",
        ),
        (
            vec![directory("./x"), file("./x/control", fine)],
            "is no regular file",
        ),
        (vec![file("./x/control", fine)], "lies in a folder"),
        (vec![file("./../control", fine)], "contains '..'"),
        (
            vec![file("./control", "Version: 1\nArchitecture: all\n")],
            "field Package is missing",
        ),
        (
            vec![file("./control", "Package: a\nArchitecture: all\n")],
            "field Version is missing",
        ),
        (
            vec![file(
                "./control",
                "Package: ../a\nVersion: 1\nArchitecture: all\n",
            )],
            "no package name",
        ),
        (
            vec![file("./control", &format!("{fine}Package: b\n"))],
            "field Package comes twice",
        ),
        (
            vec![file("./control", &format!("{fine}\n{fine}"))],
            "a second paragraph",
        ),
        (
            vec![file("./control", " continued\n")],
            "line 1: a continuation",
        ),
        (
            vec![file("./control", "nonsense\n")],
            "line 1: is not of the form",
        ),
        (
            vec![entry("./control", b'0', "", 4, b"a: \xff")],
            "it is not UTF-8",
        ),
    ] {
        let text = bench.refusal(&with_control(&entries));
        assert!(text.contains(reason), "{text:?} does not say {reason:?}");
    }
}

#[test]
fn outer_archives() {
    let fine = package("a", &[file("./x", "1")]);
    let control = control("Package: a\nVersion: 1\nArchitecture: all\n");
    let data = tar(&[]);
    let (binary, tar) = (
        ("debian-binary", &b"2.0\n"[..]),
        ("control.tar", &control[..]),
    );
    let mut size = ar(&[binary]);
    size[8 + 48..8 + 58].copy_from_slice(b"-4        ");
    for (bytes, reason) in [
        (b"".to_vec(), "is cut off: the file ends at byte 0"),
        (
            b"<html>captive portal</html>".to_vec(),
            "does not begin as a Debian package does",
        ),
        (ar(&[]), "it has no control.tar"),
        (
            ar(&[("control.tar", &control)]),
            "first member is not debian-binary",
        ),
        (ar(&[("debian-binary", b"3.0\n")]), "only 2.x is known"),
        (ar(&[("debian-binary", &[b'2'; 2000])]), "larger than 1 KiB"),
        (ar(&[binary]), "it has no control.tar"),
        (ar(&[binary, tar]), "it has no data.tar"),
        (
            ar(&[binary, ("data.tar", &data)]),
            "\"data.tar\" has no place here",
        ),
        (ar(&[binary, tar, tar]), "\"control.tar\" has no place here"),
        (
            ar(&[binary, tar, ("data.tar.bz2", &data)]),
            "compressed in a way that is not known",
        ),
        (
            ar(&[binary, tar, ("data.tar.xz", b"this is not xz data")]),
            "it is not xz data",
        ),
        (
            ar(&[binary, tar, ("data.tar.xz", b"")]),
            "is cut off: data.tar",
        ),
        (
            ar(&[binary, tar, ("data.tar.gz", b"this is not gzip data")]),
            "is damaged: data.tar",
        ),
        (
            ar(&[binary, tar, ("data.tar.zst", b"this is not zstd data")]),
            "is damaged: data.tar",
        ),
        (size, "size is not a number"),
        (
            [&fine[..], b"garbage"].concat(),
            "is cut off: the file ends",
        ),
        (
            [&fine[..], &[b'x'; 60]].concat(),
            "is not the header of a member",
        ),
    ] {
        let text = Bench::new().refusal(&bytes);
        assert!(text.contains(reason), "{text:?} does not say {reason:?}");
    }
}

#[test]
fn a_file_that_is_cut_off_says_where() {
    let bench = Bench::new();
    for compressed in [false, true] {
        let data = tar(&[file("./x", &"1".repeat(3000))]);
        let data = match compressed {
            true => zstd::encode_all(&data[..], 3).unwrap(),
            false => data,
        };
        let whole = ar(&[
            ("debian-binary", b"2.0\n"),
            (
                "control.tar",
                &control("Package: a\nVersion: 1\nArchitecture: all\n"),
            ),
            (
                if compressed {
                    "data.tar.zst"
                } else {
                    "data.tar"
                },
                &data,
            ),
        ]);
        assert!(bench.unpack(std::slice::from_ref(&whole)).is_ok());
        for length in (0..whole.len()).step_by(97) {
            let archive = bench.archive("a", &whole[..length]);
            match bench.unpack_archives(&[archive]) {
                Err(Error::Truncated { offset, .. }) => assert_eq!(offset, length as u64),
                // Between two members the file is whole, but not all of it is there.
                Err(Error::Malformed { reason, .. }) => assert!(reason.contains("it has no")),
                other => panic!("cut off at {length}: {other:?}"),
            }
        }
    }
}

#[test]
fn the_wrong_file() {
    let bench = Bench::new();
    let fine = package("a", &[file("./x", "1")]);
    let right: [u8; 32] = sha2::Digest::finalize(sha2::Digest::chain_update(
        <sha2::Sha256 as sha2::Digest>::new(),
        &fine,
    ))
    .into();
    let with_digest = |bytes: &[u8]| {
        let archive = Archive {
            sha256: Some(right),
            ..bench.archive("a", bytes)
        };
        bench.unpack_archives(&[archive])
    };
    assert!(with_digest(&fine).is_ok());
    let other = package("a", &[file("./x", "2")]);
    let trailing = [&fine[..], &ar(&[("more", b"")])[8..]].concat();
    for wrong in [&other[..], &trailing, b"<html>", &fine[..700]] {
        match with_digest(wrong) {
            Err(Error::Digest {
                archive,
                expected,
                got,
            }) => {
                assert_eq!(archive, "a");
                assert_eq!(expected.len(), 64);
                assert_ne!(expected, got);
            }
            other => panic!("{other:?}"),
        }
    }
    let missing = Archive {
        name: "gone".into(),
        path: "/nowhere/gone.deb".into(),
        sha256: None,
    };
    let error = bench.unpack_archives(&[missing]).unwrap_err();
    assert_eq!(error.to_string(), "cannot open package gone");
}
