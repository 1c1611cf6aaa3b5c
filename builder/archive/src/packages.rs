//! Package indexes (`Packages`): a stream of stanzas, of which the fields that matter are kept
//! in one text, each stanza a record of places in it. Debian's main takes about 30 MiB so.

use std::collections::HashMap;
use std::io::{BufRead, Read};

use fortress_store::Digest;

/// Longer lines are refused, in bytes: the longest of Debian's are dependencies of some 20 KiB.
const LINE: u64 = 1 << 20;
/// More stanzas than this in one index are refused.
const STANZAS: usize = 1 << 20;
/// More text than this is not kept of one index, in bytes.
const TEXT: usize = 1 << 30;

/// A place in the text of a [`Part`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    start: u32,
    length: u32,
}

/// What a package says of other architectures (Debian Policy, chapter "Multi-Arch").
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum MultiArch {
    #[default]
    No,
    Same,
    Foreign,
    Allowed,
}

/// One stanza.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record {
    /// Which part it is of; filled in by the index.
    pub(crate) part: u32,
    pub(crate) name: Span,
    pub(crate) version: Span,
    pub(crate) architecture: Span,
    /// `Source`: name, or `name (version)`; empty where it is the same.
    pub(crate) source: Span,
    pub(crate) section: Span,
    pub(crate) depends: Span,
    pub(crate) pre_depends: Span,
    pub(crate) recommends: Span,
    pub(crate) conflicts: Span,
    pub(crate) breaks: Span,
    pub(crate) provides: Span,
    pub(crate) path: Span,
    pub(crate) digest: Digest,
    /// In bytes.
    pub(crate) size: u64,
    /// In KiB.
    pub(crate) installed_size: u64,
    pub(crate) multi_arch: MultiArch,
    /// 0 is `required`, 5 unknown.
    pub(crate) priority: u8,
    pub(crate) essential: bool,
    pub(crate) protected: bool,
    /// Percentage of machines that are to have it; 100 where nothing is said.
    pub(crate) phased: u8,
}

/// One package index.
#[derive(Debug, Default)]
pub(crate) struct Part {
    text: String,
    pub(crate) records: Vec<Record>,
}

impl Part {
    pub(crate) fn text(&self, span: Span) -> &str {
        let start = span.start as usize;
        self.text
            .get(start..start + span.length as usize)
            .unwrap_or_default()
    }

    /// The place of a piece of this part's text; none, if it is a piece of something else.
    pub(crate) fn span(&self, piece: &str) -> Option<Span> {
        let start = (piece.as_ptr().addr()).checked_sub(self.text.as_ptr().addr())?;
        let span = Span {
            start: u32::try_from(start).ok()?,
            length: u32::try_from(piece.len()).ok()?,
        };
        (self.text(span) == piece).then_some(span)
    }
}

/// The fields of the stanza that is being read.
#[derive(Default)]
struct Stanza {
    fields: [Span; FIELDS.len()],
    seen: [bool; FIELDS.len()],
    digest: Option<Digest>,
    first_line: u64,
}

/// Fields that are kept, by their places in [`Stanza::fields`].
const FIELDS: [&str; 19] = [
    "package",
    "version",
    "architecture",
    "source",
    "section",
    "depends",
    "pre-depends",
    "recommends",
    "conflicts",
    "breaks",
    "provides",
    "filename",
    "sha256",
    "size",
    "installed-size",
    "multi-arch",
    "priority",
    "essential",
    "phased-update-percentage",
];
/// `Protected`, and its older name `Important`, share no place with others.
const PROTECTED: [&str; 2] = ["protected", "important"];

const fn field(name: &str) -> usize {
    let mut place = 0;
    while place < FIELDS.len() {
        if same(FIELDS[place].as_bytes(), name.as_bytes()) {
            return place;
        }
        place += 1;
    }
    FIELDS.len()
}

const fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut place = 0;
    while place < one.len() {
        if one[place] != other[place] {
            return false;
        }
        place += 1;
    }
    true
}

