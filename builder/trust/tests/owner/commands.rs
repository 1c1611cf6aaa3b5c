//! Commands that sign: tokens, and what goes wrong with them.

use crate::support::{self, copy, run, signer, text, write};
use fortress_progress::{Observer, Silent, Stage, Unit};
use fortress_trust::{CommandSigner, Error, Holder, KeySet, PublicKey, Request, Role, Signer as _};
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

const DIGEST: [u8; 32] = [0x5a; 32];
const REQUEST: Request<'_> = Request {
    role: Role::Db,
    what: "host.efi",
    payload: &DIGEST,
};

/// A shell script.
fn script(folder: &TempDir, lines: &str) -> Vec<String> {
    vec![executable(
        folder,
        "sign",
        format!("#!/bin/sh\nset -eu\n{lines}\n"),
    )]
}

/// Has another process write the program: one that another test starts while this process has it
/// open would hold it for a moment, and the kernel refuses to run what is open for writing.
fn executable(folder: &TempDir, name: &str, content: String) -> String {
    let source = write(folder, &format!("{name}.text"), content);
    let path = text(&folder.path().join(name)).to_owned();
    run("install", ["-m", "755", &source, &path]);
    path
}

/// Asks a command for a signature by the shared set's key for db.
fn sign_by(command: &[String]) -> Result<Vec<u8>, String> {
    let public = support::keys().public().key(Role::Db).unwrap();
    CommandSigner::new(command, public, &Silent)
        .sign(&REQUEST)
        .map_err(|error| error.to_string())
}

fn private() -> String {
    text(&support::keys().folder().join("db.key.pem")).to_owned()
}

/// What signs a digest by openssl.
fn by_openssl() -> String {
    format!(
        "openssl pkeyutl -sign -inkey '{}' -pkeyopt digest:sha256",
        private()
    )
}

#[test]
fn a_command_gets_the_payload_and_gives_the_signature() {
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("told");
    let line = format!(
        "echo \"$FORTRESS_ROLE $FORTRESS_ALGORITHM $*\" > '{}'\n{}",
        told.display(),
        by_openssl()
    );
    let mut command = script(&folder, &line);
    command.extend(["one".to_owned(), "two words".to_owned()]);
    let ours = signer(support::keys()).sign(&REQUEST).unwrap();
    assert_eq!(sign_by(&command).unwrap(), ours);
    assert_eq!(
        fs::read_to_string(told).unwrap(),
        "db rsa2048-sha256 one two words\n"
    );
}

#[test]
fn commands_that_do_not_sign_are_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let stranger = text(&support::stranger().folder().join("db.key.pem")).to_owned();
    for (lines, said) in [
        (
            "cat > /dev/null; exit 3".to_owned(),
            "failed: exit status: 3",
        ),
        ("kill -9 $$".into(), "failed: signal: 9"),
        (
            "cat > /dev/null".into(),
            "wrote 0 bytes, and a signature has 256",
        ),
        ("head -c 255 /dev/zero".into(), "wrote 255 bytes"),
        (
            "head -c 100000 /dev/zero || true".into(),
            "wrote more than the 256 bytes",
        ),
        (
            "head -c 256 /dev/zero".into(),
            "the signature by db on host.efi is wrong",
        ),
        (
            by_openssl().replace(&private(), &stranger),
            "the signature by db on host.efi is wrong",
        ),
        (
            format!("{}; exit 1", by_openssl()),
            "failed: exit status: 1",
        ),
    ] {
        let error = sign_by(&script(&folder, &lines)).unwrap_err();
        assert!(error.contains(said), "{lines}: {error}");
    }
    let error = sign_by(&["/nowhere/sign".to_owned()]).unwrap_err();
    assert!(
        error
            .contains("cannot sign host.efi: the command for db (/nowhere/sign) cannot be started")
    );
    assert!(sign_by(&[]).unwrap_err().contains("is empty"));
}

/// Somebody who has pressed Ctrl-C.
struct Impatient;

impl Observer for Impatient {
    fn stage(&self, _name: &str, _total: Option<u64>, _unit: Unit) -> Box<dyn Stage> {
        Box::new(Silent)
    }
    fn note(&self, _line: &str) {}
    fn warn(&self, _line: &str) {}
    fn cancelled(&self) -> bool {
        true
    }
}

#[test]
fn nobody_has_to_wait_for_a_command() {
    let folder = tempfile::tempdir().unwrap();
    let public = support::keys().public().key(Role::Db).unwrap();
    // One that answers nothing, one that has answered, one whose child holds its output.
    for lines in ["exec sleep 1000", "exec >&-; exec sleep 1000", "sleep 20"] {
        let command = script(&folder, lines);
        let signer = CommandSigner::new(&command, public, &Impatient);
        let error = signer.sign(&REQUEST).unwrap_err();
        assert!(matches!(error, Error::Cancelled), "{error}");
    }
}

