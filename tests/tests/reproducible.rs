//! The same inputs give the same bytes, whoever builds, where, when and how; and a build needs
//! nothing but itself: no other program, no privilege, no network once it has its inputs.

use fortress_tests::{
    BENCH, Program, ProjectCopy, bench_arguments, bench_bytes, bench_lock, bench_reference,
    store_of_downloads, target_folder, test_keys,
};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

/// A folder on the disk that the store is on, too.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(target_folder()).unwrap()
}

#[track_caller]
fn is_the_same(output: &Path) {
    assert_eq!(bench_bytes(output), *bench_reference());
}

#[test]
fn twice_in_a_row() {
    let output = folder();
    for _ in 0..2 {
        Program::new(&bench_arguments(output.path()))
            .run()
            .success();
        is_the_same(output.path());
    }
}

#[test]
fn in_another_place_time_and_language() {
    let around = folder();
    let output = around.path().join("some where: else, ünder");
    let copy = ProjectCopy::new();
    let script = "umask 077; exec \"$@\"";
    let elsewhere = [
        "sh",
        "-euc",
        script,
        "sh",
        "faketime",
        "2031-05-06 07:08:09",
    ];
    Program::under(&elsewhere, &bench_arguments(&output))
        .variable("FORTRESS_PROJECT", copy.path())
        .variable("TZ", "Pacific/Kiritimati")
        .variable("LC_ALL", "tr_TR.UTF-8")
        .variable("TMPDIR", around.path())
        .variable("COLUMNS", "40")
        .within(copy.path())
        .run()
        .success();
    is_the_same(&output);
    let mode = fs::metadata(output.join(fortress_tests::BENCH_IMAGE))
        .unwrap()
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
}

#[test]
fn from_the_beginning_on_one_core() {
    let (output, store) = (folder(), store_of_downloads());
    let mut run = Program::under(&["taskset", "-c", "0"], &bench_arguments(output.path()));
    run = run.variable("RAYON_NUM_THREADS", "1");
    run.variable("FORTRESS_STORE", store.path()).run().success();
    is_the_same(output.path());
}

#[test]
fn with_many_threads_in_an_empty_environment() {
    for threads in [None, Some("7")] {
        let output = folder();
        let mut run = Program::new(&bench_arguments(output.path()))
            .bare()
            .variable("FORTRESS_STORE", target_folder().join("test-store"))
            .variable("FORTRESS_KEYS", test_keys())
            .variable("PATH", "");
        if let Some(threads) = threads {
            run = run.variable("RAYON_NUM_THREADS", threads);
        }
        run.run().success();
        is_the_same(output.path());
    }
}

/// Makes a folder and what is in it somebody's.
fn give(path: &Path, user: u32) {
    chown(path, Some(user), Some(user)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), user);
        }
    }
}

#[test]
fn as_somebody_without_privileges() {
    const NOBODY: u32 = 65534;
    bench_reference();
    // Where anybody may go: neither this project's folder nor its store need be such a place.
    let around = tempfile::tempdir().unwrap();
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(around.path(), mode.clone()).unwrap();
    let project = ProjectCopy::new();
    fs::set_permissions(project.path(), mode).unwrap();
    let at = |name: &str| around.path().join(name);
    fs::copy(Program::path(), at("fortress-build")).unwrap();
    fs::copy(bench_lock(), at("lock.toml")).unwrap();
    let linked = store_of_downloads();
    let status = std::process::Command::new("cp")
        .arg("-r")
        .args([linked.path(), at("store").as_path()])
        .status();
    assert!(status.unwrap().success());
    fs::create_dir(at("output")).unwrap();
    let status = std::process::Command::new("cp")
        .arg("-r")
        .args([test_keys(), at("keys").as_path()])
        .status();
    assert!(status.unwrap().success());
    give(&at("keys"), NOBODY);
    give(&at("store"), NOBODY);
    give(&at("output"), NOBODY);
    let starter = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--bounding-set=-all",
        "--no-new-privs",
        // The program is given to this as an argument, and a copy of it is run.
        "sh",
        "-euc",
        "shift; exec ./fortress-build \"$@\"",
        "sh",
    ];
    let mut arguments = vec!["image", "--lock", "lock.toml", "--output", "output"];
    arguments.extend(BENCH);
    Program::under(&starter, &arguments)
        .variable("FORTRESS_PROJECT", project.path())
        .variable("FORTRESS_STORE", at("store"))
        .variable("FORTRESS_KEYS", at("keys"))
        .variable("HOME", "/nonexistent")
        .within(around.path())
        .run()
        .success();
    is_the_same(&at("output"));
}

