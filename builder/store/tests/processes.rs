//! Several processes on one store; killed ones; full and read-only disks; the environment.
//!
//! The other process is this test program itself, told by variables to run one test only.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that panics has failed"
)]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::server::{Server, content, cut, good, whole};
use common::{LENGTH, assert_holds, fetch, files};
use fortress_progress::Silent;
use fortress_store::{Client, ClientOptions, Digest, Download, Error, Policy, Store};

/// What the other process is told.
#[derive(Clone)]
struct Order<'a> {
    store: &'a Path,
    url: &'a str,
    content: &'a [u8],
}

impl Order<'_> {
    fn variables(&self) -> [(&'static str, String); 3] {
        [
            ("FORTRESS_TEST_STORE", self.store.to_str().unwrap().into()),
            ("FORTRESS_TEST_URL", self.url.into()),
            ("FORTRESS_TEST_DIGEST", Digest::of(self.content).to_string()),
        ]
    }

    fn command(&self) -> Command {
        self.command_in(&std::env::current_exe().unwrap(), &[])
    }

    /// By way of another program, which gets `arguments` and then ours.
    fn command_in(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .args(["--exact", "fetches_as_told", "--nocapture"])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(self.variables())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn start(&self) -> Child {
        self.command().spawn().unwrap()
    }
}

/// What the other process is to say.
#[track_caller]
fn assert_says(output: &Output, expected: &str) {
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains(expected),
        "not {expected:?}, but: {said}{errors}"
    );
}

/// Fetches what the environment says, and tells how that ended. When the environment says
/// nothing, it is an ordinary test.
#[test]
fn fetches_as_told() {
    let told = |name: &str| std::env::var(name).ok();
    let (Some(store), Some(url), Some(digest)) = (
        told("FORTRESS_TEST_STORE"),
        told("FORTRESS_TEST_URL"),
        told("FORTRESS_TEST_DIGEST"),
    ) else {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(|request, stream| good(request, stream, b"content"));
        let store = folder.path().join("store");
        let blob = fetch_once(&store, &server.url("blob"), Digest::of(b"content")).unwrap();
        assert_eq!(blob, 7);
        return;
    };
    match fetch_once(store.as_ref(), &url, digest.parse().unwrap()) {
        Ok(length) => println!("has {length} bytes"),
        Err(error) => println!("failed: {error}; hint: {:?}", error.hint()),
    }
}

fn fetch_once(store: &Path, url: &str, digest: Digest) -> Result<u64, Error> {
    let store = Store::open(store)?;
    let client = Client::new(ClientOptions {
        retries: 0,
        ..ClientOptions::default()
    })?;
    let download = Download {
        name: "hello".into(),
        urls: vec![url.into()],
        digest,
        length: None,
    };
    let blobs = store.fetch(&[download], &client, &Silent)?;
    Ok(blobs[0].length)
}

#[test]
fn a_killed_download_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let blob = content(LENGTH, 1);
    let served = blob.clone();
    let server = Server::start(move |request, stream| match request.start {
        None => {
            cut(stream, &served, 200_000);
            thread::sleep(Duration::from_secs(3600));
        }
        Some(_) => good(request, stream, &served),
    });
    let store = Store::open(folder.path()).unwrap();
    let mut child = Order {
        store: folder.path(),
        url: &server.url("blob"),
        content: &blob,
    }
    .start();
    let partial = folder.path().join("partial");
    while files(&partial).iter().all(|(_, length)| *length < 200_000) {
        thread::sleep(Duration::from_millis(5));
        assert!(child.try_wait().unwrap().is_none(), "it is to hang");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(store.get(&Digest::of(&blob)).unwrap(), None);
    assert!(store.verify(false, &Silent).unwrap().damaged.is_empty());

    assert_holds(&fetch(&store, &[server.url("blob")], &blob).unwrap(), &blob);
    let starts: Vec<_> = server
        .requests()
        .iter()
        .map(|request| request.start)
        .collect();
    assert_eq!(starts, [None, Some(200_000)]);
    assert_eq!(files(&partial), []);
}

#[test]
fn a_build_killed_at_any_moment_leaves_nothing_that_looks_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let blob = content(50_000_000, 2);
    let path = folder
        .path()
        .join("partial")
        .join(Digest::of(&blob).to_string());
    let source = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(source.path(), &blob).unwrap();
    let order = Order {
        store: folder.path(),
        url: &format!("file://{}", source.path().display()),
        content: &blob,
    };
    // Each time a little later: while it starts, reads, writes, syncs, renames.
    let mut whole = false;
    for step in 0..40 {
        let mut child = order.start();
        thread::sleep(Duration::from_millis(5 * step));
        child.kill().unwrap();
        child.wait().unwrap();
        if let Some(found) = store.get(&Digest::of(&blob)).unwrap() {
            assert_holds(&found, &blob);
            whole = true;
            break;
        }
    }
    if !whole {
        let output = order.command().output().unwrap();
        assert_says(&output, "has 50000000 bytes");
    }
    assert!(!path.exists());
    assert!(store.verify(false, &Silent).unwrap().damaged.is_empty());
}

