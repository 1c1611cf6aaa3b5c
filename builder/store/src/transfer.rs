//! One document from one address: requests, answers, retries.

use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use reqwest::Url;
use reqwest::blocking::Response;
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, RANGE, RETRY_AFTER};

use crate::{Client, Error, Failure};

/// A try that brought at least this much does not count as a failed one.
const WORTHWHILE: u64 = 1 << 20;

/// Longer than this we do not wait, whatever the server asks.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Where a document goes.
pub(crate) trait Sink {
    /// How many bytes it holds.
    fn position(&self) -> u64;
    /// Forgets them all.
    fn restart(&mut self) -> Result<(), Error>;
    /// Takes more.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error>;
}

/// Why a transfer ended without the document.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The address is to blame.
    Failure(Failure),
    /// This machine is, or the caller wants no more: other addresses would not help.
    Fatal(Error),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Stop::Failure(failure)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Fatal(error)
    }
}

/// What a transfer tells, and by what it is stopped.
#[derive(Debug, Clone)]
pub(crate) struct Watch<'a, T> {
    pub(crate) events: Sender<T>,
    pub(crate) advance: fn(u64) -> T,
    pub(crate) stop: &'a AtomicBool,
    /// The furthest position that was told: after starting over, bytes are not told twice.
    pub(crate) told: u64,
}

impl<T> Watch<'_, T> {
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        Ok(())
    }

    pub(crate) fn reached(&mut self, position: u64) {
        if position > self.told {
            // Whoever does not listen any more has set `stop`.
            let _ = self.events.send((self.advance)(position - self.told));
            self.told = position;
        }
    }

    /// Sleeps, but not through a request to stop.
    pub(crate) fn wait(&self, time: Duration) -> Result<(), Error> {
        let end = Instant::now() + time;
        loop {
            self.check()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(Duration::from_millis(50)));
        }
    }
}

/// What is known beforehand of a document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Its length, in bytes, if it is known.
    pub(crate) length: Option<u64>,
    /// More bytes than this are never taken.
    pub(crate) limit: u64,
    /// A web page is never what is wanted. (A digest tells as much, but only at the end.)
    pub(crate) never_html: bool,
}

/// How a document came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    /// It looks like a web page.
    pub(crate) html: bool,
    /// It was put together from several answers, or from an earlier run's bytes.
    pub(crate) resumed: bool,
}

/// Brings the document at `url` into `sink`, going on from what is there already.
pub(crate) fn transfer<T>(
    client: &Client,
    url: &str,
    bounds: Bounds,
    sink: &mut dyn Sink,
    watch: &mut Watch<'_, T>,
) -> Result<Arrival, Stop> {
    let url = Url::parse(url).map_err(|_| Failure::Address)?;
    let mut failed = 0;
    loop {
        watch.check()?;
        let before = sink.position();
        let failure = match attempt(client, &url, bounds, sink, watch) {
            Err(Stop::Failure(failure)) if failure.passes() => failure,
            other => return other,
        };
        // Whoever brings a megabyte each time gets there; a trickle does not count.
        if sink.position() < before.saturating_add(WORTHWHILE) {
            failed += 1;
        }
        if failed > client.options.retries {
            return Err(failure.into());
        }
        let doubled = client.options.backoff * (1 << failed.saturating_sub(1).min(10));
        let wait = match failure {
            Failure::Status {
                retry_after: Some(asked),
                ..
            } => asked.max(doubled),
            _ => doubled,
        };
        watch.wait(wait.min(LONGEST_WAIT))?;
    }
}

fn attempt<T>(
    client: &Client,
    url: &Url,
    bounds: Bounds,
    sink: &mut dyn Sink,
    watch: &mut Watch<'_, T>,
) -> Result<Arrival, Stop> {
    match url.scheme() {
        "file" => {
            sink.restart()?;
            let path = url.to_file_path().map_err(|()| Failure::Address)?;
            let file = File::open(&path).map_err(|error| Failure::of_file(&error))?;
            let length = file
                .metadata()
                .map_err(|error| Failure::of_file(&error))?
                .len();
            receive(
                file,
                &Answer::whole(length),
                bounds,
                sink,
                watch,
                |error, _| Failure::of_file(error),
            )
        }
        "http" | "https" if !client.options.offline => {
            let (response, answer) = ask(client, url, sink)?;
            let stall = client.options.stall_timeout;
            receive(response, &answer, bounds, sink, watch, |error, got| {
                Failure::of_body(error, got, answer.length, stall)
            })
        }
        "http" | "https" => Err(Error::Offline {
            missing: vec![url.to_string()],
        }
        .into()),
        _ => Err(Failure::Address.into()),
    }
}

/// What the head of an answer says.
#[derive(Debug)]
struct Answer {
    /// The length of the whole document, in bytes.
    length: Option<u64>,
    html: bool,
    resumed: bool,
}

impl Answer {
    fn whole(length: u64) -> Self {
        Self {
            length: Some(length),
            html: false,
            resumed: false,
        }
    }
}

