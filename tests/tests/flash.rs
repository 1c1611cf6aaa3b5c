//! `fortress-build flash` on the bench image: to files, loop devices and disks that fail.

use fortress_tests::{
    BENCH_IMAGE, BENCH_MANIFEST, Program, Ran, bench_arguments, public_halves, strangers_keys,
    target_folder, test_keys,
};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

const MIB: u64 = 1 << 20;
/// What an older system left on a disk.
const OLD: u8 = 0xa5;

/// The image as it was built, with what lies beside it; never changed.
fn built() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = folder();
        Program::new(&bench_arguments(folder.path()))
            .run()
            .success();
        folder
    });
    folder.path()
}

fn image() -> PathBuf {
    built().join(BENCH_IMAGE)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(target_folder()).unwrap()
}

fn length() -> u64 {
    fs::metadata(image()).unwrap().len()
}

#[track_caller]
fn tool(command: &[&str]) -> String {
    match Command::new(command[0]).args(&command[1..]).output() {
        Ok(output) => {
            assert!(output.status.success(), "{command:?}: {output:?}");
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        Err(error) => panic!("{command:?} (see tests/host-packages.txt): {error}"),
    }
}

fn program(image: &Path, target: &Path, more: &[&str]) -> Program {
    let mut arguments = vec!["flash", image.to_str().unwrap(), target.to_str().unwrap()];
    arguments.extend(more);
    Program::new(&arguments)
}

fn flash(image: &Path, target: &Path, more: &[&str]) -> Ran {
    program(image, target, more).run()
}

/// That the start of a disk is that of the image, to its end.
#[track_caller]
fn assert_is_image(target: &Path) {
    let bytes = length().to_string();
    let (image, target) = (image(), target.to_str().unwrap());
    tool(&["cmp", "-n", &bytes, image.to_str().unwrap(), target]);
}

/// That nothing takes a disk for bootable: its first MiB is zeros.
#[track_caller]
fn assert_not_bootable(target: &Path) {
    let mut start = vec![1; MIB as usize];
    let file = File::open(target).unwrap();
    file.read_exact_at(&mut start, 0).unwrap();
    assert!(start.iter().all(|byte| *byte == 0));
    // sgdisk would take a backup of the table for one.
    let seen = Command::new("sgdisk").arg("--print").arg(target).output();
    let seen = String::from_utf8_lossy(&seen.unwrap().stdout).into_owned();
    assert!(seen.contains("Creating new GPT entries"), "{seen}");
}

/// A file as large as a disk, with what an older system left on it.
fn old_disk(path: &Path, size: u64) {
    let file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    // Where the image has data, where it has none, behind it, and at the very end.
    for at in [0, 300 * MIB, length() - 3 * MIB, length(), size - 2 * MIB] {
        file.write_all_at(&vec![OLD; 2 * MIB as usize], at).unwrap();
    }
}

/// A loop device; it goes when this does.
struct Loop {
    path: PathBuf,
}

impl Loop {
    fn new(file: &Path, more: &[&str]) -> Self {
        let mut command = vec!["losetup", "--find", "--show"];
        command.extend(more);
        command.push(file.to_str().unwrap());
        Self {
            path: tool(&command).into(),
        }
    }

    fn name(&self) -> &str {
        self.path.file_name().unwrap().to_str().unwrap()
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.path).output();
        let _ = Command::new("losetup").arg("-d").arg(&self.path).output();
    }
}

