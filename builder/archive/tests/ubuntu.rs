//! From an archive in Ubuntu's shape, made and signed here, to a lock and the locked files; and
//! everything that an archive may do wrong on the way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that panics has failed"
)]

use std::fs;
use std::process::Command;
use std::sync::Mutex;

use fortress_archive::{
    ChangeKind, Error, Index, LoadOptions, Lock, ReleaseFault, Request, Snapshot, Source, resolve,
};
use fortress_progress::{Observer, Silent, Stage, Unit};
use fortress_store::{Client, ClientOptions, Digest, Store};
use fortress_tests::{FixtureArchive, FixtureCompression, FixturePackage, Gpg};

/// When the archives here are made, in seconds since 1970.
const NOW: i64 = 1_780_000_000;
const DAY: i64 = 86_400;

struct World {
    folder: tempfile::TempDir,
    archive: FixtureArchive,
    store: Store,
    client: Client,
}

fn package(name: &str, version: &str) -> FixturePackage {
    FixturePackage::new(name, version)
}

/// Pockets noble, noble-updates and noble-security; main and universe.
fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let mut archive = FixtureArchive::new(&folder.path().join("ubuntu"), NOW);
    let postinst = "#!/bin/sh\nset -e\nldconfig\n";
    archive
        .add(
            "noble",
            "main",
            package("base-files", "13").field("Essential", "yes"),
        )
        .add(
            "noble",
            "main",
            package("libc6", "2.39-0ubuntu8")
                .field("Multi-Arch", "same")
                .file("usr/lib/libc.so.6", 0o755, b"\x7fELF, or so")
                .script("postinst", postinst),
        )
        .add(
            "noble",
            "main",
            package("hello", "2.10-3").depends("libc6 (>= 2.34)"),
        )
        .add(
            "noble",
            "main",
            package("tzdata", "2024a").field("Architecture", "all"),
        )
        .add(
            "noble",
            "universe",
            package("tool", "1:1.0").depends("hello, tzdata"),
        )
        .add(
            "noble-updates",
            "main",
            package("hello", "2.10-4").field("Phased-Update-Percentage", "40"),
        )
        .add(
            "noble-updates",
            "main",
            package("tzdata", "2025b").field("Architecture", "all"),
        )
        .add(
            "noble-security",
            "main",
            package("libc6", "2.39-0ubuntu8.5"),
        )
        .component("noble-updates", "universe")
        .component("noble-security", "universe")
        .publish();
    let store = Store::open(&folder.path().join("store")).unwrap();
    let client = Client::new(ClientOptions::default()).unwrap();
    World {
        folder,
        archive,
        store,
        client,
    }
}

impl World {
    fn sources(&self) -> Vec<Source> {
        ["noble", "noble-updates", "noble-security"]
            .map(|suite| Source {
                name: suite.replace("noble", "ubuntu"),
                mirrors: vec![self.archive.url()],
                suite: suite.into(),
                components: vec!["main".into(), "universe".into()],
                keys: vec![self.archive.public_key()],
                priority: 500,
                ..Source::default()
            })
            .to_vec()
    }

    fn load_at(&self, sources: &[Source], now: i64, offline: bool) -> Result<Index, Error> {
        let options = LoadOptions { now, offline };
        Index::load(
            sources,
            "amd64",
            &self.store,
            &self.client,
            &options,
            &Silent,
        )
    }

    fn load(&self) -> Result<Index, Error> {
        self.load_at(&self.sources(), NOW + 60, false)
    }

    fn lock(&self, roots: &[&str]) -> Lock {
        let index = self.load().unwrap();
        let request = Request {
            roots: roots.iter().map(|root| (*root).to_owned()).collect(),
            essential: true,
            ..Request::default()
        };
        let resolution = resolve(&index, &request).unwrap();
        Lock::new(&index, &resolution, "ubuntu-24.04", Digest::of(b"request"))
    }

    /// A file of the archive.
    fn file(&self, path: &str) -> std::path::PathBuf {
        self.archive.root().join(path)
    }
}

