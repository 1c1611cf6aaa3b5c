//! What the caller asks for: where packages come from, and how to load their indexes.

/// One suite of an archive: where it is, what of it is wanted, and whose signature it must bear.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// What locks and messages call it: `debian`, `debian-security`. Not a host name.
    pub name: String,
    /// Base URLs, tried in order, without a slash at the end (`http://ftp.debian.org/debian`).
    pub mirrors: Vec<String>,
    /// Suite or codename, as it stands below `dists/`: `trixie`, `noble-updates`.
    pub suite: String,
    /// Components: `main`, `universe`.
    pub components: Vec<String>,
    /// OpenPGP public keys that may sign this suite, each a key or a key ring, armoured or binary.
    pub keys: Vec<Vec<u8>>,
    /// If not empty, this suite gives these packages only (names of binary or source packages).
    pub only: Vec<String>,
    /// Which suite wins when several have a package: the highest priority, then the highest
    /// version. apt's usual figure is 500. Below zero, the suite gives nothing.
    pub priority: i32,
    /// Seconds for which an index counts past its `Valid-Until`, with a warning. Whoever holds
    /// updates back can do so for as long.
    pub grace: i64,
}

/// How to load indexes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadOptions {
    /// The time against which keys, signatures and Valid-Until are judged, in seconds since 1970.
    pub now: i64,
    /// Touch no network: take indexes from mirrors that are folders (`file://`), else those that the
    /// store remembers.
    pub offline: bool,
}
