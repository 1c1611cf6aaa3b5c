//! The packages of several suites, for one architecture, by name.

use std::fmt;

use fortress_store::Digest;

use crate::dependency::{self, Relation};
use crate::packages::{MultiArch, Part, Record, Span};

/// A suite whose index was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuiteState {
    /// [`Source`](crate::Source) name.
    pub source: String,
    /// The suite as it was asked for.
    pub suite: String,
    /// Its `Codename`.
    pub codename: String,
    /// Its `Origin`: `Debian`, `Ubuntu`.
    pub origin: String,
    /// Its `Label`.
    pub label: String,
    /// When its index was made, in seconds since 1970.
    pub date: i64,
    /// Until when its index may be used, in seconds since 1970.
    pub valid_until: Option<i64>,
    /// SHA-256 of the signed index (`InRelease`), as it came.
    pub release: Digest,
    /// Fingerprint of the pinned key that signed it, upper case hex.
    pub signer: String,
    /// [`Source`](crate::Source) priority.
    pub priority: i32,
    /// Packages that it gives, if not all, sorted; names of binary or source packages.
    pub only: Vec<String>,
}

/// The packages of several suites for one architecture.
pub struct Index {
    architecture: String,
    suites: Vec<SuiteState>,
    parts: Vec<Part>,
    /// For each part, its suite.
    part_suites: Vec<usize>,
    records: Vec<Record>,
    /// Records by name, then in the order of the sources.
    by_name: Vec<u32>,
    /// Records by the names that they provide.
    by_provided: Vec<(u32, Span)>,
}

impl fmt::Debug for Index {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Index")
            .field("architecture", &self.architecture)
            .field("suites", &self.suites)
            .field("packages", &self.records.len())
            .finish_non_exhaustive()
    }
}

/// A package as an index describes it.
#[derive(Clone, Copy)]
pub struct Stanza<'a> {
    index: &'a Index,
    number: u32,
}

impl Index {
    /// Puts parts together; `parts` are with the suite that each is of.
    pub(crate) fn new(
        architecture: &str,
        suites: Vec<SuiteState>,
        parts: Vec<(usize, Part)>,
    ) -> Result<Self, String> {
        let mut index = Self {
            architecture: architecture.to_owned(),
            suites,
            parts: Vec::with_capacity(parts.len()),
            part_suites: Vec::with_capacity(parts.len()),
            records: Vec::with_capacity(parts.iter().map(|(_, part)| part.records.len()).sum()),
            by_name: Vec::new(),
            by_provided: Vec::new(),
        };
        for (number, (suite, mut part)) in parts.into_iter().enumerate() {
            let number = u32::try_from(number).map_err(|error| error.to_string())?;
            let records = std::mem::take(&mut part.records);
            index.records.extend(records.into_iter().map(|mut record| {
                record.part = number;
                record
            }));
            index.parts.push(part);
            index.part_suites.push(suite);
        }
        let count = u32::try_from(index.records.len()).map_err(|error| error.to_string())?;
        let mut by_name: Vec<u32> = (0..count).collect();
        by_name.sort_by_key(|number| (index.stanza(*number).name(), *number));
        let mut by_provided = Vec::new();
        for number in 0..count {
            let record = &index.records[number as usize];
            let part = &index.parts[record.part as usize];
            // A relation that cannot be read provides nothing.
            for relation in relations(part.text(record.provides)) {
                by_provided.extend(part.span(relation.name).map(|span| (number, span)));
            }
        }
        by_provided.sort_by_key(|(number, span)| (index.provided_name(*number, *span), *number));
        index.by_name = by_name;
        index.by_provided = by_provided;
        Ok(index)
    }

    fn provided_name(&self, number: u32, span: Span) -> &str {
        let record = &self.records[number as usize];
        self.parts[record.part as usize].text(span)
    }

    /// The suites, in the order of the sources.
    pub fn suites(&self) -> &[SuiteState] {
        &self.suites
    }

    /// The architecture that it was loaded for.
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// How many packages there are, all versions of all suites.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// All packages, in the order of the sources and of their indexes.
    pub fn stanzas(&self) -> impl Iterator<Item = Stanza<'_>> {
        (0..self.records.len() as u32).map(|number| self.stanza(number))
    }

    /// Everything of a name, in the order of the sources.
    pub fn named(&self, name: &str) -> impl Iterator<Item = Stanza<'_>> {
        let start = self
            .by_name
            .partition_point(|number| self.stanza(*number).name() < name);
        let rest = &self.by_name[start..];
        let end = rest.partition_point(|number| self.stanza(*number).name() == name);
        rest[..end].iter().map(|number| self.stanza(*number))
    }

    /// Everything that provides a name, in the order of the sources.
    pub(crate) fn providing(&self, name: &str) -> impl Iterator<Item = Stanza<'_>> {
        let text = |entry: &(u32, Span)| self.provided_name(entry.0, entry.1);
        let start = self.by_provided.partition_point(|entry| text(entry) < name);
        let rest = &self.by_provided[start..];
        let end = rest.partition_point(|entry| text(entry) == name);
        rest[..end].iter().map(|(number, _)| self.stanza(*number))
    }

    pub(crate) fn stanza(&self, number: u32) -> Stanza<'_> {
        Stanza {
            index: self,
            number,
        }
    }

    /// Names that are much like this one, the nearest first.
    pub(crate) fn nearest(&self, name: &str) -> Vec<String> {
        let mut near: Vec<(usize, &str)> = Vec::new();
        let mut last = "";
        for number in &self.by_name {
            let known = self.stanza(*number).name();
            if known == last || known.len().abs_diff(name.len()) > 3 {
                continue;
            }
            last = known;
            let distance = strsim::osa_distance(name, known);
            if distance <= 1 + name.len() / 5 {
                near.push((distance, known));
            }
        }
        near.sort_unstable();
        near.truncate(3);
        near.into_iter().map(|(_, name)| name.to_owned()).collect()
    }
}

