//! Downloads that come to a good end, and those that are stopped.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that panics has failed"
)]

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::server::{self, Server, content, cut, good, head, status, whole};
use common::{LENGTH, assert_holds, client, download, failures, fetch, files, options};
use fortress_progress::{Observer, Silent, Stage, Unit};
use fortress_store::{Client, ClientOptions, Digest, Download, Error, Failure, Store};

#[test]
fn downloads_once_and_keeps_the_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let contents: Vec<Vec<u8>> = (0..20)
        .map(|n| content(1000 * usize::from(n) + 1, n))
        .collect();
    let served: BTreeMap<String, Vec<u8>> = (contents.iter().enumerate())
        .map(|(number, content)| (format!("/{number}"), content.clone()))
        .collect();
    let server = Server::start(move |request, stream| whole(stream, &served[&request.target]));
    let mut wanted: Vec<Download> = (contents.iter().enumerate())
        .map(|(number, content)| download(&[server.url(&number.to_string())], content))
        .collect();
    wanted.push(wanted[7].clone());

    for _ in 0..2 {
        let blobs = store.fetch(&wanted, &client(), &Silent).unwrap();
        assert_eq!(blobs.len(), 21);
        for (blob, content) in blobs.iter().zip(contents.iter().chain([&contents[7]])) {
            assert_holds(blob, content);
        }
        assert_eq!(server.requests().len(), 20, "each is downloaded once");
    }
    assert_eq!(files(&folder.path().join("partial")), []);
}

#[test]
fn no_more_at_once_than_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let (now, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let peak = Arc::clone(&most);
    let server = Server::start(move |request, stream| {
        peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(20));
        now.fetch_sub(1, Ordering::SeqCst);
        whole(stream, request.target.as_bytes());
    });
    let wanted: Vec<Download> = (0..12)
        .map(|n| download(&[server.url(&format!("{n}"))], format!("/{n}").as_bytes()))
        .collect();
    let client = Client::new(ClientOptions {
        parallel: 3,
        ..options()
    })
    .unwrap();
    store.fetch(&wanted, &client, &Silent).unwrap();
    let most = most.load(Ordering::SeqCst);
    assert!((2..=3).contains(&most), "{most} at once");
}

#[test]
fn resumes_what_was_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let blob = content(LENGTH, 1);
    let served = blob.clone();
    let server = Server::start(move |request, stream| match request.number {
        0 => cut(stream, &served, 100_000),
        _ => good(request, stream, &served),
    });
    assert_holds(&fetch(&store, &[server.url("blob")], &blob).unwrap(), &blob);
    let starts: Vec<_> = server
        .requests()
        .iter()
        .map(|request| request.start)
        .collect();
    assert_eq!(starts, [None, Some(100_000)]);
}

#[test]
fn resumes_from_another_mirror() {
    type Answer = fn(&mut std::net::TcpStream);
    let answers: [Answer; 2] = [
        |stream| status(stream, "503 Service Unavailable"),
        // By now there is another file.
        |stream| {
            let range = "Content-Range: bytes 100000-499999/500000".into();
            head(stream, "206 Partial Content", &[range]);
            server::body(stream, &[0; 400_000]);
        },
    ];
    for answer in answers {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let blob = content(LENGTH, 2);
        let (one, other) = (blob.clone(), blob.clone());
        let bad = Server::start(move |request, stream| match request.start {
            None => cut(stream, &one, 100_000),
            Some(_) => answer(stream),
        });
        let better = Server::start(move |request, stream| good(request, stream, &other));
        let urls = [bad.url("blob"), better.url("blob")];
        assert_holds(&fetch(&store, &urls, &blob).unwrap(), &blob);
        assert_eq!(better.requests()[0].start, Some(100_000));
    }
}

