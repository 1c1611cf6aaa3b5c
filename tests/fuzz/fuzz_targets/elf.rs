//! Programs, libraries and kernel modules, and the indexes that are made of them.
#![no_main]

use fortress_configuration::libraries;
use fortress_configuration::modules::{self, ModuleFacts, NoCache};
use fortress_tree::{Tree, TreePath};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = libraries::dynamic(data);
    let mut tree = Tree::new(0);
    let mut put = |name: &str, content: &[u8]| {
        let path = TreePath::new(name).expect("a path");
        let written = tree.write(&path, 0o644, content.to_vec());
        written.expect("a file is put into the tree");
        path
    };
    let folder = "/usr/lib/modules/1/kernel";
    let _ = put("/usr/lib/modules/1/modules.order", b"kernel/a.ko\n");
    put("/usr/lib/modules/1/modules.builtin", b"kernel/b.ko\n");
    put("/usr/lib/x86_64-linux-gnu/liba.so.1", data);
    let paths = ["a.ko", "a.ko.xz", "a.ko.zst", "a.ko.gz"]
        .map(|name| put(&format!("{folder}/{name}"), data));
    for path in &paths {
        let content = tree.content(path).expect("it is there");
        let _ = ModuleFacts::read(path, content);
    }
    for path in &paths[1..] {
        tree.remove(path);
    }
    if let Ok(index) = modules::index(&tree, "1", &NoCache) {
        let _ = index.closure(&["a".to_owned()]);
        let _ = modules::write(&mut tree, &index);
    }
    let _ = libraries::write(&mut tree);
});
