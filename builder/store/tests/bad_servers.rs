//! Downloads from servers that misbehave beyond help.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that panics has failed"
)]

mod common;

use std::io::Write;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use common::server::{self, Server, content, cut, good, head, status, whole};
use common::{LENGTH, assert_holds, client, download, failures, fetch, files, options};
use fortress_progress::Silent;
use fortress_store::{Client, ClientOptions, Digest, Download, Failure, Store};

/// The failure of a download from one address that misbehaves in one way.
#[track_caller]
fn failure_of(server: &Server, content: &[u8]) -> Failure {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let url = server.url("hello.deb");
    let error = fetch(&store, std::slice::from_ref(&url), content).unwrap_err();
    assert_eq!(store.get(&Digest::of(content)).unwrap(), None);
    for (_, length) in files(&folder.path().join("partial")) {
        assert!(
            length <= content.len() as u64,
            "more than expected was written"
        );
    }
    let text = error.to_string();
    assert!(
        text.contains("hello 2.10 amd64") && text.contains(&url),
        "{text}"
    );
    assert!(error.hint().is_some(), "no hint for: {text}");
    failures(&error).remove(0)
}

#[test]
fn a_mirror_that_lies_is_named_and_the_next_one_asked() {
    let blob = content(LENGTH, 5);
    let other = content(LENGTH, 6);
    let wrong = Digest::of(&other);
    let lies = Server::start(move |request, stream| good(request, stream, &other));
    assert_eq!(
        failure_of(&lies, &blob),
        Failure::WrongDigest {
            expected: Digest::of(&blob),
            got: wrong
        }
    );

    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let served = blob.clone();
    let honest = Server::start(move |request, stream| good(request, stream, &served));
    let urls = [lies.url("a"), honest.url("b")];
    assert_holds(&fetch(&store, &urls, &blob).unwrap(), &blob);
    assert_eq!(lies.requests().len(), 2, "a lie is not asked for twice");
}