/// Sends the request; brings `sink` to where the answer's body begins.
fn ask(client: &Client, url: &Url, sink: &mut dyn Sink) -> Result<(Response, Answer), Stop> {
    let options = &client.options;
    let start = sink.position();
    let mut request = client.http.get(url.clone());
    if start > 0 {
        request = request.header(RANGE, format!("bytes={start}-"));
    }
    let response = request.send().map_err(|error| {
        Failure::of_http(&error, options.connect_timeout, options.stall_timeout)
    })?;
    let header = |name| {
        response
            .headers()
            .get(name)
            .and_then(|value: &reqwest::header::HeaderValue| value.to_str().ok())
            .unwrap_or_default()
    };
    let html = header(CONTENT_TYPE)
        .trim_start()
        .to_ascii_lowercase()
        .starts_with("text/html");
    match response.status() {
        // A server may always send the whole instead of the part (RFC 9110, section 14.2).
        StatusCode::OK => {
            if start > 0 {
                sink.restart()?;
            }
            let length = response.content_length();
            Ok((
                response,
                Answer {
                    length,
                    html,
                    resumed: false,
                },
            ))
        }
        StatusCode::PARTIAL_CONTENT if start > 0 => {
            let range = header(CONTENT_RANGE);
            match content_range(range) {
                Some((first, length)) if first == start => Ok((
                    response,
                    Answer {
                        length,
                        html: false,
                        resumed: true,
                    },
                )),
                _ => {
                    let got = format!("Content-Range: {:.80}", range.escape_debug().to_string());
                    sink.restart()?;
                    Err(Failure::WrongRange { start, got }.into())
                }
            }
        }
        // What we hold is not the begin of what is there now.
        StatusCode::RANGE_NOT_SATISFIABLE if start > 0 => {
            sink.restart()?;
            let got = "416 Range Not Satisfiable".into();
            Err(Failure::WrongRange { start, got }.into())
        }
        StatusCode::NOT_FOUND => Err(Failure::NotFound.into()),
        status => Err(Failure::Status {
            status: status.as_u16(),
            retry_after: header(RETRY_AFTER).parse().ok().map(Duration::from_secs),
        }
        .into()),
    }
}

/// `bytes 100-199/200` → 100, Some(200) (RFC 9110, section 14.4).
fn content_range(header: &str) -> Option<(u64, Option<u64>)> {
    let (range, length) = header
        .trim()
        .strip_prefix("bytes")?
        .trim()
        .split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    if last < first {
        return None;
    }
    match length.trim() {
        "*" => Some((first, None)),
        length => {
            let length = length.parse().ok()?;
            (last < length).then_some((first, Some(length)))
        }
    }
}

fn receive<T>(
    mut body: impl Read,
    answer: &Answer,
    bounds: Bounds,
    sink: &mut dyn Sink,
    watch: &mut Watch<'_, T>,
    mut failed: impl FnMut(&io::Error, u64) -> Failure,
) -> Result<Arrival, Stop> {
    let wrong_length = match (bounds.length, answer.length) {
        (Some(expected), Some(got)) if expected != got => Some(Failure::Length { expected, got }),
        (None, Some(got)) if got > bounds.limit => Some(Failure::TooLong {
            limit: bounds.limit,
        }),
        _ => None,
    };
    let limit = bounds.length.unwrap_or(bounds.limit);
    let mut html = answer.html;
    let mut buffer = vec![0; 128 << 10];
    loop {
        watch.check()?;
        let read = match body.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(&error, sink.position()).into()),
        };
        let bytes = &buffer[..read];
        if sink.position() == 0 {
            html |= looks_like_html(bytes);
            if html && (bounds.never_html || wrong_length.is_some()) {
                return Err(Failure::Portal.into());
            }
        }
        if let Some(failure) = wrong_length {
            return Err(failure.into());
        }
        if read == 0 {
            break;
        }
        if sink.position() + read as u64 > limit {
            return Err(if html {
                Failure::Portal.into()
            } else {
                Failure::TooLong { limit }.into()
            });
        }
        sink.write(bytes)?;
        watch.reached(sink.position());
    }
    let expected = bounds.length.or(answer.length);
    let got = sink.position();
    if expected.is_some_and(|expected| got < expected) {
        if html {
            return Err(Failure::Portal.into());
        }
        return Err(Failure::Truncated { got, expected }.into());
    }
    Ok(Arrival {
        html,
        resumed: answer.resumed,
    })
}

fn looks_like_html(bytes: &[u8]) -> bool {
    let text = bytes.trim_ascii_start();
    [&b"<html"[..], b"<!doctype html"].iter().any(|start| {
        text.get(..start.len())
            .is_some_and(|text| text.eq_ignore_ascii_case(start))
    })
}

impl Failure {
    fn of_file(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Failure::NotFound,
            _ => Failure::File(error.to_string()),
        }
    }

    /// Reading a body failed after `got` bytes.
    fn of_body(error: &io::Error, got: u64, expected: Option<u64>, stall: Duration) -> Self {
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<reqwest::Error>());
        if error.kind() == io::ErrorKind::TimedOut || inner.is_some_and(reqwest::Error::is_timeout)
        {
            return Failure::Stalled(stall);
        }
        Failure::Truncated { got, expected }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{content_range, looks_like_html};

    #[test]
    fn ranges() {
        assert_eq!(content_range("bytes 100-199/200"), Some((100, Some(200))));
        assert_eq!(content_range("bytes 0-0/*"), Some((0, None)));
        for bad in [
            "",
            "bytes",
            "bytes */200",
            "bytes 5-4/200",
            "bytes 0-200/200",
            "bytes -5/200",
            "items 0-1/2",
            "bytes 0-99999999999999999999/*",
        ] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_range_is_sound_or_none(header in "(bytes)?[ 0-9*/-]{0,60}|.{0,60}") {
            if let Some((first, Some(length))) = content_range(&header) {
                prop_assert!(first < length);
            }
        }
    }

    #[test]
    fn pages() {
        assert!(looks_like_html(b"\n <!DOCTYPE html><title>Log in"));
        assert!(looks_like_html(b"<HTML>"));
        assert!(!looks_like_html(b"<htm"));
        assert!(!looks_like_html(b"!<arch>\n"));
        assert!(!looks_like_html(b""));
    }
}
