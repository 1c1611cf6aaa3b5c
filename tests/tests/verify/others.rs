//! What the field's own tools say, and what somebody else has signed or made.

use crate::fixture::{
    Copy, asked, blocks, built, debugfs, flip, manifest, partition, place_in_esp, signature_name,
    tool, verdict, verify,
};
use fortress_filesystem::ext4::{self, BlockOwner};
use fortress_tests::{
    BENCH_IMAGE, BENCH_MANIFEST, Oracle, Program, bench_arguments, strangers_keys, target_folder,
    test_keys,
};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Names and verdicts beside veritysetup, e2fsck, debugfs and sbverify.
#[test]
fn the_fields_own_tools_agree() {
    let oracle = Oracle::open();
    let folder = oracle.folder();
    let copy = Copy::new();
    let image = copy.image();
    let (root, length) = partition("root", Some("a"));
    let (tree, _) = partition("root-verity", Some("a"));
    let root_hash = manifest()["root_hash"].as_str().unwrap().to_owned();
    let here = folder.path().join("image");
    tool(&[
        "cp",
        "--sparse=always",
        image.to_str().unwrap(),
        here.to_str().unwrap(),
    ]);
    // veritysetup takes the hash area at an offset, and the data at the start.
    let data = folder.path().join("data");
    let cut = |from: &Path| {
        let file = File::open(from).unwrap();
        let mut bytes = vec![0; length as usize];
        file.read_exact_at(&mut bytes, root).unwrap();
        fs::write(&data, bytes).unwrap();
    };
    let theirs = || {
        cut(&here);
        let offset = format!("--hash-offset={tree}");
        let ran = oracle.run(&[
            "veritysetup",
            "verify",
            &oracle.inside(&data),
            &oracle.inside(&here),
            &root_hash,
            &offset,
        ]);
        ran.status == 0
    };
    let e2fsck = |at: &Path| {
        let place = format!("{}?offset={root}", at.display());
        asked(&["e2fsck", "-f", "-n", &place]).0 == 0
    };
    assert!(theirs() && e2fsck(&here));
    let beside = |name: &str| {
        fs::copy(copy.path(name), folder.path().join(name)).unwrap();
    };
    beside(BENCH_MANIFEST);
    let manifest_path = copy.path(BENCH_MANIFEST);
    let ours = || verdict(&here, &["--manifest", manifest_path.to_str().unwrap()]);
    // In contents, in the tree, in inodes, in a map, in a directory.
    let directory = blocks(&image, "/usr/bin")[0];
    for (at, structure) in [
        (root + 4096 * blocks(&image, "/usr/bin/wg")[3], true),
        (tree + 4096 * 9 + 11, true),
        (root + 1024 + 0x20, false),
        (root + 4096 * directory + 1, false),
    ] {
        flip(&here, at);
        ours().is("damaged");
        assert!(!theirs(), "veritysetup finds nothing at {at}");
        assert_eq!(e2fsck(&here), structure, "e2fsck, {at}");
        let said = ours()
            .findings()
            .iter()
            .any(|one| !one.reason.contains("root hash covers"));
        assert_eq!(said, !structure, "structure, {at}");
        flip(&here, at);
    }
    assert!(theirs() && e2fsck(&here));
    ours().is("good");

    // Which file a block belongs to, for blocks all over the root.
    let file = File::open(&image).unwrap();
    let structure = ext4::read(&file, root, length).unwrap();
    let wanted: Vec<u64> = (0..400).map(|step| step * 117 % (length / 4096)).collect();
    let list: Vec<String> = wanted.iter().map(u64::to_string).collect();
    let said = debugfs(&image, &format!("icheck {}", list.join(" ")));
    let inodes: BTreeMap<u64, u64> = said
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
        })
        .collect();
    let numbers: Vec<String> = inodes.values().map(u64::to_string).collect();
    let said = debugfs(&image, &format!("ncheck {}", numbers.join(" ")));
    let mut names: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
    for line in said.lines().skip(1) {
        if let Some((inode, name)) = line.split_once('\t') {
            names.entry(inode.parse().unwrap()).or_default().push(name);
        }
    }
    assert!(inodes.len() > 250, "{} blocks are in files", inodes.len());
    for block in wanted {
        let inode = inodes.get(&block).copied();
        match (structure.owner(block), inode) {
            (
                BlockOwner::Contents { path, .. }
                | BlockOwner::Extents { path }
                | BlockOwner::Attributes { path },
                Some(inode),
            ) => {
                // debugfs puts two slashes at the start.
                let known = &names[&inode];
                let same = known
                    .iter()
                    .any(|name| name.trim_start_matches('/') == &path[1..]);
                assert!(same, "block {block}: {path}, {known:?}");
            }
            (BlockOwner::Journal, Some(8)) => {}
            (owner, None) => assert!(
                !matches!(
                    owner,
                    BlockOwner::Contents { .. } | BlockOwner::Extents { .. }
                ),
                "block {block}: {owner:?}"
            ),
            (owner, inode) => panic!("block {block}: {owner:?}, {inode:?}"),
        }
    }

    // Signatures of programs.
    let certificate = test_keys().join("db.crt");
    let sbverify = |program: &[u8]| {
        let path = folder.path().join("program");
        fs::write(&path, program).unwrap();
        let certificate = certificate.to_str().unwrap();
        asked(&["sbverify", "--cert", certificate, path.to_str().unwrap()]).0 == 0
    };
    for path in ["EFI/BOOT/BOOTX64.EFI", "EFI/Linux/bench_1+3.efi"] {
        let (place, mut bytes) = place_in_esp(&image, path);
        assert!(sbverify(&bytes), "{path}");
        bytes[5000] ^= 0x10;
        assert!(!sbverify(&bytes), "{path}");
        copy.flipped(place + 5000, || {
            verdict(&image, &[])
                .is("damaged")
                .names("esp", path, place + 5000);
        });
    }
}