#[test]
fn a_file_becomes_the_image_however_it_is_compressed() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    for name in [
        BENCH_MANIFEST.to_owned(),
        format!("{BENCH_MANIFEST}.minisig"),
    ] {
        fs::copy(built().join(&name), path(&name)).unwrap();
    }
    let zst = path(&format!("{BENCH_IMAGE}.zst"));
    let xz = path(&format!("{BENCH_IMAGE}.xz"));
    let whole = image();
    let whole = whole.to_str().unwrap();
    tool(&["zstd", "-q", "-1", whole, "-o", zst.to_str().unwrap()]);
    let packed = File::create(&xz).unwrap();
    let packing = Command::new("xz")
        .args(["-0", "-T0", "-c", whole])
        .stdout(packed)
        .status();
    assert!(packing.unwrap().success());
    for from in [image(), zst.clone(), xz.clone()] {
        let target = path("target.img");
        // Unpacking it a second time takes a while.
        let more: &[&str] = match from == xz {
            true => &["--no-read-back"],
            false => &[],
        };
        flash(&from, &target, more).success();
        assert_is_image(&target);
        let written = fs::metadata(&target).unwrap();
        assert_eq!(written.len(), length());
        assert!(written.blocks() * 512 < length() / 2, "it has no holes");
        fs::remove_file(target).unwrap();
    }
    // Compressed data that is cut off or changed is found out, and not made bootable.
    let size = fs::metadata(&zst).unwrap().len();
    for (from, at) in [(&zst, size / 2), (&xz, 8 * MIB)] {
        let file = File::options().read(true).write(true).open(from).unwrap();
        file.write_all_at(&[0x5a; 64], at).unwrap();
        let target = path("target.img");
        let said = flash(from, &target, &[]).refusal(21);
        assert!(said.contains("is not bootable now"), "{said}");
        assert_not_bootable(&target);
        fs::remove_file(target).unwrap();
    }
    // Nothing is written if not even the first piece can be unpacked.
    let file = File::options().write(true).open(&xz).unwrap();
    file.write_all_at(&[0x5a; 64], 100_000).unwrap();
    let disk = path("disk.img");
    old_disk(&disk, 1 << 30);
    let said = flash(&xz, &disk, &["--force-device", "disk.img"]).refusal(21);
    assert!(said.contains("nothing was written"), "{said}");
    let mut start = [0];
    File::open(&disk).unwrap().read_exact(&mut start).unwrap();
    assert_eq!(start, [OLD]);
}

#[test]
fn a_larger_disk_keeps_nothing_old_where_the_image_is() {
    let folder = folder();
    let disk = folder.path().join("disk.img");
    old_disk(&disk, 1 << 30);
    // Something is in it, so its name is needed.
    let said = flash(&image(), &disk, &[]).refusal(2);
    assert!(said.contains("--force-device disk.img"), "{said}");
    let json = flash(&image(), &disk, &["--force-device", "disk.img", "--json"]).success();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["flashed"]["length"], length());
    assert_eq!(json["flashed"]["read_back"], true);
    assert_eq!(json["flashed"]["verdict"]["outcome"], "good");
    assert!(json["flashed"]["written"].as_u64().unwrap() < length() / 2);
    assert_is_image(&disk);
    // Behind the image is what was there, but for the place of an older backup of the table.
    let file = File::open(&disk).unwrap();
    let mut byte = [0];
    for (at, kept) in [
        (length(), OLD),
        ((1 << 30) - 1, 0),
        ((1 << 30) - 2 * MIB, OLD),
    ] {
        file.read_exact_at(&mut byte, at).unwrap();
        assert_eq!(byte[0], kept, "byte {at}");
    }
    assert_eq!(fs::metadata(&disk).unwrap().len(), 1 << 30);
}

#[test]
fn a_disk_becomes_what_verify_accepts() {
    let folder = folder();
    let file = folder.path().join("disk.img");
    old_disk(&file, 1 << 30);
    let disk = Loop::new(&file, &[]);
    let said = flash(&image(), &disk.path, &[]).refusal(2);
    assert!(said.contains("it is not removable"), "{said}");
    let name = disk.name();
    // The file that the disk is made of is in use.
    let said = flash(&image(), &file, &["--force-device", "disk.img"]).refusal(1);
    assert!(said.contains(&format!("{name} stands on it")), "{said}");
    let ran = flash(&image(), &disk.path, &["--force-device", name, "--json"]);
    let json: Value = serde_json::from_str(&ran.success()).unwrap();
    assert_eq!(json["disk"]["name"], name);
    assert_eq!(json["disk"]["bus"], "loop");
    assert_eq!(json["disk"]["size"], 1 << 30);
    assert_is_image(&disk.path);
    let manifest = built().join(BENCH_MANIFEST);
    let path = disk.path.to_str().unwrap();
    Program::new(&["verify", path, "--manifest", manifest.to_str().unwrap()])
        .run()
        .success();
    // Linux takes the table as it is, though the disk is larger.
    let table = tool(&["sfdisk", "--dump", path]);
    assert!(table.contains("label: gpt"), "{table}");
    // The list says the same of it.
    let text = Program::new(&["flash", "--list"]).run().success();
    let row = text.lines().find(|line| line.starts_with(name)).unwrap();
    assert!(row.contains("1.1 GB"), "{row}");
    let list = Program::new(&["flash", "--list", "--json"]).run().success();
    let list: Value = serde_json::from_str(&list).unwrap();
    let listed = list.as_array().unwrap().iter();
    let mut named = listed.filter(|entry| entry["disk"]["name"] == name);
    assert_eq!(named.next().unwrap()["refusal"], "it is not removable");
}

