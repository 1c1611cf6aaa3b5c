//! What cannot be built is refused: with its exit code, what is wrong, where and why, what to do
//! about it, and nothing left in the output folder that looks like an image.

use fortress_tests::{Program, ProjectCopy, UbuntuProject, bench_lock, names};
use std::fs;
use std::path::Path;

/// A build of a recipe of a changed project, with the lock of the bench image where it fits.
#[track_caller]
fn build(project: &ProjectCopy, board: &str, recipe: &str, more: &[&str]) -> (i32, String) {
    let output = project.path().join("output");
    let lock = project.path().join("lock.toml");
    fs::copy(bench_lock(), &lock).unwrap();
    let mut arguments = vec!["image", "--base", "debian-13", "--board", board];
    if !recipe.is_empty() {
        arguments.extend(["--recipe", recipe]);
    }
    let paths = [
        ("--project", project.path()),
        ("--output", &output),
        ("--lock", &lock),
    ];
    for (option, path) in paths {
        arguments.extend([option, path.to_str().unwrap()]);
    }
    arguments.extend(more);
    let ran = Program::new(&arguments).run();
    nothing_in(&output);
    let code = ran.code;
    (code, ran.refusal(code))
}

#[track_caller]
fn nothing_in(output: &Path) {
    if output.exists() {
        assert_eq!(names(output), [""; 0]);
    }
}

/// The bench recipe with a line more in its first lines.
fn bench_with(project: &ProjectCopy, line: &str) {
    project.replace(
        "recipes/bench.toml",
        "version = \"1\"\n",
        &format!("version = \"1\"\n{line}\n"),
    );
}

#[test]
fn a_key_that_nobody_knows() {
    let project = ProjectCopy::new();
    project.replace("recipes/bench.toml", "flavour = ", "flavor = ");
    let text = fs::read_to_string(project.path().join("recipes/bench.toml")).unwrap();
    let line = 1 + text
        .lines()
        .position(|line| line.contains("flavor"))
        .unwrap();
    let (code, said) = build(&project, "x86", "bench", &[]);
    assert_eq!(code, 3);
    let expected = format!(
        "error: recipes/bench.toml:{line}:1: unknown key `flavor` in `kernel`; did you mean \
         `flavour`?\n"
    );
    assert!(said.starts_with(&expected), "{said}");
    assert!(
        said.contains("\nhint: known keys of `kernel` are: "),
        "{said}"
    );
}

#[test]
fn names_of_what_is_not_there() {
    let project = ProjectCopy::new();
    let (code, said) = build(&project, "x68", "bench", &[]);
    assert_eq!(code, 3);
    assert!(
        said.contains("there is no board `x68`; did you mean `x86`?"),
        "{said}"
    );
    assert!(said.contains("\nhint: there are: "), "{said}");
    let (code, said) = build(&project, "x86", "bensh", &[]);
    assert_eq!(code, 3);
    assert!(
        said.contains("there is no recipe `bensh`; did you mean `bench`?"),
        "{said}"
    );
}

#[test]
fn a_board_that_names_no_recipe() {
    let project = ProjectCopy::new();
    project.replace("boards/x86.toml", "recipe = \"host\"\n", "");
    let (code, said) = build(&project, "x86", "", &[]);
    assert_eq!(code, 3);
    assert!(
        said.contains("board `x86` names no recipe of its own"),
        "{said}"
    );
    assert!(
        said.contains("\nhint: recipes that can be built, with --recipe: "),
        "{said}"
    );
}

#[test]
fn recipes_that_include_each_other() {
    let project = ProjectCopy::new();
    bench_with(&project, "include = [\"other\"]");
    project.write(
        "recipes/other.toml",
        "description = \"x\"\ninclude = [\"bench\"]\n",
    );
    let (code, said) = build(&project, "x86", "bench", &[]);
    assert_eq!(code, 3);
    let expected = "error: recipes/other.toml:2:12: recipes include each other in a circle: bench \
                    → other → bench\n";
    assert!(said.starts_with(expected), "{said}");
}

#[test]
fn overlays_that_leave_their_folder() {
    let project = ProjectCopy::new();
    bench_with(&project, "overlays = [\"../keys\"]");
    let (code, said) = build(&project, "x86", "bench", &[]);
    assert_eq!(code, 3);
    let expected = "recipes/bench.toml:5:13: overlay `../keys` leaves the folder of overlays";
    assert!(said.contains(expected), "{said}");

    let project = ProjectCopy::new();
    bench_with(&project, "overlays = [\"outside\"]");
    std::os::unix::fs::symlink("/etc", project.path().join("overlays/outside")).unwrap();
    let (code, said) = build(&project, "x86", "bench", &[]);
    assert_eq!(code, 3);
    assert!(
        said.contains("it is a symbolic link that leads out of it"),
        "{said}"
    );

    let project = ProjectCopy::new();
    bench_with(&project, "overlays = [\"climbs\"]");
    project.write("overlays/climbs/etc/motd", "");
    let link = project.path().join("overlays/climbs/etc/up");
    std::os::unix::fs::symlink("../../../etc/passwd", &link).unwrap();
    let (code, said) = build(&project, "x86", "bench", &[]);
    assert_eq!(code, 3);
    let expected = format!(
        "error: overlay {} is refused: it is a link to ../../../etc/passwd, which is outside",
        link.display()
    );
    assert!(said.starts_with(&expected), "{said}");
}

#[test]
fn a_module_that_the_kernel_lacks() {
    let project = ProjectCopy::new();
    project.replace("boards/x86.toml", "\"dm-verity\"", "\"dm-verify\"");
    let (code, said) = build(&project, "x86", "bench", &[]);
    assert_eq!(code, 3);
    assert!(said.starts_with("error: boards/x86.toml:"), "{said}");
    assert!(said.contains("\"dm-verify\": kernel 6."), "{said}");
    assert!(
        said.contains("has no such module; near are dm_verity"),
        "{said}"
    );
    assert!(
        said.contains("\nhint: 'fortress-build plan' shows"),
        "{said}"
    );
}