/// The relations of a field that can be read, whatever their grouping.
fn relations(field: &str) -> impl Iterator<Item = Relation<'_>> {
    dependency::groups(field).filter_map(|text| Relation::parse(text).ok())
}

impl<'a> Stanza<'a> {
    fn record(&self) -> &'a Record {
        &self.index.records[self.number as usize]
    }

    fn text(&self, span: Span) -> &'a str {
        self.index.parts[self.record().part as usize].text(span)
    }

    /// Its place in the index.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// `Package`.
    pub fn name(&self) -> &'a str {
        self.text(self.record().name)
    }

    /// `Version`.
    pub fn version(&self) -> &'a str {
        self.text(self.record().version)
    }

    /// `Architecture`: the index's, or `all`.
    pub fn architecture(&self) -> &'a str {
        self.text(self.record().architecture)
    }

    /// The name of its source package.
    pub fn source_name(&self) -> &'a str {
        match self.text(self.record().source) {
            "" => self.name(),
            source => source.split(' ').next().unwrap_or(source),
        }
    }

    /// The version of its source package.
    pub fn source_version(&self) -> &'a str {
        let source = self.text(self.record().source);
        let version = source
            .split_once('(')
            .and_then(|(_, rest)| rest.strip_suffix(')'));
        version.unwrap_or_else(|| self.version())
    }

    /// `Section`; may be empty.
    pub fn section(&self) -> &'a str {
        self.text(self.record().section)
    }

    /// `Filename`: its path below the archive's root.
    pub fn path(&self) -> &'a str {
        self.text(self.record().path)
    }

    /// `Size`, in bytes.
    pub fn size(&self) -> u64 {
        self.record().size
    }

    /// `Installed-Size`, in KiB; 0 where nothing is said.
    pub fn installed_size(&self) -> u64 {
        self.record().installed_size
    }

    /// `SHA256`.
    pub fn digest(&self) -> Digest {
        self.record().digest
    }

    /// `Essential: yes`.
    pub fn essential(&self) -> bool {
        self.record().essential
    }

    /// `Protected: yes`, or `Important: yes`.
    pub fn protected(&self) -> bool {
        self.record().protected
    }

    /// `Phased-Update-Percentage`; 100 where nothing is said.
    pub fn phased(&self) -> u8 {
        self.record().phased
    }

    /// The suite that it is of.
    pub fn suite(&self) -> &'a SuiteState {
        &self.index.suites[self.index.part_suites[self.record().part as usize]]
    }

    /// Whether its suite gives it, or only others.
    pub(crate) fn given(&self) -> bool {
        let suite = self.suite();
        let listed = |name: &str| suite.only.binary_search_by(|only| only.as_str().cmp(name));
        suite.priority >= 0
            && (suite.only.is_empty()
                || listed(self.name()).is_ok()
                || listed(self.source_name()).is_ok())
    }

    pub(crate) fn multi_arch(&self) -> MultiArch {
        self.record().multi_arch
    }

    /// `Priority` as a number: 0 is `required`.
    pub(crate) fn importance(&self) -> u8 {
        self.record().priority
    }

    /// The groups of `Pre-Depends` and `Depends`.
    pub(crate) fn depends(&self) -> impl Iterator<Item = &'a str> {
        let record = self.record();
        dependency::groups(self.text(record.pre_depends))
            .chain(dependency::groups(self.text(record.depends)))
    }

    /// The groups of `Recommends`.
    pub(crate) fn recommends(&self) -> impl Iterator<Item = &'a str> {
        dependency::groups(self.text(self.record().recommends))
    }

    /// The relations of `Conflicts` and `Breaks`.
    pub(crate) fn conflicts(&self) -> impl Iterator<Item = &'a str> {
        let record = self.record();
        dependency::groups(self.text(record.conflicts))
            .chain(dependency::groups(self.text(record.breaks)))
    }

    /// What it provides under some name.
    pub(crate) fn provides(&self, name: &str) -> impl Iterator<Item = Relation<'a>> {
        relations(self.text(self.record().provides)).filter(move |relation| relation.name == name)
    }
}

impl fmt::Debug for Stanza<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

/// `name version (suite)`.
impl fmt::Display for Stanza<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} {} ({})",
            self.name(),
            self.version(),
            self.suite().suite
        )
    }
}
