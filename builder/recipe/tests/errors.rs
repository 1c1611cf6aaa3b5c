//! What is wrong is told with what, where and why.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by them"
)]

mod fixture;

use std::path::Path;

use fixture::{BASE, BOARD, Project, SMALL};
use fortress_recipe::{ErrorKind, Library, Request};

/// Messages that are not as expected: all of them are told, not the first alone.
#[derive(Default)]
struct Wrong(Vec<String>);

impl Wrong {
    fn check(&mut self, message: &str, expected: &str) {
        if message != expected {
            self.0
                .push(format!("\n     got: {message}\nexpected: {expected}"));
        }
    }
}

impl Drop for Wrong {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.0.is_empty(), "{}", self.0.concat());
        }
    }
}

/// The error of a plan for recipe `small` with `text` as a file.
fn refused(path: &str, text: &str) -> String {
    let project = Project::new().with(path, text);
    project.plan("small").unwrap_err().to_string()
}

#[test]
fn the_place_is_drawn() {
    let project = Project::new().with(
        "recipes/small.toml",
        &format!("{SMALL}\n[pakages]\nx = 1\n"),
    );
    let error = project.plan("small").unwrap_err();
    assert_eq!(
        error.to_string(),
        "recipes/small.toml:6:2: unknown key `pakages`; did you mean `packages`?\n\
         \x20 |\n\
         6 | [pakages]\n\
         \x20 |  ^^^^^^^"
    );
    assert!(
        error
            .hint()
            .unwrap()
            .starts_with("known keys are: base, data, description, ")
    );
    let place = error.place().unwrap();
    assert_eq!((place.line, place.column), (6, 2));
}

