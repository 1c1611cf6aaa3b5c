//! Every compression that packages have gives the same tree.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test a panic is the verdict"
)]

mod common;

use common::*;
use fortress_package::Archive;
use std::io::Write;

fn xz(bytes: &[u8], preset: u32) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), preset);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8], window_log: u32) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(window_log).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn every_compression_gives_the_same_tree() {
    let text = "Package: a\nVersion: 1\nArchitecture: all\n";
    // More than one buffer full, files of all sizes, ends at every place in a block.
    let entries: Vec<Vec<u8>> = (0..200)
        .map(|number| {
            let size = [0, 1, 511, 512, 513, 4000, 98_303, 98_304, 98_305, 700_000][number % 10];
            let contents: String = (0..size)
                .map(|at| char::from(b'a' + ((at * 7 + number + at / 26) % 26) as u8))
                .collect();
            file(&format!("./{number}"), &contents)
        })
        .collect();
    let (control, data) = (control(text), tar(&entries));
    let (first, second) = data.split_at(data.len() / 3);
    let listing = |suffix: &str, control: &[u8], data: &[u8], is_authentic: bool| {
        let bytes = ar(&[
            ("debian-binary", b"2.0\n"),
            (&format!("control.tar{suffix}"), control),
            ("_gpgorigin", b"passed over"),
            (&format!("data.tar{suffix}"), data),
            ("later", b"passed over"),
        ]);
        let bench = Bench::new();
        let digest = <sha2::Sha256 as sha2::Digest>::digest(&bytes);
        let archive = Archive {
            sha256: is_authentic.then(|| digest.into()),
            ..bench.archive("a", &bytes)
        };
        let (tree, _) = bench.unpack_archives(&[archive]).unwrap();
        tree.listing().unwrap()
    };
    let expected = listing("", &control, &data, false);
    assert_eq!(expected.lines().count(), 201);
    for (suffix, control, data) in [
        (".xz", xz(&control, 6), xz(&data, 6)),
        // A dictionary of 64 MiB, for one at a time.
        (".xz", xz(&control, 9), xz(&data, 9)),
        // Several streams.
        (
            ".xz",
            xz(&control, 0),
            [xz(first, 0), xz(second, 0)].concat(),
        ),
        (".zst", zstd(&control, 20), zstd(&data, 20)),
        (".zst", zstd(&control, 26), zstd(&data, 26)),
        (
            ".zst",
            zstd(&control, 10),
            [zstd(first, 21), zstd(second, 23)].concat(),
        ),
        (".gz", gzip(&control), [gzip(first), gzip(second)].concat()),
    ] {
        for is_authentic in [false, true] {
            let got = listing(suffix, &control, &data, is_authentic);
            assert!(got == expected, "{suffix} {is_authentic}");
        }
    }
    let mut damaged = xz(&data, 0);
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    let text = Bench::new().refusal(&ar(&[
        ("debian-binary", b"2.0\n"),
        ("control.tar", &control),
        ("data.tar.xz", &damaged),
    ]));
    assert!(text.contains("the xz data is corrupt"), "{text}");
}
