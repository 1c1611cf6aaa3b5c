//! Everything that an archive may do wrong: each is refused, and said.

use std::fs;
use std::sync::Mutex;

use crate::world::{DAY, NOW, World, package, world};
use fortress_archive::{Error, Index, LoadOptions, ReleaseFault};
use fortress_progress::{Observer, Silent, Stage, Unit};
use fortress_store::Digest;

#[track_caller]
fn release_fault(result: Result<Index, Error>) -> ReleaseFault {
    match result {
        Err(Error::Release { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn refuses_suites_that_do_not_fit() {
    let mut world = world();
    let mut sources = world.sources();
    // A suite's index in another's place: noble's own name for that folder is its codename.
    fs::copy(
        world.file("dists/noble-updates/InRelease"),
        world.file("dists/noble-security/InRelease"),
    )
    .unwrap();
    let fault = release_fault(world.load());
    assert!(matches!(fault, ReleaseFault::OtherSuite { .. }), "{fault}");
    world.archive.publish();
    sources[0].components.push("restricted".into());
    let fault = release_fault(world.load_at(&sources, NOW, false));
    assert!(
        fault
            .to_string()
            .contains("no component restricted; it has main, universe"),
        "{fault}"
    );
    let options = LoadOptions {
        now: NOW,
        offline: false,
    };
    let fault = release_fault(Index::load(
        &world.sources(),
        "riscv64",
        &world.store,
        &world.client,
        &options,
        &Silent,
    ));
    assert!(
        fault
            .to_string()
            .contains("no architecture riscv64; it has amd64"),
        "{fault}"
    );
    world
        .archive
        .release("noble", "Date", "Tue, 30 Jun 2026 00:00:00 UTC")
        .publish();
    let fault = release_fault(world.load());
    assert!(matches!(fault, ReleaseFault::Future { .. }), "{fault}");
}

#[test]
fn refuses_expired_suites() {
    let mut world = world();
    world
        .archive
        .release(
            "noble-security",
            "Valid-Until",
            "Thu, 04 Jun 2026 00:00:00 UTC",
        )
        .publish();
    world.load().unwrap();
    let error = world
        .load_at(&world.sources(), NOW + 30 * DAY, false)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("noble-security (ubuntu-security)"),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("it expired at 2026-06-04T00:00:00Z"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("mirror"));
}

#[test]
fn refuses_what_was_tampered_with() {
    let world = world();
    let path = world.file("dists/noble/InRelease");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("Origin: Ubuntu", "Origin: Evil", 1)).unwrap();
    let error = world.load().unwrap_err();
    assert!(matches!(error, Error::Untrusted { .. }), "{error}");
    assert!(
        error.to_string().contains("it does not fit the text"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("--mirror"));
    fs::write(&path, "<html>please log in</html>").unwrap();
    assert!(world.load().is_err());
    fs::remove_file(&path).unwrap();
    assert!(matches!(world.load().unwrap_err(), Error::Fetch { .. }));
    world.archive.publish();
    let mut sources = world.sources();
    sources[0].mirrors.clear();
    let error = world.load_at(&sources, NOW, false).unwrap_err();
    assert!(matches!(error, Error::NoMirror { .. }), "{error}");
    sources[0].keys.clear();
    let error = world.load_at(&sources, NOW, false).unwrap_err();
    assert!(matches!(error, Error::Keys { .. }), "{error}");
}

/// Each package index of noble's main, in both places.
fn indexes(world: &World) -> Vec<std::path::PathBuf> {
    let folder = world.file("dists/noble/main/binary-amd64");
    let mut paths: Vec<_> = fs::read_dir(folder.join("by-hash/SHA256"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.extend(["Packages.gz", "Packages.xz"].map(|name| folder.join(name)));
    paths
}

#[test]
fn refuses_indexes_that_are_not_the_signed_ones() {
    let change: [fn(&mut Vec<u8>); 3] = [
        |bytes| bytes[20] ^= 1,
        |bytes| bytes.truncate(bytes.len() / 2),
        Vec::clear,
    ];
    for change in change {
        let world = world();
        for path in indexes(&world) {
            let mut bytes = fs::read(&path).unwrap();
            change(&mut bytes);
            fs::write(&path, bytes).unwrap();
        }
        let error = world.load().unwrap_err();
        assert!(matches!(error, Error::Fetch { .. }), "{error}");
        assert!(
            error
                .to_string()
                .contains("noble main/binary-amd64/Packages.xz"),
            "{error}"
        );
    }
    // Either place will do.
    let world = world();
    for path in indexes(&world)
        .iter()
        .filter(|path| !path.ends_with("Packages.xz"))
    {
        fs::remove_file(path).unwrap();
    }
    world.load().unwrap();
}

/// Signs a changed Release file anew, as a hostile (or broken) archive could.
fn resign(world: &World, change: impl Fn(String) -> String) {
    let folder = world.file("dists/noble");
    let release = change(fs::read_to_string(folder.join("Release")).unwrap());
    let signed = world
        .archive
        .gpg()
        .clear_sign(world.archive.fingerprint(), &release);
    fs::write(folder.join("InRelease"), signed).unwrap();
}

#[test]
fn bounds_what_an_index_decompresses_to() {
    let world = world();
    let line = |text: &str| {
        let ending = " main/binary-amd64/Packages";
        text.lines()
            .find(|line| line.ends_with(ending))
            .unwrap()
            .to_owned()
    };
    // The plain form is longer than the archive says, shorter, or another.
    for (digits, what) in [
        ("1", "decompresses to more than 1 bytes"),
        ("999999", "says 999999"),
    ] {
        resign(&world, |text| {
            let old = line(&text);
            let words: Vec<&str> = old.split_whitespace().collect();
            text.replace(&old, &format!(" {} {digits} {}", words[0], words[2]))
        });
        let error = world.load().unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    }
    resign(&world, |text| {
        let old = line(&text);
        let digest = old.split_whitespace().next().unwrap().to_owned();
        let other = Digest::of(b"other").to_string();
        text.replace(&old, &old.replace(&digest, &other))
    });
    let error = world.load().unwrap_err();
    assert!(
        error.to_string().contains("decompresses to SHA-256"),
        "{error}"
    );
}

#[test]
fn refuses_malformed_indexes_and_suites() {
    let mut world = world();
    let odd = package("odd", "1").field("Depends", "a\n\nPackage: ../../evil");
    world.archive.add("noble", "main", odd).publish();
    let error = world.load().unwrap_err();
    assert!(matches!(error, Error::Index { .. }), "{error}");
    let world = crate::world::world();
    resign(&world, |text| text.replace("SHA256:", "SHA1:"));
    let fault = release_fault(world.load());
    assert!(fault.to_string().contains("no SHA256"), "{fault}");
}

/// Keeps what it is told.
#[derive(Default)]
struct Ear(Mutex<Vec<String>>);

impl Observer for Ear {
    fn stage(&self, name: &str, total: Option<u64>, unit: Unit) -> Box<dyn Stage> {
        Silent.stage(name, total, unit)
    }
    fn note(&self, _line: &str) {}
    fn warn(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
}

#[test]
fn tries_the_next_mirror_and_says_so() {
    let world = world();
    let mut sources = world.sources();
    let bad = world.folder.path().join("bad");
    fs::create_dir_all(bad.join("dists/noble")).unwrap();
    fs::write(
        bad.join("dists/noble/InRelease"),
        "<html>please log in</html>",
    )
    .unwrap();
    for source in &mut sources {
        source
            .mirrors
            .insert(0, format!("file://{}", bad.display()));
    }
    let ear = Ear::default();
    let options = LoadOptions {
        now: NOW,
        offline: false,
    };
    Index::load(
        &sources,
        "amd64",
        &world.store,
        &world.client,
        &options,
        &ear,
    )
    .unwrap();
    let heard = ear.0.into_inner().unwrap();
    assert_eq!(heard.len(), 3, "{heard:?}");
    assert!(
        heard
            .iter()
            .all(|line| line.contains("trying the next mirror")),
        "{heard:?}"
    );
}

#[test]
fn says_when_a_mirror_falls_behind() {
    let world = world();
    world.load().unwrap();
    let date = |text: String, new: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with("Date: "))
            .unwrap()
            .to_owned();
        text.replace(&line, new)
    };
    resign(&world, |text| {
        date(text, "Date: Mon, 25 May 2026 00:00:00 UTC")
    });
    let ear = Ear::default();
    let options = LoadOptions {
        now: NOW,
        offline: false,
    };
    let sources = world.sources();
    Index::load(
        &sources,
        "amd64",
        &world.store,
        &world.client,
        &options,
        &ear,
    )
    .unwrap();
    let heard = ear.0.into_inner().unwrap();
    assert!(
        heard.len() == 1 && heard[0].contains("the mirror is behind"),
        "{heard:?}"
    );
}
