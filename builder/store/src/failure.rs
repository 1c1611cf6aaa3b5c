//! How downloads fail.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::Digest;

/// A download failed at every address it was tried from.
#[derive(Debug)]
pub struct DownloadError {
    /// What was to be downloaded, for people.
    pub name: String,
    /// Each address, and what happened there, in the order of trial.
    pub attempts: Vec<(String, Failure)>,
}

/// What happened at one address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The server, or the file system for `file://`, has no such document.
    #[error("there is no such file (404 Not Found)")]
    NotFound,
    /// Another status than success.
    #[error("the server answered {status}{}", reason(*status))]
    Status {
        /// The HTTP status.
        status: u16,
        /// How long the server asks to wait before the next try.
        retry_after: Option<Duration>,
    },
    /// Redirected for ever.
    #[error("the server redirects in circles")]
    Redirects,
    /// Nobody listens there.
    #[error("the connection was refused")]
    Refused,
    /// No connection in time.
    #[error("no connection within {} s", .0.as_secs_f32())]
    ConnectTimeout(Duration),
    /// The host name has no address.
    #[error("the host name cannot be resolved ({0})")]
    Resolve(String),
    /// No secure connection.
    #[error("no secure connection can be made: {0}")]
    Tls(String),
    /// The connection broke.
    #[error("the connection failed: {0}")]
    Connection(String),
    /// The server went silent.
    #[error("the server sent nothing for {} s", .0.as_secs_f32())]
    Stalled(Duration),
    /// The connection ended too early.
    #[error("the connection ended after {got} {}", of_bytes(*expected))]
    Truncated {
        /// Bytes received, those of earlier tries included.
        got: u64,
        /// Bytes announced or known.
        expected: Option<u64>,
    },
    /// The document there has another length.
    #[error("the file there has {got} bytes, expected {expected}")]
    Length {
        /// The length it must have, in bytes.
        expected: u64,
        /// The length announced, in bytes.
        got: u64,
    },
    /// More bytes than allowed or expected.
    #[error("the server sent more than the expected {limit} bytes")]
    TooLong {
        /// The bound, in bytes.
        limit: u64,
    },
    /// A part was asked for, and another one came.
    #[error("the server answered a request to resume at byte {start} with {got}")]
    WrongRange {
        /// From where the rest was asked for.
        start: u64,
        /// What was answered.
        got: String,
    },
    /// A web page where a file was expected.
    #[error("an HTML page came instead of the file")]
    Portal,
    /// Another content than expected.
    #[error("the content is not the expected one: SHA-256 is {got}, expected {expected}")]
    WrongDigest {
        /// What it must be.
        expected: Digest,
        /// What it is.
        got: Digest,
    },
    /// An address of an unknown kind.
    #[error("this is no http://, https:// or file:// address")]
    Address,
    /// The local file of a `file://` address cannot be read.
    #[error("the file cannot be read: {0}")]
    File(String),
}

