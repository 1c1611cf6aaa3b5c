//! The HTTP client, and small documents by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use fortress_progress::Observer;
use rustls::RootCertStore;

use crate::transfer::{Bounds, Sink, Stop, Watch, transfer};
use crate::{DownloadError, Error, Result};

/// How often a waiting caller looks whether it is to stop.
pub(crate) const TICK: Duration = Duration::from_millis(50);

/// How to download.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Touch no network: only `file://` addresses are read.
    pub offline: bool,
    /// How many downloads may run at once.
    pub parallel: usize,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long to wait for the next byte.
    pub stall_timeout: Duration,
    /// How often to try an address again after a failure that may pass.
    pub retries: u32,
    /// How long to wait before the first retry; doubled each time.
    pub backoff: Duration,
    /// Use the proxies that the environment names (`http_proxy`, `https_proxy`, `no_proxy`, …).
    pub proxies: bool,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            offline: false,
            parallel: 6,
            connect_timeout: Duration::from_secs(15),
            stall_timeout: Duration::from_secs(30),
            retries: 3,
            backoff: Duration::from_millis(500),
            proxies: true,
        }
    }
}

/// Downloads from `http://`, `https://` and `file://` addresses.
///
/// Secure connections are checked against the system's certificates (or those that
/// `SSL_CERT_FILE` and `SSL_CERT_DIR` name); where there are none, `http://` still works.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) options: ClientOptions,
    pub(crate) http: reqwest::blocking::Client,
}

impl Client {
    /// Sets up the client; touches no network.
    pub fn new(options: ClientOptions) -> Result<Self> {
        let failed = |error: &dyn std::error::Error| Error::Client {
            reason: error.to_string(),
        };
        let mut roots = RootCertStore::empty();
        // Certificates that cannot be read are of no use; a connection that needs them will say so.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
        let mut builder = reqwest::blocking::Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("fortress-build/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(options.connect_timeout)
            // The blocking client measures this for each read, not for the whole.
            .timeout(options.stall_timeout);
        if !options.proxies {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| failed(&error))?;
        Ok(Self { options, http })
    }

    /// How it downloads.
    pub fn options(&self) -> &ClientOptions {
        &self.options
    }

    /// Downloads a document of at most `limit` bytes that no digest pins: the caller must
    /// authenticate it (a signed index, say).
    pub fn get(&self, url: &str, limit: u64, observer: &dyn Observer) -> Result<Vec<u8>> {
        let stop = Arc::new(AtomicBool::new(false));
        let (events, answers) = mpsc::channel();
        let client = self.clone();
        let (address, halt) = (url.to_owned(), Arc::clone(&stop));
        // Beside the caller, who can so be stopped even while a server is silent.
        thread::Builder::new()
            .name("download".into())
            .spawn(move || {
                let mut document = Document::default();
                let bounds = Bounds {
                    length: None,
                    limit,
                    never_html: true,
                };
                let mut watch = Watch {
                    events: events.clone(),
                    advance: |_| None,
                    stop: &halt,
                    told: 0,
                };
                let ended = transfer(&client, &address, bounds, &mut document, &mut watch);
                let _ = events.send(Some(ended.map(|_| document.0)));
            })
            .map_err(|error| Error::Client {
                reason: format!("no thread: {error}"),
            })?;
        loop {
            match answers.recv_timeout(TICK) {
                Ok(Some(Ok(document))) => return Ok(document),
                Ok(Some(Err(Stop::Fatal(error)))) => return Err(error),
                Ok(Some(Err(Stop::Failure(failure)))) => {
                    return Err(Error::Download(vec![DownloadError {
                        name: url.rsplit('/').next().unwrap_or(url).into(),
                        attempts: vec![(url.into(), failure)],
                    }]));
                }
                Ok(None) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::Client {
                        reason: "the download ended without a result".into(),
                    });
                }
            }
            if observer.cancelled() {
                stop.store(true, Ordering::Relaxed);
                return Err(Error::Cancelled);
            }
        }
    }
}

/// A document in memory.
#[derive(Debug, Default)]
struct Document(Vec<u8>);

impl Sink for Document {
    fn position(&self) -> u64 {
        self.0.len() as u64
    }

    fn restart(&mut self) -> Result<()> {
        self.0.clear();
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}
