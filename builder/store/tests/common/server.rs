//! A small HTTP server that behaves as badly as a test wants it to.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses its own part"
)]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The target of the request line.
    pub target: String,
    /// From which byte on, if only the rest was asked for.
    pub start: Option<usize>,
    /// How many requests came before this one.
    pub number: usize,
}

/// Listens until the test ends.
pub struct Server {
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers each request with what `answer` writes; the connection is then closed.
    pub fn start(answer: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (Arc::clone(&requests), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    if let Some(request) = read_request(&stream, &seen) {
                        answer(&request, &mut stream);
                    }
                });
            }
        });
        Self { port, requests }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn read_request(stream: &TcpStream, seen: &Mutex<Vec<Request>>) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let target = lines.next()?.split(' ').nth(1)?.to_owned();
    let mut start = None;
    for line in lines.take_while(|line| !line.is_empty()) {
        let line = line.to_ascii_lowercase();
        if let Some(range) = line.strip_prefix("range: bytes=") {
            start = Some(range.trim_end_matches('-').parse().unwrap());
        }
    }
    let mut seen = seen.lock().unwrap();
    let request = Request {
        target,
        start,
        number: seen.len(),
    };
    seen.push(request.clone());
    Some(request)
}

/// Writes a head of these lines. The client may be gone: that is its own affair.
pub fn head(stream: &mut TcpStream, status: &str, lines: &[String]) {
    let mut text = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
    for line in lines {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    let _ = stream.write_all(text.as_bytes());
}

/// Writes some of the body.
pub fn body(stream: &mut TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes).and_then(|()| stream.flush());
}

/// The whole document.
pub fn whole(stream: &mut TcpStream, content: &[u8]) {
    head(
        stream,
        "200 OK",
        &[format!("Content-Length: {}", content.len())],
    );
    body(stream, content);
}

/// As a good mirror answers: the part that was asked for, or the whole.
pub fn good(request: &Request, stream: &mut TcpStream, content: &[u8]) {
    let Some(start) = request.start else {
        return whole(stream, content);
    };
    let length = content.len();
    head(
        stream,
        "206 Partial Content",
        &[
            format!("Content-Range: bytes {start}-{}/{length}", length - 1),
            format!("Content-Length: {}", length - start),
        ],
    );
    body(stream, &content[start..]);
}

/// Announces the whole and sends only so many bytes of it.
pub fn cut(stream: &mut TcpStream, content: &[u8], after: usize) {
    head(
        stream,
        "200 OK",
        &[format!("Content-Length: {}", content.len())],
    );
    body(stream, &content[..after]);
}

/// A status and nothing else.
pub fn status(stream: &mut TcpStream, status: &str) {
    head(stream, status, &["Content-Length: 0".into()]);
}

/// Bytes that look like nothing in particular.
pub fn content(length: usize, seed: u8) -> Vec<u8> {
    let mut state = u32::from(seed) + 1;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}
