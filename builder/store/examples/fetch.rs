//! Fetches one blob: `fetch STORE SHA256 LENGTH|- URL…` prints where it lies.

use fortress_progress::Silent;
use fortress_store::{Client, ClientOptions, Download, Error, Store};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, digest, length, urls @ ..] = arguments.as_slice() else {
        return Err("usage: fetch STORE SHA256 LENGTH|- URL…".into());
    };
    let download = Download {
        name: "the blob".into(),
        urls: urls.to_vec(),
        digest: digest.parse()?,
        length: length.parse().ok(),
    };
    let fetched = Store::open(folder.as_ref()).and_then(|store| {
        let client = Client::new(ClientOptions {
            retries: 1,
            ..ClientOptions::default()
        })?;
        store.fetch(&[download], &client, &Silent)
    });
    match fetched {
        Ok(blobs) => {
            for blob in blobs {
                println!("{} {}", blob.digest, blob.path().display());
            }
            Ok(())
        }
        Err(error) => {
            if let Some(hint) = Error::hint(&error) {
                eprintln!("hint: {hint}");
            }
            Err(error.into())
        }
    }
}
