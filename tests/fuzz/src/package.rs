//! Packages made byte by byte.

use crate::folder;
use fortress_package::{Archive, Options};
use fortress_progress::Silent;
use fortress_tree::{Kind, Spool, Tree};

/// A tar header (ustar) with contents behind it.
pub fn entry(name: &str, kind: u8, link: &str, contents: &[u8]) -> Vec<u8> {
    let mut header = vec![0u8; 512];
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
    put(124, format!("{:011o}\0", contents.len()).as_bytes());
    put(136, b"00000000007\0");
    put(156, &[kind]);
    put(157, &link.as_bytes()[..link.len().min(100)]);
    put(257, b"ustar\x0000");
    header.extend_from_slice(contents);
    header.resize(header.len().next_multiple_of(512), 0);
    checksums(&mut header);
    header
}

/// A whole tar archive.
pub fn tar(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut archive = entries.concat();
    archive.resize(archive.len() + 1024, 0);
    archive
}

/// Makes the checksums of the headers in a tar archive right, one after another as far as their
/// lengths lead. Otherwise hardly a changed header would be looked at.
pub fn checksums(archive: &mut [u8]) {
    let mut at = 0;
    while let Some(header) = archive.get_mut(at..at + 512) {
        if header.iter().all(|byte| *byte == 0) {
            return;
        }
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let digits = header[124..135].iter();
        let digits = digits.take_while(|byte| (b'0'..=b'7').contains(byte));
        let length = digits.fold(0, |sum, digit| sum * 8 + usize::from(digit - b'0'));
        at += 512 + length.next_multiple_of(512);
    }
}

/// An ar archive with these members.
pub fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
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

/// `control.tar` with this control file.
pub fn control(text: &[u8]) -> Vec<u8> {
    tar(&[
        entry("./", b'5', "", b""),
        entry("./control", b'0', "", text),
    ])
}

/// Unpacks a package, and checks that what comes out is what packages may make.
pub fn unpack(bytes: &[u8]) {
    let folder = folder();
    let path = crate::write(folder.path(), "a.deb", bytes);
    let archive = Archive {
        name: "a".into(),
        path,
        sha256: None,
    };
    let mut options = Options::default();
    options.limits.unpacked = 4 << 20;
    let spool = Spool::new(folder.path()).expect("a spool can be made");
    let mut tree = Tree::new(0);
    let unpacked = fortress_package::unpack(&[archive], &mut tree, &spool, &options, &Silent);
    let Ok(packages) = unpacked else { return };
    assert_eq!(packages.len(), 1);
    for (path, node) in tree.iter() {
        let parent = path.parent().and_then(|parent| tree.get(&parent));
        assert!(path.is_root() || parent.is_some_and(|parent| parent.is_directory()));
        assert!(
            !path
                .components()
                .any(|name| matches!(name, "." | ".." | ""))
        );
        match &node.kind {
            Kind::File(_) => drop(tree.read(path).expect("a file can be read")),
            Kind::HardLink(file) => {
                let file = tree.get(file).map(|node| &node.kind);
                assert!(matches!(file, Some(Kind::File(_))));
            }
            Kind::Directory | Kind::Symlink(_) => {}
            other => panic!("{path} is {}", other.name()),
        }
    }
    let reviewed = fortress_package::Reviewed::from_toml("").expect("an empty list is one");
    fortress_package::review(&packages, &reviewed);
}
