//! The folder of a key set: made whole, private, exported, rotated, and refused when it is wrong.

use crate::support::{copy, file, keys, new_keys, run, signer, text, try_run};
use fortress_progress::Silent;
use fortress_tests::names;
use fortress_trust::{Error, Export, Holder, KeySet, NewKeys, Request, Role, Signer as _};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn keys_are_for_their_owner_alone() {
    let keys = keys();
    assert_eq!(mode(keys.folder()), 0o700);
    for role in Role::ALL {
        assert_eq!(
            mode(Path::new(&file(keys, &format!("{role}.key.pem")))),
            0o600
        );
        assert_eq!(
            mode(Path::new(&file(keys, &format!("{role}.pub.pem")))),
            0o644
        );
        let Holder::File { encrypted, .. } = keys.holder(role) else {
            panic!("{role} is not in a file");
        };
        assert!(!encrypted);
    }
}

#[test]
fn keys_that_others_can_read_are_refused() {
    let (_folder, keys) = copy();
    let private = keys.folder().join("pcr.key.pem");
    fs::set_permissions(&private, fs::Permissions::from_mode(0o640)).unwrap();
    let error = KeySet::open(keys.folder()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{} can be read by others (mode 0640)", private.display())
    );
    let hint = error.hint().unwrap();
    assert!(
        hint.starts_with(&format!("chmod 600 {}", private.display())),
        "{hint}"
    );
    fs::set_permissions(&private, fs::Permissions::from_mode(0o400)).unwrap();
    KeySet::open(keys.folder()).unwrap();
    fs::set_permissions(keys.folder(), fs::Permissions::from_mode(0o770)).unwrap();
    let error = KeySet::open(keys.folder()).unwrap_err().to_string();
    assert!(
        error.contains("can be changed by others (mode 0770)"),
        "{error}"
    );
}

#[test]
fn a_set_is_there_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/keys");
    assert!(matches!(KeySet::open(&path), Err(Error::NoKeySet { .. })));
    let made = KeySet::open_or_generate(&path, &|| new_keys(None)).unwrap();
    assert!(made.new);
    assert_eq!(names(path.parent().unwrap()), ["keys"]);
    let again = KeySet::open_or_generate(&path, &|| panic!("there is one")).unwrap();
    assert!(!again.new);
    assert_eq!(made.keys.public(), again.keys.public());
    let before = names(&path);
    let error = KeySet::generate(&path, &new_keys(None)).unwrap_err();
    assert!(matches!(error, Error::AlreadyThere { .. }), "{error}");
    assert!(error.hint().unwrap().contains("keys rotate"));
    assert_eq!(names(&path), before);

    // What was left behind by one that was killed is no key set, and in nobody's way.
    let left = path.parent().unwrap().join(".fortress-keys-abc");
    fs::rename(&path, &left).unwrap();
    fs::remove_file(left.join("keys.toml")).unwrap();
    assert!(matches!(KeySet::open(&left), Err(Error::NoKeySet { .. })));
    assert!(matches!(KeySet::open(&path), Err(Error::NoKeySet { .. })));
}

#[test]
fn names_that_certificates_cannot_carry_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    for owner in ["", " ", "Ada ", "Ada\nLovelace", &"x".repeat(60)] {
        let new = NewKeys {
            owner: owner.into(),
            passphrase: None,
        };
        let error = KeySet::generate(&path, &new).unwrap_err();
        assert!(matches!(error, Error::OwnerName { .. }), "{error}");
    }
    assert!(names(folder.path()).is_empty());
}

#[test]
fn halves_that_do_not_belong_together_are_refused() {
    let (_folder, keys) = copy();
    let own = keys.folder().join("db.key.pem");
    fs::copy(keys.folder().join("kek.key.pem"), &own).unwrap();
    let set = KeySet::open(keys.folder()).unwrap();
    let nobody = || Err(Error::Cancelled);
    let error = set.signer(&nobody, &Silent).unwrap_err();
    assert!(
        matches!(error, Error::Mismatch { role: Role::Db, .. }),
        "{error}"
    );

    fs::copy(keys.folder().join("manifest.key.pem"), &own).unwrap();
    let error = set.signer(&nobody, &Silent).unwrap_err().to_string();
    assert!(
        error.contains("db.key.pem: cannot read the private key"),
        "{error}"
    );

    fs::copy(keys.folder().join("kek.crt"), keys.folder().join("db.crt")).unwrap();
    let error = KeySet::open(keys.folder()).unwrap_err().to_string();
    assert!(
        error.contains("db.crt: the certificate is for another key"),
        "{error}"
    );
    fs::remove_file(keys.folder().join("db.crt")).unwrap();
    let error = KeySet::open(keys.folder()).unwrap_err().to_string();
    assert!(error.contains("db.crt: No such file"), "{error}");
}

