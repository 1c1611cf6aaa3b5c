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
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::gpg::Gpg;

/// How the parts of a package are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FixtureCompression {
    /// As Ubuntu does.
    Zstandard,
    /// As Debian does.
    Xz,
    /// As of old.
    Gzip,
}

/// A package to be made.
#[derive(Debug, Clone)]
pub struct FixturePackage {
    fields: Vec<(String, String)>,
    /// Beside `control`: name, mode, text.
    control: Vec<(String, u32, Vec<u8>)>,
    /// A tar archive, not compressed.
    data: Vec<u8>,
    files: Vec<(String, u32, Vec<u8>)>,
    compression: FixtureCompression,
    /// Fields of its stanza in the index only, as `Phased-Update-Percentage` is.
    index_fields: Vec<(String, String)>,
}

/// Fields that only indexes have.
const INDEX_FIELDS: [&str; 2] = ["Phased-Update-Percentage", "Tag"];

impl FixturePackage {
    /// A package without files, for amd64.
    pub fn new(name: &str, version: &str) -> Self {
        let fields = [
            ("Package", name),
            ("Version", version),
            ("Architecture", "amd64"),
            ("Maintainer", "Fixture <fixture@example.org>"),
            ("Section", "misc"),
            ("Priority", "optional"),
            ("Description", "made for a test"),
        ];
        Self {
            fields: fields
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            control: Vec::new(),
            data: Vec::new(),
            files: Vec::new(),
            compression: FixtureCompression::Zstandard,
            index_fields: Vec::new(),
        }
    }

    /// A real package, to be packed anew.
    ///
    /// # Panics
    /// When it is none.
    #[track_caller]
    pub fn from_deb(path: &Path) -> Self {
        let mut package = Self::new("", "");
        package.fields.clear();
        for (name, bytes) in ar_members(&fs::read(path).unwrap()) {
            if name.starts_with("control.tar") {
                let control = decompress(&name, &bytes);
                let mut archive = tar::Archive::new(control.as_slice());
                for entry in archive.entries().unwrap() {
                    let mut entry = entry.unwrap();
                    let name = entry.path().unwrap().to_string_lossy().into_owned();
                    let name = name.trim_start_matches("./").to_owned();
                    let mode = entry.header().mode().unwrap();
                    let mut text = Vec::new();
                    entry.read_to_end(&mut text).unwrap();
                    match name.as_str() {
                        "" => {}
                        "control" => package.fields = fields(&String::from_utf8(text).unwrap()),
                        _ => package.control.push((name, mode, text)),
                    }
                }
            } else if name.starts_with("data.tar") {
                package.data = decompress(&name, &bytes);
            }
        }
        assert!(
            !package.fields.is_empty(),
            "{} holds no control file",
            path.display()
        );
        package
    }

    /// Sets a field.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        let fields = match INDEX_FIELDS.contains(&name) {
            true => &mut self.index_fields,
            false => &mut self.fields,
        };
        fields.retain(|(known, _)| known != name);
        fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets `Depends`.
    #[must_use]
    pub fn depends(self, value: &str) -> Self {
        self.field("Depends", value)
    }

    /// Adds a file: its path without a slash at the start, its mode, its contents.
    #[must_use]
    pub fn file(mut self, path: &str, mode: u32, contents: &[u8]) -> Self {
        self.files.push((path.to_owned(), mode, contents.to_vec()));
        self
    }

    /// Adds a maintainer script: `postinst`.
    #[must_use]
    pub fn script(mut self, name: &str, text: &str) -> Self {
        self.control
            .push((name.to_owned(), 0o755, text.as_bytes().to_vec()));
        self
    }

    /// Compresses its parts otherwise than with zstd.
    #[must_use]
    pub fn compression(mut self, compression: FixtureCompression) -> Self {
        self.compression = compression;
        self
    }

    fn get(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// The `.deb` file.
    pub fn to_deb(&self) -> Vec<u8> {
        let control_text = self
            .fields
            .iter()
            .fold(String::new(), |mut text, (name, value)| {
                let _ = writeln!(text, "{name}: {value}");
                text
            });
        let mut control = vec![("control".to_owned(), 0o644, control_text.into_bytes())];
        control.extend(self.control.iter().cloned());
        let data = match self.data.is_empty() {
            true => tar(&self.files),
            false => self.data.clone(),
        };
        let ending = match self.compression {
            FixtureCompression::Zstandard => "zst",
            FixtureCompression::Xz => "xz",
            FixtureCompression::Gzip => "gz",
        };
        ar(&[
            ("debian-binary".to_owned(), b"2.0\n".to_vec()),
            (
                format!("control.tar.{ending}"),
                compress(self.compression, &tar(&control)),
            ),
            (
                format!("data.tar.{ending}"),
                compress(self.compression, &data),
            ),
        ])
    }
}

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

