//! Documents in JSON that come with an image: manifest, published signatures, requests to sign.
#![no_main]

use fortress_pipeline::manifest::Manifest;
use fortress_trust::{Requests, Signatures};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(manifest) = Manifest::from_json(data) {
        let text = manifest.to_json().expect("a manifest can be written");
        let read = Manifest::from_json(text.as_bytes()).expect("what was written is read");
        assert_eq!(read, manifest);
        let _ = (manifest.stem(), manifest.partition("root"));
    }
    if let Ok(signatures) = Signatures::from_json(data) {
        let read = Signatures::from_json(signatures.to_json().as_bytes());
        assert_eq!(
            read.expect("what was written is read").len(),
            signatures.len()
        );
    }
    if let Ok(requests) = Requests::from_json(data) {
        let read = Requests::from_json(requests.to_json().as_bytes());
        assert_eq!(
            read.expect("what was written is read").len(),
            requests.len()
        );
    }
});
