//! Images that are signed later and elsewhere become the same bytes as those that are signed while
//! they are built; and nobody's signature gets onto anything else.

use fortress_tests::{
    BENCH_IMAGE, BENCH_MANIFEST, Program, Ran, bench_arguments, bench_bytes, bench_names,
    bench_reference, names, public_halves, strangers_keys, target_folder, test_keys,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const REQUESTS: &str = "bench_1_x86_debian-13.requests.json";
const SIGNATURES: &str = "bench_1_x86_debian-13.signatures.json";

/// A folder on the disk that the store is on, too.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(target_folder()).unwrap()
}

/// Builds the bench image for these keys, to be signed later.
#[track_caller]
fn unsigned(output: &Path, keys: &Path) {
    let mut arguments = bench_arguments(output);
    arguments.extend(["--sign", "later"].map(str::to_owned));
    Program::new(&arguments)
        .variable("FORTRESS_KEYS", keys)
        .run()
        .success();
}

#[track_caller]
fn run(command: &str, paths: &[PathBuf], keys: &Path) -> Ran {
    let mut arguments = vec![command.to_owned()];
    arguments.extend(paths.iter().map(|path| path.to_str().unwrap().to_owned()));
    Program::new(&arguments)
        .variable("FORTRESS_KEYS", keys)
        .run()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn in_rounds_where_the_keys_are() {
    let (output, away) = (folder(), folder());
    let public = public_halves(test_keys());
    unsigned(output.path(), public.path());
    let at = |name: &str| output.path().join(name);
    // Nothing that could be taken for a signature.
    let unsigned_names = names(output.path());
    assert!(
        !unsigned_names.iter().any(|name| name.ends_with(".minisig")),
        "{unsigned_names:?}"
    );
    let before = bench_bytes(output.path());
    let image = before[BENCH_IMAGE].clone();
    let mut rounds = Vec::new();
    while at(REQUESTS).exists() {
        rounds.push(json(&at(REQUESTS))["requests"].as_array().unwrap().len());
        // To the machine with the keys, and back.
        let requests = away.path().join(REQUESTS);
        fs::copy(at(REQUESTS), &requests).unwrap();
        let signatures = Program::new(&["keys", "sign", requests.to_str().unwrap()])
            .run()
            .success();
        fs::write(away.path().join(SIGNATURES), signatures).unwrap();
        let ran = run(
            "sign",
            &[
                at(BENCH_IMAGE),
                "--signatures".into(),
                away.path().join(SIGNATURES),
            ],
            public.path(),
        );
        match at(REQUESTS).exists() {
            true => assert_eq!(ran.code, 20, "{ran:?}"),
            false => drop(ran.success()),
        }
        let now = bench_bytes(output.path());
        if at(REQUESTS).exists() {
            assert_eq!(now[BENCH_IMAGE], image, "half of the signatures are in it");
            assert_eq!(now[BENCH_MANIFEST], before[BENCH_MANIFEST]);
        }
    }
    // Policies and boot loader; what contains them; what names that; what vouches for comments.
    assert_eq!(rounds.len(), 4, "{rounds:?}");
    assert_eq!(names(output.path()), bench_names());
    assert_eq!(bench_bytes(output.path()), *bench_reference());
}

#[test]
fn at_once_and_again_with_the_same_bytes() {
    let output = folder();
    unsigned(output.path(), test_keys());
    let image = output.path().join(BENCH_IMAGE);
    for _ in 0..2 {
        run("sign", std::slice::from_ref(&image), test_keys()).success();
        assert_eq!(names(output.path()), bench_names());
        assert_eq!(bench_bytes(output.path()), *bench_reference());
    }
    // Putting them in was interrupted when the image was there, and its documents were not.
    let again = folder();
    unsigned(again.path(), test_keys());
    fs::copy(&image, again.path().join(BENCH_IMAGE)).unwrap();
    run("sign", &[again.path().join(BENCH_IMAGE)], test_keys()).success();
    assert_eq!(bench_bytes(again.path()), *bench_reference());
}

#[test]
fn by_somebody_without_keys_who_has_the_published_signatures() {
    let (published, output) = (folder(), folder());
    let signatures = published.path().join("published.json");
    fs::write(&signatures, &bench_reference()[SIGNATURES]).unwrap();
    let public = public_halves(test_keys());
    unsigned(output.path(), public.path());
    let before = bench_bytes(output.path());
    let attach = |signatures: &Path| {
        let paths = [output.path().join(BENCH_IMAGE), signatures.to_owned()];
        run("attach", &paths, public.path())
    };

    // One that is wrong, one that is missing, and a list that is none: named, and nothing changes.
    let mut wrong = json(&signatures);
    let text = wrong["signatures"][3]["signature"].as_str().unwrap();
    let first = if text.starts_with('A') { 'B' } else { 'A' };
    let text = format!("{first}{}", &text[1..]);
    let what = wrong["signatures"][3]["what"].as_str().unwrap().to_owned();
    wrong["signatures"][3]["signature"] = text.into();
    let changed = published.path().join("wrong.json");
    fs::write(&changed, wrong.to_string()).unwrap();
    let refused = attach(&changed).refusal(20);
    assert!(refused.contains(&what), "{what}: {refused}");
    let mut short = json(&signatures);
    let list = short["signatures"].as_array_mut().unwrap();
    list.retain(|entry| entry["role"] != "verity");
    fs::write(&changed, short.to_string()).unwrap();
    let refused = attach(&changed).refusal(20);
    assert!(refused.contains("verity on root hash"), "{refused}");
    fs::write(&changed, "{}").unwrap();
    attach(&changed).refusal(1);
    assert_eq!(bench_bytes(output.path()), before);

    attach(&signatures).success();
    assert_eq!(bench_bytes(output.path()), *bench_reference());
}

#[test]
fn of_another_image_or_by_a_stranger_is_refused() {
    let (output, stranger) = (folder(), strangers_keys());
    let public = public_halves(test_keys());
    unsigned(output.path(), public.path());
    let image = output.path().join(BENCH_IMAGE);
    let before = bench_bytes(output.path());

    let refused = run("sign", std::slice::from_ref(&image), stranger.path()).refusal(20);
    assert!(refused.contains("is for other keys"), "{refused}");

    // Whoever signs must not vouch for what somebody changed in the meantime.
    let manifest = json(&output.path().join(BENCH_MANIFEST));
    let partition = |purpose: &str| {
        let partitions = manifest["partitions"].as_array().unwrap();
        let found = partitions.iter().find(|one| one["purpose"] == purpose);
        found.unwrap()["offset"].as_u64().unwrap()
    };
    let file = File::options().read(true).write(true).open(&image).unwrap();
    for (what, at) in [
        ("the partition table", 600),
        ("partition esp", partition("esp") + (128 << 20)),
        ("the root file system", partition("root") + 5000),
    ] {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[!byte[0]], at).unwrap();
        let refused = run("sign", std::slice::from_ref(&image), test_keys()).refusal(21);
        assert!(refused.contains(what), "{what}: {refused}");
        file.write_all_at(&byte, at).unwrap();
    }
    assert_eq!(bench_bytes(output.path()), before);
}

