//! Module data against Debian's own depmod and modprobe, on Debian's own kernel.

#[path = "host/mod.rs"]
mod host;

use fortress_configuration::modules::{self, NoCache};
use fortress_tests::Oracle;
use fortress_tree::{Tree, TreePath};
use std::collections::BTreeSet;

fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

#[test]
fn every_file_is_what_depmod_makes() {
    let oracle = Oracle::open();
    let mut tree = host::load(oracle.root(), &["/usr/lib/modules"]);
    let [release] = &modules::releases(&tree)[..] else {
        panic!("one kernel is installed in the oracle root");
    };
    let folder = path("/usr/lib/modules").join(release).unwrap();
    // The oracle root's files were made by depmod when the kernel was installed.
    let theirs = tree.clone();
    let made = [
        "dep",
        "dep.bin",
        "alias",
        "alias.bin",
        "softdep",
        "weakdep",
        "symbols",
        "symbols.bin",
        "builtin.bin",
        "builtin.alias.bin",
        "devname",
    ];
    for name in made {
        assert_eq!(
            tree.remove(&folder.join(&format!("modules.{name}")).unwrap()),
            1,
            "{name}"
        );
    }
    let started = std::time::Instant::now();
    let index = modules::index(&tree, release, &NoCache).unwrap();
    eprintln!("index {:?}", started.elapsed());
    let started = std::time::Instant::now();
    modules::write(&mut tree, &index).unwrap();
    eprintln!("write {:?}", started.elapsed());
    assert!(index.count() > 1000);
    let read = |tree: &Tree, name: &str| {
        tree.read(&folder.join(&format!("modules.{name}")).unwrap())
            .unwrap()
    };
    for name in made {
        let (ours, theirs) = (read(&tree, name), read(&theirs, name));
        if ours != theirs {
            let lines = |bytes: &[u8]| -> BTreeSet<String> {
                String::from_utf8_lossy(bytes)
                    .lines()
                    .map(str::to_owned)
                    .collect()
            };
            let (a, b) = (lines(&ours), lines(&theirs));
            eprintln!(
                "{name}: {} {} sets equal: {}",
                ours.len(),
                theirs.len(),
                a == b
            );
            if !name.ends_with("bin") {
                for line in a.difference(&b).take(3) {
                    eprintln!("  ours   {line}");
                }
                for line in b.difference(&a).take(3) {
                    eprintln!("  theirs {line}");
                }
            }
        } else {
            eprintln!("{name}: same");
        }
    }
    panic!();
}