#[test]
fn recipes_are_refused() {
    // What is appended to a good recipe, and the message.
    let table = [
        (
            "packages.instal = []",
            "5:10: unknown key `instal` in `packages`; did you mean `install`?",
        ),
        ("image.var.format = 1", "5:7: unknown key `var` in `image`"),
        (
            "packages.recommends = \"no\"",
            "5:23: `packages.recommends` is a text; it must be true or false",
        ),
        (
            "packages.remove = \"x1\"",
            "5:19: `packages.remove` is a text; it must be a list of texts",
        ),
        (
            "overlays = [\"first\", 3]",
            "5:22: `overlays` is a number; it must be a list of texts",
        ),
        (
            "overlays = [\"first\", \"first\"]",
            "5:22: value `first` is there twice: first at recipes/small.toml:5",
        ),
        ("packages = 1", "5:1: not TOML: duplicate key"),
        (
            "system.hostname = \"a b\"",
            "5:19: `system.hostname` cannot be `a b`: a host name is of letters, digits and hyphens, 64 characters at most",
        ),
        (
            "system.hostname = 2026-01-01",
            "5:19: `system.hostname` is a date; it must be a text",
        ),
        (
            "name = \"../x\"",
            "5:8: `name` cannot be `../x`: it must be of a-z, 0-9, '.', '+' and '-', and begin with a letter or a digit",
        ),
        ("version = \"2\"", "5:1: not TOML: duplicate key"),
        (
            "image.slots = 3",
            "5:15: `image.slots` cannot be `3`: it must be from 1 to 2",
        ),
        (
            "image.slots = 1.5",
            "5:15: `image.slots` is a fraction; it must be a whole number",
        ),
        (
            "image.esp-size = \"100 parsecs\"",
            "5:18: `image.esp-size` cannot be `100 parsecs`: a size is a number of bytes, or one with K, M, G or T (of 1024) behind it",
        ),
        (
            "image.esp-size = 5000",
            "5:18: `image.esp-size` cannot be `5000`: a partition is a multiple of 4096 bytes",
        ),
        (
            "image.headroom = \"9999999999T\"",
            "5:18: `image.headroom` cannot be `9999999999T`: a size is a number of bytes, or one with K, M, G or T (of 1024) behind it",
        ),
        (
            "image.filesystem = \"ext3\"",
            "5:20: `image.filesystem` cannot be `ext3`: it must be one of ext4; did you mean `ext4`?",
        ),
        (
            "units.enable = [\"x\"]",
            "5:17: `units.enable` cannot be `x`: a unit has its type at its end, such as .service or .timer",
        ),
        (
            "units = { enable = [\"a.service\"], mask = [\"a.service\"] }",
            "5:43: unit `a.service` cannot be both masked and enabled (at recipes/small.toml:5)",
        ),
        (
            "packages.remove = [\"systemd\"]",
            "4:21: package `systemd` cannot be both installed and removed (at recipes/small.toml:5)",
        ),
        (
            "packages.left-out.systemd = \"too large\"",
            "4:21: package `systemd` cannot be both installed and left out (at recipes/small.toml:5)",
        ),
        (
            "packages.left-out.x1 = \" \"",
            "5:24: `packages.left-out.x1` cannot be ` `: it must be a line of text",
        ),
        (
            "packages.remove = [\"sytemd\"]",
            "5:20: cannot remove package `sytemd`: no included recipe installs it",
        ),
        (
            "packages.by-architecture.riscv = []",
            "5:26: `packages.by-architecture` cannot be `riscv`: it must be one of amd64, arm64",
        ),
        (
            "packages.left-out.linux-13 = \"no\"",
            "5:30: package `linux-13` cannot be both left out and installed (at boards/board.toml:16)",
        ),
        (
            "kernel.command-line = [\"roothash=00\"]",
            "5:24: `kernel.command-line` cannot be `roothash=00`: the builder itself says which root is to be trusted",
        ),
        (
            "kernel.flavour = \"genric\"",
            "5:18: there is no kernel flavour `genric`; did you mean `generic`?",
        ),
        (
            "pins.backport = [\"dbus\"]",
            "5:6: there is no archive `backport`; did you mean `backports`?",
        ),
        (
            "pins.release = [\"dbus\"]",
            "5:6: `pins` cannot be `release`: this archive is always used; only optional ones are pinned",
        ),
        (
            "users = { rain = 650 }",
            "5:18: user id `650` is there twice: first at recipes/bases/debian-13.toml:31",
        ),
        (
            "users = { rain = 65535 }",
            "5:18: `rain` cannot be `65535`: the kernel gives this id another meaning",
        ),
        (
            "scripts.reviewed = \"other.toml\"",
            "5:20: there is no file of reviewed scripts `recipes/other.toml`",
        ),
        (
            "include = [\"smal\"]",
            "5:12: there is no recipe `smal`; did you mean `small`?",
        ),
        (
            "include = [\"small\"]",
            "5:12: recipes include each other in a circle: small → small",
        ),
        (
            "overlays = [\"frist\"]",
            "5:13: there is no overlay `frist`; did you mean `first`?",
        ),
        (
            "overlays = [\"../boards\"]",
            "5:13: overlay `../boards` leaves the folder of overlays: it has '..' in it; an overlay is a name",
        ),
        (
            "overlays = [\"first/../../boards\"]",
            "5:13: overlay `first/../../boards` leaves the folder of overlays: it has '..' in it; an overlay is a name",
        ),
        (
            "overlays = [\"/etc\"]",
            "5:13: overlay `/etc` leaves the folder of overlays: it is an absolute path; an overlay is a name",
        ),
        (
            "overlays = [\"first/etc\"]",
            "5:13: there is no overlay `first/etc`; did you mean `first`?",
        ),
        ("overlays = [\".\"]", "5:13: there is no overlay `.`"),
        (
            "trim.paths = [\"/\"]",
            "5:15: `trim.paths` cannot be `/`: it must be an absolute path, without '.', '..' or '//' and with no '/' at its end",
        ),
        (
            "health.sockets = [\"51820\"]",
            "5:19: `health.sockets` cannot be `51820`: a socket is written like udp:51820 or tcp:127.0.0.1:631",
        ),
        (
            "source-date-epoch = 0",
            "5:21: `source-date-epoch` cannot be `0`: it must be from 315532800 to 4354819199",
        ),
        ("x = [", "5:6: not TOML: unclosed array, expected `]`"),
    ];
    let mut wrong = Wrong::default();
    for (line, message) in table {
        let error = refused("recipes/small.toml", &format!("{SMALL}{line}\n"));
        let first = error.lines().next().unwrap();
        wrong.check(first, &format!("recipes/small.toml:{message}"));
        assert_eq!(error.lines().count(), 4, "{error}");
    }
}

