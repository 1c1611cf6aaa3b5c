//! The text of a Release file: what a suite is, and the SHA-256 of each of its indexes.
//!
//! <https://wiki.debian.org/DebianRepository/Format>. Only SHA-256 is read: MD5 and SHA-1 vouch
//! for nothing.

use std::collections::BTreeMap;

use fortress_store::Digest;

use crate::error::ReleaseFault;
use crate::openpgp::CLOCK_SKEW;
use crate::source::Source;
use crate::time::{parse_release_date, to_rfc3339};

/// More files than this in one Release file are refused.
const FILES: usize = 100_000;

/// A file that a Release file vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) digest: Digest,
    /// In bytes.
    pub(crate) length: u64,
}

/// How an index is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    Xz,
    Gzip,
    Zstandard,
    Plain,
}

/// A package index of a suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexFile {
    /// Path below the suite's folder: `main/binary-amd64/Packages.xz`.
    pub(crate) path: String,
    pub(crate) file: File,
    pub(crate) compression: Compression,
    /// What it is when decompressed, if the Release file says so.
    pub(crate) plain: Option<File>,
}

/// What a Release file says, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Release {
    pub(crate) origin: String,
    pub(crate) label: String,
    pub(crate) suite: String,
    pub(crate) codename: String,
    pub(crate) date: i64,
    pub(crate) valid_until: Option<i64>,
    pub(crate) by_hash: bool,
    architectures: Vec<String>,
    components: Vec<String>,
    /// Packages for all architectures are in the indexes of each (`No-Support-for-…`).
    all_in_each: bool,
    files: BTreeMap<String, File>,
}

fn malformed(reason: impl Into<String>) -> ReleaseFault {
    ReleaseFault::Malformed(reason.into())
}

