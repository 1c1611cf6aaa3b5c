//! From the sources to the index: signed index, its signature, the package indexes it names.

use std::io::{BufReader, Read};

use fortress_progress::{Observer, Unit};
use fortress_store::{Blob, Client, Digest, Download, Hasher, Store};
use rayon::prelude::*;

use crate::clear_text;
use crate::error::{Error, ReleaseFault};
use crate::index::{Index, SuiteState};
use crate::openpgp::{Keyring, Verified};
use crate::packages::{self, Part};
use crate::release::{Compression, IndexFile, Release};
use crate::source::{LoadOptions, Source};
use crate::time::to_rfc3339;

/// Longer signed indexes are refused, in bytes; Debian's and Ubuntu's are below 300 KiB.
const RELEASE: u64 = 16 << 20;
/// Longer package indexes are refused where the signed index does not say how long they are.
const INDEX: u64 = 1 << 30;
/// Memory for decompressing xz: what `xz -9` needs (65 MiB), and some.
const XZ_MEMORY: u64 = 80 << 20;
/// Window for decompressing zstd, as a power of two: what `zstd --ultra -22` asks for.
const ZSTD_WINDOW: u32 = 27;

/// A suite's signed index, verified, and where its files are.
struct Suite {
    state: SuiteState,
    release: Release,
    /// The mirror that gave it first.
    mirrors: Vec<String>,
}

impl Index {
    /// Loads the package indexes of all sources for an architecture (`amd64`).
    ///
    /// Each suite's `InRelease` is got from the first mirror that has a good one, and remembered
    /// in the store for work offline; package indexes are kept in the store by their hashes.
    ///
    /// # Errors
    /// When a suite cannot be had or is not to be trusted, and [`Error::Cancelled`].
    pub fn load(
        sources: &[Source],
        architecture: &str,
        store: &Store,
        client: &Client,
        options: &LoadOptions,
        observer: &dyn Observer,
    ) -> Result<Self, Error> {
        let suites = suites(sources, store, client, options, observer)?;
        let mut wanted = Vec::new();
        for (number, (suite, source)) in suites.iter().zip(sources).enumerate() {
            let indexes = suite
                .release
                .indexes(&source.components, architecture)
                .map_err(|reason| release_error(source, reason))?;
            wanted.extend(indexes.into_iter().map(|index| (number, index)));
        }
        let downloads: Vec<Download> = wanted
            .iter()
            .map(|(number, index)| download(&suites[*number], index))
            .collect();
        let blobs = store
            .fetch(&downloads, client, observer)
            .map_err(|error| match &error {
                fortress_store::Error::Cancelled => Error::Cancelled,
                _ => {
                    let names: Vec<&str> =
                        sources.iter().map(|source| source.name.as_str()).collect();
                    let suites: Vec<&str> =
                        sources.iter().map(|source| source.suite.as_str()).collect();
                    Error::Fetch {
                        source_name: names.join(", "),
                        suite: suites.join(", "),
                        error: Box::new(error),
                    }
                }
            })?;
        let stage = observer.stage("read indexes", Some(wanted.len() as u64), Unit::Items);
        let parts = wanted
            .par_iter()
            .zip(&blobs)
            .map(|((number, index), blob)| {
                if observer.cancelled() {
                    return Err(Error::Cancelled);
                }
                stage.doing(&index.path);
                let part = read(index, blob).map_err(|reason| Error::Index {
                    suite: suites[*number].state.suite.clone(),
                    index: index.path.clone(),
                    reason,
                })?;
                stage.advance(1);
                Ok((*number, part))
            })
            .collect::<Result<Vec<_>, Error>>()?;
        let states = suites.into_iter().map(|suite| suite.state).collect();
        Self::new(architecture, states, parts).map_err(|reason| Error::Index {
            suite: "all suites".into(),
            index: "Packages".into(),
            reason,
        })
    }
}

fn release_error(source: &Source, reason: ReleaseFault) -> Error {
    Error::Release {
        source_name: source.name.clone(),
        suite: source.suite.clone(),
        reason,
    }
}