#[test]
fn what_is_mounted_or_held_is_left_alone() {
    let folder = folder();
    let file = folder.path().join("disk.img");
    File::create(&file).unwrap().set_len(1 << 30).unwrap();
    let disk = Loop::new(&file, &[]);
    let path = disk.path.to_str().unwrap();
    let named = ["--force-device", disk.name()];
    tool(&["mkfs.ext4", "-q", path]);
    let point = folder.path().join("mount point");
    fs::create_dir(&point).unwrap();
    tool(&["mount", path, point.to_str().unwrap()]);
    let said = flash(&image(), &disk.path, &named).refusal(1);
    assert!(said.contains("it is mounted on"), "{said}");
    assert!(said.contains("mount point"), "{said}");
    assert!(said.contains("--unmount"), "{said}");
    // A file that is open there keeps it mounted.
    let open = File::create(point.join("file")).unwrap();
    let asked = [named[0], named[1], "--unmount"];
    let said = flash(&image(), &disk.path, &asked).refusal(1);
    assert!(said.contains("cannot unmount"), "{said}");
    assert!(point.join("file").exists());
    drop(open);
    flash(&image(), &disk.path, &asked).success();
    assert_is_image(&disk.path);
    assert!(!point.join("file").exists());

    // Somebody else has it for itself.
    let exclusive = rustix_exclusive(&disk.path);
    let said = flash(&image(), &disk.path, &named).refusal(1);
    assert!(said.contains("cannot open"), "{said}");
    assert!(said.contains("something uses it"), "{said}");
    drop(exclusive);
}

/// Opens a disk so that nobody else can have it.
fn rustix_exclusive(path: &Path) -> File {
    use std::os::unix::fs::OpenOptionsExt;
    const O_EXCL: i32 = 0o200;
    let mut options = File::options();
    options.read(true).custom_flags(O_EXCL).open(path).unwrap()
}