fn words(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

fn file(line: &str) -> Option<(String, File)> {
    let mut words = line.split_ascii_whitespace();
    let digest = words.next()?.parse().ok()?;
    let length = words.next()?.parse().ok()?;
    let path = words.next()?;
    (words.next().is_none()).then(|| (path.to_owned(), File { digest, length }))
}

impl Release {
    /// Reads the text of a Release file.
    pub(crate) fn parse(text: &str) -> Result<Self, ReleaseFault> {
        let mut release = Self::default();
        let mut seen = std::collections::BTreeSet::new();
        let mut in_hashes = false;
        let mut date = None;
        for (position, line) in text.trim_end_matches('\n').split('\n').enumerate() {
            let at = |what: &str| malformed(format!("line {}: {what}", position + 1));
            if line.starts_with([' ', '\t']) {
                if in_hashes {
                    let (path, file) = file(line).ok_or_else(|| at("not a hash, size and path"))?;
                    if release
                        .files
                        .insert(path.clone(), file)
                        .is_some_and(|old| old != file)
                    {
                        return Err(at(&format!("{path} is there twice")));
                    }
                    if release.files.len() > FILES {
                        return Err(at("too many files"));
                    }
                }
                continue;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| at("not a field"))?;
            let (name, value) = (name.to_ascii_lowercase(), value.trim());
            if !seen.insert(name.clone()) {
                return Err(at(&format!("the field {name} is there twice")));
            }
            let time = || parse_release_date(value).ok_or_else(|| at("not a date in UTC"));
            in_hashes = name == "sha256";
            match name.as_str() {
                "origin" => release.origin = value.into(),
                "label" => release.label = value.into(),
                "suite" => release.suite = value.into(),
                "codename" => release.codename = value.into(),
                "date" => date = Some(time()?),
                "valid-until" => release.valid_until = Some(time()?),
                "acquire-by-hash" => release.by_hash = value == "yes",
                "architectures" => release.architectures = words(value),
                "components" => release.components = words(value),
                "no-support-for-architecture-all" => release.all_in_each = value == "Packages",
                _ => {}
            }
        }
        release.date = date.ok_or_else(|| malformed("it has no Date"))?;
        match release.files.is_empty() {
            true => Err(malformed("it has no SHA256 of any file")),
            false => Ok(release),
        }
    }

    /// Whether this is the suite that was asked for, and of a time that may be used.
    pub(crate) fn check(&self, source: &Source, now: i64) -> Result<(), ReleaseFault> {
        if source.suite != self.suite && source.suite != self.codename {
            return Err(ReleaseFault::OtherSuite {
                suite: self.suite.clone(),
                codename: self.codename.clone(),
            });
        }
        if self.date > now + CLOCK_SKEW {
            return Err(ReleaseFault::Future {
                date: to_rfc3339(self.date),
                now: to_rfc3339(now),
            });
        }
        match self.valid_until {
            Some(end) if end.saturating_add(source.grace) < now => Err(ReleaseFault::Expired {
                valid_until: to_rfc3339(end),
                now: to_rfc3339(now),
            }),
            _ => Ok(()),
        }
    }

    /// The package indexes of some components for an architecture.
    pub(crate) fn indexes(
        &self,
        components: &[String],
        architecture: &str,
    ) -> Result<Vec<IndexFile>, ReleaseFault> {
        let has = |known: &[String], name: &str| known.iter().any(|known| known == name);
        if !self.architectures.is_empty() && !has(&self.architectures, architecture) {
            return Err(ReleaseFault::NoArchitecture {
                architecture: architecture.into(),
                known: self.architectures.join(", "),
            });
        }
        let mut indexes = Vec::new();
        for component in components {
            // Debian's security archive once called its components `updates/main`.
            let known = self.components.is_empty()
                || self
                    .components
                    .iter()
                    .any(|known| known == component || known.rsplit('/').next() == Some(component));
            if !known {
                return Err(ReleaseFault::NoComponent {
                    component: component.clone(),
                    known: self.components.join(", "),
                });
            }
            let folder = format!("{component}/binary-{architecture}");
            let index = self.index(&folder).ok_or(ReleaseFault::NoIndex(folder))?;
            indexes.push(index);
            if has(&self.architectures, "all") && !self.all_in_each {
                indexes.extend(self.index(&format!("{component}/binary-all")));
            }
        }
        Ok(indexes)
    }

    /// The package index in a folder, in the best form there is.
    fn index(&self, folder: &str) -> Option<IndexFile> {
        let plain = self.files.get(&format!("{folder}/Packages")).copied();
        let forms = [
            (".xz", Compression::Xz),
            (".zst", Compression::Zstandard),
            (".gz", Compression::Gzip),
            ("", Compression::Plain),
        ];
        forms.into_iter().find_map(|(ending, compression)| {
            let path = format!("{folder}/Packages{ending}");
            let file = *self.files.get(&path)?;
            Some(IndexFile {
                path,
                file,
                compression,
                plain,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: i64 = 1_763_300_000;

    fn text() -> String {
        let digest = Digest::of(b"");
        format!(
            "Origin: Debian\nSuite: stable\nCodename: trixie\n\
             Date: Sat, 15 Nov 2025 10:12:13 UTC\nValid-Until: Sat, 22 Nov 2025 10:12:13 UTC\n\
             Acquire-By-Hash: yes\nNo-Support-for-Architecture-all: Packages\n\
             Architectures: all amd64 arm64\nComponents: main contrib\nMD5Sum:\n 00 1 main/x\n\
             SHA256:\n {digest}        7 main/binary-amd64/Packages\n \
             {digest} 5 main/binary-amd64/Packages.gz\n {digest} 3 main/binary-amd64/Packages.xz\n"
        )
    }

    fn source(suite: &str) -> Source {
        Source {
            suite: suite.into(),
            ..Source::default()
        }
    }

    #[test]
    fn reads_what_matters() {
        let release = Release::parse(&text()).unwrap();
        assert_eq!(release.date, 1_763_201_533);
        assert!(release.by_hash);
        assert_eq!(release.check(&source("trixie"), NOW), Ok(()));
        assert_eq!(release.check(&source("stable"), NOW), Ok(()));
        let indexes = release.indexes(&["main".into()], "amd64").unwrap();
        assert_eq!(indexes.len(), 1);
        assert_eq!(indexes[0].path, "main/binary-amd64/Packages.xz");
        assert_eq!(indexes[0].file.length, 3);
        assert_eq!(indexes[0].plain.unwrap().length, 7);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let release = Release::parse(&text()).unwrap();
        let other = release.check(&source("bookworm"), NOW).unwrap_err();
        assert!(matches!(other, ReleaseFault::OtherSuite { .. }), "{other}");
        let late = release
            .check(&source("trixie"), NOW + 30 * 86_400)
            .unwrap_err();
        assert!(matches!(late, ReleaseFault::Expired { .. }), "{late}");
        let mut patient = source("trixie");
        patient.grace = 30 * 86_400;
        assert_eq!(release.check(&patient, NOW + 30 * 86_400), Ok(()));
        let late = release.check(&patient, NOW + 60 * 86_400).unwrap_err();
        assert!(matches!(late, ReleaseFault::Expired { .. }), "{late}");
        let early = release
            .check(&source("trixie"), NOW - 30 * 86_400)
            .unwrap_err();
        assert!(matches!(early, ReleaseFault::Future { .. }), "{early}");
        let component = release.indexes(&["universe".into()], "amd64").unwrap_err();
        assert!(
            component.to_string().contains("main, contrib"),
            "{component}"
        );
        let architecture = release.indexes(&["main".into()], "riscv64").unwrap_err();
        assert!(
            architecture.to_string().contains("amd64, arm64"),
            "{architecture}"
        );
        let missing = release.indexes(&["contrib".into()], "amd64").unwrap_err();
        assert!(matches!(missing, ReleaseFault::NoIndex(_)), "{missing}");
        for (text, what) in [
            (
                text().replace("Date: Sat, 15", "Date: Sat, 31"),
                "line 4: not a date",
            ),
            (text().replace("\nDate:", "\nDatum:"), "no Date"),
            (text().replace("SHA256:", "SHA1:"), "no SHA256"),
            (text() + "Suite: evil\n", "twice"),
            (text() + "SHA256: again\n", "twice"),
            (text().replace(" 7 main", " seven main"), "not a hash"),
        ] {
            let error = Release::parse(&text).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(cut in 0..600_usize, with in "\\PC{0,20}") {
            let text: String = text().chars().take(cut).collect();
            let _ = Release::parse(&(text + &with));
        }
    }
}
