//! The hardware database and the journal's catalog against systemd's own tools.

#[path = "host/mod.rs"]
mod host;

use fortress_configuration::{catalog, hardware};
use fortress_tests::Oracle;
use fortress_tree::TreePath;

fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

#[test]
fn the_hardware_database_is_the_bytes_that_systemd_hwdb_writes() {
    let oracle = Oracle::open();
    let mut tree = host::load(
        oracle.root(),
        &["/usr/lib/udev/hwdb.d", "/usr/lib/x86_64-linux-gnu/systemd"],
    );
    let started = std::time::Instant::now();
    let properties = hardware::write(&mut tree).unwrap();
    eprintln!("hwdb {:?} {properties}", started.elapsed());
    let theirs = std::fs::read(oracle.root().join("usr/lib/udev/hwdb.bin")).unwrap();
    let ours = tree.read(&path("/usr/lib/udev/hwdb.bin")).unwrap();
    eprintln!("{} {}", ours.len(), theirs.len());
    std::fs::write(format!("/tmp/ours-{}", ours.len()), &ours).unwrap();
    assert!(ours == theirs);
}

#[test]
fn the_catalog_is_the_bytes_that_journalctl_writes() {
    let oracle = Oracle::open();
    let mut tree = host::load(oracle.root(), &["/usr/lib/systemd/catalog"]);
    let entries = catalog::write(&mut tree).unwrap();
    assert!(entries > 100);
    let theirs = std::fs::read(oracle.root().join("var/lib/systemd/catalog/database")).unwrap();
    let ours = tree
        .read(&path("/usr/lib/systemd/catalog/database"))
        .unwrap();
    eprintln!("{entries} {} {}", ours.len(), theirs.len());
    std::fs::write(format!("/tmp/ours-{}", ours.len()), &ours).unwrap();
    assert!(ours == theirs);
}
