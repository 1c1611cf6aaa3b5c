//! The owner's keys on the command line.

use fortress_tests::{Program, Ran, names, public_halves, target_folder, test_keys};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(target_folder()).unwrap()
}

fn keys(folder: &Path, arguments: &[&str]) -> Ran {
    let arguments = [&["keys"], arguments].concat();
    Program::new(&arguments)
        .variable("FORTRESS_KEYS", folder)
        .run()
}

fn show(folder: &Path) -> Value {
    serde_json::from_str(&keys(folder, &["show", "--json"]).success()).unwrap()
}

/// A copy of the keys that all tests share, to be changed.
fn copy(to: &Path) {
    let copied = Command::new("cp")
        .arg("-a")
        .arg(test_keys())
        .arg(to)
        .status();
    assert!(copied.unwrap().success());
}

fn grep(pattern: &str, folder: &Path) -> bool {
    let found = Command::new("grep")
        .args(["-rq", pattern])
        .arg(folder)
        .status();
    found.unwrap().success()
}

#[test]
fn from_new_to_replaced() {
    let place = folder();
    let set = place.path().join("deep/keys");
    let refused = keys(&set, &["show"]).refusal(1);
    assert!(refused.contains("there is no key set in"), "{refused}");
    assert!(
        refused.contains("hint: 'fortress-build keys new'"),
        "{refused}"
    );

    let said = keys(&set, &["new", "--owner", "Ada"]).success();
    assert!(said.contains("owner         Ada\n"), "{said}");
    let shown = show(&set);
    assert_eq!(shown["owner"], "Ada");
    let roles = [
        "manifest",
        "pk",
        "kek",
        "db",
        "verity",
        "pcr",
        "raspberry-pi",
    ];
    for role in roles {
        let key = &shown["keys"][role];
        assert!(
            said.contains(key["key"].as_str().unwrap()),
            "{role}: {said}"
        );
        assert_eq!(key["private"]["encrypted"], false);
        let path = Path::new(key["private"]["file"].as_str().unwrap());
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(set.metadata().unwrap().permissions().mode() & 0o777, 0o700);

    // Never over keys that there are.
    let refused = keys(&set, &["new"]).refusal(1);
    assert!(refused.contains("something is there already"), "{refused}");
    assert_eq!(show(&set), shown);

    let said = keys(&set, &["rotate", "pcr", "db"]).success();
    assert!(
        said.contains("What follows:\ndb\n  Machines that have the old certificate"),
        "{said}"
    );
    assert!(
        said.contains("\npcr\n  TPMs released the key of the state"),
        "{said}"
    );
    let rotated = show(&set);
    for role in roles {
        let same = shown["keys"][role] == rotated["keys"][role];
        assert_eq!(same, role != "db" && role != "pcr", "{role}");
    }
    let retired = rotated["retired"].as_array().unwrap();
    let retired: Vec<_> = retired
        .iter()
        .map(|key| (&key["role"], &key["key"]))
        .collect();
    let old = |role: &str| &shown["keys"][role]["key"];
    assert_eq!(
        retired,
        [(&json!("db"), old("db")), (&json!("pcr"), old("pcr"))]
    );
    let refused = keys(&set, &["rotate", "door"]).refusal(2);
    assert!(refused.contains("the keys are manifest, pk,"), "{refused}");
}

#[test]
fn others_get_public_halves_alone() {
    let place = folder();
    let public = place.path().join("public");
    let path = public.to_str().unwrap();
    let said = keys(test_keys(), &["export", "--microsoft", path]).success();
    assert!(said.contains("README.txt"), "{said}");
    assert!(grep("PRIVATE KEY", test_keys()));
    assert!(!grep("PRIVATE KEY", &public));
    assert!(public.join("secure-boot/db.auth").exists());
    let (ours, theirs) = (show(test_keys()), show(&public));
    assert_eq!(ours["minisign"], theirs["minisign"]);
    assert_eq!(
        ours["keys"]["db"]["certificate"],
        theirs["keys"]["db"]["certificate"]
    );
    assert_eq!(theirs["keys"]["db"]["private"], Value::Null);
    let refused = keys(test_keys(), &["export", path]).refusal(1);
    assert!(refused.contains("cannot export into"), "{refused}");
    // From public halves it is the same, but for what must be signed; and it says so.
    let again = place.path().join("again");
    let ran = keys(&public, &["export", again.to_str().unwrap()]);
    assert!(ran.errors.contains("without .auth files"), "{}", ran.errors);
    ran.success();
}

#[test]
fn requests_are_answered_by_their_keys_alone() {
    let place = folder();
    let shown = show(test_keys());
    let requests = |key: &Value| {
        json!({ "format": 1, "requests": [{
            "role": "db", "what": "x.efi", "algorithm": "rsa2048-sha256", "key": key,
            "payload": "ab".repeat(32),
        }]})
    };
    let path = place.path().join("x.requests.json");
    let ask = |document: Value, set: &Path| {
        fs::write(&path, document.to_string()).unwrap();
        keys(set, &["sign", path.to_str().unwrap()])
    };
    let own = &shown["keys"]["db"]["key"];
    let ran = ask(requests(own), test_keys());
    assert!(ran.errors.contains("signed x.efi by db"), "{}", ran.errors);
    let answer: Value = serde_json::from_str(&ran.success()).unwrap();
    assert_eq!(answer["signatures"][0]["what"], "x.efi");
    assert_eq!(
        answer["signatures"][0]["signature"].as_str().unwrap().len(),
        344
    );
    let refused = ask(requests(&shown["keys"]["pk"]["key"]), test_keys()).refusal(1);
    assert!(refused.contains("by another key for db"), "{refused}");
    let public = public_halves(test_keys());
    let refused = ask(requests(own), public.path()).refusal(1);
    assert!(refused.contains("nothing signed"), "{refused}");
    assert!(refused.contains("none of the private halves"), "{refused}");
}

#[test]
fn a_command_takes_a_keys_place() {
    let place = folder();
    let set = place.path().join("keys");
    copy(&set);
    let key = |name: &str, arguments: &[&str]| {
        let path = place.path().join(name).to_str().unwrap().to_owned();
        let made = Command::new("openssl")
            .args(arguments)
            .args(["-out", &path])
            .status();
        assert!(made.unwrap().success());
        path
    };
    let private = key("kek.pem", &["genpkey", "-algorithm", "RSA"]);
    let public = key("kek.pub.pem", &["pkey", "-in", &private, "-pubout"]);
    let script = place.path().join("sign");
    let line = format!(
        "#!/bin/sh\nexec openssl pkeyutl -sign -inkey '{private}' -pkeyopt digest:sha256\n"
    );
    fs::write(&script, line).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let script = script.to_str().unwrap();
    let use_command = |role: &str, public: &str, command: &str| {
        keys(
            &set,
            &["use-command", role, "--public", public, "--", command],
        )
    };
    let said = use_command("kek", &public, script).success();
    assert!(
        said.contains("kek           RSA-2048, signs by command: "),
        "{said}"
    );
    let refused = use_command("pcr", &public, script).refusal(1);
    assert!(refused.contains("it is the set's key for kek"), "{refused}");
    let of_pk = set.join("pk.pub.pem");
    let refused = use_command("pk", of_pk.to_str().unwrap(), "/bin/true").refusal(1);
    assert!(
        refused.contains("the command for pk (/bin/true) wrote 0 bytes"),
        "{refused}"
    );
    let refused = use_command("pk", of_pk.to_str().unwrap(), script).refusal(20);
    assert!(
        refused.contains("the signature by pk on its own certificate is wrong"),
        "{refused}"
    );
    let refused = use_command("manifest", &public, script).refusal(1);
    assert!(refused.contains("not an Ed25519 public key"), "{refused}");
    let refused = keys(&set, &["use-command", "pcr", "--", "/bin/true"]).refusal(2);
    assert!(refused.contains("--public"), "{refused}");
    let shown = show(&set);
    assert_eq!(shown["keys"]["kek"]["private"]["command"][0], script);
    assert!(shown["keys"]["pk"]["private"]["file"].is_string());
    assert_eq!(shown["retired"][0]["role"], "kek");
}

#[test]
fn a_passphrase_comes_from_a_file_descriptor() {
    let place = folder();
    let set = place.path().join("keys");
    let public = place.path().join("public");
    let run = |passphrase: &str, arguments: &str| {
        let line =
            format!("exec \"$0\" {arguments} --passphrase-fd 3 3<<'END'\n{passphrase}\nEND\n");
        // What the shell calls $0 is the program.
        let shell = ["sh", "-c", &line];
        Program::under::<_, &str>(&shell, &[])
            .variable("FORTRESS_KEYS", &set)
            .run()
    };
    let refused = run("", "keys new").refusal(1);
    assert!(
        refused.contains("cannot get the passphrase: it is empty"),
        "{refused}"
    );
    assert!(!set.exists());
    let said = run("horse battery\nanother line", "keys new --owner Ada").success();
    assert!(
        said.contains("db            RSA-2048, in a file, encrypted"),
        "{said}"
    );
    let export = format!("keys export '{}'", public.display());
    let refused = run("horse", &export).refusal(1);
    assert!(refused.contains("the passphrase is wrong"), "{refused}");
    run("horse battery", &export).success();
    run("horse battery", "keys rotate db").success();
    assert!(
        fs::read_to_string(set.join("db.key.pem"))
            .unwrap()
            .contains("ENCRYPTED")
    );
    // Without a terminal, and without a descriptor, nobody waits.
    let arguments = ["keys", "export", "/nonexistent/x"];
    let refused = Program::under(&["setsid", "--wait"], &arguments)
        .variable("FORTRESS_KEYS", &set)
        .run()
        .refusal(1);
    assert!(
        refused.contains("there is no terminal to ask on"),
        "{refused}"
    );
    let refused = keys(&set, &["rotate", "pk", "--passphrase-fd", "77"]).refusal(1);
    assert!(
        refused.contains("file descriptor 77: No such file"),
        "{refused}"
    );
}

/// Types on a terminal: waits for a text, then types another one, and so on. Prints what was shown
/// and the exit code.
const TYPIST: &str = r#"
import os, pty, sys
dialogue = sys.argv[1].split("|")
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[2], sys.argv[2:])
shown = b""
def read():
    global shown
    try: part = os.read(terminal, 4096)
    except OSError: part = b""
    shown += part
    return part
