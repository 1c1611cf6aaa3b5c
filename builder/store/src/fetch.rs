//! Downloads into the store.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fortress_progress::{Observer, Unit};

use crate::client::TICK;
use crate::partial::{Acquired, Partial};
use crate::store::Inner;
use crate::transfer::{Bounds, Sink, Stop, Watch, transfer};
use crate::{Blob, Client, Digest, DownloadError, Error, Failure, Result, Store};

/// A blob of unknown length may be at most this long, in bytes.
const LARGEST: u64 = 64 << 30;

/// How long to wait for other downloads to end when one has failed for good.
const WIND_DOWN: Duration = Duration::from_secs(2);

/// A blob to be had from the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// What it is, for people: "linux-image-6.12 6.12.57-1 amd64".
    pub name: String,
    /// Where it is to be had; tried in this order.
    pub urls: Vec<String>,
    /// What its SHA-256 must be.
    pub digest: Digest,
    /// What its length must be, in bytes, if known.
    pub length: Option<u64>,
}

/// What a downloading thread tells.
enum Event {
    Advance(u64),
    Doing(String),
    Waiting(String),
    Ended(usize, std::result::Result<Blob, Ended>),
}

/// Why a download ended without its blob.
enum Ended {
    Failed(DownloadError),
    Fatal(Error),
}

impl Store {
    /// Brings all these blobs into the store, several at a time, and returns them in the same
    /// order. Those that are there already are not downloaded; those that were cut off in an
    /// earlier run are resumed; one that another process downloads just now is waited for.
    pub fn fetch(
        &self,
        downloads: &[Download],
        client: &Client,
        observer: &dyn Observer,
    ) -> Result<Vec<Blob>> {
        let mut present = BTreeMap::new();
        let mut missing = Vec::new();
        let mut seen = BTreeSet::new();
        for download in downloads {
            if !seen.insert(download.digest) {
                continue;
            }
            match self.get(&download.digest)? {
                Some(blob) => {
                    present.insert(download.digest, blob);
                }
                None => missing.push(download.clone()),
            }
        }
        if !missing.is_empty() {
            if client.options.offline {
                missing = only_local(missing)?;
            }
            self.inner.must_be_writable()?;
            present.extend(self.download(missing, client, observer)?);
        }
        // All of them are there by now.
        Ok(downloads
            .iter()
            .filter_map(|download| present.get(&download.digest).cloned())
            .collect())
    }

