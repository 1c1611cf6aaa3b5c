//! What the tests of downloads share.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses its own part"
)]

pub mod server;

use std::path::Path;
use std::time::Duration;

use fortress_progress::Silent;
use fortress_store::{
    Blob, Client, ClientOptions, Digest, Download, DownloadError, Error, Failure, Store,
};

/// The length of a blob that comes in several pieces.
pub const LENGTH: usize = 300_000;

pub fn options() -> ClientOptions {
    ClientOptions {
        retries: 2,
        backoff: Duration::from_millis(1),
        proxies: false,
        ..ClientOptions::default()
    }
}

pub fn client() -> Client {
    Client::new(options()).unwrap()
}

pub fn download(urls: &[String], content: &[u8]) -> Download {
    Download {
        name: "hello 2.10 amd64".into(),
        urls: urls.to_vec(),
        digest: Digest::of(content),
        length: Some(content.len() as u64),
    }
}

pub fn fetch(store: &Store, urls: &[String], content: &[u8]) -> Result<Blob, Error> {
    store
        .fetch(&[download(urls, content)], &client(), &Silent)
        .map(|mut blobs| blobs.remove(0))
}

#[track_caller]
pub fn assert_holds(blob: &Blob, content: &[u8]) {
    assert_eq!(std::fs::read(blob.path()).unwrap(), content);
    assert_eq!(blob.digest, Digest::of(content));
    assert_eq!(blob.length, content.len() as u64);
}

#[track_caller]
pub fn failures(error: &Error) -> Vec<Failure> {
    let Error::Download(failed) = error else {
        panic!("not a failed download: {error:?}");
    };
    failed
        .iter()
        .flat_map(|error: &DownloadError| error.attempts.iter())
        .map(|(_, failure)| failure.clone())
        .collect()
}

pub fn files(folder: &Path) -> Vec<(String, u64)> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, entry.metadata().unwrap().len())
        })
        .collect()
}