for prompt, typed in zip(dialogue[::2], dialogue[1::2]):
    while prompt.encode() not in shown:
        if not read(): break
    shown = shown.replace(prompt.encode(), b"", 1)
    os.write(terminal, typed.encode().decode("unicode_escape").encode())
while read(): pass
_, status = os.waitpid(child, 0)
print(shown.decode(), os.waitstatus_to_exitcode(status))
"#;

fn typed(set: &Path, dialogue: &str, arguments: &[&str]) -> String {
    let output = Command::new("python3")
        .args(["-c", TYPIST, dialogue])
        .arg(Program::path())
        .args(arguments)
        .env("FORTRESS_KEYS", set)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_passphrase_is_typed_and_not_shown() {
    let place = folder();
    let set = place.path().join("keys");
    let new = ["keys", "new", "--passphrase", "--owner", "Ada"];
    let said = typed(
        &set,
        r"Passphrase for your keys: |horse\r|Once more: |hose\r",
        &new,
    );
    assert!(
        said.contains("the two are not the same") && said.ends_with(" 1\n"),
        "{said}"
    );
    let said = typed(&set, r"Passphrase for your keys: |ho\x03", &new);
    assert!(
        said.contains("interrupted") && said.ends_with(" 130\n"),
        "{said}"
    );
    assert!(!set.exists());
    let said = typed(
        &set,
        r"Passphrase for your keys: |horx\x7fse\r|Once more: |horse\r",
        &new,
    );
    assert!(said.ends_with(" 0\n"), "{said}");
    let public = place.path().join("public");
    let export = ["keys", "export", public.to_str().unwrap()];
    let asked = typed(&set, r"Passphrase of your keys: |horse\r", &export);
    assert!(asked.ends_with(" 0\n") && public.exists(), "{asked}");
    for said in [said, asked] {
        let shown = said.contains("hors") || said.contains("horx");
        assert!(!shown, "the passphrase is shown: {said}");
    }
    // What only looks does not ask.
    show(&set);
}

/// However early or late it is killed, there is a whole set or none.
#[test]
fn a_killed_new_leaves_no_half_set() {
    let place = folder();
    let mut whole = 0;
    for (number, delay) in [0, 30, 100, 300, 1000, 3000].into_iter().enumerate() {
        let set = place.path().join(format!("{number}"));
        let mut child = Program::new(&["keys", "new"])
            .variable("FORTRESS_KEYS", &set)
            .start();
        sleep(Duration::from_millis(delay));
        // It may have ended.
        let _ = child.kill();
        child.wait().unwrap();
        if set.exists() {
            let shown = show(&set);
            assert_eq!(shown["keys"].as_object().unwrap().len(), 7);
            whole += 1;
        } else {
            keys(&set, &["show"]).refusal(1);
        }
    }
    let left = names(place.path());
    assert_eq!(
        left.iter().filter(|name| !name.starts_with('.')).count(),
        whole,
        "{left:?}"
    );
}