    fn download(
        &self,
        downloads: Vec<Download>,
        client: &Client,
        observer: &dyn Observer,
    ) -> Result<BTreeMap<Digest, Blob>> {
        let total = downloads
            .iter()
            .map(|download| download.length)
            .sum::<Option<u64>>();
        let stage = observer.stage("download", total, Unit::Bytes);
        let count = downloads.len();
        let work = Arc::new(Work::new(&self.inner, client, downloads));
        let (events, told) = mpsc::channel();
        for _ in 0..client.options.parallel.clamp(1, count) {
            let (work, events) = (Arc::clone(&work), events.clone());
            thread::Builder::new()
                .name("download".into())
                .spawn(move || work.run(&events))
                .map_err(|error| Error::Client {
                    reason: format!("no thread: {error}"),
                })?;
        }
        drop(events);

        let mut blobs = BTreeMap::new();
        let mut failed = BTreeMap::new();
        let mut fatal = None;
        let mut deadline: Option<Instant> = None;
        loop {
            match told.recv_timeout(TICK) {
                Ok(Event::Advance(bytes)) => stage.advance(bytes),
                Ok(Event::Doing(what)) => stage.doing(&what),
                Ok(Event::Waiting(what)) => {
                    observer.note(&format!("another build downloads {what}: waiting for it"));
                }
                Ok(Event::Ended(_, Ok(blob))) => {
                    blobs.insert(blob.digest, blob);
                }
                Ok(Event::Ended(index, Err(Ended::Failed(error)))) => {
                    failed.insert(index, error);
                }
                // What stopped because of another's failure is not worth a word.
                Ok(Event::Ended(_, Err(Ended::Fatal(Error::Cancelled)))) => {}
                Ok(Event::Ended(_, Err(Ended::Fatal(error)))) => {
                    work.stop.store(true, Ordering::Relaxed);
                    fatal.get_or_insert(error);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if observer.cancelled() {
                work.stop.store(true, Ordering::Relaxed);
                fatal = Some(Error::Cancelled);
            }
            if work.stop.load(Ordering::Relaxed)
                && *deadline.get_or_insert_with(|| Instant::now() + WIND_DOWN) < Instant::now()
            {
                break;
            }
        }
        if let Some(error) = fatal {
            return Err(error);
        }
        if !failed.is_empty() {
            return Err(Error::Download(failed.into_values().collect()));
        }
        if blobs.len() < count {
            return Err(Error::Client {
                reason: "a download ended without a result".into(),
            });
        }
        Ok(blobs)
    }
}

/// What may be had without the network; an error that names what may not.
fn only_local(mut downloads: Vec<Download>) -> Result<Vec<Download>> {
    for download in &mut downloads {
        download.urls.retain(|url| url.starts_with("file:"));
    }
    let missing: Vec<String> = downloads
        .iter()
        .filter(|download| download.urls.is_empty())
        .map(|download| download.name.clone())
        .collect();
    if missing.is_empty() {
        Ok(downloads)
    } else {
        Err(Error::Offline { missing })
    }
}

/// What the downloading threads share.
struct Work {
    store: Arc<Inner>,
    client: Client,
    downloads: Vec<Download>,
    /// Which are still to be begun.
    queue: Mutex<VecDeque<usize>>,
    /// Servers that could not be reached in spite of retries: not tried for each package again.
    dead: Mutex<BTreeMap<String, Failure>>,
    stop: AtomicBool,
}

impl Work {
    fn new(store: &Arc<Inner>, client: &Client, downloads: Vec<Download>) -> Self {
        let mut queue: Vec<usize> = (0..downloads.len()).collect();
        // The largest first: none is then left to run alone at the end.
        queue.sort_by_key(|&index| std::cmp::Reverse(downloads[index].length));
        Self {
            store: Arc::clone(store),
            client: client.clone(),
            downloads,
            queue: Mutex::new(queue.into()),
            dead: Mutex::default(),
            stop: AtomicBool::new(false),
        }
    }

    fn dead(&self) -> MutexGuard<'_, BTreeMap<String, Failure>> {
        self.dead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, events: &Sender<Event>) {
        while !self.stop.load(Ordering::Relaxed) {
            let next = self
                .queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front();
            let Some(index) = next else { return };
            let download = &self.downloads[index];
            // Nobody listens any more when `stop` is set: the next round ends.
            let _ = events.send(Event::Doing(download.name.clone()));
            let ended = self.one(download, events);
            let _ = events.send(Event::Ended(index, ended));
        }
    }

    fn one(&self, download: &Download, events: &Sender<Event>) -> std::result::Result<Blob, Ended> {
        let mut watch = Watch {
            events: events.clone(),
            advance: Event::Advance,
            stop: &self.stop,
            told: 0,
        };
        let waiting = || {
            let _ = events.send(Event::Waiting(download.name.clone()));
        };
        let acquired = Partial::acquire(&self.store, &download.digest, &watch, waiting);
        let mut partial = match acquired.map_err(Ended::Fatal)? {
            Acquired::Present(blob) => {
                watch.reached(blob.length);
                return Ok(blob);
            }
            Acquired::Ours(partial) => partial,
        };
        let ended = self.try_all(download, &mut partial, &mut watch);
        match ended {
            Ok(()) => partial
                .publish(&self.store, &download.digest)
                .map_err(Ended::Fatal),
            Err(ended) => {
                partial.leave();
                Err(ended)
            }
        }
    }

    /// Tries all addresses until `partial` holds the right content.
    fn try_all(
        &self,
        download: &Download,
        partial: &mut Partial,
        watch: &mut Watch<'_, Event>,
    ) -> std::result::Result<(), Ended> {
        if let Some(length) = download.length
            && partial.position() >= length
        {
            if partial.digest() == download.digest {
                return Ok(());
            }
            partial.restart().map_err(Ended::Fatal)?;
        }
        let mut attempts = Vec::new();
        for url in &download.urls {
            watch.reached(partial.position());
            let server = server(url);
            if let Some(failure) = self.dead().get(&server) {
                attempts.push((url.clone(), failure.clone()));
                continue;
            }
            match self.try_one(download, url, partial, watch) {
                Ok(()) => return Ok(()),
                Err(Stop::Failure(failure)) => {
                    if failure.of_the_network() {
                        self.dead().insert(server, failure.clone());
                    }
                    attempts.push((url.clone(), failure));
                }
                Err(Stop::Fatal(error)) => return Err(Ended::Fatal(error)),
            }
        }
        Err(Ended::Failed(DownloadError {
            name: download.name.clone(),
            attempts,
        }))
    }

    fn try_one(
        &self,
        download: &Download,
        url: &str,
        partial: &mut Partial,
        watch: &mut Watch<'_, Event>,
    ) -> std::result::Result<(), Stop> {
        let bounds = Bounds {
            length: download.length,
            limit: LARGEST,
            never_html: false,
        };
        let mut second = false;
        loop {
            let arrival = transfer(&self.client, url, bounds, partial, watch)?;
            let (got, expected) = (partial.digest(), download.digest);
            if got == expected {
                return Ok(());
            }
            partial.restart()?;
            // The bytes of an earlier run, or of another mirror, may be the wrong ones.
            if arrival.resumed && !second {
                second = true;
                continue;
            }
            return Err(if arrival.html {
                Failure::Portal.into()
            } else {
                Failure::WrongDigest { expected, got }.into()
            });
        }
    }
}

/// Scheme, host and port of an address.
fn server(url: &str) -> String {
    url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/")
}