#[test]
fn starts_over_when_the_part_is_not_to_be_had() {
    type Answer = fn(&mut std::net::TcpStream, &[u8]);
    let answers: [(&str, Answer); 4] = [
        ("the whole", |stream, blob| whole(stream, blob)),
        ("416", |stream, _| {
            status(stream, "416 Range Not Satisfiable")
        }),
        ("another part", |stream, blob| {
            head(
                stream,
                "206 Partial Content",
                &["Content-Range: bytes 0-9/300000".into()],
            );
            server::body(stream, &blob[..10]);
        }),
        ("wrong bytes", |stream, _| {
            head(
                stream,
                "206 Partial Content",
                &["Content-Range: bytes 100000-299999/300000".into()],
            );
            server::body(stream, &[0; 200_000]);
        }),
    ];
    for (name, answer) in answers {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let blob = content(LENGTH, 3);
        let served = blob.clone();
        let server = Server::start(move |request, stream| match request.start {
            None if request.number == 0 => cut(stream, &served, 100_000),
            None => whole(stream, &served),
            Some(_) => answer(stream, &served),
        });
        let fetched = fetch(&store, &[server.url("blob"), server.url("blob")], &blob);
        assert_holds(
            &fetched.unwrap_or_else(|error| panic!("{name}: {error}")),
            &blob,
        );
    }
}

#[test]
fn a_partial_file_of_other_bytes_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    for length in [1, LENGTH - 1, LENGTH, LENGTH + 1, 2 * LENGTH] {
        let blob = content(LENGTH, length as u8);
        let partial = folder
            .path()
            .join("partial")
            .join(Digest::of(&blob).to_string());
        std::fs::write(partial, content(length, 99)).unwrap();
        let served = blob.clone();
        let server = Server::start(move |request, stream| good(request, stream, &served));
        assert_holds(&fetch(&store, &[server.url("blob")], &blob).unwrap(), &blob);
    }
}

#[test]
fn a_whole_partial_file_needs_no_network() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let blob = content(LENGTH, 4);
    let partial = folder
        .path()
        .join("partial")
        .join(Digest::of(&blob).to_string());
    std::fs::write(partial, &blob).unwrap();
    let server = Server::start(|_, stream| status(stream, "500 Oops"));
    assert_holds(&fetch(&store, &[server.url("blob")], &blob).unwrap(), &blob);
    assert_eq!(server.requests(), []);
}

#[test]
fn a_passing_failure_passes() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let server = Server::start(|request, stream| match request.number {
        0 => status(stream, "500 Internal Server Error"),
        1 => {} // The connection is closed without a word.
        _ => whole(stream, b"content"),
    });
    fetch(&store, &[server.url("blob")], b"content").unwrap();
}

#[test]
fn the_server_says_how_long_to_wait() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let server = Server::start(|request, stream| match request.number {
        0 => head(
            stream,
            "429 Too Many Requests",
            &["Retry-After: 1".into(), "Content-Length: 0".into()],
        ),
        _ => whole(stream, b"content"),
    });
    let begin = Instant::now();
    fetch(&store, &[server.url("blob")], b"content").unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(1));
}

#[test]
fn offline_touches_no_network_and_names_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    let offline = Client::new(ClientOptions {
        offline: true,
        ..options()
    })
    .unwrap();
    let server = Server::start(|_, stream| whole(stream, b"x"));
    let local = folder.path().join("a local\tblob");
    std::fs::write(&local, b"local").unwrap();
    let local = format!("file://{}", local.display())
        .replace(' ', "%20")
        .replace('\t', "%09");
    let wanted = [
        download(&[server.url("x")], b"x"),
        download(&[server.url("x"), local], b"local"),
    ];
    let error = store.fetch(&wanted, &offline, &Silent).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot work offline: not in the store: hello 2.10 amd64"
    );
    let error = offline
        .get(&server.url("InRelease"), 100, &Silent)
        .unwrap_err();
    assert!(matches!(error, Error::Offline { .. }) && error.hint().is_some());
    assert_eq!(
        store.fetch(&wanted[1..], &offline, &Silent).unwrap().len(),
        1
    );

    store.insert(b"x").unwrap();
    assert_eq!(store.fetch(&wanted, &offline, &Silent).unwrap().len(), 2);
    assert_eq!(server.requests(), []);
}