#[test]
fn two_processes_download_once() {
    let folder = tempfile::tempdir().unwrap();
    let blob = content(LENGTH, 3);
    let served = blob.clone();
    let (asked, requests) = mpsc::channel();
    let (go, gate) = mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let server = Server::start(move |_, stream| {
        asked.send(()).unwrap();
        gate.lock().unwrap().recv().unwrap();
        whole(stream, &served);
    });
    let url = server.url("blob");
    let order = Order {
        store: folder.path(),
        url: &url,
        content: &blob,
    };
    let one = order.start();
    requests.recv().unwrap();
    let other = order.start();
    // The other one waits for the lock: it is to be seen opening the file.
    let partial = folder
        .path()
        .join("partial")
        .join(Digest::of(&blob).to_string());
    while !has_open(other.id(), &partial) {
        thread::sleep(Duration::from_millis(1));
    }
    go.send(()).unwrap();
    for child in [one, other] {
        assert_says(&child.wait_with_output().unwrap(), "has 300000 bytes");
    }
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_waiting_process_takes_over_from_a_killed_one() {
    let folder = tempfile::tempdir().unwrap();
    let blob = content(LENGTH, 4);
    let served = blob.clone();
    let (asked, requests) = mpsc::channel();
    let server = Server::start(move |request, stream| {
        asked.send(()).unwrap();
        match request.start {
            None => {
                cut(stream, &served, 200_000);
                thread::sleep(Duration::from_secs(3600));
            }
            Some(_) => good(request, stream, &served),
        }
    });
    let url = server.url("blob");
    let order = Order {
        store: folder.path(),
        url: &url,
        content: &blob,
    };
    let mut one = order.start();
    requests.recv().unwrap();
    let partial = folder.path().join("partial");
    while files(&partial).iter().all(|(_, length)| *length < 200_000) {
        thread::sleep(Duration::from_millis(5));
    }
    let other = order.start();
    let path = partial.join(Digest::of(&blob).to_string());
    while !has_open(other.id(), &path) {
        thread::sleep(Duration::from_millis(1));
    }
    one.kill().unwrap();
    one.wait().unwrap();
    assert_says(&other.wait_with_output().unwrap(), "has 300000 bytes");
    assert_eq!(server.requests().len(), 2);
    assert_eq!(server.requests()[1].start, Some(200_000));
}

/// Whether a process has this file open just now.
fn has_open(process: u32, path: &Path) -> bool {
    std::fs::read_dir(format!("/proc/{process}/fd"))
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| std::fs::read_link(entry.path()).is_ok_and(|to| to == path))
}

#[test]
fn garbage_is_not_collected_under_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let (asked, requests) = mpsc::channel();
    let server = Server::start(move |_, stream| {
        cut(stream, b"content", 3);
        asked.send(()).unwrap();
        thread::sleep(Duration::from_secs(3600));
    });
    let mut child = Order {
        store: folder.path(),
        url: &server.url("blob"),
        content: b"content",
    }
    .start();
    requests.recv().unwrap();
    let mut store = Store::open(folder.path()).unwrap();
    assert!(matches!(
        store.gc(&Policy::default()),
        Err(Error::InUse { .. })
    ));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(store.gc(&Policy::default()).unwrap().leftovers.count, 1);
}

/// `unshare` with mounts of one's own, as root or as any user.
fn with_mounts(order: &Order<'_>, mount: &str) -> Output {
    let script = format!("set -e; {mount}; shift; exec \"$0\" \"$@\"");
    let program = std::env::current_exe().unwrap();
    let arguments = [
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        &script,
        program.to_str().unwrap(),
        order.store.to_str().unwrap(),
    ];
    order
        .command_in("unshare".as_ref(), &arguments)
        .output()
        .unwrap()
}

#[test]
fn a_full_disk_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let blob = content(3_000_000, 5);
    let served = blob.clone();
    let server = Server::start(move |request, stream| good(request, stream, &served));
    let order = Order {
        store: folder.path(),
        url: &server.url("blob"),
        content: &blob,
    };
    let output = with_mounts(&order, "mount -t tmpfs -o size=1m none \"$1\"");
    assert_says(&output, "failed: cannot write ");
    assert_says(&output, "no room is left there (No space left on device");
    assert_says(&output, "store gc");
}

#[test]
fn a_file_size_limit_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let blob = content(3_000_000, 6);
    let served = blob.clone();
    let server = Server::start(move |request, stream| good(request, stream, &served));
    let url = server.url("blob");
    let order = Order {
        store: folder.path(),
        url: &url,
        content: &blob,
    };
    let script = "trap '' XFSZ; ulimit -f 1000; exec \"$0\" \"$@\"";
    let program = std::env::current_exe().unwrap();
    let arguments = ["-c", script, program.to_str().unwrap()];
    let output = order
        .command_in("sh".as_ref(), &arguments)
        .output()
        .unwrap();
    assert_says(&output, "no room is left there (File too large");
    // When there is room, it goes on from there.
    assert_says(&order.command().output().unwrap(), "has 3000000 bytes");
    assert!(server.requests()[1].start.is_some());
}