/// It is not as good as new: who has stolen the old key would go on.
#[test]
fn what_a_replaced_key_signed_is_told_to_be_of_old() {
    let keys = strangers_keys();
    let output = tempfile::tempdir_in(target_folder()).unwrap();
    Program::new(&bench_arguments(output.path()))
        .variable("FORTRESS_KEYS", keys.path())
        .run()
        .success();
    let image = output.path().join(BENCH_IMAGE);
    let asked = ["--keys", keys.path().to_str().unwrap()];
    verdict(&image, &asked).is("good");
    for (role, said) in [
        (
            "db",
            "its key for db is one of yours that was replaced on 20",
        ),
        ("manifest", "by a key of yours that was replaced on 20"),
    ] {
        Program::new(&["keys", "rotate", role])
            .variable("FORTRESS_KEYS", keys.path())
            .run()
            .success();
        verdict(&image, &asked).is("not-signed").says(said);
    }
}

#[test]
fn what_others_signed_is_not_yours() {
    let copy = Copy::new();
    let image = copy.image();
    let stranger = strangers_keys();
    let strangers = stranger.path().to_str().unwrap();
    verdict(&image, &["--keys", strangers])
        .is("not-signed")
        .says("none of the keys");
    let manifest_path = copy.path(BENCH_MANIFEST);
    let signature = copy.path(&signature_name());
    let (text, signed) = (
        fs::read_to_string(&manifest_path).unwrap(),
        fs::read(&signature).unwrap(),
    );

    // A manifest that somebody changed, one without a signature, one signed by somebody else.
    fs::write(
        &manifest_path,
        text.replacen("\"version\": \"1\"", "\"version\": \"2\"", 1),
    )
    .unwrap();
    verdict(&image, &[]).is("not-signed").says("was changed");
    fs::write(&manifest_path, &text).unwrap();
    fs::remove_file(&signature).unwrap();
    verdict(&image, &[]).is("not-signed").says("there is no");
    let theirs = tempfile::tempdir_in(target_folder()).unwrap();
    Program::new(&bench_arguments(theirs.path()))
        .variable("FORTRESS_KEYS", stranger.path())
        .run()
        .success();
    fs::copy(theirs.path().join(signature_name()), &signature).unwrap();
    verdict(&image, &[]).is("not-signed");
    fs::write(&signature, b"\xff\xfe nothing of the kind").unwrap();
    verdict(&image, &[]).is("not-signed");
    fs::write(&signature, &signed).unwrap();
    verdict(&image, &[]).is("good");

    // The manifest of an image of your own that is another one.
    let other = tempfile::tempdir_in(target_folder()).unwrap();
    let mut arguments = bench_arguments(other.path());
    arguments.extend(["--set".into(), "system.hostname=elsewhere".into()]);
    Program::new(&arguments).run().success();
    let foreign = other.path().join(BENCH_MANIFEST);
    verdict(&other.path().join(BENCH_IMAGE), &[]).is("good");
    let mixed = verdict(&image, &["--manifest", foreign.to_str().unwrap()]);
    mixed.is("damaged");

    // Somebody else's image with a program, a root, a signature of theirs in it.
    let their_image = theirs.path().join(BENCH_IMAGE);
    for (purpose, said) in [
        ("esp", "is none of the keys"),
        ("root-verity-sig", "is none of the keys"),
    ] {
        let (offset, length) = partition(purpose, None);
        let mut bytes = vec![0; length as usize];
        let source = File::open(&their_image).unwrap();
        source.read_exact_at(&mut bytes, offset).unwrap();
        let target = File::options().write(true).open(&image).unwrap();
        target.write_all_at(&bytes, offset).unwrap();
        verdict(&image, &[]).is("not-signed").says(said);
        let source = File::open(built().join(BENCH_IMAGE)).unwrap();
        source.read_exact_at(&mut bytes, offset).unwrap();
        target.write_all_at(&bytes, offset).unwrap();
    }
    verdict(&image, &[]).is("good");

    // Not signed yet.
    let later = tempfile::tempdir_in(target_folder()).unwrap();
    let mut arguments = bench_arguments(later.path());
    arguments.extend(["--sign".into(), "later".into()]);
    Program::new(&arguments).run().success();
    verdict(&later.path().join(BENCH_IMAGE), &[]).is("not-signed");
}