fn fields(control: &str) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in control.lines().filter(|line| !line.is_empty()) {
        match (line.starts_with([' ', '\t']), fields.last_mut()) {
            (true, Some((_, value))) => {
                value.push('\n');
                value.push_str(line);
            }
            _ => {
                let (name, value) = line.split_once(':').unwrap();
                fields.push((name.to_owned(), value.trim().to_owned()));
            }
        }
    }
    fields
}

/// A tar archive of files, with the folders that they are in.
fn tar(files: &[(String, u32, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut folders = BTreeSet::from([String::new()]);
    for (path, _, _) in files {
        let parts: Vec<&str> = path.split('/').collect();
        folders.extend((1..parts.len()).map(|length| parts[..length].join("/") + "/"));
    }
    let mut append = |path: &str, mode: u32, kind: tar::EntryType, contents: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        header.set_size(contents.len() as u64);
        let _ = header
            .set_username("root")
            .and_then(|()| header.set_groupname("root"));
        let path = format!("./{path}");
        match header.as_old_mut().name.get_mut(..path.len()) {
            // The crate would take the `./` away that dpkg-deb writes.
            Some(name) => {
                name.copy_from_slice(path.as_bytes());
                header.set_cksum();
                builder.append(&header, contents).unwrap();
            }
            None => builder.append_data(&mut header, path, contents).unwrap(),
        }
    };
    for folder in folders {
        append(&folder, 0o755, tar::EntryType::Directory, b"");
    }
    for (path, mode, contents) in files {
        append(path, *mode, tar::EntryType::Regular, contents);
    }
    builder.into_inner().unwrap()
}

fn ar(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, contents) in members {
        let length = contents.len();
        // Name, time, owner, group, mode, length.
        writeln!(
            bytes,
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{length:<10}`",
            0, 0, 0, 100_644
        )
        .unwrap();
        bytes.extend_from_slice(contents);
        if contents.len() % 2 == 1 {
            bytes.push(b'\n');
        }
    }
    bytes
}

fn ar_members(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut members = Vec::new();
    let mut rest = bytes.strip_prefix(b"!<arch>\n").unwrap();
    while rest.len() > 60 {
        let (header, contents) = rest.split_at(60);
        let text = |range: std::ops::Range<usize>| {
            String::from_utf8_lossy(&header[range])
                .trim()
                .trim_end_matches('/')
                .to_owned()
        };
        let length: usize = text(48..58).parse().unwrap();
        members.push((text(0..16), contents[..length].to_vec()));
        rest = &contents[(length + length % 2).min(contents.len())..];
    }
    members
}

fn compress(compression: FixtureCompression, bytes: &[u8]) -> Vec<u8> {
    match compression {
        FixtureCompression::Zstandard => zstd::encode_all(bytes, 3).unwrap(),
        FixtureCompression::Xz => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        FixtureCompression::Gzip => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
    }
}

fn decompress(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match name.rsplit('.').next() {
        Some("xz") => liblzma::read::XzDecoder::new_multi_decoder(bytes).read_to_end(&mut plain),
        Some("gz") => flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut plain),
        Some("zst") => zstd::Decoder::new(bytes).unwrap().read_to_end(&mut plain),
        _ => {
            plain.extend_from_slice(bytes);
            Ok(bytes.len())
        }
    }
    .unwrap();
    plain
}