#[test]
fn without_any_network() {
    let (output, store) = (folder(), store_of_downloads());
    bench_reference();
    // Not even a loopback.
    let alone = ["unshare", "--net"];
    for more in [["--locked", "--offline"].as_slice(), &["--locked"], &[]] {
        let mut arguments = bench_arguments(output.path());
        arguments.extend(more.iter().map(|one| (*one).to_owned()));
        Program::under(&alone, &arguments)
            .variable("FORTRESS_STORE", store.path())
            .run()
            .success();
        is_the_same(output.path());
    }
}

/// System calls that a build has no use for: they start programs, change who it is, what it sees
/// of the machine, or whom files belong to.
const NEVER: [&str; 38] = [
    "execveat",
    "fork",
    "vfork",
    "mount",
    "umount2",
    "fsopen",
    "fsmount",
    "move_mount",
    "open_tree",
    "mount_setattr",
    "pivot_root",
    "chroot",
    "unshare",
    "setns",
    "chown",
    "fchown",
    "lchown",
    "fchownat",
    "mknod",
    "mknodat",
    "setuid",
    "setgid",
    "setreuid",
    "setregid",
    "setresuid",
    "setresgid",
    "setfsuid",
    "setfsgid",
    "setgroups",
    "capset",
    "keyctl",
    "ptrace",
    "bpf",
    "init_module",
    "finit_module",
    "swapon",
    "sethostname",
    "connect",
];

#[test]
fn no_program_is_started_and_no_privilege_is_used() {
    // As root, who could: everything from the beginning, but for the downloads.
    let (output, store) = (folder(), store_of_downloads());
    let trace = output.path().join("trace");
    let calls = format!("trace=execve,clone,clone3,{}", NEVER.join(","));
    let trace_path = trace.to_str().unwrap();
    let starter = [
        "strace",
        "-f",
        "--seccomp-bpf",
        "-e",
        &calls,
        "-o",
        trace_path,
    ];
    Program::under(&starter, &bench_arguments(output.path()))
        .variable("FORTRESS_STORE", store.path())
        .run()
        .success();
    is_the_same(output.path());
    let text = fs::read_to_string(trace).unwrap();
    // `12345 execve("…", …) = 0`
    let calls = text
        .lines()
        .filter_map(|line| line.split_once(' ').map(|(_, call)| call.trim_start()));
    let calls: Vec<&str> = calls.collect();
    let started: Vec<&&str> = calls
        .iter()
        .filter(|call| call.starts_with("execve("))
        .collect();
    let program = format!("execve(\"{}\"", Program::path().display());
    assert!(
        started.len() == 1 && started[0].starts_with(&program),
        "{started:?}"
    );
    for call in &calls {
        let name = call.split('(').next().unwrap();
        assert!(!NEVER.contains(&name), "{call}");
        // Threads, and no processes.
        if name.starts_with("clone") {
            assert!(call.contains("CLONE_THREAD"), "{call}");
        }
    }
    let threads = calls
        .iter()
        .filter(|call| call.starts_with("clone"))
        .count();
    assert!(threads > 0, "the trace has seen nothing: {text}");
}