#[test]
fn boards_are_refused() {
    // What is replaced in a good board, by what, and the message.
    let table = [
        (
            "amd64",
            "amd46",
            "2:16: `architecture` cannot be `amd46`: it must be one of amd64, arm64; did you mean `amd64`?",
        ),
        ("firmware = \"uefi\"\n", "", "1:1: `firmware` is missing"),
        (
            "kind = \"esp\"",
            "kin = \"esp\"",
            "19:1: unknown key `kin` in `partitions`; did you mean `kind`?",
        ),
        (
            "size = \"64M\"",
            "size = \"content\"",
            "20:8: `partitions.size` cannot be `content`: only root and root-verity are as large as their content",
        ),
        (
            "size = \"64M\"",
            "size = \"64M\"\nsice = 1",
            "21:1: unknown key `sice` in `partitions`; did you mean `size`?",
        ),
        (
            "slot = \"b\"",
            "slot = \"a\"",
            "33:8: partition `root` is there twice: first at boards/board.toml:23",
        ),
        (
            "kind = \"root-verity\"",
            "kind = \"boot\"",
            "30:8: `partitions.size` cannot be `content`: only root and root-verity are as large as their content",
        ),
        (
            "kind = \"root-verity\"\nslot = \"a\"\nsize = \"content\"",
            "kind = \"boot\"\nsize = 4096",
            "3:12: `kind = \"root-verity\"` is missing in `partitions`",
        ),
        (
            "packages.all",
            "packages.al",
            "14:10: there is no base or distribution `al`; did you mean `all`?",
        ),
        (
            "modules = [\"ahci\"]",
            "module = [\"ahci\"]",
            "13:1: unknown key `module` in `kernel.generic`; did you mean `modules`?",
        ),
        (
            "processors",
            "processor",
            "38:1: unknown key `processor` in `qemu`; did you mean `processors`?",
        ),
    ];
    let mut wrong = Wrong::default();
    for (old, new, message) in table {
        assert!(BOARD.contains(old), "{old}");
        let error = refused("boards/board.toml", &BOARD.replace(old, new));
        let first = error.lines().next().unwrap();
        wrong.check(first, &format!("boards/board.toml:{message}"));
    }
}

#[test]
fn bases_are_refused() {
    let table = [
        (
            "mirror = \"main\"",
            "mirror = \"man\"",
            "11:10: there is no mirror `man`; did you mean `main`?",
        ),
        (
            "keys = [\"key\"]",
            "keys = []",
            "14:8: `archives.keys` cannot be `[]`: something must be in it",
        ),
        (
            "keys = [\"key\"]",
            "keys = [\"kye\"]",
            "14:9: there is no archive key `kye`; did you mean `key`?",
        ),
        (
            "name = \"backports\"",
            "name = \"release\"",
            "17:8: archive `release` is there twice: first at recipes/bases/debian-13.toml:10",
        ),
        (
            "[\"one\", \"two\"]",
            "[]",
            "27:9: `names.split` cannot be `[]`: say why the package is not needed: { missing = \"why\" }",
        ),
        (
            "missing",
            "mising",
            "28:10: unknown key `mising` in `names.gone`; did you mean `missing`?",
        ),
        (
            "http://a.example/debian",
            "a.example",
            "6:7: `mirrors.main.url` cannot be `a.example`: it must be an http://, https:// or file:/// address",
        ),
    ];
    let mut wrong = Wrong::default();
    for (old, new, message) in table {
        assert!(BASE.contains(old), "{old}");
        let error = refused("recipes/bases/debian-13.toml", &BASE.replacen(old, new, 1));
        let first = error.lines().next().unwrap();
        wrong.check(first, &format!("recipes/bases/debian-13.toml:{message}"));
    }
}