#[test]
fn owners_differ_in_signatures_alone() {
    let (output, stranger) = (folder(), strangers_keys());
    Program::new(&bench_arguments(output.path()))
        .variable("FORTRESS_KEYS", stranger.path())
        .run()
        .success();
    let theirs = bench_bytes(output.path());
    let ours = bench_reference();
    let same: Vec<&str> = ours
        .iter()
        .filter(|(name, text)| theirs[*name] == **text)
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(same, ["bench_1_x86_debian-13.spdx.json"]);
    let flat = |text: &str| {
        let mut rows = BTreeMap::new();
        flatten("", &serde_json::from_str(text).unwrap(), &mut rows);
        rows
    };
    let (ours, theirs) = (flat(&ours[BENCH_MANIFEST]), flat(&theirs[BENCH_MANIFEST]));
    assert!(ours.keys().eq(theirs.keys()));
    for (key, value) in &ours {
        let of_owner = key.starts_with("/keys/")
            || key.starts_with("/boot/")
            || key == "/partitions/0/sha256"
            || key == "/partitions/3/sha256";
        assert!(of_owner || theirs[key] == *value, "{key}");
    }
    // ESP and signature of the root hash.
    assert_ne!(ours["/partitions/0/sha256"], theirs["/partitions/0/sha256"]);
    assert_ne!(ours["/partitions/3/sha256"], theirs["/partitions/3/sha256"]);
    assert_eq!(ours["/partitions/3/purpose"], "\"root-verity-sig\"");
}

/// The leaves of a document by their paths.
fn flatten(path: &str, value: &Value, rows: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                flatten(&format!("{path}/{name}"), value, rows);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                flatten(&format!("{path}/{index}"), value, rows);
            }
        }
        leaf => drop(rows.insert(path.to_owned(), leaf.to_string())),
    }
}

#[test]
fn keys_without_private_halves_are_told_before_the_work() {
    let output = folder();
    let public = public_halves(test_keys());
    let refused = Program::new(&bench_arguments(output.path()))
        .variable("FORTRESS_KEYS", public.path())
        .run()
        .refusal(1);
    assert!(
        refused.contains("no private half for manifest, pk"),
        "{refused}"
    );
    assert!(refused.contains("--sign later"), "{refused}");
    assert_eq!(names(output.path()), [""; 0]);
}

#[test]
fn the_first_image_makes_keys_and_says_so() {
    let (output, keys) = (folder(), folder());
    let keys = keys.path().join("new");
    let build = || {
        Program::new(&bench_arguments(output.path()))
            .variable("FORTRESS_KEYS", &keys)
            .run()
    };
    let ran = build();
    let said = format!(
        "made keys of your own, with which your images are signed, in {}",
        keys.display()
    );
    assert!(ran.errors.contains(&said), "{ran:?}");
    let first = bench_bytes(output.path());
    let ran = build();
    assert!(!ran.errors.contains("made keys"), "{ran:?}");
    assert_eq!(bench_bytes(output.path()), first);
}
