//! What the store keeps, forgets and notices, within one process.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that panics has failed"
)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Cursor, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fortress_progress::Silent;
use fortress_store::{Amount, Blob, Collected, Digest, Error, Hasher, Policy, Store, Wrong};
use proptest::prelude::*;

fn empty() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

/// All files below a folder, by path relative to it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(
                files(&entry.path())
                    .iter()
                    .map(|path| Path::new(&entry.file_name()).join(path)),
            );
        } else {
            found.push(entry.file_name().into());
        }
    }
    found.sort();
    found
}

fn make_old(path: &Path, days: u64) {
    let then = SystemTime::now() - Duration::from_secs(days * 24 * 3600);
    fs::File::open(path).unwrap().set_modified(then).unwrap();
}

fn flip_a_byte(blob: &Blob) {
    let mut content = fs::read(blob.path()).unwrap();
    content[0] ^= 1;
    fs::set_permissions(blob.path(), fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(blob.path(), content).unwrap();
}

#[test]
fn digests_are_those_of_the_standard() {
    // FIPS 180-4, the examples of "abc" and the empty message.
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(Digest::of(b"abc").to_string(), abc);
    let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(Hasher::new().finish().to_string(), nothing);
    assert_eq!(abc.parse::<Digest>().unwrap(), Digest::of(b"abc"));
    assert_eq!(
        abc.to_uppercase().parse::<Digest>().unwrap(),
        Digest::of(b"abc")
    );
    let json = serde_json::to_string(&Digest::of(b"abc")).unwrap();
    assert_eq!(json, format!("\"{abc}\""));
    assert_eq!(
        serde_json::from_str::<Digest>(&json).unwrap(),
        Digest::of(b"abc")
    );
    for bad in [
        "",
        "abc",
        &abc[1..],
        &format!("{abc}0"),
        &abc.replace('b', "g"),
        &abc.replace("ba", "ß"),
    ] {
        assert!(bad.parse::<Digest>().is_err(), "{bad}");
        assert!(serde_json::from_str::<Digest>(&format!("{bad:?}")).is_err());
    }
}

proptest! {
    #[test]
    fn digests_read_what_they_write(bytes: [u8; 32]) {
        let digest = Digest::from(bytes);
        prop_assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        prop_assert_eq!(digest.as_bytes(), &bytes);
    }

    #[test]
    fn any_text_is_a_digest_or_an_error(text in ".{0,70}") {
        if let Ok(digest) = text.parse::<Digest>() {
            prop_assert_eq!(digest.to_string(), text.to_lowercase());
        }
    }
}

#[test]
fn gives_back_what_it_was_given() {
    let (folder, store) = empty();
    let blob = store.insert(b"content").unwrap();
    assert_eq!(blob.digest, Digest::of(b"content"));
    assert_eq!(blob.length, 7);
    assert!(blob.path().starts_with(folder.path()));
    assert_eq!(store.insert(b"content").unwrap(), blob);
    assert_eq!(store.get(&blob.digest).unwrap(), Some(blob.clone()));
    assert_eq!(blob.bytes().unwrap(), b"content");
    let mut content = String::new();
    blob.open().unwrap().read_to_string(&mut content).unwrap();
    assert_eq!(content, "content");
    let mode = fs::metadata(blob.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o444, "blobs are not to be changed");
    assert_eq!(store.get(&Digest::of(b"other")).unwrap(), None);

    let again = Store::open(folder.path()).unwrap();
    assert_eq!(again.get(&blob.digest).unwrap(), Some(blob));
}

#[test]
fn what_is_refused_leaves_nothing() {
    let (folder, store) = empty();
    let before = files(folder.path());
    let other = Digest::of(b"other");
    let refused = store
        .insert_from(&b"content"[..], Some(other), 100)
        .unwrap_err();
    let got = Digest::of(b"content");
    assert_eq!(
        refused.to_string(),
        format!("SHA-256 is {got}, expected {other}")
    );
    let refused = store.insert_from(&b"content"[..], None, 6);
    assert!(matches!(refused, Err(Error::TooLarge { limit: 6 })));
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the cable is out"))
        }
    }
    let broken = Cursor::new(vec![1; 300_000]).chain(Broken);
    let refused = store.insert_from(broken, None, u64::MAX).unwrap_err();
    assert!(refused.to_string().contains("the cable is out"));
    assert_eq!(files(folder.path()), before);
}

