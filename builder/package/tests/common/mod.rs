//! Packages made byte by byte.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test a panic is the verdict"
)]

use fortress_package::{Archive, Error, Options, Package, unpack};
use fortress_progress::Silent;
use fortress_tree::{Spool, Tree, TreePath};
use std::path::PathBuf;

/// A tar header (ustar), padded contents behind it. `size` is what the header says.
pub(crate) fn entry(name: &str, kind: u8, link: &str, size: u64, contents: &[u8]) -> Vec<u8> {
    let mut header = [0u8; 512];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &name.as_bytes()[..name.len().min(100)]);
    put(
        100,
        if kind == b'5' {
            b"0000755\0"
        } else {
            b"0000644\0"
        },
    );
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000007\0");
    put(156, &[kind]);
    put(157, &link.as_bytes()[..link.len().min(100)]);
    put(257, b"ustar\x0000");
    put(329, b"0000001\0");
    put(337, b"0000003\0");
    let mut whole = with_checksum(header).to_vec();
    whole.extend_from_slice(contents);
    whole.resize(whole.len().next_multiple_of(512), 0);
    whole
}

/// The header with a right checksum.
pub(crate) fn with_checksum(mut header: [u8; 512]) -> [u8; 512] {
    header[148..156].fill(b' ');
    let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// An entry with bytes of its header changed, and the checksum made right again.
pub(crate) fn patched(mut entry: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    entry[at..at + bytes.len()].copy_from_slice(bytes);
    let header: [u8; 512] = entry[..512].try_into().unwrap();
    entry[..512].copy_from_slice(&with_checksum(header));
    entry
}

pub(crate) fn file(name: &str, contents: &str) -> Vec<u8> {
    entry(name, b'0', "", contents.len() as u64, contents.as_bytes())
}

pub(crate) fn directory(name: &str) -> Vec<u8> {
    entry(name, b'5', "", 0, b"")
}

pub(crate) fn symlink(name: &str, target: &str) -> Vec<u8> {
    entry(name, b'2', target, 0, b"")
}

pub(crate) fn hard_link(name: &str, target: &str) -> Vec<u8> {
    entry(name, b'1', target, 0, b"")
}

/// A pax header for the next entry.
pub(crate) fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (keyword, value) in records {
        let rest = keyword.len() + value.len() + 3;
        let mut length = rest + 1;
        while length.to_string().len() + rest != length {
            length = length.to_string().len() + rest;
        }
        bytes.extend_from_slice(format!("{length} {keyword}=").as_bytes());
        bytes.extend_from_slice(value);
        bytes.push(b'\n');
    }
    entry("pax", b'x', "", bytes.len() as u64, &bytes)
}

/// A whole tar archive.
pub(crate) fn tar(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut archive = entries.concat();
    archive.resize(archive.len() + 1024, 0);
    archive
}

/// An ar archive with these members.
pub(crate) fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = b"!<arch>\n".to_vec();
    for (name, bytes) in members {
        let size = bytes.len();
        let header = format!(
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n",
            0, 0, 0, 100_644
        );
        archive.extend_from_slice(header.as_bytes());
        archive.extend_from_slice(bytes);
        if size % 2 == 1 {
            archive.push(b'\n');
        }
    }
    archive
}

/// control.tar with this control file.
pub(crate) fn control(text: &str) -> Vec<u8> {
    tar(&[directory("./"), file("./control", text)])
}

/// A package of this name with further control fields and these entries.
pub(crate) fn package_with(name: &str, fields: &str, entries: &[Vec<u8>]) -> Vec<u8> {
    let text = format!("Package: {name}\nVersion: 1.0-1\nArchitecture: amd64\n{fields}");
    ar(&[
        ("debian-binary", b"2.0\n"),
        ("control.tar", &control(&text)),
        ("data.tar", &tar(entries)),
    ])
}

pub(crate) fn package(name: &str, entries: &[Vec<u8>]) -> Vec<u8> {
    package_with(name, "", entries)
}

/// Files of packages, and a spool to unpack them into.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
    pub(crate) options: Options,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            options: Options::default(),
        }
    }

    pub(crate) fn archive(&self, name: &str, bytes: &[u8]) -> Archive {
        let path: PathBuf = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        Archive {
            name: name.to_owned(),
            path,
            sha256: None,
        }
    }

    pub(crate) fn unpack_archives(
        &self,
        archives: &[Archive],
    ) -> Result<(Tree, Vec<Package>), Error> {
        let spool = Spool::new(self.folder.path()).unwrap();
        let mut tree = Tree::new(0);
        let packages = unpack(archives, &mut tree, &spool, &self.options, &Silent)?;
        Ok((tree, packages))
    }

    /// Unpacks packages; they are called a, b, c.
    pub(crate) fn unpack(&self, packages: &[Vec<u8>]) -> Result<(Tree, Vec<Package>), Error> {
        let archives: Vec<Archive> = packages
            .iter()
            .zip(["a", "b", "c", "d"])
            .map(|(bytes, name)| self.archive(name, bytes))
            .collect();
        self.unpack_archives(&archives)
    }

    /// What is said to a package that is refused.
    #[track_caller]
    pub(crate) fn refusal(&self, bytes: &[u8]) -> String {
        match self.unpack(&[bytes.to_vec()]) {
            Ok((tree, _)) => panic!("it was taken: {}", tree.listing().unwrap()),
            Err(error) => {
                let text = error.to_string();
                assert!(
                    text.contains("package a"),
                    "does not name the package: {text}"
                );
                text
            }
        }
    }
}

pub(crate) fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}
