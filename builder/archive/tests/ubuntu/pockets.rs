//! From an archive in Ubuntu's shape, made and signed here, to a lock and the locked files.

use std::fs;
use std::process::Command;

use crate::world::{DAY, NOW, package, world};
use fortress_archive::{ChangeKind, Error, Lock, Snapshot};
use fortress_progress::Silent;
use fortress_store::Digest;
use fortress_tests::{FixtureCompression, FixturePackage, Gpg};

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
    let mut distant = sources.clone();
    for source in &mut distant {
        source.mirrors = vec!["http://mirror.invalid".into()];
    }
    let never = world.load_at(&distant, NOW, true).unwrap_err();
    assert!(matches!(never, Error::NotRemembered { .. }), "{never}");
    assert!(never.hint().is_some());
    // A folder is no network, so it is asked.
    let index = world.load_at(&sources, NOW, true).unwrap();
    assert_eq!(index.len(), 8);
    fs::remove_dir_all(world.archive.root()).unwrap();
    let again = world.load_at(&distant, NOW, true).unwrap();
    assert_eq!(again.len(), 8);
    // The folder is gone, and what was in it is remembered.
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
fn finds_packages_by_name() {
    let world = world();
    let index = world.load().unwrap();
    let found = index
        .named("hello")
        .map(|stanza| (stanza.version(), stanza.phased()));
    assert_eq!(found.collect::<Vec<_>>(), [("2.10-3", 100), ("2.10-4", 40)]);
    assert_eq!(index.named("hell").count(), 0);
}