impl Failure {
    /// Whether the same address may do better soon.
    pub(crate) fn passes(&self) -> bool {
        match self {
            Failure::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500 | 502..=504),
            Failure::Refused
            | Failure::ConnectTimeout(_)
            | Failure::Resolve(_)
            | Failure::Connection(_)
            | Failure::Stalled(_)
            | Failure::Truncated { .. }
            | Failure::WrongRange { .. } => true,
            _ => false,
        }
    }

    /// Whether the server is to blame, so that its other documents are not worth a try either.
    pub(crate) fn of_the_network(&self) -> bool {
        matches!(
            self,
            Failure::Refused
                | Failure::ConnectTimeout(_)
                | Failure::Resolve(_)
                | Failure::Tls(_)
                | Failure::Connection(_)
                | Failure::Stalled(_)
                | Failure::Portal
        )
    }

    fn hint(&self) -> &'static str {
        match self {
            Failure::NotFound | Failure::Status { status: 410, .. } => {
                "mirrors drop superseded versions: renew the lock with --update, or name a mirror \
                 that still has the file with --mirror"
            }
            Failure::Status {
                status: 401 | 403 | 407,
                ..
            } => {
                "check that you may use this mirror, and the proxy settings (http_proxy, https_proxy)"
            }
            Failure::Status { .. } => "try again later, or name another mirror with --mirror",
            Failure::Redirects | Failure::Address => "check the address of the mirror",
            Failure::Refused | Failure::ConnectTimeout(_) => {
                "check the address of the mirror and the proxy settings (http_proxy, https_proxy), \
                 or name another mirror with --mirror"
            }
            Failure::Resolve(_) => {
                "check the network connection and the spelling of the host name; \
                 --offline uses only what is in the store"
            }
            Failure::Tls(_) => {
                "check the clock and that the certificates are there (package ca-certificates), \
                 or use an http:// mirror: all content is verified either way"
            }
            Failure::Connection(_) | Failure::Stalled(_) | Failure::Truncated { .. } => {
                "run again to resume where it stopped, or name another mirror with --mirror"
            }
            Failure::Portal => {
                "a captive portal or a proxy seems to answer: log in to the network with a \
                 browser, then run again"
            }
            Failure::Length { .. }
            | Failure::TooLong { .. }
            | Failure::WrongRange { .. }
            | Failure::WrongDigest { .. } => {
                "the mirror is out of date, broken or lies: run again later, or name another one \
                 with --mirror"
            }
            Failure::File(_) => "check that the file can be read",
        }
    }

    /// Reads what the HTTP client says.
    pub(crate) fn of_http(
        error: &reqwest::Error,
        connect_timeout: Duration,
        stall_timeout: Duration,
    ) -> Self {
        if error.is_redirect() {
            return Failure::Redirects;
        }
        if error.is_builder() {
            return Failure::Address;
        }
        if error.is_timeout() {
            return if error.is_connect() {
                Failure::ConnectTimeout(connect_timeout)
            } else {
                Failure::Stalled(stall_timeout)
            };
        }
        // Only the innermost words say what happened; those around them repeat the address.
        let mut last = error.to_string();
        let mut resolving = false;
        let mut cause = error.source();
        while let Some(inner) = cause {
            if let Some(failure) = inner
                .downcast_ref::<io::Error>()
                .and_then(|error| Failure::of_io(error, connect_timeout))
            {
                return failure;
            }
            if let Some(error) = inner.downcast_ref::<rustls::Error>() {
                return Failure::Tls(error.to_string());
            }
            last = inner.to_string();
            resolving |= last == "dns error";
            cause = inner.source();
        }
        if resolving {
            return Failure::Resolve(last);
        }
        Failure::Connection(last)
    }

    fn of_io(error: &io::Error, connect_timeout: Duration) -> Option<Self> {
        // What an io::Error wraps is not among its `source`s, and it may wrap another one.
        let wrapped = error.get_ref();
        if let Some(error) = wrapped.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Some(Failure::Tls(error.to_string()));
        }
        if let Some(error) = wrapped.and_then(|inner| inner.downcast_ref::<io::Error>()) {
            return Failure::of_io(error, connect_timeout);
        }
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Some(Failure::Refused),
            io::ErrorKind::TimedOut => Some(Failure::ConnectTimeout(connect_timeout)),
            _ => None,
        }
    }
}

impl DownloadError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        // A mirror that answered says more than one that could not be reached.
        let told = |wanted: bool| {
            self.attempts
                .iter()
                .find(|(_, failure)| failure.of_the_network() != wanted)
        };
        match told(true).or_else(|| told(false)) {
            Some((_, failure)) => Some(failure.hint().into()),
            None => Some("name a mirror that has it with --mirror".into()),
        }
    }

    /// Whether every address answered that there is no such document.
    pub fn is_not_found(&self) -> bool {
        !self.attempts.is_empty()
            && self.attempts.iter().all(|(_, failure)| {
                matches!(
                    failure,
                    Failure::NotFound | Failure::Status { status: 410, .. }
                )
            })
    }
}

impl std::error::Error for DownloadError {}

impl fmt::Display for DownloadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "cannot download {}: ", self.name)?;
        if self.attempts.is_empty() {
            return formatter.write_str("no address is known for it");
        }
        for (number, (url, failure)) in self.attempts.iter().enumerate() {
            if number > 0 {
                formatter.write_str("; ")?;
            }
            write!(formatter, "{url}: {failure}")?;
        }
        Ok(())
    }
}

fn reason(status: u16) -> String {
    reqwest::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .map(|reason| format!(" {reason}"))
        .unwrap_or_default()
}

fn of_bytes(expected: Option<u64>) -> String {
    match expected {
        Some(expected) => format!("of {expected} bytes"),
        None => "bytes".into(),
    }
}