#[test]
fn a_mirror_that_always_cuts_and_lies_is_given_up() {
    let blob = content(LENGTH, 7);
    let other = content(LENGTH, 8);
    let server = Server::start(move |request, stream| match request.start {
        None => cut(stream, &other, 100_000),
        Some(_) => good(request, stream, &other),
    });
    assert!(matches!(
        failure_of(&server, &blob),
        Failure::WrongDigest { .. }
    ));
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn other_lengths_are_refused() {
    let blob = content(LENGTH, 9);
    let server = Server::start(|_, stream| whole(stream, &[1; LENGTH + 7]));
    assert_eq!(
        failure_of(&server, &blob),
        Failure::Length {
            expected: 300_000,
            got: 300_007
        }
    );
    // Without a length in the head it goes on for ever.
    let server = Server::start(|_, stream| {
        head(stream, "200 OK", &[]);
        while stream.write_all(&[2; 100_000]).is_ok() {}
    });
    assert_eq!(
        failure_of(&server, &blob),
        Failure::TooLong { limit: 300_000 }
    );
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn statuses() {
    for (line, expected, requests) in [
        ("404 Not Found", Failure::NotFound, 1),
        ("403 Forbidden", refusal(403), 1),
        ("410 Gone", refusal(410), 1),
        ("500 Internal Server Error", refusal(500), 3),
        ("503 Service Unavailable", refusal(503), 3),
        ("429 Too Many Requests", refusal(429), 3),
        ("204 No Content", refusal(204), 1),
    ] {
        let server = Server::start(move |_, stream| status(stream, line));
        assert_eq!(failure_of(&server, b"content"), expected);
        assert_eq!(server.requests().len(), requests, "{line}");
    }
}

fn refusal(status: u16) -> Failure {
    Failure::Status {
        status,
        retry_after: None,
    }
}

#[test]
fn not_found_is_told_from_other_failures() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let missing = Server::start(|_, stream| status(stream, "404 Not Found"));
    let broken = Server::start(|_, stream| status(stream, "501 Not Implemented"));
    let error = fetch(&store, &[missing.url("a"), missing.url("b")], b"x").unwrap_err();
    assert!(error.is_not_found());
    assert!(error.hint().unwrap().contains("--update"));
    let error = fetch(&store, &[missing.url("a"), broken.url("b")], b"x").unwrap_err();
    assert!(!error.is_not_found());
    let error = client()
        .get(&missing.url("InRelease"), 100, &Silent)
        .unwrap_err();
    assert!(error.is_not_found());
    let error = fetch(&store, &[], b"x").unwrap_err();
    assert!(!error.is_not_found());
}

#[test]
fn stalls() {
    let stall = Duration::from_secs(1);
    let impatient = Client::new(ClientOptions {
        stall_timeout: stall,
        retries: 1,
        ..options()
    })
    .unwrap();
    let blob = content(LENGTH, 10);
    for sent in [None, Some(0), Some(100_000)] {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let served = blob.clone();
        let server = Server::start(move |_, stream| {
            if let Some(sent) = sent {
                cut(stream, &served, sent);
            }
            thread::sleep(Duration::from_secs(3600));
        });
        let wanted = [download(&[server.url("blob")], &blob)];
        let error = store.fetch(&wanted, &impatient, &Silent).unwrap_err();
        assert_eq!(failures(&error), [Failure::Stalled(stall)], "{sent:?}");
        let kept: u64 = files(&folder.path().join("partial"))
            .iter()
            .map(|file| file.1)
            .sum();
        assert_eq!(kept, sent.unwrap_or(0) as u64, "what came is kept");
    }
}

#[test]
fn cut_off_for_good() {
    let blob = content(LENGTH, 11);
    let served = blob.clone();
    let server = Server::start(move |request, stream| match request.start {
        None => cut(stream, &served, 1000),
        Some(start) => {
            let rest = format!("Content-Range: bytes {start}-299999/300000");
            head(
                stream,
                "206 Partial Content",
                &[rest, "Content-Length: 200000".into()],
            );
            server::body(stream, &served[start..start + 1000]);
        }
    });
    let expected = Failure::Truncated {
        got: 3000,
        expected: Some(300_000),
    };
    assert_eq!(failure_of(&server, &blob), expected);
}

#[test]
fn redirects() {
    let circles = Server::start(|request, stream| {
        head(
            stream,
            "302 Found",
            &[
                format!("Location: {}x", request.target),
                "Content-Length: 0".into(),
            ],
        );
    });
    assert_eq!(failure_of(&circles, b"content"), Failure::Redirects);

    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let server = Server::start(|request, stream| match &*request.target {
        "/there" => whole(stream, b"content"),
        _ => head(
            stream,
            "301 Moved",
            &["Location: /there".into(), "Content-Length: 0".into()],
        ),
    });
    fetch(&store, &[server.url("here")], b"content").unwrap();
}

#[test]
fn captive_portals() {
    let page = "<!DOCTYPE html><html><title>Welcome to the hotel</title></html>";
    let blob = content(LENGTH, 12);
    let served = blob.clone();
    let typed = Server::start(|_, stream| {
        let length = "Content-Length: 5".into();
        head(
            stream,
            "200 OK",
            &["Content-Type: text/html; charset=utf-8".into(), length],
        );
        server::body(stream, b"Hello");
    });
    let untyped = Server::start(move |_, stream| whole(stream, page.as_bytes()));
    let unending = Server::start(move |_, stream| {
        head(stream, "200 OK", &[]);
        server::body(stream, page.as_bytes());
        server::body(stream, &served);
    });
    for server in [&typed, &untyped, &unending] {
        assert_eq!(failure_of(server, &blob), Failure::Portal);
        let error = client()
            .get(&server.url("InRelease"), 1 << 20, &Silent)
            .unwrap_err();
        assert_eq!(failures(&error), [Failure::Portal]);
        assert!(error.hint().unwrap().contains("captive portal"));
    }
    // Without a known length it shows only at the end.
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let mut wanted = download(&[untyped.url("blob")], &blob);
    wanted.length = None;
    let error = store.fetch(&[wanted], &client(), &Silent).unwrap_err();
    assert_eq!(failures(&error), [Failure::Portal]);
    // A page that is just what was wanted is welcome.
    fetch(&store, &[untyped.url("page")], page.as_bytes()).unwrap();
}

#[test]
fn nobody_there() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let refused = format!("http://127.0.0.1:{port}/blob");
    let error = fetch(&store, &[refused], b"x").unwrap_err();
    assert_eq!(failures(&error), [Failure::Refused]);

    let unknown = "http://no-such-host.invalid/blob".to_owned();
    let error = fetch(&store, &[unknown], b"x").unwrap_err();
    assert!(
        matches!(failures(&error)[..], [Failure::Resolve(_)]),
        "{error}"
    );

    for nonsense in [
        "",
        "blob",
        "ftp://127.0.0.1/blob",
        "http://",
        "file:blob:\0",
    ] {
        let error = fetch(&store, &[nonsense.into()], b"x").unwrap_err();
        let failures = failures(&error);
        assert!(
            matches!(failures[..], [Failure::Address | Failure::NotFound]),
            "{nonsense}: {failures:?}"
        );
    }
}

#[test]
fn a_dead_mirror_is_not_tried_for_each_package() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let dead = Server::start(|_, _| {});
    let alive = Server::start(|request, stream| whole(stream, request.target.as_bytes()));
    let wanted = |urls: &dyn Fn(&str) -> Vec<String>| -> Vec<Download> {
        (0..30)
            .map(|n| Download {
                name: format!("package-{n}"),
                ..download(&urls(&format!("{n}")), format!("/{n}").as_bytes())
            })
            .collect()
    };
    let client = Client::new(ClientOptions {
        parallel: 2,
        ..options()
    })
    .unwrap();
    let error = store
        .fetch(&wanted(&|path| vec![dead.url(path)]), &client, &Silent)
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("cannot download package-0") && text.contains("and 19 more"),
        "{text}"
    );
    assert!(dead.requests().len() <= 2 * 3, "{}", dead.requests().len());

    let both = wanted(&|path| vec![dead.url(path), alive.url(path)]);
    assert_eq!(store.fetch(&both, &client, &Silent).unwrap().len(), 30);
}

#[test]
fn all_that_is_missing_is_named_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let server = Server::start(|_, stream| status(stream, "404 Not Found"));
    let wanted: Vec<Download> = ["one", "two", "three"]
        .iter()
        .map(|name| Download {
            name: (*name).into(),
            ..download(&[server.url(name)], name.as_bytes())
        })
        .collect();
    let error = store.fetch(&wanted, &client(), &Silent).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("cannot download one: "), "{text}");
    assert!(
        text.ends_with("nor could these be downloaded: two, three"),
        "{text}"
    );
}

#[test]
fn secure_connections_need_a_secure_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream
                .unwrap()
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let error = fetch(&store, &[format!("https://{address}/blob")], b"x").unwrap_err();
    assert!(
        matches!(failures(&error)[..], [Failure::Tls(_)]),
        "{error:?}"
    );
}