#[test]
fn an_export_holds_nothing_secret_and_is_a_key_set() {
    let keys = keys();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("public");
    let export = Export {
        time: 1_800_000_000,
        microsoft: false,
    };
    assert!(keys.export(&path, export, &signer(keys)).unwrap());
    let listing = run("find", [text(&path), "-type", "f", "-printf", "%P\n"]);
    for name in [
        "README.txt",
        "keys.toml",
        "minisign.pub",
        "manifest.pub.pem",
        "db.crt",
        "der/db.cer",
        "der/pcr.pub.der",
        "secure-boot/PK.auth",
        "secure-boot/KEK.auth",
        "secure-boot/db.auth",
        "secure-boot/db.esl",
        "raspberry-pi/pubkey.bin",
    ] {
        assert!(
            listing.lines().any(|line| line == name),
            "no {name} in {listing}"
        );
    }
    let private = run(
        "grep",
        [
            "-rlE",
            "PRIVATE KEY",
            text(&path),
            "--",
            text(keys.folder()),
        ],
    );
    assert!(!private.contains(text(&path)), "{private}");
    assert!(
        private.contains("db.key.pem"),
        "the search finds private keys: {private}"
    );
    for role in Role::ALL {
        let der = path.join(format!("der/{role}.pub.der"));
        run(
            "openssl",
            [
                "pkey",
                "-pubin",
                "-inform",
                "DER",
                "-in",
                text(&der),
                "-noout",
            ],
        );
    }

    let public = KeySet::open(&path).unwrap();
    assert_eq!(public.public(), keys.public());
    assert!(Role::ALL.iter().all(|role| !public.has_private(*role)));
    assert!(!public.needs_passphrase());
    let request = Request {
        role: Role::Db,
        what: "host.efi",
        payload: &[1; 32],
    };
    let error = signer(&public).sign(&request).unwrap_err();
    assert!(
        error.to_string().contains("has no private half for db"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("--sign later"));
    // Again, from the export: the same but what must be signed, and never over what is there.
    let again = folder.path().join("again");
    assert!(!public.export(&again, export, &signer(&public)).unwrap());
    assert!(again.join("secure-boot/db.esl").exists());
    assert!(!again.join("secure-boot/db.auth").exists());
    let error = keys.export(&again, export, &signer(keys)).unwrap_err();
    assert!(matches!(error, Error::ExportThere { .. }), "{error}");
}

#[test]
fn a_replaced_key_is_kept_and_still_known() {
    let (folder, keys) = copy();
    let old = keys.public().clone();
    let time = 20_779 * 86_400;
    let rotated = keys
        .rotate(&[Role::Db, Role::Manifest], time, None)
        .unwrap();
    for role in Role::ALL {
        let same = old.key(role).unwrap() == rotated.public().key(role).unwrap();
        assert_eq!(same, !matches!(role, Role::Db | Role::Manifest), "{role}");
    }
    let retired = rotated.public().retired();
    assert_eq!(retired.len(), 2);
    for (retired, role) in retired.iter().zip([Role::Manifest, Role::Db]) {
        assert_eq!((retired.role, retired.date.as_str()), (role, "2026-11-22"));
        assert_eq!(&retired.key, old.key(role).unwrap());
    }
    let fingerprint = old.key(Role::Db).unwrap().fingerprint().unwrap();
    let kept = rotated
        .folder()
        .join(format!("retired/db-2026-11-22-{}", &fingerprint[..16]));
    assert_eq!(names(&kept), ["db.crt", "db.key.pem", "db.pub.pem"]);
    assert_eq!(mode(&kept.join("db.key.pem")), 0o600);
    assert_eq!(mode(rotated.folder()), 0o700);
    assert_eq!(names(folder.path()), ["keys"], "nothing is left beside it");
    let request = Request {
        role: Role::Db,
        what: "x",
        payload: &[1; 32],
    };
    let signature = signer(&rotated).sign(&request).unwrap();
    rotated.public().verify(&request, &signature).unwrap();
    assert!(old.verify(&request, &signature).is_err());

    // Twice in a day; and an export tells of the retired ones without their private halves.
    let twice = rotated.rotate(&[Role::Db], time, None).unwrap();
    assert_eq!(twice.public().retired().len(), 3);
    let path = folder.path().join("public");
    let export = Export {
        time: 0,
        microsoft: true,
    };
    twice.export(&path, export, &signer(&twice)).unwrap();
    assert_eq!(KeySet::open(&path).unwrap().public(), twice.public());
    assert!(
        !try_run("grep", ["-rq", "PRIVATE KEY", text(&path)])
            .status
            .success()
    );
}

#[test]
fn what_is_wrong_with_a_set_is_said() {
    let (_folder, keys) = copy();
    let settings = keys.folder().join("keys.toml");
    let good = fs::read_to_string(&settings).unwrap();
    for (text, said) in [
        (
            good.replace("format = 1", "format = 2"),
            "format 2 is not known here",
        ),
        (format!("{good}\ncolour = 1\n"), "unknown field `colour`"),
        (
            format!("{good}\n[roles.door]\ncommand = [\"x\"]\n"),
            "unknown variant `door`",
        ),
        ("\u{0}".into(), "keys.toml: "),
    ] {
        fs::write(&settings, text).unwrap();
        let error = KeySet::open(keys.folder()).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    fs::write(&settings, &good).unwrap();
    fs::create_dir_all(keys.folder().join("retired/letters")).unwrap();
    let error = KeySet::open(keys.folder()).unwrap_err().to_string();
    assert!(
        error.contains("retired/letters: not named ROLE-DATE-FINGERPRINT"),
        "{error}"
    );
}