#[test]
fn only_what_the_owner_signed_is_written() {
    let folder = folder();
    let target = folder.path().join("target.img");
    let stranger = strangers_keys();
    let said = program(&image(), &target, &[])
        .variable("FORTRESS_KEYS", stranger.path())
        .run()
        .refusal(20);
    assert!(said.contains("nothing was written"), "{said}");
    assert!(!target.exists());

    let copy = folder.path().join(BENCH_IMAGE);
    let (from, to) = (image(), copy.to_str().unwrap().to_owned());
    tool(&["cp", "--sparse=always", from.to_str().unwrap(), &to]);
    let said = flash(&copy, &target, &[]).refusal(22);
    assert!(said.contains("is not what you signed"), "{said}");
    for name in [
        BENCH_MANIFEST.to_owned(),
        format!("{BENCH_MANIFEST}.minisig"),
    ] {
        fs::copy(built().join(&name), folder.path().join(&name)).unwrap();
    }
    // A byte that is wrong shows while it is written; where it is, is told.
    let manifest: Value =
        serde_json::from_slice(&fs::read(built().join(BENCH_MANIFEST)).unwrap()).unwrap();
    let partition = |purpose: &str| {
        let partitions = manifest["partitions"].as_array().unwrap();
        let mut partitions = partitions.iter();
        partitions.find(|one| one["purpose"] == purpose).unwrap()
    };
    let root = partition("root");
    let at = root["offset"].as_u64().unwrap() + 20 * MIB + 7;
    let file = File::options().read(true).write(true).open(&copy).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    let ran = flash(&copy, &target, &[]);
    assert_eq!(ran.code, 21, "{ran:?}");
    assert!(ran.errors.contains("is not bootable now"), "{ran:?}");
    assert!(ran.errors.contains("warning: root, bytes "), "{ran:?}");
    assert_not_bootable(&target);
    fs::remove_file(&target).unwrap();
    // So does one behind a partition's data, where no digest is.
    file.write_all_at(&byte, at).unwrap();
    let esp = partition("esp");
    let number = |key: &str| esp[key].as_u64().unwrap();
    let at = number("offset") + (number("data_length") + number("length")) / 2;
    file.write_all_at(&[1], at).unwrap();
    let ran = flash(&copy, &target, &[]);
    assert_eq!(ran.code, 21, "{ran:?}");
    let (_, said) = ran.errors.split_once("warning: esp, bytes ").unwrap();
    let (said, reason) = said
        .split_once(" (free room of the file system): ")
        .unwrap();
    let (first, last) = said.split_once(" to ").unwrap();
    let [first, last] = [first, last].map(|byte| byte.parse::<u64>().unwrap());
    assert!(first <= at && at <= last && last - first < 4096, "{ran:?}");
    assert!(reason.starts_with("there should be zeros"), "{ran:?}");
    assert_not_bootable(&target);
    fs::remove_file(&target).unwrap();
    file.write_all_at(&[0], at).unwrap();
    // One that is cut off is not begun with.
    file.set_len(length() - 512).unwrap();
    let said = flash(&copy, &target, &[]).refusal(21);
    assert!(said.contains("nothing was written"), "{said}");
    assert!(!target.exists());

    // The public halves of the owner's keys are enough.
    let halves = public_halves(test_keys());
    program(&image(), &target, &["--no-read-back"])
        .variable("FORTRESS_KEYS", halves.path())
        .run()
        .success();
    assert_is_image(&target);
}

#[test]
fn what_is_no_disk_is_not_written_to() {
    let folder = folder();
    let refused = |target: &Path, code, says: &str| {
        let said = flash(&image(), target, &[]).refusal(code);
        assert!(said.contains(says), "{says}: {said}");
    };
    refused(folder.path(), 1, "neither a disk nor a file");
    refused(Path::new("/dev/null"), 1, "neither a disk nor a file");
    refused(
        Path::new("/dev/sd-nothing"),
        1,
        "cannot open /dev/sd-nothing",
    );
    assert!(!Path::new("/dev/sd-nothing").exists());
    refused(&image(), 1, "it is the image itself");
    let link = folder.path().join("link.img");
    std::os::unix::fs::symlink(image(), &link).unwrap();
    refused(&link, 1, "it is the image itself");
    refused(&folder.path().join("none/target.img"), 1, "cannot open");
    let small = folder.path().join("small.img");
    File::create(&small)
        .unwrap()
        .set_len(length() - 512)
        .unwrap();
    refused(&small, 1, "and the image needs");
    // The partition table counts in sectors of 512 bytes.
    File::create(&small).unwrap().set_len(1 << 30).unwrap();
    let disk = Loop::new(&small, &["--sector-size", "4096"]);
    refused(&disk.path, 1, "its sectors have 4096 bytes");
    drop(disk);
    let disk = Loop::new(&small, &["--read-only"]);
    refused(&disk.path, 1, "it is read-only");
    // Without a terminal nobody can be asked which disk.
    let image = image();
    let ran = Program::new(&["flash", image.to_str().unwrap()]).run();
    assert!(
        [1, 2].contains(&ran.code) && ran.output.is_empty(),
        "{ran:?}"
    );
    assert!(ran.errors.contains("hint: "), "{ran:?}");
}