#[test]
fn a_damaged_blob_is_noticed_when_it_is_read() {
    let (_folder, store) = empty();
    let blob = store.insert(&[7; 300_000]).unwrap();
    let mut read = Vec::new();
    blob.reader().unwrap().read_to_end(&mut read).unwrap();
    assert_eq!(read, [7; 300_000]);
    flip_a_byte(&blob);
    let error = blob.reader().unwrap().read_to_end(&mut read).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(
        blob.bytes()
            .unwrap_err()
            .to_string()
            .contains("store verify")
    );
}

#[test]
fn other_folders_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("scratch")).unwrap();
    fs::write(folder.path().join("scratch/thesis.tex"), "years of work").unwrap();
    let refused = Store::open(folder.path()).unwrap_err();
    assert!(matches!(refused, Error::NotAStore { .. }) && refused.hint().is_some());
    assert_eq!(files(folder.path()), [Path::new("scratch/thesis.tex")]);

    let (folder, store) = empty();
    drop(store);
    fs::write(folder.path().join("format"), "2\n").unwrap();
    let refused = Store::open(folder.path()).unwrap_err();
    assert!(
        refused.to_string().contains("its format is \"2\""),
        "{refused}"
    );
    // Killed right after it was made.
    fs::write(folder.path().join("format"), "").unwrap();
    Store::open(folder.path()).unwrap();

    let file = folder.path().join("a-file");
    fs::write(&file, "").unwrap();
    assert!(matches!(Store::open(&file), Err(Error::Io { .. })));
}

#[test]
fn left_overs_go_when_nobody_uses_the_store() {
    let (folder, store) = empty();
    let scratch = store.scratch().unwrap();
    fs::write(scratch.path().join("half an image"), "…").unwrap();
    let left = scratch.keep();
    fs::write(folder.path().join("temporary/.tmpX"), "…").unwrap();
    let partial = |name: &str| folder.path().join("partial").join(name);
    fs::write(partial("old"), "…").unwrap();
    fs::write(partial("new"), "…").unwrap();
    make_old(&partial("old"), 15);

    let second = Store::open(folder.path()).unwrap();
    assert!(left.exists(), "the first one still works in it");
    drop(store);
    drop(second);
    Store::open(folder.path()).unwrap();
    assert!(!left.exists() && !folder.path().join("temporary/.tmpX").exists());
    assert!(!partial("old").exists() && partial("new").exists());
}

#[test]
fn scratch_folders_end_with_their_build() {
    let (folder, store) = empty();
    let (one, other) = (store.scratch().unwrap(), store.scratch().unwrap());
    assert_ne!(one.path(), other.path());
    assert!(one.path().starts_with(folder.path()));
    let path = one.path().to_path_buf();
    drop(one);
    assert!(!path.exists() && other.path().exists());
}

#[test]
fn documents_are_remembered_by_name() {
    let (folder, store) = empty();
    let key = "http://mirror.example/debian dists/trixie/../InRelease";
    assert_eq!(store.recall(key).unwrap(), None);
    store.remember(key, b"first").unwrap();
    store.remember("another", b"").unwrap();
    store.remember(key, b"second").unwrap();
    assert_eq!(store.recall(key).unwrap().unwrap(), b"second");
    assert_eq!(store.recall("another").unwrap().unwrap(), b"");

    let documents = folder.path().join("documents");
    for name in files(&documents) {
        let mut content = fs::read(documents.join(&name)).unwrap();
        content.truncate(content.len() - 1);
        fs::write(documents.join(&name), content).unwrap();
    }
    assert_eq!(store.recall(key).unwrap(), None, "a damaged one is none");
    assert_eq!(store.recall("another").unwrap(), None);
}