#[test]
fn a_command_takes_the_place_of_a_file() {
    let (folder, keys) = copy();
    let public = keys.public().key(Role::Db).unwrap().clone();
    let good = script(&folder, &by_openssl());
    let use_command = |command: &[String], public: &PublicKey, role| {
        keys.use_command(role, command, public, None, 0, &Silent)
    };
    // One that signs by another key changes nothing.
    let other = keys.public().key(Role::Kek).unwrap().clone();
    let before = support::run("find", [text(keys.folder())]);
    let error = use_command(&good, &other, Role::Kek).unwrap_err();
    assert!(matches!(error, Error::WrongSignature { .. }), "{error}");
    // Nor does one whose key has a use already.
    let error = use_command(&good, &public, Role::Kek).unwrap_err();
    assert!(
        matches!(
            error,
            Error::KeyInUse {
                other: Role::Db,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(support::run("find", [text(keys.folder())]), before);

    let given = keys.public().certificate(Role::Db).unwrap().clone();
    let same = keys
        .use_command(Role::Db, &good, &public, Some(given), 0, &Silent)
        .unwrap();
    assert_eq!(
        same.public().key(Role::Db).unwrap(),
        keys.public().key(Role::Db).unwrap()
    );
    assert_eq!(*same.holder(Role::Db), Holder::Command(good.clone()));
    assert!(!same.folder().join("db.key.pem").exists());
    assert_eq!(
        signer(&same).sign(&REQUEST).unwrap(),
        signer(support::keys()).sign(&REQUEST).unwrap()
    );
    let settings = fs::read_to_string(same.folder().join("keys.toml")).unwrap();
    assert!(settings.contains("[roles.db]\ncommand = ["), "{settings}");

    // And back to a file.
    let back = same.rotate(&[Role::Db], 0, None).unwrap();
    assert!(matches!(back.holder(Role::Db), Holder::File { .. }));
    assert!(
        !fs::read_to_string(back.folder().join("keys.toml"))
            .unwrap()
            .contains("roles")
    );
}

/// The script that docs/keys.md shows, as it stands there.
fn documented_script() -> String {
    let path = fortress_tests::project_folder().join("docs/keys.md");
    let documentation = fs::read_to_string(path).unwrap();
    let (_, script) = documentation.split_once("```sh\n#!/bin/sh\n").unwrap();
    let (script, _) = script.split_once("```").unwrap();
    format!("#!/bin/sh\n{script}")
}

/// A token of SoftHSM with an RSA key in it, as a token of hardware would be used.
#[test]
fn a_token_signs_by_the_documented_script() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    fs::create_dir(&tokens).unwrap();
    let configuration = write(
        &folder,
        "softhsm2.conf",
        format!(
            "directories.tokendir = {}\nobjectstore.backend = file\n",
            tokens.display()
        ),
    );
    let module = [
        "/usr/lib/softhsm/libsofthsm2.so",
        "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    ]
    .into_iter()
    .find(|path| Path::new(path).exists())
    .expect("SoftHSM is not here: install tests/host-packages.txt");
    let tool = |program: &str, arguments: &[&str]| {
        let output = Command::new(program)
            .args(arguments)
            .env("SOFTHSM2_CONF", &configuration)
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}: install tests/host-packages.txt"));
        assert!(output.status.success(), "{program}: {output:?}");
    };
    let initialize = [
        "--init-token",
        "--free",
        "--label",
        "fortress",
        "--so-pin",
        "12345678",
        "--pin",
        "1234",
    ];
    tool("softhsm2-util", &initialize);
    let pkcs11 = |arguments: &[&str]| {
        let common = [
            "--module",
            module,
            "--token-label",
            "fortress",
            "--login",
            "--pin",
            "1234",
        ];
        tool("pkcs11-tool", &[&common, arguments].concat());
    };
    let key = [
        "--keypairgen",
        "--key-type",
        "rsa:2048",
        "--id",
        "01",
        "--label",
        "db",
    ];
    pkcs11(&key);
    let der = text(&folder.path().join("db.der")).to_owned();
    pkcs11(&[
        "--read-object",
        "--type",
        "pubkey",
        "--id",
        "01",
        "--output-file",
        &der,
    ]);
    let pem = text(&folder.path().join("db.pem")).to_owned();
    run(
        "openssl",
        [
            "pkey", "-pubin", "-inform", "DER", "-in", &der, "-out", &pem,
        ],
    );

    // The PIN is in a file, as the documentation has it; the test has a configuration of its own.
    let pin = write(&folder, "pin", "1234");
    let lines = documented_script().replace(
        "#!/bin/sh\n",
        &format!("#!/bin/sh\nexport SOFTHSM2_CONF='{configuration}'\n"),
    );
    let path = executable(&folder, "sign-with-token", lines);
    let command = [path.as_str(), module, "fortress", "01", &pin].map(str::to_owned);

    let (_copy, keys) = copy();
    let public =
        PublicKey::from_pem(&fs::read_to_string(&pem).unwrap(), Role::Db.algorithm()).unwrap();
    let keys = keys
        .use_command(Role::Db, &command, &public, None, 0, &Silent)
        .unwrap();
    // The token has signed its own certificate, which openssl accepts; and what it signs, too.
    let certificate = text(&keys.folder().join("db.crt")).to_owned();
    run(
        "openssl",
        [
            "verify",
            "-x509_strict",
            "-check_ss_sig",
            "-partial_chain",
            "-CAfile",
            &certificate,
            &certificate,
        ],
    );
    let keys = KeySet::open(keys.folder()).unwrap();
    assert!(keys.public().key(Role::Db).unwrap().is_same_key(&public));
    let content = write(&folder, "content", "what is signed");
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest("what is signed");
    let request = Request {
        role: Role::Db,
        what: "content",
        payload: &digest,
    };
    let signature = write(&folder, "signature", signer(&keys).sign(&request).unwrap());
    run(
        "openssl",
        [
            "dgst",
            "-sha256",
            "-verify",
            &pem,
            "-signature",
            &signature,
            &content,
        ],
    );
}
