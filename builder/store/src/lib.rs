//! The content-addressed store of verified blobs, and the downloads that fill it.
