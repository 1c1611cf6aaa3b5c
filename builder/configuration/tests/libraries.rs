//! The dynamic linker's cache against glibc's ldconfig.

#[path = "host/mod.rs"]
mod host;

use fortress_configuration::libraries;
use fortress_tests::Oracle;
use fortress_tree::TreePath;

fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

#[test]
fn the_cache_of_a_debian_is_what_ldconfig_writes() {
    let oracle = Oracle::open();
    let mut tree = host::load(
        oracle.root(),
        &[
            "/lib",
            "/usr/lib/x86_64-linux-gnu",
            "/etc/ld.so.conf",
            "/etc/ld.so.conf.d",
            "/usr/local/lib",
        ],
    );
    let started = std::time::Instant::now();
    let count = libraries::write(&mut tree).unwrap();
    eprintln!("{count} {:?}", started.elapsed());
    let ours = tree.read(&path("/etc/ld.so.cache")).unwrap();
    let theirs = std::fs::read(oracle.root().join("etc/ld.so.cache")).unwrap();
    let extensions = u32::from_le_bytes(theirs[32..36].try_into().unwrap()) as usize;
    std::fs::write("/tmp/ours.cache", &ours).unwrap();
    assert!(ours[..extensions] == theirs[..extensions]);
}
