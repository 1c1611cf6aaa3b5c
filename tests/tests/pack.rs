//! What is handed out of an image, judged by the tools that take it.

use fortress_tests::{BENCH_IMAGE, Program, bench_arguments, names};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The bench image, packed while it was built.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir_in(fortress_tests::target_folder()).unwrap();
            let mut arguments = bench_arguments(folder.path());
            arguments.extend(["--pack".into(), "zst,xz,bmap".into()]);
            Program::new(&arguments).run().success();
            folder
        })
        .path()
}

fn path(ending: &str) -> PathBuf {
    let stem = BENCH_IMAGE.strip_suffix(".img").unwrap();
    folder().join(format!("{stem}{ending}"))
}

fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output();
    output.unwrap_or_else(|error| panic!("{program}: {error}; tests/run installs it"))
}

/// Whether a program's output is the image, to the byte.
fn gives_the_image(program: &str, arguments: &[&str]) -> bool {
    let line = format!(
        "{program} {} | cmp - {}",
        arguments.join(" "),
        path(".img").display()
    );
    run("bash", &["-o", "pipefail", "-c", &line])
        .status
        .success()
}

#[test]
fn zstd_and_xz_unpack_to_the_image() {
    for (program, ending) in [("zstd", ".img.zst"), ("xz", ".img.xz")] {
        let packed = path(ending);
        assert!(
            gives_the_image(program, &["-dc", packed.to_str().unwrap()]),
            "{ending}"
        );
        let listed = run(program, &["-l", packed.to_str().unwrap()]);
        assert!(listed.status.success(), "{listed:?}");
    }
}

#[test]
fn bmaptool_takes_the_block_map() {
    let copy = folder().join("copy");
    for image in [path(".img"), path(".img.xz")] {
        let _ = fs::remove_file(&copy);
        let map = path(".bmap");
        let arguments = [
            "copy",
            "--bmap",
            map.to_str().unwrap(),
            image.to_str().unwrap(),
            copy.to_str().unwrap(),
        ];
        let output = run("bmaptool", &arguments);
        assert!(output.status.success(), "{output:?}");
        // What the map leaves out was a hole, and is one in the copy.
        assert!(
            run(
                "cmp",
                &[path(".img").to_str().unwrap(), copy.to_str().unwrap()]
            )
            .status
            .success()
        );
    }
    let _ = fs::remove_file(&copy);
    // It checks what it copies.
    let changed = folder().join("changed");
    assert!(
        run(
            "cp",
            &[
                "--sparse=always",
                path(".img").to_str().unwrap(),
                changed.to_str().unwrap()
            ]
        )
        .status
        .success()
    );
    // The boot signature of the protective MBR.
    fs::File::options()
        .write(true)
        .open(&changed)
        .unwrap()
        .write_all_at(&[0x54], 510)
        .unwrap();
    let map = path(".bmap");
    let output = run(
        "bmaptool",
        &[
            "copy",
            "--bmap",
            map.to_str().unwrap(),
            changed.to_str().unwrap(),
            copy.to_str().unwrap(),
        ],
    );
    assert!(!output.status.success());
    fs::remove_file(&changed).unwrap();
}

#[test]
fn the_same_bytes_on_one_core_and_from_a_file_without_holes() {
    let other = tempfile::tempdir_in(fortress_tests::target_folder()).unwrap();
    let image = other.path().join(BENCH_IMAGE);
    let output = run(
        "cp",
        &[
            "--sparse=never",
            path(".img").to_str().unwrap(),
            image.to_str().unwrap(),
        ],
    );
    assert!(output.status.success());
    fs::copy(
        path(".manifest.json"),
        image.with_extension("manifest.json"),
    )
    .unwrap();
    let arguments = ["pack", image.to_str().unwrap(), "zst", "bmap"];
    Program::under(&["taskset", "--cpu-list", "0"], &arguments)
        .run()
        .success();
    for ending in [".img.zst", ".bmap"] {
        let stem = BENCH_IMAGE.strip_suffix(".img").unwrap();
        let here = fs::read(other.path().join(format!("{stem}{ending}"))).unwrap();
        assert!(here == fs::read(path(ending)).unwrap(), "{ending} differs");
    }
}

#[test]
fn verify_takes_compressed_images() {
    for ending in [".img.zst", ".img.xz"] {
        Program::new(&["verify", path(ending).to_str().unwrap()])
            .run()
            .success();
    }
}

#[test]
fn what_cannot_be_packed_leaves_nothing() {
    let other = tempfile::tempdir_in(fortress_tests::target_folder()).unwrap();
    let image = other.path().join(BENCH_IMAGE);
    fs::write(&image, "cut off").unwrap();
    let failed = Program::new(&["pack", image.to_str().unwrap(), "zst"])
        .run()
        .refusal(1);
    assert!(
        failed.contains("the manifest that belongs to the image"),
        "{failed}"
    );
    fs::copy(
        path(".manifest.json"),
        image.with_extension("manifest.json"),
    )
    .unwrap();
    let failed = Program::new(&["pack", image.to_str().unwrap(), "zst", "bmap"])
        .run()
        .refusal(1);
    assert!(failed.contains("has 7 bytes"), "{failed}");
    let failed = Program::new(&["pack", path(".img").to_str().unwrap(), "os-list"])
        .run()
        .refusal(1);
    assert!(failed.contains("for the board x86"), "{failed}");
    let left = names(other.path());
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn a_new_build_removes_what_was_packed_of_the_old_one() {
    let other = tempfile::tempdir_in(fortress_tests::target_folder()).unwrap();
    let stale = other.path().join(format!("{}.zst", BENCH_IMAGE));
    fs::write(&stale, "of an older image").unwrap();
    Program::new(&bench_arguments(other.path())).run().success();
    assert!(!stale.exists());
}

#[test]
fn json_tells_where_everything_is() {
    let arguments = ["--json", "pack", path(".img").to_str().unwrap(), "bmap"].map(str::to_owned);
    let output = Program::new(&arguments).run().success();
    let list: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(list[0], path(".bmap").to_str().unwrap());
}