#[test]
fn a_read_only_store_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    Store::open(folder.path())
        .unwrap()
        .insert(b"content")
        .unwrap();
    let server = Server::start(|request, stream| good(request, stream, b"other"));
    let url = server.url("blob");
    let order = |content| Order {
        store: folder.path(),
        url: &url,
        content,
    };
    let mount = "mount --bind \"$1\" \"$1\"; mount -o remount,bind,ro \"$1\"";
    assert_says(&with_mounts(&order(b"content"), mount), "has 7 bytes");
    let output = with_mounts(&order(b"other"), mount);
    assert_says(&output, "it can only be read");
    assert_says(&output, "--store");
    assert_eq!(server.requests(), []);
}

#[test]
fn a_proxy_of_the_environment_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Server::start(|request, stream| good(request, stream, b"content"));
    let order = Order {
        store: folder.path(),
        url: "http://mirror.invalid/blob",
        content: b"content",
    };
    let output = order.command().output().unwrap();
    assert_says(&output, "the host name cannot be resolved");
    let mut command = order.command();
    let output = command.env("http_proxy", proxy.url("")).output().unwrap();
    assert_says(&output, "has 7 bytes");
    assert_eq!(proxy.requests()[0].target, "http://mirror.invalid/blob");

    let other = content(10, 1);
    let order = Order {
        content: &other,
        ..order
    };
    let mut command = order.command();
    command
        .env("http_proxy", proxy.url(""))
        .env("no_proxy", "mirror.invalid");
    assert_says(
        &command.output().unwrap(),
        "the host name cannot be resolved",
    );
}

/// Makes a key and a certificate for it, valid for two days.
#[track_caller]
fn openssl_req(arguments: &[&str]) {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args(["-days", "2"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
}

#[test]
fn certificates_are_those_of_the_system_and_may_be_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (authority, authority_key) = (path("authority.pem"), path("authority-key.pem"));
    let (certificate, key) = (path("certificate.pem"), path("key.pem"));
    openssl_req(&[
        "-subj",
        "/CN=Test authority",
        "-keyout",
        &authority_key,
        "-out",
        &authority,
    ]);
    openssl_req(&[
        "-CA",
        &authority,
        "-CAkey",
        &authority_key,
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-keyout",
        &key,
        "-out",
        &certificate,
    ]);
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\ncontent";
    std::fs::write(path("blob"), answer).unwrap();
    let mut server = Command::new("openssl")
        .args(["s_server", "-HTTP", "-accept", "127.0.0.1:0"])
        .args(["-cert", &certificate, "-key", &key])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("ACCEPT") {
        line.clear();
        assert_ne!(
            lines.read_line(&mut line).unwrap(),
            0,
            "the TLS server has ended"
        );
    }
    let port = line.trim().rsplit(':').next().unwrap();
    // It says something about each connection, and is to be able to.
    thread::spawn(move || std::io::copy(&mut lines.by_ref(), &mut std::io::sink()));

    let url = format!("https://localhost:{port}/blob");
    let store = folder.path().join("store");
    let order = Order {
        store: &store,
        url: &url,
        content: b"content",
    };
    // As on a machine that has no certificates at all.
    let without = |order: &Order<'_>| {
        let mut command = order.command();
        command
            .env("SSL_CERT_FILE", path("none"))
            .env("SSL_CERT_DIR", path("none"));
        command.output().unwrap()
    };
    let output = without(&order);
    assert_says(
        &output,
        "no secure connection can be made: invalid peer certificate",
    );
    assert_says(&output, "ca-certificates");
    let plain = Server::start(|request, stream| good(request, stream, b"plain"));
    let plain = plain.url("blob");
    let output = without(&Order {
        url: &plain,
        content: b"plain",
        ..order.clone()
    });
    assert_says(&output, "has 5 bytes");

    let mut command = order.command();
    let output = command.env("SSL_CERT_FILE", &authority).output().unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    assert_says(&output, "has 7 bytes");
}

#[test]
fn the_default_folder() {
    // Read here and not set: variables belong to the whole process.
    let expected = match (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
        (Some(cache), _) if Path::new(&cache).is_absolute() => {
            Path::new(&cache).join("fortress/store")
        }
        (_, Some(home)) if Path::new(&home).is_absolute() => {
            Path::new(&home).join(".cache/fortress/store")
        }
        _ => {
            assert!(matches!(Store::default_path(), Err(Error::NoHome)));
            return;
        }
    };
    assert_eq!(Store::default_path().unwrap(), expected);
}