#[test]
fn local_files() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    let path = folder.path().join("blob");
    let url = format!("file://{}", path.display());
    let error = fetch(&store, std::slice::from_ref(&url), b"content").unwrap_err();
    assert!(error.is_not_found());
    std::fs::write(&path, b"CONTENT").unwrap();
    let error = fetch(&store, std::slice::from_ref(&url), b"content").unwrap_err();
    assert!(matches!(
        failures(&error)[..],
        [Failure::WrongDigest { .. }]
    ));
    std::fs::write(&path, b"content").unwrap();
    assert_holds(
        &fetch(&store, std::slice::from_ref(&url), b"content").unwrap(),
        b"content",
    );
    assert_eq!(client().get(&url, 7, &Silent).unwrap(), b"content");
    assert!(client().get(&url, 6, &Silent).is_err());
    let folder = format!("file://{}", folder.path().display());
    assert!(matches!(
        failures(&client().get(&folder, 1 << 20, &Silent).unwrap_err())[..],
        [Failure::File(_)]
    ));
}

#[test]
fn small_documents() {
    let server = Server::start(|request, stream| match request.number {
        0 => cut(stream, b"a document", 4),
        _ => good(request, stream, b"a document"),
    });
    let url = server.url("dists/stable/InRelease");
    assert_eq!(client().get(&url, 10, &Silent).unwrap(), b"a document");
    let error = client().get(&url, 9, &Silent).unwrap_err();
    assert_eq!(failures(&error), [Failure::TooLong { limit: 9 }]);
    assert!(
        error
            .to_string()
            .starts_with("cannot download InRelease: http://"),
        "{error}"
    );
}

/// Counts, and asks to stop when told to.
#[derive(Default)]
struct Watcher {
    stop: AtomicBool,
    total: Mutex<Option<u64>>,
    done: Arc<AtomicUsize>,
}

struct Counter(Arc<AtomicUsize>);

impl Observer for Watcher {
    fn stage(&self, _name: &str, total: Option<u64>, unit: Unit) -> Box<dyn Stage> {
        assert_eq!(unit, Unit::Bytes);
        *self.total.lock().unwrap() = total;
        Box::new(Counter(Arc::clone(&self.done)))
    }
    fn note(&self, _line: &str) {}
    fn warn(&self, _line: &str) {}
    fn cancelled(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

impl Stage for Counter {
    fn advance(&self, amount: u64) {
        self.0.fetch_add(amount as usize, Ordering::SeqCst);
    }
    fn doing(&self, _what: &str) {}
}

#[test]
fn progress_adds_up_even_after_starting_over() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let (blob, other) = (content(LENGTH, 13), content(LENGTH, 14));
    let (one, two) = (blob.clone(), other.clone());
    let server = Server::start(move |request, stream| match &*request.target {
        "/one" if request.start.is_none() && request.number < 2 => cut(stream, &one, 200_000),
        "/one" => whole(stream, &one),
        _ => good(request, stream, &two),
    });
    let wanted = [
        download(&[server.url("one")], &blob),
        download(&[server.url("two")], &other),
    ];
    let watcher = Watcher::default();
    store.fetch(&wanted, &client(), &watcher).unwrap();
    assert_eq!(*watcher.total.lock().unwrap(), Some(600_000));
    assert_eq!(watcher.done.load(Ordering::SeqCst), 600_000);
}

#[test]
fn stops_on_request_though_the_server_is_silent() {
    let (asked, silence) = mpsc::channel();
    let server = Server::start(move |_, stream| {
        cut(stream, b"a document", 4);
        asked.send(()).unwrap();
        thread::sleep(Duration::from_secs(3600));
    });
    let patient = Client::new(ClientOptions {
        stall_timeout: Duration::from_secs(3600),
        ..options()
    })
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let watcher = Watcher::default();
    thread::scope(|scope| {
        let fetched = scope.spawn(|| {
            let wanted = [download(&[server.url("blob")], b"a document")];
            store.fetch(&wanted, &patient, &watcher)
        });
        let got = scope.spawn(|| patient.get(&server.url("blob"), 100, &watcher));
        silence.recv().unwrap();
        silence.recv().unwrap();
        watcher.stop.store(true, Ordering::SeqCst);
        assert!(matches!(fetched.join().unwrap(), Err(Error::Cancelled)));
        assert!(matches!(got.join().unwrap(), Err(Error::Cancelled)));
    });
}