#[track_caller]
fn release_fault(result: Result<Index, Error>) -> ReleaseFault {
    match result {
        Err(Error::Release { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn leads_from_pockets_to_locked_files() {
    let world = world();
    let index = world.load().unwrap();
    let suites: Vec<&str> = index
        .suites()
        .iter()
        .map(|suite| suite.suite.as_str())
        .collect();
    assert_eq!(suites, ["noble", "noble-updates", "noble-security"]);
    for suite in index.suites() {
        assert_eq!((suite.date, suite.codename.as_str()), (NOW, "noble"));
        assert_eq!(suite.signer, world.archive.fingerprint());
    }
    let lock = world.lock(&["tool"]);
    let words: Vec<String> = lock
        .packages
        .iter()
        .map(|package| format!("{} {} {}", package.name, package.version, package.source))
        .collect();
    assert_eq!(
        words,
        [
            "base-files 13 ubuntu",
            "hello 2.10-3 ubuntu",
            "libc6 2.39-0ubuntu8.5 ubuntu-security",
            "tool 1:1.0 ubuntu",
            "tzdata 2025b ubuntu-updates",
        ]
    );
    let downloads = lock.downloads(&world.sources(), &[]).unwrap();
    let blobs = world
        .store
        .fetch(&downloads, &world.client, &Silent)
        .unwrap();
    for (package, blob) in lock.packages.iter().zip(&blobs) {
        assert_eq!(blob.digest, package.sha256);
        // dpkg reads what the fixture makes.
        let deb = world.folder.path().join("a.deb");
        fs::copy(blob.path(), &deb).unwrap();
        let output = Command::new("dpkg-deb")
            .arg("-f")
            .arg(&deb)
            .arg("Version")
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8(output.stdout).unwrap().trim(),
            package.version
        );
        let output = Command::new("dpkg-deb")
            .arg("-c")
            .arg(&deb)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn packs_packages_in_every_compression() {
    let folder = tempfile::tempdir().unwrap();
    for (compression, member) in [
        (FixtureCompression::Zstandard, "data.tar.zst"),
        (FixtureCompression::Xz, "data.tar.xz"),
        (FixtureCompression::Gzip, "data.tar.gz"),
    ] {
        let path = folder.path().join("a.deb");
        let made = package("a", "1")
            .file("usr/bin/a", 0o4755, b"a")
            .compression(compression);
        fs::write(&path, made.to_deb()).unwrap();
        let again = FixturePackage::from_deb(&path).compression(compression);
        assert_eq!(again.to_deb(), fs::read(&path).unwrap());
        let output = Command::new("dpkg-deb")
            .arg("-c")
            .arg(&path)
            .output()
            .unwrap();
        let list = String::from_utf8(output.stdout).unwrap();
        assert!(list.contains("-rwsr-xr-x root/root"), "{list}");
        assert!(list.contains(" ./usr/bin/a\n"), "{list}");
        let output = Command::new("ar").arg("t").arg(&path).output();
        if let Ok(output) = output {
            assert!(String::from_utf8(output.stdout).unwrap().contains(member));
        }
    }
}

#[test]
fn locks_read_as_they_are_written() {
    let world = world();
    let lock = world.lock(&["hello"]);
    let text = lock.to_toml();
    assert_eq!(Lock::from_toml(&text).unwrap(), lock);
    assert_eq!(lock.newest_date(), Some(NOW));
    assert!(lock.fits(&Digest::of(b"request")) && !lock.fits(&Digest::of(b"another")));
    assert!(
        !text.contains("file://") && !text.contains("mirror"),
        "{text}"
    );
    assert!(
        text.contains("\n[[package]]\nname = \"hello\"\nversion = \"2.10-3\"\n"),
        "{text}"
    );
    for (old, new, what) in [
        (
            "format = 1",
            "format = 2",
            "format 2, and this version reads format 1",
        ),
        ("format = 1\n", "", "format"),
        ("base = ", "bass = ", "unknown field `bass`"),
        ("\nsize = ", "\nsized = ", "unknown field `sized`"),
        ("path = \"pool/", "path = \"../pool/", "a path that is none"),
        (
            "source = \"ubuntu-security\"",
            "source = \"elsewhere\"",
            "of which it has no suite",
        ),
        ("name = \"hello\"", "name = \"zzz\"", "not sorted"),
        ("date = \"20", "date = \"x", "is not a time"),
        (
            "release_sha256 = \"",
            "release_sha256 = \"x",
            "release_sha256",
        ),
    ] {
        assert!(text.contains(old), "{old}");
        let error = Lock::from_toml(&text.replacen(old, new, 1)).unwrap_err();
        assert!(error.to_string().contains(what), "{what}: {error}");
        assert!(error.hint().unwrap().contains("--update"));
    }
}

#[test]
fn locks_outlive_the_mirror() {
    let world = world();
    let lock = world.lock(&["hello"]);
    let snapshots = [Snapshot {
        source: "ubuntu".into(),
        url: format!("{}/{{timestamp}}/", world.archive.url()),
    }];
    // The file has left the mirror, and is kept by the snapshot service.
    let gone = world.file("pool/main/h/hello");
    let kept = world.file("20260528T202640Z/pool/main/h");
    fs::create_dir_all(&kept).unwrap();
    fs::rename(&gone, kept.join("hello")).unwrap();
    let downloads = lock.downloads(&world.sources(), &snapshots).unwrap();
    let hello = downloads
        .iter()
        .find(|download| download.name.starts_with("hello"))
        .unwrap();
    assert_eq!(hello.name, "hello 2.10-3 amd64");
    let places: Vec<&str> = hello
        .urls
        .iter()
        .map(|url| url.strip_prefix(&world.archive.url()).unwrap())
        .map(|url| url.strip_suffix("/hello/hello_2.10-3_amd64.deb").unwrap())
        .collect();
    assert_eq!(
        places,
        [
            "/pool/main/h",
            "/20260529T202640Z/pool/main/h",
            "/20260528T202640Z/pool/main/h"
        ]
    );
    world
        .store
        .fetch(&downloads, &world.client, &Silent)
        .unwrap();
    let error = lock.downloads(&world.sources()[..1], &[]).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the lock names the source ubuntu-security"),
        "{error}"
    );
}

#[test]
fn tells_what_an_update_changes() {
    let mut world = world();
    let old = world.lock(&["tool"]);
    world
        .archive
        .add(
            "noble-security",
            "main",
            package("hello", "2.10-3ubuntu1").depends("libnew"),
        )
        .add("noble-security", "main", package("libnew", "1"))
        .publish();
    let new = world.lock(&["tool"]);
    let changes: Vec<String> = new.compare(&old).iter().map(ToString::to_string).collect();
    assert_eq!(
        changes,
        [
            "hello 2.10-3 -> 2.10-3ubuntu1",
            "libc6 2.39-0ubuntu8.5, gone",
            "libnew 1, new"
        ]
    );
    assert!(new.compare(&new).is_empty());
    let mut other = new.clone();
    other.packages[0].sha256 = Digest::of(b"other");
    let replaced = other.compare(&new);
    assert_eq!(replaced[0].kind, ChangeKind::Replaced("13".into()));
}

#[test]
fn works_offline_from_what_it_remembers() {
    let world = world();
    let sources = world.sources();
    let never = world.load_at(&sources, NOW, true).unwrap_err();
    assert!(matches!(never, Error::NotRemembered { .. }), "{never}");
    assert!(never.hint().is_some());
    world.load().unwrap();
    fs::remove_dir_all(world.archive.root()).unwrap();
    let again = world.load_at(&sources, NOW, true).unwrap();
    assert_eq!(again.len(), 8);
    // What is remembered is judged as anything else.
    let mut other = sources.clone();
    let mut gpg = Gpg::new();
    let stranger = gpg.at(NOW - DAY).generate("stranger", "ed25519", "never");
    other[0].keys = vec![gpg.export(&stranger)];
    let error = world.load_at(&other, NOW, true).unwrap_err();
    assert!(error.to_string().contains("not pinned"), "{error}");
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
    let world = self::world();
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

#[test]
fn finds_packages_by_name() {
    let world = world();
    let index = world.load().unwrap();
    let found = index
        .named("hello")
        .map(|stanza| (stanza.version(), stanza.phased()));
    assert_eq!(found.collect::<Vec<_>>(), [("2.10-3", 100), ("2.10-4", 40)]);
    assert_eq!(index.named("hell").count(), 0);
}
