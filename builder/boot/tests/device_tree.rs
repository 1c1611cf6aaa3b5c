//! Device trees and overlays against dtc, fdtget and fdtoverlay (Debian's device-tree-compiler).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test a panic is the verdict"
)]

use fortress_boot::device_tree::DeviceTree;
use fortress_boot::raspberry_pi::stepping_overlay;
use std::fs;
use std::path::Path;
use std::process::Command;

/// A board as the chip that came first has it.
const OLD: &str = r#"/dts-v1/;
/memreserve/ 0x0 0x80000;
/ {
    compatible = "maker,board", "maker,chip";
    model = "Board";
    #address-cells = <2>;
    #size-cells = <1>;
    soc@107c000000 {
        clock: clock { #clock-cells = <0>; };
        uart10: serial@7d001000 { interrupts = <0 0x79 4>; clocks = <&clock>; status = "okay"; };
        pinctrl@7d504100 { compatible = "maker,c0"; reg = <0 0x7d504100 0x30>; };
        gpio@7d517c00 { widths = <17 6>; };
    };
};
"#;

/// What the newer one changes.
const CHANGES: [(&str, &str); 4] = [
    ("<0 0x79 4>", "<0 0x78 4>"),
    (
        r#""maker,c0"; reg = <0 0x7d504100 0x30>"#,
        r#""maker,d0"; reg = <0 0x7d504100 0x20>"#,
    ),
    (
        "widths = <17 6>;",
        "widths = <15 6>; names = \"a\", \"\", \"b\";",
    ),
    (
        "status = \"okay\";",
        "status = \"okay\"; bluetooth { max-speed = <3000000>; };",
    ),
];

/// Runs a tool of this machine; its output, if it succeeds.
#[track_caller]
fn tool(name: &str, arguments: &[&str]) -> Vec<u8> {
    match Command::new(name).args(arguments).output() {
        Ok(output) if output.status.success() => output.stdout,
        other => panic!("{name} {arguments:?} (see tests/host-packages.txt): {other:?}"),
    }
}

/// The flattened form that dtc makes of a source; with symbols, as kernels have it.
fn compiled(folder: &Path, name: &str, source: &str) -> Vec<u8> {
    let path = folder.join(name);
    fs::write(&path, source).unwrap();
    tool(
        "dtc",
        &["-q", "-@", "-I", "dts", "-O", "dtb", path.to_str().unwrap()],
    )
}

/// What dtc reads in a flattened tree, sorted.
fn source(folder: &Path, bytes: &[u8]) -> String {
    let path = folder.join("read.dtb");
    fs::write(&path, bytes).unwrap();
    let text = tool(
        "dtc",
        &["-s", "-I", "dtb", "-O", "dts", path.to_str().unwrap()],
    );
    String::from_utf8(text).unwrap()
}

#[test]
fn dtc_reads_what_is_written_as_what_it_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let theirs = compiled(folder.path(), "old.dts", OLD);
    let tree = DeviceTree::parse(&theirs).unwrap();
    assert_eq!(tree.reservations, [(0, 0x80000)]);
    let serial = tree.node("/soc@107c000000/serial@7d001000").unwrap();
    assert_eq!(serial.property("interrupts").unwrap()[7], 0x79);
    let ours = tree.to_bytes();
    assert_eq!(source(folder.path(), &ours), source(folder.path(), &theirs));
    let path = folder.path().join("ours.dtb");
    fs::write(&path, &ours).unwrap();
    let model = tool("fdtget", &[path.to_str().unwrap(), "/", "model"]);
    assert_eq!(model, b"Board\n");
}

#[test]
fn fdtoverlay_makes_the_newer_tree_of_the_older_one() {
    let folder = tempfile::tempdir().unwrap();
    let newer = CHANGES.iter().fold(OLD.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "{old}");
        text.replace(old, new)
    });
    let old = compiled(folder.path(), "old.dts", OLD);
    let new = compiled(folder.path(), "new.dts", &newer);
    let overlay = stepping_overlay("newer", ("old.dtb", &old), ("new.dtb", &new)).unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(at("old.dtb"), &old).unwrap();
    fs::write(at("newer.dtbo"), &overlay).unwrap();
    tool(
        "fdtoverlay",
        &[
            "-i",
            &at("old.dtb"),
            "-o",
            &at("made.dtb"),
            &at("newer.dtbo"),
        ],
    );
    let made = fs::read(at("made.dtb")).unwrap();
    assert_eq!(source(folder.path(), &made), source(folder.path(), &new));
    // What fdtoverlay makes is what this crate makes, too.
    let own = DeviceTree::parse(&old).unwrap();
    let own = own.with_overlay(&DeviceTree::parse(&overlay).unwrap());
    let own = own.unwrap().to_bytes();
    assert_eq!(source(folder.path(), &own), source(folder.path(), &new));
}

#[test]
fn a_tree_that_an_overlay_cannot_make_is_refused_with_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let old = compiled(folder.path(), "old.dts", OLD);
    let without = OLD.replace("status = \"okay\";", "");
    let new = compiled(folder.path(), "new.dts", &without);
    let error = stepping_overlay("x", ("old.dtb", &old), ("new.dtb", &new)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot make overlay x, which turns old.dtb into new.dtb: \
         /soc@107c000000/serial@7d001000: property status is gone"
    );
    let error = stepping_overlay("x", ("old.dtb", &old), ("new.dtb", b"no")).unwrap_err();
    assert!(error.to_string().contains("new.dtb"), "{error}");
}
