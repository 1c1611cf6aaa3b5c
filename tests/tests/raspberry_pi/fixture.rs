//! Images of both boards, built once, and what their parts hold.

use fortress_tests::{Oracle, Program, target_folder, tool};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// An image that was built, and what of it was taken apart; all of it in the oracle root's /tmp.
pub(crate) struct Image {
    pub(crate) oracle: Oracle,
    pub(crate) folder: PathBuf,
    pub(crate) stem: &'static str,
    pub(crate) manifest: Value,
}

/// What builds an image of a board into a folder. The lock is good for as long as the store is.
pub(crate) fn arguments(board: &str, output: &Path, more: &[&str]) -> Vec<String> {
    let lock = target_folder().join(format!("test-locks/pi-{board}-debian-13.toml"));
    let fixed = [
        "image",
        "--board",
        board,
        "--strict",
        "--lock",
        lock.to_str().unwrap(),
    ];
    let output = ["--output", output.to_str().unwrap()];
    let all = fixed.iter().chain(&output).chain(more);
    all.map(|word| (*word).to_owned()).collect()
}

fn built(board: &'static str, stem: &'static str, more: &[&str]) -> Image {
    let oracle = Oracle::open();
    let folder = oracle.root().join(format!("tmp/end-to-end-{board}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    Program::new(&arguments(board, &folder, more))
        .run()
        .success();
    let manifest = fs::read(folder.join(format!("{stem}.manifest.json"))).unwrap();
    let image = Image {
        oracle,
        folder,
        stem,
        manifest: serde_json::from_slice(&manifest).unwrap(),
    };
    let file = File::open(image.image()).unwrap();
    for (number, partition) in image.partitions().iter().enumerate() {
        if partition["slot"] != "b" {
            let (offset, length) = region(partition);
            copy_region(
                &file,
                offset,
                length,
                &image.path(&format!("part{}", number + 1)),
            );
        }
    }
    for name in ["boot.img", "boot.sig", "config.txt"] {
        image.copy_out("part2", name, name);
    }
    image
}

/// The Pi 5's image, built once for all tests.
pub(crate) fn pi5() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| built("pi5", "pi_0.1.0_pi5_debian-13", &[]))
}

/// The Pi 4's.
pub(crate) fn pi4() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| built("pi4", "pi_0.1.0_pi4_debian-13", &[]))
}

impl Image {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn image(&self) -> PathBuf {
        self.path(&format!("{}.img", self.stem))
    }

    pub(crate) fn inside(&self, name: &str) -> String {
        self.oracle.inside(&self.path(name))
    }

    pub(crate) fn partitions(&self) -> &[Value] {
        self.manifest["partitions"].as_array().unwrap()
    }

    /// Takes a file out of a FAT that was taken out of the image.
    #[track_caller]
    pub(crate) fn copy_out(&self, volume: &str, file: &str, to: &str) -> PathBuf {
        let (volume, to) = (self.path(volume), self.path(to));
        let (volume, target) = (volume.to_str().unwrap(), to.to_str().unwrap());
        tool(
            "mcopy",
            &["-n", "-o", "-i", volume, &format!("::/{file}"), target],
        );
        to
    }

    pub(crate) fn text(&self, volume: &str, file: &str) -> String {
        let name = format!("{volume}-{}", file.replace('/', "-"));
        fs::read_to_string(self.copy_out(volume, file, &name)).unwrap()
    }

    /// Takes a file out of the root.
    #[track_caller]
    pub(crate) fn of_root(&self, file: &str, to: &str) -> PathBuf {
        let (root, to) = (self.path("part4"), self.path(to));
        let _ = fs::remove_file(&to);
        let dump = format!("dump {file} {}", to.display());
        tool("debugfs", &["-R", &dump, root.to_str().unwrap()]);
        assert!(to.exists(), "{file} is not in the root");
        to
    }

    /// Paths of the files of a FAT.
    pub(crate) fn files(&self, volume: &str) -> Vec<String> {
        let volume = self.path(volume);
        let list = tool("mdir", &["-/", "-b", "-i", volume.to_str().unwrap(), "::/"]);
        let mut files: Vec<String> = list
            .lines()
            .filter_map(|line| line.trim().strip_prefix("::/"))
            .filter(|path| !path.ends_with('/') && !path.is_empty())
            .map(str::to_owned)
            .collect();
        files.sort();
        files
    }

    pub(crate) fn kernel(&self) -> &str {
        self.manifest["kernel"].as_str().unwrap()
    }
}

pub(crate) fn region(partition: &Value) -> (u64, u64) {
    let number = |key: &str| partition[key].as_u64().unwrap();
    (number("offset"), number("length"))
}

pub(crate) fn copy_region(mut file: &File, offset: u64, length: u64, to: &Path) {
    file.seek(SeekFrom::Start(offset)).unwrap();
    let mut to = File::create(to).unwrap();
    assert_eq!(io::copy(&mut file.take(length), &mut to).unwrap(), length);
}

pub(crate) fn sha256(path: &Path) -> String {
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(path).unwrap(), &mut hasher).unwrap();
    hasher
        .finalize()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(target_folder()).unwrap()
}