/// The signed indexes of all sources, side by side, in their order.
fn suites(
    sources: &[Source],
    store: &Store,
    client: &Client,
    options: &LoadOptions,
    observer: &dyn Observer,
) -> Result<Vec<Suite>, Error> {
    let stage = observer.stage("ask suites", Some(sources.len() as u64), Unit::Items);
    let stage = stage.as_ref();
    std::thread::scope(|scope| {
        let threads: Vec<_> = sources
            .iter()
            .map(|source| {
                scope.spawn(move || {
                    stage.doing(&source.suite);
                    let suite = suite(source, store, client, options, observer);
                    stage.advance(1);
                    suite
                })
            })
            .collect();
        let mut suites = Vec::with_capacity(threads.len());
        for thread in threads {
            match thread.join() {
                Ok(suite) => suites.push(suite?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(suites)
    })
}

/// Under which name the store remembers a suite's signed index.
fn memory_key(source: &Source) -> String {
    format!("release/{}/{}", source.name, source.suite)
}

/// The signed index of one source: from the first mirror that has a good one.
fn suite(
    source: &Source,
    store: &Store,
    client: &Client,
    options: &LoadOptions,
    observer: &dyn Observer,
) -> Result<Suite, Error> {
    let keys = Keyring::parse(&source.keys).map_err(|reason| Error::Keys {
        source_name: source.name.clone(),
        reason,
    })?;
    let fetch_error = |error| match error {
        fortress_store::Error::Cancelled => Error::Cancelled,
        error => Error::Fetch {
            source_name: source.name.clone(),
            suite: source.suite.clone(),
            error: Box::new(error),
        },
    };
    let remembered = store.recall(&memory_key(source)).map_err(fetch_error)?;
    // A folder of this machine is no network.
    let may_ask = |mirror: &str| !options.offline || mirror.starts_with("file:");
    let mirrors = source.mirrors.iter().enumerate();
    let asked: Vec<(usize, &String)> = mirrors.filter(|(_, mirror)| may_ask(mirror)).collect();
    let mut first_error = None;
    for (number, (position, mirror)) in asked.iter().enumerate() {
        let place = format!("{mirror}/dists/{}/InRelease", source.suite);
        let mut mirrors = source.mirrors.clone();
        mirrors.swap(0, *position);
        let document = client.get(&place, RELEASE, observer).map_err(fetch_error);
        let judged = document.and_then(|document| {
            let suite = judge(source, &keys, &document, &place, options, mirrors)?;
            Ok((suite, document))
        });
        match judged {
            Ok((suite, document)) => {
                if let Some(end) = suite.state.valid_until.filter(|end| *end < options.now) {
                    observer.warn(&format!(
                        "the index of {} ({}) expired at {}; it is taken nevertheless, for as \
                         long as the base says",
                        source.suite,
                        source.name,
                        to_rfc3339(end)
                    ));
                }
                if let Some(newer) = newer(remembered.as_deref(), &suite.release) {
                    observer.warn(&format!(
                        "{place} is of {}, and one of {} was seen before: the mirror is behind, \
                         or someone holds updates back",
                        to_rfc3339(suite.release.date),
                        to_rfc3339(newer)
                    ));
                } else if let Err(error) = store.remember(&memory_key(source), &document) {
                    // Only work offline needs it.
                    observer.note(&format!("{} is not remembered: {error}", source.suite));
                }
                return Ok(suite);
            }
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            Err(error) => {
                if number + 1 < asked.len() {
                    observer.warn(&format!("{error}; trying the next mirror"));
                }
                first_error.get_or_insert(error);
            }
        }
    }
    let (source_name, suite) = (source.name.clone(), source.suite.clone());
    if !options.offline {
        return Err(first_error.unwrap_or(Error::NoMirror { source_name, suite }));
    }
    let Some(document) = remembered else {
        return Err(first_error.unwrap_or(Error::NotRemembered { source_name, suite }));
    };
    if let Some(error) = first_error {
        observer.warn(&format!(
            "{error}; the index that the store remembers is taken"
        ));
    }
    let mirrors = source.mirrors.clone();
    judge(source, &keys, &document, "the store", options, mirrors)
}

/// The date of the signed index that the store remembers, if it is newer than this one.
fn newer(remembered: Option<&[u8]>, release: &Release) -> Option<i64> {
    let signed = clear_text::parse(remembered?).ok()?;
    let date = Release::parse(&signed.text).ok()?.date;
    (date > release.date).then_some(date)
}

/// A signed index that is good in every respect.
fn judge(
    source: &Source,
    keys: &Keyring,
    document: &[u8],
    place: &str,
    options: &LoadOptions,
    mirrors: Vec<String>,
) -> Result<Suite, Error> {
    let Verified { text, signer, .. } =
        keys.verify(document, options.now)
            .map_err(|refusal| Error::Untrusted {
                source_name: source.name.clone(),
                suite: source.suite.clone(),
                place: place.to_owned(),
                refusal,
            })?;
    let release = Release::parse(&text)
        .and_then(|release| release.check(source, options.now).map(|()| release))
        .map_err(|reason| release_error(source, reason))?;
    let mut only = source.only.clone();
    only.sort_unstable();
    let state = SuiteState {
        source: source.name.clone(),
        suite: source.suite.clone(),
        codename: release.codename.clone(),
        origin: release.origin.clone(),
        label: release.label.clone(),
        date: release.date,
        valid_until: release.valid_until,
        release: Digest::of(document),
        signer,
        priority: source.priority,
        only,
    };
    Ok(Suite {
        state,
        release,
        mirrors,
    })
}

fn download(suite: &Suite, index: &IndexFile) -> Download {
    let mut urls = Vec::new();
    for mirror in &suite.mirrors {
        let base = format!("{mirror}/dists/{}", suite.state.suite);
        if suite.release.by_hash
            && let Some((folder, _)) = index.path.rsplit_once('/')
        {
            urls.push(format!(
                "{base}/{folder}/by-hash/SHA256/{}",
                index.file.digest
            ));
        }
        urls.push(format!("{base}/{}", index.path));
    }
    Download {
        name: format!("{} {}", suite.state.suite, index.path),
        urls,
        digest: index.file.digest,
        length: Some(index.file.length),
    }
}

/// Reads a package index from the store, checking that what it decompresses to is what the
/// signed index says.
fn read(index: &IndexFile, blob: &Blob) -> Result<Part, String> {
    let file = BufReader::new(blob.open().map_err(|error| error.to_string())?);
    let plain: Box<dyn Read> = match index.compression {
        Compression::Plain => Box::new(file),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        Compression::Xz => {
            let stream = liblzma::stream::Stream::new_stream_decoder(
                XZ_MEMORY,
                liblzma::stream::CONCATENATED,
            )
            .map_err(|error| error.to_string())?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(file, stream))
        }
        Compression::Zstandard => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(file)
                .map_err(|error| error.to_string())?;
            decoder
                .window_log_max(ZSTD_WINDOW)
                .map_err(|error| error.to_string())?;
            Box::new(decoder)
        }
    };
    let limit = index.plain.map_or(INDEX, |plain| plain.length);
    let mut counted = Counted {
        inner: plain.take(limit + 1),
        hasher: Hasher::new(),
        length: 0,
    };
    let part = packages::parse(BufReader::with_capacity(1 << 16, &mut counted));
    if counted.length > limit {
        return Err(format!("it decompresses to more than {limit} bytes"));
    }
    let part = part?;
    match index.plain {
        Some(plain) if plain.length != counted.length => Err(format!(
            "it decompresses to {} bytes, and the signed index says {}",
            counted.length, plain.length
        )),
        Some(plain) => match counted.hasher.finish() {
            digest if digest == plain.digest => Ok(part),
            digest => Err(format!(
                "it decompresses to SHA-256 {digest}, and the signed index says {}",
                plain.digest
            )),
        },
        None => Ok(part),
    }
}

/// Hashes and counts what is read through it.
struct Counted<R> {
    inner: R,
    hasher: Hasher,
    length: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.length += read as u64;
        Ok(read)
    }
}