#[test]
fn derived_folders_are_kept_whole_or_not_at_all() {
    let (folder, store) = empty();
    let key = Digest::of(b"key");
    assert_eq!(store.derived("package", &key).unwrap(), None);
    let failed = store.keep_derived("package", &key, |files| {
        fs::write(files.join("half"), "…").unwrap();
        Err(Error::Cancelled)
    });
    assert!(failed.is_err());
    assert_eq!(store.derived("package", &key).unwrap(), None);
    assert_eq!(files(&folder.path().join("temporary")), [] as [PathBuf; 0]);

    let fill = |files: &Path| {
        fs::create_dir(files.join("inner")).unwrap();
        fs::write(files.join("inner/one"), "1").unwrap();
        fs::write(files.join("two"), "22").unwrap();
        Ok::<(), Error>(())
    };
    let kept = store.keep_derived("package", &key, fill).unwrap();
    assert_eq!(
        fs::read_to_string(kept.path().join("inner/one")).unwrap(),
        "1"
    );
    assert_eq!(store.derived("package", &key).unwrap(), Some(kept.clone()));
    assert_eq!(store.derived("other", &key).unwrap(), None);
    assert_eq!(store.keep_derived("package", &key, fill).unwrap(), kept);

    // As a power cut may leave it.
    fs::write(kept.path().join("two"), "").unwrap();
    assert_eq!(store.derived("package", &key).unwrap(), None);
    assert_eq!(store.keep_derived("package", &key, fill).unwrap(), kept);
    assert_eq!(fs::read_to_string(kept.path().join("two")).unwrap(), "22");
    assert_eq!(files(&folder.path().join("temporary")), [] as [PathBuf; 0]);

    let outside = store.keep_derived("../../outside", &key, fill).unwrap();
    assert!(
        fs::canonicalize(outside.path())
            .unwrap()
            .starts_with(fs::canonicalize(folder.path()).unwrap())
    );
}

#[test]
fn many_builds_derive_the_same_at_once() {
    let (folder, _store) = empty();
    let key = Digest::of(b"key");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let store = Store::open(folder.path()).unwrap();
                let kept = store
                    .keep_derived("kind", &key, |files| {
                        fs::write(files.join("one"), "1").unwrap();
                        Ok::<(), Error>(())
                    })
                    .unwrap();
                assert_eq!(fs::read_to_string(kept.path().join("one")).unwrap(), "1");
            });
        }
    });
    assert_eq!(files(&folder.path().join("temporary")), [] as [PathBuf; 0]);
}

/// Three blobs of 1000 bytes, used 30, 20 and 10 days ago, and two derived folders of 1000 bytes
/// (besides their lists), used 25 and 5 days ago.
fn used_store() -> (tempfile::TempDir, Store, Vec<Digest>) {
    let (folder, store) = empty();
    let mut digests = Vec::new();
    for (number, days) in [(1, 30), (2, 20), (3, 10)] {
        let blob = store.insert(&[number; 1000]).unwrap();
        make_old(blob.path(), days);
        digests.push(blob.digest);
    }
    for (number, days) in [(4, 25), (5, 5)] {
        let key = Digest::of(&[number]);
        let kept = store
            .keep_derived("kind", &key, |files| {
                fs::write(files.join("file"), [number; 1000]).unwrap();
                Ok::<(), Error>(())
            })
            .unwrap();
        make_old(kept.path().parent().unwrap(), days);
        digests.push(key);
    }
    (folder, store, digests)
}

/// Which of the five are there, without using them.
fn there(folder: &Path, digests: &[Digest]) -> Vec<bool> {
    let names = files(folder);
    digests
        .iter()
        .map(|digest| {
            let digest = digest.to_string();
            names
                .iter()
                .any(|path| path.components().any(|part| part.as_os_str() == &*digest))
        })
        .collect()
}

