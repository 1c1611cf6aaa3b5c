//! What boards say of the Raspberry Pi's firmware, of pins and of modules by base.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by them")]

mod fixture;

use fixture::Project;
use fortress_recipe::{Plan, Sourced};

const BOARD: &str = r#"description = "A Raspberry Pi"
architecture = "arm64"
firmware = "raspberry-pi"
alignment = "4M"

[pins.debian]
backports = ["linux"]

[kernel.generic]
modules.debian = ["rp1_pci"]
modules.all = ["other"]
packages.all = ["linux-any"]

[raspberry-pi]
device-trees = ["bcm2712-rpi-5-b.dtb"]
steppings.bcm2712d0 = ["bcm2712-rpi-5-b.dtb", "bcm2712-d-rpi-5-b.dtb"]
firmware = ["start4.elf"]
config = ["enable_uart=1"]

[[partitions]]
kind = "boot-select"
size = "40M"

[[partitions]]
kind = "boot"
slot = "a"
size = "64M"

[[partitions]]
kind = "root"
slot = "a"
size = "content"

[[partitions]]
kind = "root-verity"
slot = "a"
size = "content"
"#;

fn planned(board: &str) -> Result<Plan, String> {
    let project = Project::new().with("boards/board.toml", board);
    project.plan("small").map_err(|error| error.to_string())
}

fn values(list: &[Sourced<String>]) -> Vec<&str> {
    list.iter().map(|item| item.value.as_str()).collect()
}

#[test]
fn a_board_says_what_its_firmware_wants() {
    let plan = planned(BOARD).unwrap();
    assert_eq!(*plan.board.alignment, 4 << 20);
    let board = plan.board.raspberry_pi.unwrap();
    assert_eq!(values(&board.device_trees), ["bcm2712-rpi-5-b.dtb"]);
    assert_eq!(values(&board.firmware), ["start4.elf"]);
    assert_eq!(*board.boot_image_limit, 64 << 20);
    let [stepping] = board.steppings.as_slice() else {
        panic!("{:?}", board.steppings);
    };
    assert_eq!(stepping.overlay.value, "bcm2712d0");
    assert_eq!(stepping.to.value, "bcm2712-d-rpi-5-b.dtb");
    assert_eq!(values(&plan.initrd_modules), ["rp1_pci"]);
}

#[test]
fn a_boards_pins_come_before_those_of_recipes_and_are_for_its_base() {
    let recipe = "description = \"r\"\nversion = \"1\"\nbase = \"debian-13\"\n\
                  pins.backports = [\"linux\", \"systemd\"]\npackages.install = [\"systemd\"]\n";
    let project = Project::new()
        .with("boards/board.toml", BOARD)
        .with("recipes/small.toml", recipe);
    let plan = project.plan("small").unwrap();
    let archives = plan.base.archives.iter();
    let backports = archives
        .clone()
        .find(|one| one.suite.value == "trixie-backports");
    assert_eq!(values(&backports.unwrap().only), ["linux", "systemd"]);
    // Those of another base are not there.
    let other = BOARD.replace("[pins.debian]", "[pins.all]");
    let own = format!("{other}\n[pins.debian-13]\n");
    assert_eq!(planned(&own).unwrap().base.archives.len(), 1);
    assert_eq!(planned(&other).unwrap().base.archives.len(), 2);
}

#[test]
fn what_a_board_cannot_say_is_refused_with_its_place() {
    // What is written in place of what, and the message.
    let table = [
        (
            "[pins.debian]",
            "[pins.debain]",
            "6:7: there is no base or distribution `debain`; did you mean `debian`?",
        ),
        (
            "backports = ",
            "backprots = ",
            "7:1: there is no archive `backprots`; did you mean `backports`?",
        ),
        (
            "alignment = \"4M\"",
            "alignment = \"3M\"",
            "`alignment` cannot be `3145728`: it must be a power of two from 1M to 1G",
        ),
        (
            "modules.all",
            "modules.al",
            "there is no base or distribution `al`",
        ),
        (
            "\"bcm2712-rpi-5-b.dtb\"]\nsteppings",
            "\"../x.dtb\"]\nsteppings",
            "`raspberry-pi.device-trees` cannot be `../x.dtb`: it must be a file name of ASCII letters, digits and ._+-",
        ),
        (
            ", \"bcm2712-d-rpi-5-b.dtb\"]",
            "]",
            "`raspberry-pi.steppings.bcm2712d0` cannot be `a list of 1`: it is two device trees",
        ),
        (
            "\"start4.elf\"",
            "\"\"",
            "it must be a file name of ASCII letters, digits and ._+-",
        ),
        (
            "\"enable_uart=1\"",
            "\"kernel=other.img\"",
            "`raspberry-pi.config` cannot be `kernel=other.img`: `kernel` is the builder's to say",
        ),
        (
            "\"enable_uart=1\"",
            "\"a=1\\nkernel=b\"",
            "it must be a line of at most 98 ASCII characters",
        ),
        (
            "config = ",
            "confg = ",
            "unknown key `confg` in `raspberry-pi`; did you mean `config`?",
        ),
        (
            "kind = \"boot\"",
            "kind = \"esp\"",
            "`kind = \"boot\"` is missing in `partitions`",
        ),
    ];
    for (old, new, message) in table {
        assert!(BOARD.contains(old), "{old}");
        let error = planned(&BOARD.replacen(old, new, 1)).unwrap_err();
        assert!(error.contains(message), "{error}\nand not {message}");
    }
    let start = BOARD.find("[raspberry-pi]").unwrap();
    let end = BOARD.find("[[partitions]]").unwrap();
    let without = format!("{}{}", &BOARD[..start], &BOARD[end..]);
    let error = planned(&without).unwrap_err();
    assert!(error.contains("`raspberry-pi` is missing"), "{error}");
}