#[test]
fn requests_are_refused() {
    let project = Project::new()
        .with(
            "boards/bare.toml",
            &BOARD.replace("recipe = \"small\"\n", ""),
        )
        .with("recipes/part.toml", "description = \"a part\"\n")
        .with(
            "recipes/homeless.toml",
            "description = \"x\"\nversion = \"1\"\n",
        )
        .with("site.toml", "packages.install = []\n");
    let library = project.library();
    let some = |text: &str| Some(text.to_owned());
    let set = |key: &str, value: &str| vec![(key.to_owned(), value.to_owned())];
    let board = Project::request("small");
    let table = [
        (
            Request {
                board: "baord".to_owned(),
                ..board.clone()
            },
            "command line:1:9: there is no board `baord`; did you mean `board`?",
            "there are: bare, board",
        ),
        (
            Request {
                board: "../board".to_owned(),
                ..board.clone()
            },
            "command line:1:9: there is no board `../board`; did you mean `board`?",
            "there are: bare, board",
        ),
        (
            Request {
                board: "bare".to_owned(),
                recipe: None,
                ..board.clone()
            },
            "command line:1:9: board `bare` names no recipe of its own: say which one to build",
            "recipes that can be built, with --recipe: homeless, small",
        ),
        (
            Request {
                recipe: some("part"),
                ..board.clone()
            },
            "command line:1:10: recipe `part` has no version: it is there to be included, not to be built",
            "recipes that can be built, with --recipe: homeless, small",
        ),
        (
            Request {
                recipe: some("homeless"),
                ..board.clone()
            },
            "command line:1:10: recipe `homeless` has no home base: say which one to build it from",
            "bases, with --base: debian-13",
        ),
        (
            Request {
                base: some("debian-31"),
                ..board.clone()
            },
            "command line:1:8: there is no base `debian-31`; did you mean `debian-13`?",
            "there are: debian-13",
        ),
        (
            Request {
                sets: set("image.slot", "1"),
                ..board.clone()
            },
            "command line:1:7: unknown key `slot` in `image`; did you mean `slots`?",
            "known keys of `image` are: esp-size, filesystem, headroom, headroom-percent, slots",
        ),
        (
            Request {
                sets: set("include", "[\"small\"]"),
                ..board.clone()
            },
            "command line:1:1: unknown key `include`",
            "known keys are: base, data, groups, health, image, initrd, kernel, name, overlays, packages, pins, scripts, source-date-epoch, swap, system, trim, trust, units, users, var, version",
        ),
        (
            Request {
                sets: set("system.hostname", "a\nb"),
                ..board.clone()
            },
            "command line:1:19: `system.hostname` cannot be `a\u{fffd}b`: a host name is of letters, digits and hyphens, 64 characters at most",
            "",
        ),
        (
            Request {
                site: Some(project.path("site.toml")),
                ..board.clone()
            },
            "SITE:1:1: unknown key `packages`",
            "known keys are: data, health, kernel, overlays, system, units",
        ),
        (
            Request {
                site: Some(project.path("none.toml")),
                ..board.clone()
            },
            "cannot read NONE: No such file or directory (os error 2)",
            "",
        ),
    ];
    let mut wrong = Wrong::default();
    for (request, message, hint) in table {
        let error = library.plan(&request).unwrap_err();
        let shown = |path| project.path(path).display().to_string();
        let message = message
            .replace("SITE", &shown("site.toml"))
            .replace("NONE", &shown("none.toml"));
        wrong.check(error.to_string().lines().next().unwrap(), &message);
        assert_eq!(error.hint().unwrap_or_default(), hint, "{message}");
    }
}

#[test]
fn a_board_without_a_kernel_for_the_base_is_refused() {
    let board = BOARD
        .replace("packages.all = [\"linux-any\"]\n", "")
        .replace("packages.debian = [\"linux-debian\"]\n", "")
        .replace("packages.debian-13 = [\"linux-13\"]\n", "");
    let error = refused("boards/board.toml", &board);
    let first = error.lines().next().unwrap();
    let expected = "command line:1:9: board `board` names no packages of base `debian-13` for kernel flavour `generic`";
    assert_eq!(first, expected);
}

#[test]
fn a_circle_of_recipes_is_told_in_full() {
    let including = |name: &str| format!("description = \"x\"\ninclude = [\"{name}\"]\n");
    let project = Project::new()
        .with(
            "recipes/small.toml",
            &format!("{SMALL}include = [\"one\"]\n"),
        )
        .with("recipes/one.toml", &including("two"))
        .with("recipes/two.toml", &including("three"))
        .with("recipes/three.toml", &including("one"));
    let error = project.plan("small").unwrap_err();
    let ErrorKind::Cycle { chain } = error.kind() else {
        panic!("{error}");
    };
    assert_eq!(chain, &["one", "two", "three", "one"]);
    assert!(
        error.to_string().starts_with("recipes/three.toml:2:12: "),
        "{error}"
    );
}

#[test]
fn an_overlay_that_is_a_link_out_of_the_project_is_refused() {
    let project = Project::new().with(
        "recipes/small.toml",
        &format!("{SMALL}overlays = [\"out\"]\n"),
    );
    std::os::unix::fs::symlink("/etc", project.path("overlays/out")).unwrap();
    let error = project.plan("small").unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::OverlayLeaves { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("symbolic link"), "{error}");
    // One that stays inside is an overlay under another name.
    std::fs::remove_file(project.path("overlays/out")).unwrap();
    std::os::unix::fs::symlink("first", project.path("overlays/out")).unwrap();
    assert_eq!(project.plan("small").unwrap().overlays[0].name, "out");
}

#[test]
fn a_folder_that_is_no_project_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = Library::open(folder.path()).unwrap_err();
    assert!(
        matches!(
            error.kind(),
            ErrorKind::NotAProject {
                missing: "boards",
                ..
            }
        ),
        "{error}"
    );
    assert!(error.hint().is_some());
    let error = Library::discover(Path::new("/proc/self")).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::NoProject { .. }),
        "{error}"
    );
}