#[test]
fn collects_what_the_policy_says() {
    let days = |days: u64| Some(Duration::from_secs(days * 24 * 3600));
    let keep = |digests: &[Digest]| digests.iter().copied().collect::<BTreeSet<_>>();
    type Case<'a> = (&'a str, &'a dyn Fn(&[Digest]) -> Policy, [bool; 5]);
    let cases: [Case<'_>; 7] = [
        ("nothing asked", &|_| Policy::default(), [true; 5]),
        (
            "older than 15 days",
            &|_| Policy {
                unused_for: days(15),
                ..Policy::default()
            },
            [false, false, true, false, true],
        ),
        (
            "older than 15 days, but keep two",
            &|all| Policy {
                unused_for: days(15),
                keep: keep(&[all[0], all[3]]),
                ..Policy::default()
            },
            [true, false, true, true, true],
        ),
        (
            "all",
            &|_| Policy {
                at_most: Some(0),
                ..Policy::default()
            },
            [false; 5],
        ),
        (
            "derived first, the least recently used first",
            &|_| Policy {
                at_most: Some(4500),
                ..Policy::default()
            },
            [true, true, true, false, true],
        ),
        (
            "then blobs",
            &|_| Policy {
                at_most: Some(2500),
                ..Policy::default()
            },
            [false, true, true, false, false],
        ),
        (
            "what is kept counts",
            &|all| Policy {
                at_most: Some(1500),
                keep: keep(&[all[0]]),
                ..Policy::default()
            },
            [true, false, false, false, false],
        ),
    ];
    for (name, policy, expected) in cases {
        let (folder, mut store, digests) = used_store();
        let policy = policy(&digests);
        let foreseen = store
            .gc(&Policy {
                pretend: true,
                ..policy.clone()
            })
            .unwrap();
        assert_eq!(
            there(folder.path(), &digests),
            [true; 5],
            "{name}: only pretended"
        );
        let collected = store.gc(&policy).unwrap();
        let text = collected.to_string();
        assert_eq!(
            foreseen.to_string(),
            text.replace("removed", "would be removed")
        );
        let foreseen = Collected {
            pretended: false,
            ..foreseen
        };
        assert_eq!(collected, foreseen, "{name}");
        assert_eq!(there(folder.path(), &digests), expected, "{name}");
        let count = |range: std::ops::Range<usize>, wanted| {
            expected[range]
                .iter()
                .filter(|there| **there == wanted)
                .count() as u64
        };
        assert_eq!(collected.blobs.count, count(0..3, false), "{name}");
        assert_eq!(collected.blobs.bytes, 1000 * count(0..3, false), "{name}");
        assert_eq!(collected.derived.count, count(3..5, false), "{name}");
        assert_eq!(collected.kept.count, count(0..5, true), "{name}");
    }
}

#[test]
fn use_saves_from_collection() {
    let (folder, mut store, digests) = used_store();
    store.get(&digests[0]).unwrap().unwrap();
    store.derived("kind", &digests[3]).unwrap().unwrap();
    store.remember("index", b"index").unwrap();
    let policy = Policy {
        unused_for: Some(Duration::from_secs(15 * 24 * 3600)),
        ..Policy::default()
    };
    store.gc(&policy).unwrap();
    assert_eq!(
        there(folder.path(), &digests),
        [true, false, true, true, true]
    );

    let documents = folder.path().join("documents");
    make_old(&documents.join(&files(&documents)[0]), 16);
    assert_eq!(store.gc(&policy).unwrap().documents.count, 1);
    assert_eq!(store.recall("index").unwrap(), None);
}

#[test]
fn collects_left_overs_whatever_the_policy() {
    let (folder, mut store) = empty();
    drop(store.scratch().unwrap().keep());
    fs::write(folder.path().join("partial/blob"), [0; 10]).unwrap();
    fs::write(folder.path().join("temporary/file"), [0; 20]).unwrap();
    let expected = Amount {
        count: 3,
        bytes: 30,
    };
    let policy = Policy {
        pretend: true,
        ..Policy::default()
    };
    assert_eq!(store.gc(&policy).unwrap().leftovers, expected);
    assert_eq!(store.gc(&Policy::default()).unwrap().leftovers, expected);
    assert_eq!(
        store.gc(&Policy::default()).unwrap().leftovers,
        Amount::default()
    );
}