#[test]
fn the_name_can_be_typed() {
    let folder = folder();
    let target = folder.path().join("disk.img");
    old_disk(&target, 1 << 30);
    let typed = |name: &str| {
        let command = format!(
            "{} flash {} {}",
            Program::path().display(),
            image().display(),
            target.display()
        );
        let mut child = Command::new("script")
            .args(["-qec", &command, "/dev/null"])
            .env("FORTRESS_KEYS", test_keys())
            .env("TERM", "dumb")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), name.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code().unwrap_or(-1), said)
    };
    for wrong in ["\n", "disk\n", "yes\n"] {
        let (code, said) = typed(wrong);
        assert_eq!(code, 2, "{wrong:?}: {said}");
        assert!(said.contains("Type its name, disk.img"), "{said}");
    }
    let mut byte = [0];
    File::open(&target)
        .unwrap()
        .read_exact_at(&mut byte, 0)
        .unwrap();
    assert_eq!(byte[0], OLD);
    let (code, said) = typed("disk.img\n");
    assert_eq!(code, 0, "{said}");
    assert_is_image(&target);
}

#[test]
fn a_stopped_or_killed_run_leaves_nothing_bootable() {
    let folder = folder();
    let target = folder.path().join("disk.img");
    for (stage, signal, code) in [("write", "INT", 130), ("write", "KILL", -1)] {
        // What was there was bootable.
        let _ = fs::remove_file(&target);
        let (from, to) = (image(), target.to_str().unwrap().to_owned());
        tool(&["cp", "--sparse=always", from.to_str().unwrap(), &to]);
        let mut child = program(&image(), &target, &["--force-device", "disk.img"]).start();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains(&format!("{stage}: begins")) {
            assert!(errors.read_line(&mut said).unwrap() > 0, "{said}");
        }
        tool(&["kill", "-s", signal, &child.id().to_string()]);
        errors.read_to_string(&mut said).unwrap();
        let ran = Ran::of(child);
        assert_eq!(ran.code, code, "{said}");
        if signal == "INT" {
            assert!(said.contains("error: stopped; "), "{said}");
            assert!(said.contains("is not bootable now"), "{said}");
        }
        assert_not_bootable(&target);
    }
    // And the next run finds nothing in its way.
    flash(&image(), &target, &["--force-device", "disk.img"]).success();
    assert_is_image(&target);
}

#[test]
fn a_full_disk_is_said_to_be_full() {
    let folder = folder();
    let point = folder.path().join("small");
    fs::create_dir(&point).unwrap();
    let to = point.to_str().unwrap();
    tool(&["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", to]);
    let target = point.join("target.img");
    let ran = flash(&image(), &target, &[]);
    let seen = std::panic::catch_unwind(|| assert_not_bootable(&target));
    tool(&["umount", to]);
    assert!(seen.is_ok());
    let said = ran.refusal(1);
    assert!(said.contains("No space left"), "{said}");
    assert!(said.contains("is not bootable now"), "{said}");
}

#[test]
fn who_may_not_write_is_told_what_gives_the_right() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    // Where somebody without rights can read it.
    let path = |name: &str| folder.path().join(name);
    for name in [
        BENCH_IMAGE,
        BENCH_MANIFEST,
        &format!("{BENCH_MANIFEST}.minisig"),
    ] {
        let (from, to) = (built().join(name), path(name));
        let (from, to) = (from.to_str().unwrap(), to.to_str().unwrap());
        tool(&["cp", "--sparse=always", from, to]);
        fs::set_permissions(to, PermissionsExt::from_mode(0o644)).unwrap();
    }
    fs::copy(Program::path(), path("fortress-build")).unwrap();
    let halves = public_halves(test_keys());
    tool(&["chmod", "-R", "a+rX", halves.path().to_str().unwrap()]);
    File::create(path("disk.img"))
        .unwrap()
        .set_len(1 << 30)
        .unwrap();
    let disk = Loop::new(&path("disk.img"), &[]);
    let ran = Command::new("setpriv")
        .args(["--reuid=4242", "--regid=4242", "--clear-groups"])
        .arg(path("fortress-build"))
        .arg("flash")
        .args([path(BENCH_IMAGE), disk.path.clone()])
        .args(["--force-device", disk.name(), "--keys"])
        .arg(halves.path())
        .env("HOME", "/nonexistent")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{said}");
    let line = format!("sudo setfacl -m u:4242:rw {}", disk.path.display());
    assert!(said.contains(&line), "{said}");
}
