//! A package archive made for a test: real `.deb` files, indexes, by-hash, a signed index for
//! each suite; in the shape of Ubuntu's (pockets, components, zstd packages, phased updates) or
//! any other.
//!
//! ```no_run
//! use fortress_tests::{FixtureArchive, FixturePackage};
//! let mut archive = FixtureArchive::new(std::path::Path::new("/tmp/ubuntu"), 1_780_000_000);
//! archive.add("noble", "main", FixturePackage::new("hello", "2.10-3").depends("libc6"));
//! archive.add(
//!     "noble-updates",
//!     "universe",
//!     FixturePackage::new("hello", "2.10-4").field("Phased-Update-Percentage", "30"),
//! );
//! archive.publish();
//! println!("{} is signed by {}", archive.url(), archive.fingerprint());
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::deb::{FixtureCompression, FixturePackage, compress};
use crate::gpg::Gpg;

/// What of a suite is not in its packages.
#[derive(Debug, Default)]
struct Suite {
    /// Stanzas by component and architecture.
    stanzas: BTreeMap<(String, String), String>,
    /// Lines of its Release file that replace or join those that are made.
    release: Vec<(String, String)>,
}

/// An archive in a folder.
#[derive(Debug)]
pub struct FixtureArchive {
    root: PathBuf,
    gpg: Gpg,
    key: String,
    time: i64,
    suites: BTreeMap<String, Suite>,
}

