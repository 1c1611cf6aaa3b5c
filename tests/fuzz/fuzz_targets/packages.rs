//! A package index: stanzas, versions, relations, and what the resolver makes of them.
#![no_main]

use fortress_archive::{Lock, Request, resolve};
use fortress_fuzz::Archive;
use fortress_store::Digest;
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

static ARCHIVE: OnceLock<Archive> = OnceLock::new();

fuzz_target!(|data: &[u8]| {
    let archive = ARCHIVE.get_or_init(Archive::new);
    let release = archive.sign(&archive.release("Packages", data));
    let Ok(index) = archive.load(&release, &[("main/binary-amd64/Packages", data)]) else {
        return;
    };
    let roots = index.stanzas().map(|stanza| stanza.name().to_owned());
    let mut roots: Vec<String> = roots.take(20).collect();
    for stanza in index.stanzas() {
        assert!(
            !stanza
                .path()
                .split('/')
                .any(|name| matches!(name, ".." | ""))
        );
        let _ = (stanza.source_name(), stanza.source_version());
        assert!(index.named(stanza.name()).count() > 0);
    }
    roots.push("nowhere".into());
    for roots in [&roots[..1], &roots[..roots.len() - 1], &roots] {
        let request = Request {
            roots: roots.to_vec(),
            essential: true,
            recommends: true,
            ..Request::default()
        };
        match resolve(&index, &request) {
            Ok(resolution) => {
                let lock = Lock::new(&index, &resolution, "fuzz", Digest::of(b""));
                let read = Lock::from_toml(&lock.to_toml()).expect("a lock that was made is read");
                assert_eq!(read, lock);
            }
            Err(error) => drop(error.to_string()),
        }
    }
});
