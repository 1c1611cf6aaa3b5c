//! Files of packages that the configuration reads: users, tmpfiles, units, presets, hardware database,
//! catalog, shells, PAM profiles, certificates.
#![no_main]

use fortress_configuration::modules::NoCache;
use fortress_configuration::{Settings, configure};
use fortress_fuzz::pieces;
use fortress_progress::Silent;
use fortress_tree::{Tree, TreePath};
use libfuzzer_sys::fuzz_target;

/// Where the pieces of the input go, in their order.
const FILES: [&str; 12] = [
    "/usr/lib/sysusers.d/a.conf",
    "/usr/lib/tmpfiles.d/a.conf",
    "/usr/lib/systemd/system/a.service",
    "/usr/lib/systemd/system-preset/50-a.preset",
    "/usr/lib/udev/hwdb.d/a.hwdb",
    "/usr/lib/systemd/catalog/a.catalog",
    "/usr/share/debianutils/shells.d/a",
    "/usr/share/pam-configs/a",
    "/usr/share/ca-certificates/a.crt",
    "/etc/ld.so.conf",
    "/usr/share/glib-2.0/schemas/a.gschema.xml",
    "/usr/lib/systemd/system/a.service.d/b.conf",
];

fuzz_target!(|data: &[u8]| {
    let mut tree = Tree::new(0);
    let mut put = |name: &str, content: &[u8]| {
        let path = TreePath::new(name).expect("a path");
        let written = tree.write(&path, 0o644, content.to_vec());
        written.expect("a file is put into the tree");
    };
    put("/usr/share/zoneinfo/Etc/UTC", b"TZif2");
    put("/usr/share/factory/a", b"a");
    for (name, content) in FILES.iter().zip(pieces::<12>(data)) {
        put(name, content);
    }
    match configure(&mut tree, &[], &Settings::default(), &NoCache, &Silent) {
        Ok(_) => {
            for (path, _) in tree.iter() {
                assert!(
                    !path
                        .components()
                        .any(|name| matches!(name, "." | ".." | ""))
                );
            }
        }
        Err(error) => drop(error.to_string()),
    }
});