#[test]
fn nothing_is_collected_under_another_build() {
    let (folder, mut store) = empty();
    let blob = store.insert(b"content").unwrap();
    let mut other = Store::open(folder.path()).unwrap();
    let policy = Policy {
        at_most: Some(0),
        ..Policy::default()
    };
    for store in [&mut store, &mut other] {
        let refused = store.gc(&policy).unwrap_err();
        assert!(matches!(refused, Error::InUse { .. }) && refused.hint().is_some());
        assert!(blob.path().exists());
    }
    // A refused gc has not cost the others their protection.
    drop(store);
    let third = Store::open(folder.path()).unwrap();
    assert!(matches!(other.gc(&policy), Err(Error::InUse { .. })));
    drop(third);
    other.gc(&policy).unwrap();
    assert!(!blob.path().exists());
}

#[test]
fn verify_finds_a_flipped_byte() {
    let (folder, store) = empty();
    let blobs: Vec<Blob> = (0..20).map(|n| store.insert(&[n; 1000]).unwrap()).collect();
    let key = Digest::of(b"key");
    let fill = |files: &Path| {
        fs::write(files.join("one"), "1").unwrap();
        Ok::<(), Error>(())
    };
    store.keep_derived("kind", &key, fill).unwrap();
    let fine = store.verify(true, &Silent).unwrap();
    assert_eq!(
        fine.checked,
        Amount {
            count: 20,
            bytes: 20_000
        }
    );
    assert!(fine.damaged.is_empty() && !fine.removed);
    assert!(store.derived("kind", &key).unwrap().is_some());

    flip_a_byte(&blobs[7]);
    fs::write(folder.path().join("blobs/notes.txt"), "…").unwrap();
    for remove in [false, true] {
        let found = store.verify(remove, &Silent).unwrap();
        assert_eq!(found.removed, remove);
        let text = found.to_string();
        assert!(
            text.contains(&format!("{}: SHA-256 is ", blobs[7].path().display())),
            "{text}"
        );
        let end = if remove {
            "damaged: 2, removed"
        } else {
            "damaged: 2"
        };
        assert!(text.ends_with(end), "{text}");
        let mut wrong: Vec<_> = found
            .damaged
            .iter()
            .map(|damage| (&*damage.path, &damage.what))
            .collect();
        wrong.sort_by_key(|(path, _)| *path != blobs[7].path());
        let mut bytes = [7; 1000];
        bytes[0] ^= 1;
        let content = Wrong::Content {
            expected: blobs[7].digest,
            got: Digest::of(&bytes),
        };
        let strange = folder.path().join("blobs/notes.txt");
        assert_eq!(
            wrong,
            [(blobs[7].path(), &content), (&*strange, &Wrong::Strange)]
        );
        assert_eq!(store.get(&blobs[7].digest).unwrap().is_none(), remove);
        assert_eq!(store.derived("kind", &key).unwrap().is_none(), remove);
    }
    let fine = store.verify(false, &Silent).unwrap();
    assert_eq!((fine.checked.count, fine.damaged.len()), (19, 0));
}

#[test]
fn verify_finds_incomplete_derived_folders() {
    let (_folder, store) = empty();
    let key = Digest::of(b"key");
    let kept = store
        .keep_derived("kind", &key, |files| {
            fs::write(files.join("one"), "1").map_err(|source| Error::Source { source })
        })
        .unwrap();
    fs::remove_file(kept.path().join("one")).unwrap();
    let found = store.verify(true, &Silent).unwrap();
    assert_eq!(found.damaged.len(), 1);
    assert_eq!(found.damaged[0].what, Wrong::Incomplete);
    assert!(!kept.path().exists());
}