const PACKAGE: usize = field("package");
const VERSION: usize = field("version");
const ARCHITECTURE: usize = field("architecture");
const SOURCE: usize = field("source");
const SECTION: usize = field("section");
const DEPENDS: usize = field("depends");
const PRE_DEPENDS: usize = field("pre-depends");
const RECOMMENDS: usize = field("recommends");
const CONFLICTS: usize = field("conflicts");
const BREAKS: usize = field("breaks");
const PROVIDES: usize = field("provides");
const FILENAME: usize = field("filename");
const SHA256: usize = field("sha256");
const SIZE: usize = field("size");
const INSTALLED_SIZE: usize = field("installed-size");
const MULTI_ARCH: usize = field("multi-arch");
const PRIORITY: usize = field("priority");
const ESSENTIAL: usize = field("essential");
const PHASED: usize = field("phased-update-percentage");

/// Names of packages (Debian Policy, 5.6.1), loosely: what cannot mislead a path or a message.
fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed) && text.as_bytes()[0].is_ascii_alphanumeric()
}

/// Versions (Debian Policy, 5.6.12).
fn is_version(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.:~_".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}

/// Paths below the archive's root, which become part of addresses.
pub(crate) fn is_path(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._~:%/@,=".contains(&byte);
    text.bytes().all(allowed) && text.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn priority(text: &str) -> u8 {
    match text {
        "required" => 0,
        "important" => 1,
        "standard" => 2,
        "optional" => 3,
        "extra" => 4,
        _ => 5,
    }
}

struct Parser {
    part: Part,
    /// Texts that come again and again, kept once.
    interned: HashMap<String, Span>,
    stanza: Stanza,
    protected: bool,
    started: bool,
}

impl Parser {
    fn keep(&mut self, text: &str) -> Result<Span, String> {
        let start = self.part.text.len();
        if start + text.len() > TEXT {
            return Err(format!("it has over {TEXT} bytes of text to keep"));
        }
        self.part.text.push_str(text);
        let place = |value: usize| u32::try_from(value).map_err(|error| error.to_string());
        Ok(Span {
            start: place(start)?,
            length: place(text.len())?,
        })
    }

    fn intern(&mut self, text: &str) -> Result<Span, String> {
        if let Some(span) = self.interned.get(text) {
            return Ok(*span);
        }
        let span = self.keep(text)?;
        self.interned.insert(text.to_owned(), span);
        Ok(span)
    }

    /// Takes a field's first line; says which field it is if its continuation lines count.
    fn field(&mut self, name: &str, value: &str) -> Result<Option<usize>, String> {
        let is = |known: &str| known.eq_ignore_ascii_case(name);
        if PROTECTED.iter().any(|known| is(known)) {
            self.protected |= value == "yes";
            return Ok(None);
        }
        let Some(place) = FIELDS.iter().position(|known| is(known)) else {
            return Ok(None);
        };
        if std::mem::replace(&mut self.stanza.seen[place], true) {
            return Err(format!("the field {name} is there twice"));
        }
        if place == SHA256 {
            let digest = value
                .parse()
                .map_err(|_| "SHA256 is not a digest".to_owned())?;
            self.stanza.digest = Some(digest);
            return Ok(None);
        }
        let intern = matches!(
            place,
            ARCHITECTURE
                | SECTION
                | SOURCE
                | SIZE
                | INSTALLED_SIZE
                | MULTI_ARCH
                | PRIORITY
                | ESSENTIAL
                | PHASED
        );
        self.stanza.fields[place] = match intern {
            true => self.intern(value)?,
            false => self.keep(value)?,
        };
        Ok((!intern).then_some(place))
    }

    /// Takes a continuation line of a field, whose text is the last that was kept.
    fn continuation(&mut self, place: usize, line: &str) -> Result<(), String> {
        let more = self.keep("\n").and_then(|_| self.keep(line.trim()))?;
        self.stanza.fields[place].length += more.length + 1;
        Ok(())
    }

    fn number(&self, place: usize) -> Result<u64, String> {
        let text = self.part.text(self.stanza.fields[place]);
        text.parse()
            .map_err(|_| format!("{} is not a number: {text:?}", FIELDS[place]))
    }

    fn end_stanza(&mut self) -> Result<(), String> {
        let stanza = std::mem::take(&mut self.stanza);
        let protected = std::mem::take(&mut self.protected);
        if !std::mem::take(&mut self.started) {
            return Ok(());
        }
        let [name, version, path] =
            [PACKAGE, VERSION, FILENAME].map(|place| self.part.text(stanza.fields[place]));
        let within = match name {
            "" => format!("the stanza at line {}", stanza.first_line),
            name => format!("{name:.100} at line {}", stanza.first_line),
        };
        let fault = |what: &str| Err(format!("{within}: {what}"));
        if !is_name(name) {
            return fault("no sound Package name");
        }
        if !is_version(version) {
            return fault("no sound Version");
        }
        if !is_path(path) {
            return fault("no sound Filename");
        }
        if !is_name(self.part.text(stanza.fields[ARCHITECTURE])) {
            return fault("no sound Architecture");
        }
        let Some(digest) = stanza.digest else {
            return fault("no SHA256");
        };
        self.stanza.fields = stanza.fields;
        let size = self
            .number(SIZE)
            .map_err(|error| format!("{within}: {error}"))?;
        // Informative only; some archives leave it out.
        let installed_size = self.number(INSTALLED_SIZE).unwrap_or(0);
        let phased = match stanza.seen[PHASED] {
            true => self
                .number(PHASED)
                .map_err(|error| format!("{within}: {error}"))?,
            false => 100,
        };
        let text = |place: usize| self.part.text(stanza.fields[place]);
        let record = Record {
            part: 0,
            name: stanza.fields[PACKAGE],
            version: stanza.fields[VERSION],
            architecture: stanza.fields[ARCHITECTURE],
            source: stanza.fields[SOURCE],
            section: stanza.fields[SECTION],
            depends: stanza.fields[DEPENDS],
            pre_depends: stanza.fields[PRE_DEPENDS],
            recommends: stanza.fields[RECOMMENDS],
            conflicts: stanza.fields[CONFLICTS],
            breaks: stanza.fields[BREAKS],
            provides: stanza.fields[PROVIDES],
            path: stanza.fields[FILENAME],
            digest,
            size,
            installed_size,
            multi_arch: match text(MULTI_ARCH) {
                "same" => MultiArch::Same,
                "foreign" => MultiArch::Foreign,
                "allowed" => MultiArch::Allowed,
                _ => MultiArch::No,
            },
            priority: priority(text(PRIORITY)),
            essential: text(ESSENTIAL) == "yes",
            protected,
            phased: u8::try_from(phased.min(100)).unwrap_or(100),
        };
        self.stanza = Stanza::default();
        if self.part.records.len() == STANZAS {
            return Err(format!("it has over {STANZAS} stanzas"));
        }
        self.part.records.push(record);
        Ok(())
    }
}

/// Reads a package index to its end.
///
/// # Errors
/// In words with the line, when it is malformed or a bound is passed.
pub(crate) fn parse(mut reader: impl BufRead) -> Result<Part, String> {
    let mut parser = Parser {
        part: Part::default(),
        interned: HashMap::new(),
        stanza: Stanza::default(),
        protected: false,
        started: false,
    };
    let mut bytes = Vec::new();
    let mut number = 0_u64;
    let mut current = None;
    loop {
        bytes.clear();
        let read = (&mut reader)
            .take(LINE + 1)
            .read_until(b'\n', &mut bytes)
            .map_err(|error| format!("line {}: {error}", number + 1))?;
        if read == 0 {
            parser.end_stanza()?;
            parser.part.text.shrink_to_fit();
            parser.part.records.shrink_to_fit();
            return Ok(parser.part);
        }
        number += 1;
        let at = |what: String| format!("line {number}: {what}");
        if bytes.len() as u64 > LINE {
            return Err(at(format!("it is longer than {LINE} bytes")));
        }
        let line = std::str::from_utf8(&bytes).map_err(|_| at("it is not UTF-8".into()))?;
        let line = line.trim_end();
        if line.is_empty() {
            parser.end_stanza()?;
            current = None;
        } else if line.starts_with([' ', '\t']) {
            if !parser.started {
                return Err(at("a continuation of nothing".into()));
            }
            if let Some(place) = current {
                parser.continuation(place, line).map_err(at)?;
            }
        } else {
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| at(format!("not a field: {line:.100?}")))?;
            if !std::mem::replace(&mut parser.started, true) {
                parser.stanza.first_line = number;
            }
            current = parser.field(name, value.trim_start()).map_err(at)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stanza() -> String {
        format!(
            "Package: foo\nSource: food (1.0)\nVersion: 1:2.0-3\nArchitecture: amd64\n\
             Essential: yes\nImportant: yes\nMulti-Arch: same\nPriority: required\n\
             depends: a,\n b (>= 1) |\n  c\nDescription: x\n y: z\nSize: 7\n\
             Filename: pool/main/f/foo/foo_2.0-3_amd64.deb\nSHA256: {}\n",
            Digest::of(b"x")
        )
    }

    #[test]
    fn keeps_what_matters() {
        let text = format!(
            "\n{}\n\n\n{}",
            stanza(),
            stanza().replace(": foo\n", ": bar\n")
        );
        let part = parse(text.as_bytes()).unwrap();
        assert_eq!(part.records.len(), 2);
        let record = part.records[0];
        assert_eq!(part.text(record.name), "foo");
        assert_eq!(part.text(record.depends), "a,\nb (>= 1) |\nc");
        assert_eq!(part.text(record.source), "food (1.0)");
        assert_eq!(part.text(record.breaks), "");
        assert_eq!((record.size, record.phased, record.priority), (7, 100, 0));
        assert_eq!(record.multi_arch, MultiArch::Same);
        assert!(record.essential && record.protected);
        assert_eq!(part.text(part.records[1].name), "bar");
    }

    #[test]
    fn says_where_it_is_wrong() {
        for (text, what) in [
            (
                stanza().replace("Package: foo\n", ""),
                "the stanza at line 1: no sound Package",
            ),
            (
                stanza().replace(": foo\n", ": ../foo\n"),
                "no sound Package",
            ),
            (
                stanza().replace("1:2.0-3", "1:2.0 3"),
                "foo at line 1: no sound Version",
            ),
            (stanza().replace("pool/", "../"), "no sound Filename"),
            (stanza().replace("pool/", "/pool/"), "no sound Filename"),
            (stanza().replace("pool/", "pool?x=/"), "no sound Filename"),
            (
                stanza().replace("Size: 7", "Size: many"),
                "size is not a number",
            ),
            (stanza().replace("SHA256", "SHA1"), "no SHA256"),
            (
                stanza().replace("SHA256: ", "SHA256: x"),
                "line 16: SHA256 is not a digest",
            ),
            (
                stanza() + "Version: 2\n",
                "line 17: the field Version is there twice",
            ),
            (format!("\n\n{}what?\n", stanza()), "line 19: not a field"),
            (" what?\n".into(), "line 1: a continuation of nothing"),
            (
                format!("X: {}\n", "x".repeat(2 << 20)),
                "line 1: it is longer",
            ),
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(what), "{error}");
        }
        assert!(
            parse(&b"Package: \xff\n"[..])
                .unwrap_err()
                .contains("UTF-8")
        );
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(bytes.as_slice());
        }

        #[test]
        fn never_panics_on_mutations(at in 0..400_usize, with in "\\PC{0,8}|\n| |\n ") {
            let mut text = stanza();
            text.insert_str(at.min(text.len()), &with);
            let _ = parse(text.as_bytes());
        }
    }
}
