//! The bench image, copies of it with a byte changed, and what `verify` says of them.

use fortress_tests::{BENCH_IMAGE, BENCH_MANIFEST, Program, Ran, bench_arguments, target_folder};
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The image as it was built, with what lies beside it; never changed.
pub(crate) fn built() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir_in(target_folder()).unwrap();
        Program::new(&bench_arguments(folder.path()))
            .run()
            .success();
        folder
    });
    folder.path()
}

/// A copy of the image, its manifest and the manifest's signature, to be changed.
pub(crate) struct Copy {
    folder: tempfile::TempDir,
}

impl Copy {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir_in(target_folder()).unwrap();
        let copy = Self { folder };
        for name in [BENCH_IMAGE, BENCH_MANIFEST, &signature_name()] {
            tool(&[
                "cp",
                "--sparse=always",
                built().join(name).to_str().unwrap(),
                copy.path(name).to_str().unwrap(),
            ]);
        }
        copy
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn image(&self) -> PathBuf {
        self.path(BENCH_IMAGE)
    }

    /// Flips a byte of the image for as long as `look` takes.
    pub(crate) fn flipped<T>(&self, at: u64, look: impl FnOnce() -> T) -> T {
        flip(&self.image(), at);
        let seen = look();
        flip(&self.image(), at);
        seen
    }
}

pub(crate) fn flip(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

pub(crate) fn signature_name() -> String {
    format!("{BENCH_MANIFEST}.minisig")
}

/// The output of a tool of this machine, whatever it ended with.
pub(crate) fn asked(command: &[&str]) -> (i32, String) {
    let ran = Command::new(command[0])
        .args(&command[1..])
        .env("LC_ALL", "C")
        .output();
    match ran {
        Ok(output) => (
            output.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        ),
        Err(error) => panic!("{command:?} (see tests/host-packages.txt): {error}"),
    }
}

#[track_caller]
pub(crate) fn tool(command: &[&str]) -> String {
    let (code, output) = asked(command);
    assert_eq!(code, 0, "{command:?}: {output}");
    output
}

pub(crate) fn verify(image: &Path, more: &[&str]) -> Ran {
    let mut arguments = vec!["verify", "--json", image.to_str().unwrap()];
    arguments.extend(more);
    Program::new(&arguments).run()
}

/// The verdict, with its exit code held against what it says.
#[track_caller]
pub(crate) fn verdict(image: &Path, more: &[&str]) -> Verdict {
    let ran = verify(image, more);
    let json: Value = serde_json::from_str(&ran.output).unwrap_or_else(|_| panic!("{ran:?}"));
    let outcome = json["outcome"].as_str().unwrap().to_owned();
    let code = match outcome.as_str() {
        "good" => 0,
        "not-signed" => 20,
        "damaged" => 21,
        "foreign" => 22,
        other => panic!("{other}"),
    };
    assert_eq!(ran.code, code, "{ran:?}");
    Verdict { outcome, json }
}

#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) outcome: String,
    pub(crate) json: Value,
}

impl Verdict {
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let list = self.json["findings"].as_array().unwrap().iter();
        list.map(|finding| Finding {
            part: finding["part"].as_str().unwrap().to_owned(),
            owner: finding["belongs_to"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            first: finding["bytes"]["first"].as_u64(),
            length: finding["bytes"]["length"].as_u64().unwrap_or(0),
            reason: finding["reason"].as_str().unwrap().to_owned(),
        })
        .collect()
    }

    /// Whether some finding is about that part and that owner, and its bytes include this one.
    #[track_caller]
    pub(crate) fn names(&self, part: &str, owner: &str, at: u64) {
        let found = self.findings().into_iter().any(|one| {
            one.part == part
                && one.owner.contains(owner)
                && one
                    .first
                    .is_some_and(|first| first <= at && at < first + one.length)
        });
        assert!(found, "{part}, {owner}, byte {at}: {self:#?}");
    }

    #[track_caller]
    pub(crate) fn is(&self, outcome: &str) -> &Self {
        assert_eq!(self.outcome, outcome, "{self:#?}");
        self
    }

    #[track_caller]
    pub(crate) fn says(&self, text: &str) -> &Self {
        let found = self
            .findings()
            .into_iter()
            .any(|one| one.reason.contains(text));
        assert!(found, "{text}: {self:#?}");
        self
    }
}

#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) part: String,
    pub(crate) owner: String,
    pub(crate) first: Option<u64>,
    pub(crate) length: u64,
    pub(crate) reason: String,
}

pub(crate) fn manifest() -> Value {
    serde_json::from_slice(&fs::read(built().join(BENCH_MANIFEST)).unwrap()).unwrap()
}

/// Where a partition of slot A is: its first byte, and its length.
pub(crate) fn partition(purpose: &str, slot: Option<&str>) -> (u64, u64) {
    stretch(purpose, slot, "length")
}

/// Where a partition's data is, behind which there are only zeros.
pub(crate) fn data(purpose: &str) -> (u64, u64) {
    stretch(purpose, None, "data_length")
}

pub(crate) fn stretch(purpose: &str, slot: Option<&str>, length: &str) -> (u64, u64) {
    let manifest = manifest();
    let partitions = manifest["partitions"].as_array().unwrap();
    let found = partitions
        .iter()
        .find(|one| one["purpose"] == purpose && (slot.is_none() || one["slot"].as_str() == slot));
    let number = |key: &str| found.unwrap()[key].as_u64().unwrap();
    (number("offset"), number(length))
}

/// What debugfs says of the root.
pub(crate) fn debugfs(image: &Path, request: &str) -> String {
    let (offset, _) = partition("root", Some("a"));
    let place = format!("{}?offset={offset}", image.display());
    tool(&["debugfs", "-R", request, &place])
}

/// The first block of a file of the root, and the number of blocks that it is the start of.
pub(crate) fn blocks(image: &Path, path: &str) -> Vec<u64> {
    let list = debugfs(image, &format!("blocks {path}"));
    list.split_whitespace()
        .map(|block| block.parse().unwrap())
        .collect()
}

/// Where a file of the EFI system partition lies in the image: found by its first bytes.
pub(crate) fn place_in_esp(image: &Path, path: &str) -> (u64, Vec<u8>) {
    let (offset, length) = partition("esp", None);
    let folder = tempfile::tempdir_in(target_folder()).unwrap();
    let copy = folder.path().join("file");
    let drive = format!("{}@@{offset}", image.display());
    tool(&[
        "mcopy",
        "-i",
        &drive,
        &format!("::{path}"),
        copy.to_str().unwrap(),
    ]);
    let bytes = fs::read(copy).unwrap();
    let file = File::open(image).unwrap();
    let mut start = vec![0; bytes.len().min(4096)];
    for cluster in (offset..offset + length).step_by(512) {
        let mut first = [0; 512];
        file.read_exact_at(&mut first, cluster).unwrap();
        if bytes.starts_with(&first[..bytes.len().min(512)]) {
            file.read_exact_at(&mut start, cluster).unwrap();
            if bytes.starts_with(&start) {
                return (cluster, bytes);
            }
        }
    }
    panic!("{path} is not found")
}
