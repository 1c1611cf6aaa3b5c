//! Builds that are stopped, killed, or run out of room leave nothing that looks like an image,
//! and nothing that spoils the next build; builds at the same time do not disturb each other.

use fortress_tests::{
    BENCH_IMAGE, Program, Ran, bench_arguments, bench_bytes, bench_names, bench_reference, names,
    store_of_downloads, strangers_keys, target_folder,
};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command};

/// A folder on the disk that the store is on, too.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(target_folder()).unwrap()
}

fn start(output: &Path, store: &Path) -> Child {
    Program::new(&bench_arguments(output))
        .variable("FORTRESS_STORE", store)
        .start()
}

#[track_caller]
fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    // It may have ended by itself.
    let _ = Command::new("kill").args(["-s", name, &id]).status();
}

/// Sends a signal when a stage begins; what the build said, and how it ended.
fn at_stage(mut child: Child, stage: &str, name: &str) -> Ran {
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains(&format!("{stage}: begins")) {
        assert!(errors.read_line(&mut said).unwrap() > 0, "{stage}: {said}");
    }
    signal(&child, name);
    errors.read_to_string(&mut said).unwrap();
    let mut ran = Ran::of(child);
    ran.errors = said;
    ran
}

/// Files that are hidden away as unfinished, and those that are not.
#[track_caller]
fn unfinished_and_whole(folder: &Path) -> (Vec<String>, Vec<String>) {
    let is_partial = |name: &String| name.starts_with('.') && name.ends_with(".fortress.partial");
    names(folder).into_iter().partition(is_partial)
}

/// Files that are not hidden away as unfinished.
#[track_caller]
fn whole(folder: &Path) -> Vec<String> {
    unfinished_and_whole(folder).1
}

/// Kills builds into a folder while they write the image, until one was slow enough.
#[track_caller]
fn kill_while_writing(output: &Path, store: &Path) {
    let killed = (0..20).any(|_| {
        let child = start(output, store);
        at_stage(child, "write the root", "KILL").code == -1
    });
    assert!(killed, "it was always faster");
}

#[test]
fn control_c_ends_a_build_at_once_and_cleanly() {
    let (output, store) = (folder(), store_of_downloads());
    let child = start(output.path(), store.path());
    let ran = at_stage(child, "unpack", "INT");
    assert_eq!(ran.code, 130, "{ran:?}");
    assert_eq!(ran.output, "");
    assert!(
        ran.errors.contains("\nerror: stopped while unpacking"),
        "{ran:?}"
    );
    assert!(!ran.errors.contains("configure: begins"), "{ran:?}");
    assert_eq!(names(output.path()), [""; 0]);
    for name in ["scratch", "temporary"] {
        assert_eq!(names(&store.path().join(name)), [""; 0], "{name}");
    }
}

#[test]
fn a_killed_build_spoils_nothing() {
    let (output, store) = (folder(), store_of_downloads());
    let child = start(output.path(), store.path());
    let ran = at_stage(child, "unpack", "KILL");
    assert_eq!(ran.code, -1, "{ran:?}");
    assert_eq!(whole(output.path()), [""; 0]);
    // What it had begun to unpack is not taken for unpacked.
    let ran = Ran::of(start(output.path(), store.path()));
    assert!(ran.errors.contains("unpack: begins"), "{ran:?}");
    ran.success();
    assert_eq!(bench_bytes(output.path()), *bench_reference());

    // While the image is written. An earlier one is there, and stays there whole.
    kill_while_writing(output.path(), store.path());
    assert_eq!(whole(output.path()), bench_names());
    assert_eq!(bench_bytes(output.path()), *bench_reference());
    let verify = ["store", "verify", "--store", store.path().to_str().unwrap()];
    Program::new(&verify).run().success();
    Ran::of(start(output.path(), store.path())).success();
    assert_eq!(bench_bytes(output.path()), *bench_reference());
    // What the killed one left went with it.
    assert_eq!(names(output.path()), bench_names());
}

#[test]
fn what_killed_ones_left_goes_whatever_is_made_next() {
    let (output, store) = (folder(), store_of_downloads());
    Ran::of(start(output.path(), store.path())).success();
    kill_while_writing(output.path(), store.path());
    let (unfinished, whole) = unfinished_and_whole(output.path());
    assert_eq!(unfinished.len(), 1, "{unfinished:?}");
    let prefix = format!(".{BENCH_IMAGE}.");
    assert!(unfinished[0].starts_with(&prefix), "{unfinished:?}");
    assert_eq!(whole, bench_names());

    // A copy to hand out: it takes away what the build left, and is killed itself.
    let image = output.path().join(BENCH_IMAGE);
    let pack = ["pack", image.to_str().unwrap(), "xz"];
    let ran = at_stage(Program::new(&pack).start(), "compress (xz)", "KILL");
    assert_eq!(ran.code, -1, "{ran:?}");
    let (unfinished, whole) = unfinished_and_whole(output.path());
    assert_eq!(unfinished.len(), 1, "{unfinished:?}");
    assert!(unfinished[0].contains(".img.xz."), "{unfinished:?}");
    assert_eq!(whole, bench_names());

    // A build of another version.
    let mut arguments = bench_arguments(output.path());
    arguments.extend(["--set".to_owned(), "version=2".to_owned()]);
    let build = Program::new(&arguments).variable("FORTRESS_STORE", store.path());
    Ran::of(build.start()).success();
    assert_eq!(unfinished_and_whole(output.path()).0, [""; 0]);
}

