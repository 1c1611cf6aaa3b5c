//! `fortress-build verify` on the bench image: good, and with a byte changed in each kind of place;
//! beside the field's own tools, which must say the same.

use fortress_filesystem::ext4::{self, BlockOwner};
use fortress_tests::{
    BENCH_IMAGE, BENCH_MANIFEST, Oracle, Program, Ran, bench_arguments, public_halves,
    strangers_keys, target_folder, test_keys,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The image as it was built, with what lies beside it; never changed.
fn built() -> &'static Path {
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
struct Copy {
    folder: tempfile::TempDir,
}

impl Copy {
    fn new() -> Self {
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

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn image(&self) -> PathBuf {
        self.path(BENCH_IMAGE)
    }

    /// Flips a byte of the image for as long as `look` takes.
    fn flipped<T>(&self, at: u64, look: impl FnOnce() -> T) -> T {
        flip(&self.image(), at);
        let seen = look();
        flip(&self.image(), at);
        seen
    }
}

fn flip(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

fn signature_name() -> String {
    format!("{BENCH_MANIFEST}.minisig")
}

/// The output of a tool of this machine, whatever it ended with.
fn asked(command: &[&str]) -> (i32, String) {
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
fn tool(command: &[&str]) -> String {
    let (code, output) = asked(command);
    assert_eq!(code, 0, "{command:?}: {output}");
    output
}

fn verify(image: &Path, more: &[&str]) -> Ran {
    let mut arguments = vec!["verify", "--json", image.to_str().unwrap()];
    arguments.extend(more);
    Program::new(&arguments).run()
}

/// The verdict, with its exit code held against what it says.
#[track_caller]
fn verdict(image: &Path, more: &[&str]) -> Verdict {
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
struct Verdict {
    outcome: String,
    json: Value,
}

impl Verdict {
    fn findings(&self) -> Vec<Finding> {
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
    fn names(&self, part: &str, owner: &str, at: u64) {
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
    fn is(&self, outcome: &str) -> &Self {
        assert_eq!(self.outcome, outcome, "{self:#?}");
        self
    }

    #[track_caller]
    fn says(&self, text: &str) -> &Self {
        let found = self
            .findings()
            .into_iter()
            .any(|one| one.reason.contains(text));
        assert!(found, "{text}: {self:#?}");
        self
    }
}

#[derive(Debug)]
struct Finding {
    part: String,
    owner: String,
    first: Option<u64>,
    length: u64,
    reason: String,
}

fn manifest() -> Value {
    serde_json::from_slice(&fs::read(built().join(BENCH_MANIFEST)).unwrap()).unwrap()
}

/// Where a partition of slot A is: its first byte, and its length.
fn partition(purpose: &str, slot: Option<&str>) -> (u64, u64) {
    stretch(purpose, slot, "length")
}

/// Where a partition's data is, behind which there are only zeros.
fn data(purpose: &str) -> (u64, u64) {
    stretch(purpose, None, "data_length")
}

fn stretch(purpose: &str, slot: Option<&str>, length: &str) -> (u64, u64) {
    let manifest = manifest();
    let partitions = manifest["partitions"].as_array().unwrap();
    let found = partitions
        .iter()
        .find(|one| one["purpose"] == purpose && (slot.is_none() || one["slot"].as_str() == slot));
    let number = |key: &str| found.unwrap()[key].as_u64().unwrap();
    (number("offset"), number(length))
}

/// What debugfs says of the root.
fn debugfs(image: &Path, request: &str) -> String {
    let (offset, _) = partition("root", Some("a"));
    let place = format!("{}?offset={offset}", image.display());
    tool(&["debugfs", "-R", request, &place])
}

/// The first block of a file of the root, and the number of blocks that it is the start of.
fn blocks(image: &Path, path: &str) -> Vec<u64> {
    let list = debugfs(image, &format!("blocks {path}"));
    list.split_whitespace()
        .map(|block| block.parse().unwrap())
        .collect()
}

/// Where a file of the EFI system partition lies in the image: found by its first bytes.
fn place_in_esp(image: &Path, path: &str) -> (u64, Vec<u8>) {
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

#[test]
fn what_was_built_is_good_in_every_form() {
    let copy = Copy::new();
    let image = copy.image();
    let path = image.to_str().unwrap();
    tool(&["zstd", "--quiet", "-3", "-T2", path]);
    tool(&["xz", "--keep", "-0", "-T2", path]);
    let public = public_halves(test_keys());
    let keys = public.path().to_str().unwrap();
    let plain = verdict(&image, &["--keys", keys]);
    plain.is("good");
    assert!(plain.findings().is_empty());
    let checks = plain.json["checks"].as_array().unwrap();
    let right = |what: &str| {
        let said = checks.iter().filter(|check| check["what"] == what);
        assert!(said.count() > 0, "{what}: {plain:#?}");
    };
    for what in [
        "manifest",
        "partition table",
        "esp",
        "root",
        "root-verity",
        "root-verity-sig",
        "root (slot B)",
        "EFI/BOOT/BOOTX64.EFI",
        "EFI/systemd/systemd-bootx64.efi",
        "EFI/Linux/bench_1+3.efi",
        "loader/keys/auto/PK.auth",
        "loader/keys/auto/KEK.auth",
        "loader/keys/auto/db.auth",
    ] {
        right(what);
    }
    for ending in ["zst", "xz"] {
        let compressed = copy.path(&format!("{BENCH_IMAGE}.{ending}"));
        let passed = verdict(&compressed, &["--keys", keys]);
        passed.is("good");
        assert_eq!(passed.json["checks"], plain.json["checks"], "{ending}");
        assert_eq!(passed.json["notes"], plain.json["notes"], "{ending}");
    }
    // The public key of the manifest alone, as a file and as a line: the manifest names the others.
    let text = fs::read_dir(public.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| fs::read_to_string(path).ok())
        .find(|text| text.contains("minisign public key"))
        .unwrap();
    let file = copy.path("key.pub");
    fs::write(&file, &text).unwrap();
    for key in [file.to_str().unwrap(), text.lines().nth(1).unwrap()] {
        let alone = verdict(&image, &["--public-key", key, "--keys", "/nonexistent"]);
        alone.is("good");
        assert_eq!(alone.json["checks"], plain.json["checks"]);
    }
    // Damage is named in a compressed image as in a plain one.
    let at = partition("root", Some("a")).0 + 4096 * blocks(&image, "/usr/bin/wg")[0] + 77;
    copy.flipped(at, || {
        verdict(&image, &[]).names("root", "/usr/bin/wg, bytes 0 to 4095 of it", at);
        tool(&["zstd", "--quiet", "--force", "-1", "-T2", path]);
        let passed = verdict(&copy.path(&format!("{BENCH_IMAGE}.zst")), &[]);
        passed
            .is("damaged")
            .names("root", "/usr/bin/wg, bytes 0 to 4095 of it", at);
    });
    // One that is cut off, and one that is changed.
    let compressed = copy.path(&format!("{BENCH_IMAGE}.xz"));
    let length = fs::metadata(&compressed).unwrap().len();
    flip(&compressed, length / 2);
    verdict(&compressed, &[])
        .is("damaged")
        .says("cannot be unpacked");
    flip(&compressed, length / 2);
    let file = File::options().write(true).open(&compressed).unwrap();
    file.set_len(length / 3).unwrap();
    verdict(&compressed, &[]).is("damaged").says("cut off");
}

#[test]
fn a_changed_byte_is_named_wherever_it_is() {
    let copy = Copy::new();
    let image = copy.image();
    let length = fs::metadata(&image).unwrap().len();
    let (esp, _) = partition("esp", None);
    let (root, root_length) = partition("root", Some("a"));
    let (tree, _) = partition("root-verity", Some("a"));
    let (signature, _) = partition("root-verity-sig", Some("a"));
    let (empty, _) = partition("root", Some("b"));
    let inode = |path: &str| -> u64 {
        let said = debugfs(&image, &format!("imap {path}"));
        // Inode 123 is part of block group 0 / located at block 456, offset 0x0700
        let block = said.split("block ").last().unwrap();
        let (block, offset) = block.split_once(", offset 0x").unwrap();
        let offset = u64::from_str_radix(offset.trim(), 16).unwrap();
        root + 4096 * block.parse::<u64>().unwrap() + offset
    };
    let wg = blocks(&image, "/usr/bin/wg");
    let directory = blocks(&image, "/usr/bin");
    let free = {
        let file = File::open(&image).unwrap();
        let structure = ext4::read(&file, root, root_length).unwrap();
        assert!(structure.problems().is_empty());
        let free = (0..root_length / 4096)
            .rev()
            .find(|block| structure.owner(*block) == BlockOwner::Free);
        free.unwrap()
    };
    let (uki, bytes) = place_in_esp(&image, "EFI/Linux/bench_1+3.efi");
    let header_name = |name: &str| {
        let mut bytes = name.as_bytes().to_vec();
        bytes.resize(8, 0);
        bytes
    };
    let section = |name: &str| {
        let headers = 0x40..4096;
        let at = headers
            .clone()
            .find(|at| bytes[*at..].starts_with(&header_name(name)))
            .unwrap();
        let offset = u32::from_le_bytes(bytes[at + 20..at + 24].try_into().unwrap());
        uki + u64::from(offset)
    };
    let (loader, _) = place_in_esp(&image, "EFI/BOOT/BOOTX64.EFI");
    let (settings, _) = place_in_esp(&image, "loader/loader.conf");
    let (enrolment, auth) = place_in_esp(&image, "loader/keys/auto/db.auth");
    let cases: Vec<(u64, &str, &str)> = vec![
        // The partition table: MBR, header, an entry, an unused entry; beside it; the second copy.
        (510, "partition table", ""),
        (512 + 56, "partition table", ""),
        (1024 + 40, "partition table", ""),
        (1024 + 128 * 100, "partition table", ""),
        (100_000, "partition table", ""),
        (100, "partition table", ""),
        (length - 512 + 56, "partition table (second copy)", ""),
        (length - 33 * 512 + 40, "partition table (second copy)", ""),
        (length - 600_000, "partition table (second copy)", ""),
        // The root: files, a directory, inodes, maps, superblock, and what nothing uses.
        (
            root + 4096 * wg[0] + 5,
            "root",
            "/usr/bin/wg, bytes 0 to 4095 of it",
        ),
        (
            root + 4096 * wg[1] + 4095,
            "root",
            "/usr/bin/wg, bytes 4096 to 8191 of it",
        ),
        (
            root + 4096 * directory[0] + 30,
            "root",
            "/usr/bin, bytes 0 to ",
        ),
        (inode("/usr/bin/wg") + 40, "root", "inodes, group 0"),
        (root + 1024 + 0x78, "root", "superblock, group 0"),
        (root + 4096 + 12, "root", "group descriptors, group 0"),
        (root + 4096 * free + 9, "root", "free room"),
        (root + 32_768 * 4096 + 1, "root", "superblock, group 1"),
        // The hash tree: superblock, top, middle, bottom.
        (tree + 3, "root-verity", "superblock"),
        (tree + 88, "root-verity", "superblock"),
        (tree + 4096 + 7, "root-verity", "hash tree, level 2"),
        (tree + 3 * 4096, "root-verity", "hash tree, level 1"),
        (tree + 20 * 4096 + 1000, "root-verity", "hash tree, level 0"),
        (
            signature + 30,
            "root-verity-sig",
            "signature of the root hash",
        ),
        (signature + 500_000, "root-verity-sig", ""),
        (empty + 12_345_678, "root (slot B)", ""),
        // The EFI system partition.
        (
            section(".linux") + 5000,
            "esp",
            "bench_1+3.efi, section .linux",
        ),
        (
            section(".initrd") + 9_000_000,
            "esp",
            "bench_1+3.efi, section .initrd",
        ),
        (
            section(".cmdline") + 3,
            "esp",
            "bench_1+3.efi, section .cmdline",
        ),
        (
            section(".pcrpkey") + 60,
            "esp",
            "bench_1+3.efi, section .pcrpkey",
        ),
        (section(".pcrsig") + 60, "esp", "EFI/Linux/bench_1+3.efi"),
        (
            uki + bytes.len() as u64 - 100,
            "esp",
            "EFI/Linux/bench_1+3.efi",
        ),
        (uki + 4, "esp", "EFI/Linux/bench_1+3.efi"),
        (loader + 70_000, "esp", "EFI/BOOT/BOOTX64.EFI"),
        (settings + 3, "esp", "loader/loader.conf"),
        (
            enrolment + auth.len() as u64 - 20,
            "esp",
            "loader/keys/auto/db.auth",
        ),
        (esp + 3, "esp", "directories, boot sector or table"),
        (esp + 32 * 512 + 40_000, "esp", ""),
        (esp + 200_000_000, "esp", "free room"),
    ];
    for (at, part, owner) in cases {
        let verdict = copy.flipped(at, || verdict(&image, &[]));
        assert_eq!(verdict.outcome, "damaged", "byte {at}: {verdict:#?}");
        verdict.names(part, owner, at);
    }
    verdict(&image, &[]).is("good");
}

/// What no digest covers are zeros: one byte among them is named.
#[test]
fn a_byte_behind_the_data_is_named() {
    let copy = Copy::new();
    let image = copy.image();
    let path = image.to_str().unwrap();
    let compressed = copy.path(&format!("{BENCH_IMAGE}.zst"));
    for (purpose, owner) in [
        ("esp", "free room of the file system"),
        ("root-verity", ""),
        ("root-verity-sig", ""),
    ] {
        let (offset, length) = partition(purpose, None);
        let end = offset + data(purpose).1;
        assert!(end < offset + length, "{purpose} is full");
        for at in [end, offset + length - 1] {
            copy.flipped(at, || {
                let plain = verdict(&image, &[]);
                tool(&["zstd", "--quiet", "--force", "-1", "-T2", path]);
                let passed = verdict(&compressed, &[]);
                for verdict in [plain, passed] {
                    verdict.is("damaged").says("there should be zeros");
                    verdict.names(purpose, owner, at);
                    // What is no more the signature alone has a finding of its own.
                    let mut findings = verdict.findings();
                    findings.retain(|one| one.reason == "there should be zeros");
                    assert_eq!(findings.len(), 1, "byte {at}: {verdict:#?}");
                    assert!(findings[0].length <= 4096, "byte {at}: {verdict:#?}");
                }
            });
        }
        // The data's own last page is another matter.
        copy.flipped(end - 4096, || {
            let verdict = verdict(&image, &[]);
            verdict.is("damaged").names(purpose, "", end - 4096);
            assert!(
                !verdict
                    .findings()
                    .iter()
                    .any(|one| one.reason.contains("zeros")),
                "{verdict:#?}"
            );
        });
    }
    verdict(&image, &[]).is("good");
}

/// Names and verdicts beside veritysetup, e2fsck, debugfs and sbverify.
#[test]
fn the_fields_own_tools_agree() {
    let oracle = Oracle::open();
    let folder = oracle.folder();
    let copy = Copy::new();
    let image = copy.image();
    let (root, length) = partition("root", Some("a"));
    let (tree, _) = partition("root-verity", Some("a"));
    let root_hash = manifest()["root_hash"].as_str().unwrap().to_owned();
    let here = folder.path().join("image");
    tool(&[
        "cp",
        "--sparse=always",
        image.to_str().unwrap(),
        here.to_str().unwrap(),
    ]);
    // veritysetup takes the hash area at an offset, and the data at the start.
    let data = folder.path().join("data");
    let cut = |from: &Path| {
        let file = File::open(from).unwrap();
        let mut bytes = vec![0; length as usize];
        file.read_exact_at(&mut bytes, root).unwrap();
        fs::write(&data, bytes).unwrap();
    };
    let theirs = || {
        cut(&here);
        let offset = format!("--hash-offset={tree}");
        let ran = oracle.run(&[
            "veritysetup",
            "verify",
            &oracle.inside(&data),
            &oracle.inside(&here),
            &root_hash,
            &offset,
        ]);
        ran.status == 0
    };
    let e2fsck = |at: &Path| {
        let place = format!("{}?offset={root}", at.display());
        asked(&["e2fsck", "-f", "-n", &place]).0 == 0
    };
    assert!(theirs() && e2fsck(&here));
    let beside = |name: &str| {
        fs::copy(copy.path(name), folder.path().join(name)).unwrap();
    };
    beside(BENCH_MANIFEST);
    let manifest_path = copy.path(BENCH_MANIFEST);
    let ours = || verdict(&here, &["--manifest", manifest_path.to_str().unwrap()]);
    // In contents, in the tree, in inodes, in a map, in a directory.
    let directory = blocks(&image, "/usr/bin")[0];
    for (at, structure) in [
        (root + 4096 * blocks(&image, "/usr/bin/wg")[3], true),
        (tree + 4096 * 9 + 11, true),
        (root + 1024 + 0x20, false),
        (root + 4096 * directory + 1, false),
    ] {
        flip(&here, at);
        ours().is("damaged");
        assert!(!theirs(), "veritysetup finds nothing at {at}");
        assert_eq!(e2fsck(&here), structure, "e2fsck, {at}");
        let said = ours()
            .findings()
            .iter()
            .any(|one| !one.reason.contains("root hash covers"));
        assert_eq!(said, !structure, "structure, {at}");
        flip(&here, at);
    }
    assert!(theirs() && e2fsck(&here));
    ours().is("good");

    // Which file a block belongs to, for blocks all over the root.
    let file = File::open(&image).unwrap();
    let structure = ext4::read(&file, root, length).unwrap();
    let wanted: Vec<u64> = (0..400).map(|step| step * 117 % (length / 4096)).collect();
    let list: Vec<String> = wanted.iter().map(u64::to_string).collect();
    let said = debugfs(&image, &format!("icheck {}", list.join(" ")));
    let inodes: BTreeMap<u64, u64> = said
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
        })
        .collect();
    let numbers: Vec<String> = inodes.values().map(u64::to_string).collect();
    let said = debugfs(&image, &format!("ncheck {}", numbers.join(" ")));
    let mut names: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
    for line in said.lines().skip(1) {
        if let Some((inode, name)) = line.split_once('\t') {
            names.entry(inode.parse().unwrap()).or_default().push(name);
        }
    }
    assert!(inodes.len() > 250, "{} blocks are in files", inodes.len());
    for block in wanted {
        let inode = inodes.get(&block).copied();
        match (structure.owner(block), inode) {
            (
                BlockOwner::Contents { path, .. }
                | BlockOwner::Extents { path }
                | BlockOwner::Attributes { path },
                Some(inode),
            ) => {
                // debugfs puts two slashes at the start.
                let known = &names[&inode];
                let same = known
                    .iter()
                    .any(|name| name.trim_start_matches('/') == &path[1..]);
                assert!(same, "block {block}: {path}, {known:?}");
            }
            (BlockOwner::Journal, Some(8)) => {}
            (owner, None) => assert!(
                !matches!(
                    owner,
                    BlockOwner::Contents { .. } | BlockOwner::Extents { .. }
                ),
                "block {block}: {owner:?}"
            ),
            (owner, inode) => panic!("block {block}: {owner:?}, {inode:?}"),
        }
    }

    // Signatures of programs.
    let certificate = test_keys().join("db.crt");
    let sbverify = |program: &[u8]| {
        let path = folder.path().join("program");
        fs::write(&path, program).unwrap();
        let certificate = certificate.to_str().unwrap();
        asked(&["sbverify", "--cert", certificate, path.to_str().unwrap()]).0 == 0
    };
    for path in ["EFI/BOOT/BOOTX64.EFI", "EFI/Linux/bench_1+3.efi"] {
        let (place, mut bytes) = place_in_esp(&image, path);
        assert!(sbverify(&bytes), "{path}");
        bytes[5000] ^= 0x10;
        assert!(!sbverify(&bytes), "{path}");
        copy.flipped(place + 5000, || {
            verdict(&image, &[])
                .is("damaged")
                .names("esp", path, place + 5000);
        });
    }
}

#[test]
fn what_others_signed_is_not_yours() {
    let copy = Copy::new();
    let image = copy.image();
    let stranger = strangers_keys();
    let strangers = stranger.path().to_str().unwrap();
    verdict(&image, &["--keys", strangers])
        .is("not-signed")
        .says("none of the keys");
    let manifest_path = copy.path(BENCH_MANIFEST);
    let signature = copy.path(&signature_name());
    let (text, signed) = (
        fs::read_to_string(&manifest_path).unwrap(),
        fs::read(&signature).unwrap(),
    );

    // A manifest that somebody changed, one without a signature, one signed by somebody else.
    fs::write(
        &manifest_path,
        text.replacen("\"version\": \"1\"", "\"version\": \"2\"", 1),
    )
    .unwrap();
    verdict(&image, &[]).is("not-signed").says("was changed");
    fs::write(&manifest_path, &text).unwrap();
    fs::remove_file(&signature).unwrap();
    verdict(&image, &[]).is("not-signed").says("there is no");
    let theirs = tempfile::tempdir_in(target_folder()).unwrap();
    Program::new(&bench_arguments(theirs.path()))
        .variable("FORTRESS_KEYS", stranger.path())
        .run()
        .success();
    fs::copy(theirs.path().join(signature_name()), &signature).unwrap();
    verdict(&image, &[]).is("not-signed");
    fs::write(&signature, b"\xff\xfe nothing of the kind").unwrap();
    verdict(&image, &[]).is("not-signed");
    fs::write(&signature, &signed).unwrap();
    verdict(&image, &[]).is("good");

    // The manifest of an image of your own that is another one.
    let other = tempfile::tempdir_in(target_folder()).unwrap();
    let mut arguments = bench_arguments(other.path());
    arguments.extend(["--set".into(), "system.hostname=elsewhere".into()]);
    Program::new(&arguments).run().success();
    let foreign = other.path().join(BENCH_MANIFEST);
    verdict(&other.path().join(BENCH_IMAGE), &[]).is("good");
    let mixed = verdict(&image, &["--manifest", foreign.to_str().unwrap()]);
    mixed.is("damaged");

    // Somebody else's image with a program, a root, a signature of theirs in it.
    let their_image = theirs.path().join(BENCH_IMAGE);
    for (purpose, said) in [
        ("esp", "is none of the keys"),
        ("root-verity-sig", "is none of the keys"),
    ] {
        let (offset, length) = partition(purpose, None);
        let mut bytes = vec![0; length as usize];
        let source = File::open(&their_image).unwrap();
        source.read_exact_at(&mut bytes, offset).unwrap();
        let target = File::options().write(true).open(&image).unwrap();
        target.write_all_at(&bytes, offset).unwrap();
        verdict(&image, &[]).is("not-signed").says(said);
        let source = File::open(built().join(BENCH_IMAGE)).unwrap();
        source.read_exact_at(&mut bytes, offset).unwrap();
        target.write_all_at(&bytes, offset).unwrap();
    }
    verdict(&image, &[]).is("good");

    // Not signed yet.
    let later = tempfile::tempdir_in(target_folder()).unwrap();
    let mut arguments = bench_arguments(later.path());
    arguments.extend(["--sign".into(), "later".into()]);
    Program::new(&arguments).run().success();
    verdict(&later.path().join(BENCH_IMAGE), &[]).is("not-signed");
}

#[test]
fn what_is_moved_or_cut_off_is_damaged() {
    let copy = Copy::new();
    let image = copy.image();
    let length = fs::metadata(&image).unwrap().len();
    let file = File::options().read(true).write(true).open(&image).unwrap();

    // Longer than it should be; a partition's contents in the place of another's.
    file.set_len(length + 4096).unwrap();
    verdict(&image, &[])
        .is("damaged")
        .says("bytes, and the manifest says");
    file.set_len(length).unwrap();
    let (from, size) = partition("root-verity", Some("a"));
    let (to, _) = partition("root-verity", Some("b"));
    let mut tree = vec![0; size as usize];
    file.read_exact_at(&mut tree, from).unwrap();
    file.write_all_at(&tree, to).unwrap();
    file.write_all_at(&vec![0; size as usize], from).unwrap();
    let swapped = verdict(&image, &[]);
    swapped
        .is("damaged")
        .names("root-verity", "superblock", from);
    swapped.names("root-verity (slot B)", "", to);
    file.write_all_at(&tree, from).unwrap();
    file.write_all_at(&vec![0; size as usize], to).unwrap();
    verdict(&image, &[]).is("good");

    // Cut off in each part, the last first: nothing is put back.
    let (root, _) = partition("root", Some("a"));
    for end in [
        length - 512,
        to + 1,
        from + 4096,
        root + 123_456,
        30_000_000,
        2_000_000,
        20_000,
    ] {
        file.set_len(end).unwrap();
        verdict(&image, &[]).is("damaged").says("cut off");
    }
    for end in [600, 511, 1, 0] {
        file.set_len(end).unwrap();
        let said = verdict(&image, &[]);
        assert!(
            ["damaged", "foreign"].contains(&said.outcome.as_str()),
            "{end}: {said:?}"
        );
    }
}

#[test]
fn what_is_no_image_is_not_one_of_ours() {
    let copy = Copy::new();
    let path = copy.path("something.img");
    fs::write(&path, "no image\n").unwrap();
    verdict(&path, &[]).is("foreign").says("there is none at");
    let manifest = copy.path(BENCH_MANIFEST);
    let manifest = manifest.to_str().unwrap();
    verdict(&path, &["--manifest", manifest])
        .is("foreign")
        .says("no partition table");
    fs::write(&path, "").unwrap();
    verdict(&path, &["--manifest", manifest]).is("foreign");
    // A terabyte of nothing is looked at in no time.
    let file = File::create(&path).unwrap();
    file.set_len(1 << 40).unwrap();
    verdict(&path, &["--manifest", manifest]).is("foreign");
    // Another system's disk.
    tool(&["sgdisk", "--new=1:2048:+64M", path.to_str().unwrap()]);
    verdict(&path, &["--manifest", manifest])
        .is("foreign")
        .says("of another system");
    fs::write(copy.path("something.manifest.json"), "{}").unwrap();
    verdict(&path, &[]).is("foreign");

    let refused = verify(copy.folder.path(), &[]);
    assert_eq!((refused.code, refused.output.as_str()), (1, ""));
    assert!(refused.errors.contains("cannot read"), "{}", refused.errors);
    let refused = verify(&copy.path("missing.img"), &[]);
    assert!(refused.errors.contains("cannot read"), "{}", refused.errors);
    let refused = verify(&copy.image(), &["--public-key", "nonsense"]);
    assert_eq!(refused.code, 2);
    let refused = verify(
        &copy.image(),
        &["--keys", copy.path("none").to_str().unwrap()],
    );
    assert_ne!(refused.code, 0);
}

/// A file as a disk, for as long as this lives.
struct Disk(String);

impl Disk {
    fn new(file: &Path) -> Self {
        let said = tool(&["losetup", "--find", "--show", file.to_str().unwrap()]);
        Self(said.trim().to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = asked(&["losetup", "--detach", &self.0]);
    }
}

#[test]
fn what_a_machine_changes_on_its_disk_is_no_fault() {
    let copy = Copy::new();
    let image = copy.image();
    let path = image.to_str().unwrap();
    let manifest = copy.path(BENCH_MANIFEST);
    let manifest = ["--manifest", manifest.to_str().unwrap()];
    let looked_at = || {
        let disk = Disk::new(&image);
        verdict(Path::new(&disk.0), &manifest)
    };
    let notes = |verdict: &Verdict| verdict.json["notes"].to_string();
    // As it was written, to a larger disk.
    let file = File::options().write(true).open(&image).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length + (64 << 20)).unwrap();
    let written = looked_at();
    written.is("good");
    assert!(notes(&written).contains("not covered"), "{written:?}");
    // As a machine leaves it: its state behind the image, one try less, a seed.
    tool(&["sgdisk", "--move-second-header", path]);
    tool(&["sgdisk", "--new=0:0:0", "--change-name=0:var", path]);
    let esp = format!("{path}@@{}", partition("esp", None).0);
    let uki = "::EFI/Linux/bench_1+3.efi";
    tool(&["mren", "-i", &esp, uki, "::EFI/Linux/bench_1+2-1.efi"]);
    let seed = copy.path("seed");
    fs::write(&seed, [7; 32]).unwrap();
    let seed = seed.to_str().unwrap();
    tool(&["mcopy", "-i", &esp, seed, "::loader/random-seed"]);
    let used = looked_at();
    used.is("good");
    for note in ["\\\"var\\\"", "random-seed", "partition table was changed"] {
        assert!(notes(&used).contains(note), "{note}: {used:#?}");
    }
    // As a file the same is no image any more.
    verdict(&image, &[]).is("damaged");
    // What no machine does is found there as well.
    let at = partition("root", Some("a")).0 + 4096 * blocks(&image, "/usr/bin/wg")[0];
    copy.flipped(at, || {
        looked_at().is("damaged").names("root", "/usr/bin/wg", at)
    });
    let (settings, _) = place_in_esp(&image, "loader/loader.conf");
    copy.flipped(settings, || {
        looked_at()
            .is("damaged")
            .names("esp", "loader/loader.conf", settings);
    });
    looked_at().is("good");
    tool(&["mcopy", "-i", &esp, seed, "::loader/entry.conf"]);
    looked_at().is("damaged").says("it is not of this image");
    tool(&["mdel", "-i", &esp, "::loader/entry.conf"]);
    tool(&["mcopy", "-i", &esp, seed, "::EFI/BOOT/another.efi"]);
    looked_at()
        .is("not-signed")
        .says("that you have not signed");
}