impl FixtureArchive {
    /// An empty archive, with a key of its own, made and signed at a time in seconds since 1970.
    ///
    /// # Panics
    /// When its folder or its key cannot be made.
    #[track_caller]
    pub fn new(root: &Path, time: i64) -> Self {
        fs::create_dir_all(root).unwrap();
        let mut gpg = Gpg::new();
        // The key is older than what it signs.
        let key = gpg
            .at(time - 86_400)
            .generate("archive", "ed25519", "never");
        gpg.at(time);
        Self {
            root: root.canonicalize().unwrap(),
            gpg,
            key,
            time,
            suites: BTreeMap::new(),
        }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("file://{}", self.root.display())
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The GnuPG home that holds its key.
    pub fn gpg(&self) -> &Gpg {
        &self.gpg
    }

    /// Fingerprint of its key.
    pub fn fingerprint(&self) -> &str {
        &self.key
    }

    /// Its public key, armoured.
    #[track_caller]
    pub fn public_key(&self) -> Vec<u8> {
        self.gpg.export(&self.key)
    }

    /// Adds a package to a component of a suite.
    ///
    /// # Panics
    /// When its file cannot be written.
    #[track_caller]
    pub fn add(&mut self, suite: &str, component: &str, package: FixturePackage) -> &mut Self {
        let deb = package.to_deb();
        let [name, version, architecture] =
            ["Package", "Version", "Architecture"].map(|field| package.get(field).to_owned());
        let file_version = version
            .split_once(':')
            .map_or(version.as_str(), |(_, rest)| rest);
        let source = match package.get("Source") {
            "" => name.clone(),
            source => source.split(' ').next().unwrap().to_owned(),
        };
        let folder = format!("pool/{component}/{}/{source}", source.get(..1).unwrap());
        let path = format!("{folder}/{name}_{file_version}_{architecture}.deb");
        fs::create_dir_all(self.root.join(folder)).unwrap();
        fs::write(self.root.join(&path), &deb).unwrap();
        let mut stanza = String::new();
        for (name, value) in package.fields.iter().chain(&package.index_fields) {
            writeln!(stanza, "{name}: {value}").unwrap();
        }
        writeln!(
            stanza,
            "Filename: {path}\nSize: {}\nSHA256: {}\n",
            deb.len(),
            sha256(&deb)
        )
        .unwrap();
        let suite = self.suites.entry(suite.to_owned()).or_default();
        let architectures = match architecture.as_str() {
            "all" => vec!["amd64", "arm64"],
            architecture => vec![architecture],
        };
        for architecture in architectures {
            let key = (component.to_owned(), architecture.to_owned());
            suite.stanzas.entry(key).or_default().push_str(&stanza);
        }
        self
    }

    /// Makes sure that a suite has a component, even if it is empty.
    pub fn component(&mut self, suite: &str, component: &str) -> &mut Self {
        let suite = self.suites.entry(suite.to_owned()).or_default();
        suite
            .stanzas
            .entry((component.to_owned(), "amd64".to_owned()))
            .or_default();
        self
    }

    /// Sets a line of a suite's Release file: `Valid-Until`, `Suite`; an empty value takes it
    /// away.
    pub fn release(&mut self, suite: &str, name: &str, value: &str) -> &mut Self {
        let suite = self.suites.entry(suite.to_owned()).or_default();
        suite.release.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes the indexes of all suites, and signs them.
    ///
    /// # Panics
    /// When something cannot be written.
    #[track_caller]
    pub fn publish(&self) -> &Self {
        for (name, suite) in &self.suites {
            let folder = self.root.join("dists").join(name);
            let release = self.write_indexes(name, suite, &folder);
            fs::write(folder.join("Release"), &release).unwrap();
            let signed = self.gpg.clear_sign(&self.key, &release);
            fs::write(folder.join("InRelease"), signed).unwrap();
        }
        self
    }

    fn write_indexes(&self, name: &str, suite: &Suite, folder: &Path) -> String {
        let components: BTreeSet<&str> = suite
            .stanzas
            .keys()
            .map(|(component, _)| component.as_str())
            .collect();
        let architectures: BTreeSet<&str> = suite
            .stanzas
            .keys()
            .map(|(_, architecture)| architecture.as_str())
            .collect();
        let mut files = String::new();
        for component in &components {
            for architecture in &architectures {
                let key = ((*component).to_owned(), (*architecture).to_owned());
                let plain = suite
                    .stanzas
                    .get(&key)
                    .cloned()
                    .unwrap_or_default()
                    .into_bytes();
                let index = format!("{component}/binary-{architecture}");
                let by_hash = folder.join(&index).join("by-hash/SHA256");
                fs::create_dir_all(&by_hash).unwrap();
                for (ending, bytes) in [
                    ("", plain.clone()),
                    (".gz", compress(FixtureCompression::Gzip, &plain)),
                    (".xz", compress(FixtureCompression::Xz, &plain)),
                ] {
                    let digest = sha256(&bytes);
                    // As in Ubuntu, the plain form is listed, and is not there.
                    if !ending.is_empty() {
                        fs::write(folder.join(format!("{index}/Packages{ending}")), &bytes)
                            .unwrap();
                        fs::write(by_hash.join(&digest), &bytes).unwrap();
                    }
                    writeln!(
                        files,
                        " {digest} {:16} {index}/Packages{ending}",
                        bytes.len()
                    )
                    .unwrap();
                }
            }
        }
        let joined = |words: &BTreeSet<&str>| words.iter().copied().collect::<Vec<_>>().join(" ");
        let made = [
            ("Origin", "Ubuntu".to_owned()),
            ("Label", "Ubuntu".to_owned()),
            ("Suite", name.to_owned()),
            ("Codename", name.split('-').next().unwrap().to_owned()),
            ("Date", date(self.time)),
            ("Architectures", joined(&architectures)),
            ("Components", joined(&components)),
            ("Acquire-By-Hash", "yes".to_owned()),
        ];
        let mut text = String::new();
        for (name, value) in &made {
            if !suite.release.iter().any(|(other, _)| other == name) {
                writeln!(text, "{name}: {value}").unwrap();
            }
        }
        for (name, value) in suite.release.iter().filter(|(_, value)| !value.is_empty()) {
            writeln!(text, "{name}: {value}").unwrap();
        }
        format!("{text}SHA256:\n{files}")
    }
}

/// The form of dates in Release files, by GNU date.
#[track_caller]
fn date(time: i64) -> String {
    let output = std::process::Command::new("date")
        .args([
            "-u",
            "-d",
            &format!("@{time}"),
            "+%a, %d %b %Y %H:%M:%S UTC",
        ])
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}