#[test]
fn two_builds_at_once_do_not_disturb_each_other() {
    let (output, store) = (folder(), store_of_downloads());
    let other = folder();
    // Two into one folder, one into another, all with a store in which nothing is unpacked.
    let folders = [output.path(), output.path(), other.path()];
    let children = folders.map(|folder| start(folder, store.path()));
    for child in children {
        Ran::of(child).success();
    }
    for folder in [output.path(), other.path()] {
        assert_eq!(names(folder), bench_names());
        assert_eq!(bench_bytes(folder), *bench_reference());
    }
}

/// Bytes of all files in a folder, in whole pages.
fn length(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap());
    entries
        .map(|entry| match entry.file_type().unwrap().is_dir() {
            true => length(&entry.path()),
            false => entry.metadata().unwrap().len().next_multiple_of(4096),
        })
        .sum()
}

/// A build with `folder` on a file system of its own of this size, `before` done in it before.
/// What is left in the folder `output` is in its standard output.
#[track_caller]
fn in_small_room(folder: &Path, size: &str, before: &str, arguments: &[String]) -> Ran {
    const SCRIPT: &str = r#"
        mount -t tmpfs -o "size=$1" none "$0"
        eval "$2"
        shift 2
        "$@" && code=0 || code=$?
        find "$OUTPUT" -mindepth 1
        exit "$code""#;
    let folder = folder.to_str().unwrap();
    let starter = [
        "unshare", "--mount", "sh", "-euc", SCRIPT, folder, size, before,
    ];
    let output = arguments.last().unwrap();
    Program::under(&starter, arguments)
        .variable("OUTPUT", output)
        .run()
}

#[test]
fn a_disk_that_fills_up() {
    let output = folder();
    let arguments = bench_arguments(output.path());
    let said = in_small_room(output.path(), "30m", ":", &arguments).refusal(1);
    let expected = format!(
        "error: cannot write the image into {}\n  because No space left on device",
        output.path().display()
    );
    assert!(said.starts_with(&expected), "{said}");
    assert!(said.contains("\nhint: free some room"), "{said}");
    assert_eq!(names(output.path()), [""; 0]);
}

#[test]
fn a_store_that_fills_up() {
    let (output, store, small) = (folder(), store_of_downloads(), folder());
    let before = format!(
        "cp -r {}/. {}",
        store.path().display(),
        small.path().display()
    );
    // Room for the downloads, and not for what is in them.
    let size = format!("{}", length(store.path()) + (24 << 20));
    let mut arguments = bench_arguments(output.path());
    let place = arguments.iter().position(|one| one == "--output").unwrap();
    let store = ["--store", small.path().to_str().unwrap()];
    arguments.splice(place..place, store.map(str::to_owned));
    let ran = in_small_room(small.path(), &size, &before, &arguments);
    let code = ran.code;
    let said = ran.refusal(code);
    assert!(matches!(code, 1 | 4), "{code}: {said}");
    assert!(said.contains(small.path().to_str().unwrap()), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
    assert!(said.contains("\nhint: "), "{said}");
    assert_eq!(names(output.path()), [""; 0]);
}

#[test]
fn an_output_folder_that_cannot_be_written_to() {
    // As somebody who is not root, for whom the store can only be read.
    let output = folder();
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    let arguments = bench_arguments(output.path());
    bench_reference();
    // Keys are for their owner alone: these are this one's.
    let keys = strangers_keys();
    let owner = Command::new("chown")
        .args(["-R", "65534:65534"])
        .arg(keys.path())
        .status();
    assert!(owner.unwrap().success());
    let said = Program::under(&nobody, &arguments)
        .variable("FORTRESS_KEYS", keys.path())
        .run()
        .refusal(1);
    let expected = format!(
        "error: cannot write the image into {}\n  because Permission denied",
        output.path().display()
    );
    assert!(said.starts_with(&expected), "{said}");
    assert!(
        said.contains("\nhint: choose another folder with '--output'"),
        "{said}"
    );
}