#[test]
fn what_is_no_image_is_not_one_of_ours() {
    let copy = Copy::new();
    let path = copy.path("something.img");
    fs::write(&path, "no image\n").unwrap();
    verdict(&path, &[]).is("foreign").says("there is none at");
    let manifest = copy.path(BENCH_MANIFEST);
    let manifest = manifest.to_str().unwrap();
    verdict(&path, &["--manifest", manifest])
        .is("foreign")
        .says("no partition table");
    fs::write(&path, "").unwrap();
    verdict(&path, &["--manifest", manifest]).is("foreign");
    // A terabyte of nothing is looked at in no time.
    let file = File::create(&path).unwrap();
    file.set_len(1 << 40).unwrap();
    verdict(&path, &["--manifest", manifest]).is("foreign");
    // Another system's disk.
    tool(&["sgdisk", "--new=1:2048:+64M", path.to_str().unwrap()]);
    verdict(&path, &["--manifest", manifest])
        .is("foreign")
        .says("of another system");
    fs::write(copy.path("something.manifest.json"), "{}").unwrap();
    verdict(&path, &[]).is("foreign");

    let refused = verify(path.parent().unwrap(), &[]);
    assert_eq!((refused.code, refused.output.as_str()), (1, ""));
    assert!(refused.errors.contains("cannot read"), "{}", refused.errors);
    let refused = verify(&copy.path("missing.img"), &[]);
    assert!(refused.errors.contains("cannot read"), "{}", refused.errors);
    let refused = verify(&copy.image(), &["--public-key", "nonsense"]);
    assert_eq!(refused.code, 2);
    let refused = verify(
        &copy.image(),
        &["--keys", copy.path("none").to_str().unwrap()],
    );
    assert_ne!(refused.code, 0);
}
