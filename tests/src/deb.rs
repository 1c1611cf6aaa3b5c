//! Real `.deb` files made for a test, or made anew from others.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;

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
    pub(crate) fields: Vec<(String, String)>,
    /// Beside `control`: name, mode, text.
    control: Vec<(String, u32, Vec<u8>)>,
    /// A tar archive, not compressed.
    data: Vec<u8>,
    files: Vec<(String, u32, Vec<u8>)>,
    compression: FixtureCompression,
    /// Fields of its stanza in the index only, as `Phased-Update-Percentage` is.
    pub(crate) index_fields: Vec<(String, String)>,
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

    /// A field; empty if there is none.
    pub fn get(&self, name: &str) -> &str {
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

pub(crate) fn compress(compression: FixtureCompression, bytes: &[u8]) -> Vec<u8> {
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