#[test]
fn scripts_that_nobody_reviewed_in_a_strict_build() {
    let project = ProjectCopy::new();
    project.write("recipes/reviewed-scripts.toml", "");
    let (code, said) = build(&project, "x86", "bench", &["--strict"]);
    assert_eq!(code, 1);
    assert!(
        said.contains(" maintainer scripts have not been reviewed: "),
        "{said}"
    );
    assert!(said.contains("base-files (postinst)"), "{said}");
    assert!(
        said.contains("\nhint: read each script and add it to"),
        "{said}"
    );
}

#[test]
fn a_key_that_is_not_there() {
    let project = ProjectCopy::new();
    let name = "debian-archive-trixie-automatic";
    fs::remove_file(project.path().join(format!("keys/archive/{name}.asc"))).unwrap();
    let (code, said) = build(&project, "x86", "bench", &[]);
    assert_eq!(code, 3);
    assert!(
        said.starts_with("error: recipes/bases/debian-13.toml:"),
        "{said}"
    );
    assert!(
        said.contains(&format!("there is no archive key `{name}`")),
        "{said}"
    );
}

/// What a build from a made archive says.
#[track_caller]
fn refused(ubuntu: &UbuntuProject, code: i32) -> String {
    let ran = Program::new(&ubuntu.arguments("image")).run();
    nothing_in(&ubuntu.output());
    ran.refusal(code)
}

#[test]
fn a_package_that_is_not_there() {
    let ubuntu = UbuntuProject::new().with_empty_packages();
    ubuntu
        .project
        .replace("recipes/made.toml", "\"tool\"", "\"tol\"");
    let said = refused(&ubuntu, 3);
    let expected =
        "error: recipes/made.toml:6: no package is named tol; did you mean tool?\nhint: ";
    assert!(said.starts_with(expected), "{said}");
    assert!(!ubuntu.lock().exists());
}

#[test]
fn packages_that_cannot_be_together() {
    use fortress_tests::FixturePackage;
    let mut ubuntu = UbuntuProject::new();
    let other = FixturePackage::new("other", "1.0").field("Conflicts", "base");
    ubuntu.add("noble", other);
    ubuntu.add("noble", FixturePackage::new("base", "2.0"));
    ubuntu.add("noble", FixturePackage::new("tool", "3").depends("base"));
    let mut ubuntu = ubuntu.with_empty_packages();
    ubuntu.add(
        "noble",
        FixturePackage::new("wanting", "1").depends("nowhere (>= 2)"),
    );
    ubuntu.archive.publish();
    ubuntu.project.replace(
        "recipes/made.toml",
        "\"tool\"",
        "\"tool\", \"base\", \"other\"",
    );
    let said = refused(&ubuntu, 4);
    assert!(
        said.starts_with("error: cannot install what was asked for:\n"),
        "{said}"
    );
    assert!(
        said.contains("other 1.0 (noble) conflicts with base"),
        "{said}"
    );
    ubuntu.project.replace(
        "recipes/made.toml",
        "\"tool\", \"base\", \"other\"",
        "\"wanting\"",
    );
    let said = refused(&ubuntu, 4);
    assert!(said.contains("nowhere (>= 2)"), "{said}");
}

#[test]
fn an_archive_that_another_key_signed() {
    let ubuntu = UbuntuProject::new().with_empty_packages();
    let stranger = UbuntuProject::new();
    let key = stranger.archive.public_key();
    ubuntu
        .project
        .write("keys/archive/ubuntu-archive-2018.asc", key);
    let said = refused(&ubuntu, 4);
    assert!(
        said.starts_with("error: cannot trust the index of noble"),
        "{said}"
    );
    let fingerprint = ubuntu.archive.fingerprint();
    let id = &fingerprint[fingerprint.len() - 16..];
    assert!(said.to_uppercase().contains(id), "{id}: {said}");
    assert!(said.contains("\nhint: "), "{said}");
}

#[test]
fn an_index_that_was_changed_after_signing() {
    let ubuntu = UbuntuProject::new().with_empty_packages();
    let path = ubuntu.archive.root().join("dists/noble-updates/InRelease");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("Label: Ubuntu", "Label: ubuntu")).unwrap();
    let said = refused(&ubuntu, 4);
    assert!(
        said.starts_with("error: cannot trust the index of noble-updates"),
        "{said}"
    );
    assert!(!ubuntu.lock().exists());
}

#[test]
fn an_index_that_has_expired() {
    let mut ubuntu = UbuntuProject::new();
    let past = "Mon, 01 Jan 2024 00:00:00 UTC";
    ubuntu
        .archive
        .release("noble-security", "Valid-Until", past);
    let ubuntu = ubuntu.with_empty_packages();
    let said = refused(&ubuntu, 4);
    assert!(
        said.starts_with("error: cannot use the index of noble-security"),
        "{said}"
    );
    assert!(said.contains("it expired at 2024-01-01"), "{said}");
    assert!(said.contains("\nhint: use another mirror"), "{said}");
}

#[test]
fn a_package_that_is_not_what_the_index_says() {
    let ubuntu = UbuntuProject::new().with_empty_packages();
    let path = ubuntu.file("tool_1.0_amd64.deb");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, bytes).unwrap();
    let said = refused(&ubuntu, 4);
    assert!(said.contains("tool 1.0"), "{said}");
    assert!(said.contains("SHA-256"), "{said}");
    assert!(said.contains(path.to_str().unwrap()), "{said}");
}
