//! The image, and what of it was taken apart.

use fortress_tests::{
    BENCH_IMAGE, BENCH_MANIFEST, Oracle, Program, bench_arguments, bench_lock, bench_names, names,
    tool,
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::OnceLock;

/// The image, and what of it was taken apart; all of it in the oracle root's /tmp.
pub(crate) struct Image {
    pub(crate) oracle: Oracle,
    pub(crate) folder: PathBuf,
    pub(crate) manifest: Value,
}

/// Built once for all tests of this file.
pub(crate) fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let oracle = Oracle::open();
        let folder = oracle.root().join("tmp/end-to-end-image");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Program::new(&bench_arguments(&folder)).run().success();
        assert_eq!(names(&folder), bench_names());
        let manifest = fs::read(folder.join(BENCH_MANIFEST)).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        let image = File::open(folder.join(BENCH_IMAGE)).unwrap();
        let partitions = manifest["partitions"].as_array().unwrap();
        for (name, partition) in ["esp", "root", "verity", "signature"]
            .iter()
            .zip(partitions)
        {
            let (offset, length) = region(partition);
            let mut image = &image;
            image.seek(SeekFrom::Start(offset)).unwrap();
            let mut file = File::create(folder.join(name)).unwrap();
            io::copy(&mut image.take(length), &mut file).unwrap();
        }
        let image = Image {
            oracle,
            folder,
            manifest,
        };
        fs::create_dir(image.path("tree")).unwrap();
        let dump = format!("rdump / {}", image.path("tree").display());
        let root = image.path("root");
        tool("debugfs", &["-R", &dump, root.to_str().unwrap()]);
        let (esp, uki) = (image.path("esp"), image.path("uki"));
        let (esp, uki) = (esp.to_str().unwrap(), uki.to_str().unwrap());
        tool("mcopy", &["-i", esp, "::/EFI/Linux/bench_1+3.efi", uki]);
        image
    })
}

impl Image {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn inside(&self, name: &str) -> String {
        self.oracle.inside(&self.path(name))
    }

    pub(crate) fn text(&self, key: &str) -> &str {
        self.manifest[key].as_str().unwrap()
    }

    pub(crate) fn partitions(&self) -> &[Value] {
        self.manifest["partitions"].as_array().unwrap()
    }

    /// A section of the unified kernel image.
    pub(crate) fn section(&self, name: &str) -> Vec<u8> {
        let path = self.path(&format!("section{name}"));
        let only = format!("--only-section={name}");
        let uki = self.path("uki");
        let (uki, to) = (uki.to_str().unwrap(), path.to_str().unwrap());
        tool("objcopy", &["-O", "binary", &only, uki, to]);
        fs::read(path).unwrap()
    }
}

pub(crate) fn region(partition: &Value) -> (u64, u64) {
    let number = |key: &str| partition[key].as_u64().unwrap();
    (number("offset"), number("length"))
}

pub(crate) fn sha256(file: &File, offset: u64, length: u64) -> String {
    let mut file = file;
    file.seek(SeekFrom::Start(offset)).unwrap();
    let mut hasher = Sha256::new();
    assert_eq!(
        io::copy(&mut file.take(length), &mut hasher).unwrap(),
        length
    );
    hexadecimal(&hasher.finalize())
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn is_zero(file: &File, offset: u64, length: u64) -> bool {
    let mut buffer = vec![0; 1 << 20];
    let mut at = offset;
    while at < offset + length {
        let size = buffer.len().min((offset + length - at) as usize);
        file.read_exact_at(&mut buffer[..size], at).unwrap();
        if buffer[..size].iter().any(|byte| *byte != 0) {
            return false;
        }
        at += size as u64;
    }
    true
}

/// `name version architecture` of the locked packages.
pub(crate) fn locked() -> Vec<String> {
    let lock = fs::read_to_string(bench_lock()).unwrap();
    let packages = lock.split("[[package]]\n").skip(1).map(|table| {
        let value = |key: &str| {
            let start = format!("{key} = \"");
            let found = table.lines().find_map(|line| line.strip_prefix(&start));
            found.unwrap().trim_end_matches('"').to_owned()
        };
        ["name", "version", "architecture"].map(value).join(" ")
    });
    let mut packages: Vec<String> = packages.collect();
    packages.sort();
    packages
}
