//! The cache's format (`dl-cache.h`, version 1.1): a header, entries in the order in which the
//! dynamic linker's binary search wants them, strings, extensions. All integers are
//! little-endian; all offsets count from the start of the file.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

const MAGIC: &[u8; 20] = b"glibc-ld.so.cache1.1";
const HEADER: usize = 48;
const ENTRY: usize = 24;
/// In the header: the integers' byte order.
const LITTLE_ENDIAN: u8 = 2;
/// In an entry: its low word is the number of a processor variant.
const IS_VARIANT: u64 = 1 << 62;
const EXTENSIONS: u32 = 0xeaa4_2174;
/// Tags of extensions: who wrote the cache, and the names of the variants.
const GENERATOR: u32 = 0;
const VARIANTS: u32 = 1;

/// A library that can be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The name that is looked for.
    pub(super) name: String,
    /// Where it is.
    pub(super) path: String,
    /// Kind and machine (`FLAG_*`).
    pub(super) flags: u32,
    /// The level of x86-64 that it needs: 0 is none beyond the first.
    pub(super) level: u32,
    /// The processor that it is for: a name below `glibc-hwcaps`.
    pub(super) variant: Option<String>,
}

/// The cache's bytes. Among entries that compare equal the earlier stays first.
pub(super) fn encode(mut entries: Vec<Entry>) -> Vec<u8> {
    entries.sort_by(order);
    let variants: BTreeSet<&str> = entries
        .iter()
        .filter_map(|it| it.variant.as_deref())
        .collect();
    let variants: Vec<&str> = variants.into_iter().collect();
    let strings = Strings::new(
        (entries.iter())
            .flat_map(|entry| [entry.name.as_str(), entry.path.as_str()])
            .chain(variants.iter().copied()),
    );
    let start = HEADER + entries.len() * ENTRY;
    let offset = |text: &str| (start + strings.offset(text)) as u32;
    let extensions = (start + strings.bytes.len()).next_multiple_of(4);

    let mut out = Vec::with_capacity(extensions + 128);
    out.extend(MAGIC);
    out.extend((entries.len() as u32).to_le_bytes());
    out.extend((strings.bytes.len() as u32).to_le_bytes());
    out.extend([LITTLE_ENDIAN, 0, 0, 0]);
    out.extend((extensions as u32).to_le_bytes());
    out.resize(HEADER, 0);
    for entry in &entries {
        out.extend(entry.flags.to_le_bytes());
        out.extend(offset(&entry.name).to_le_bytes());
        out.extend(offset(&entry.path).to_le_bytes());
        out.extend([0; 4]);
        let capabilities = match &entry.variant {
            Some(variant) => {
                let place = variants.iter().position(|name| name == variant);
                IS_VARIANT | u64::from(entry.level) << 32 | place.unwrap_or_default() as u64
            }
            None => 0,
        };
        out.extend(capabilities.to_le_bytes());
    }
    out.extend(&strings.bytes);
    out.resize(extensions, 0);

    let generator = concat!("fortress-build ", env!("CARGO_PKG_VERSION")).as_bytes();
    let names: Vec<u8> = variants
        .iter()
        .flat_map(|name| offset(name).to_le_bytes())
        .collect();
    let count = if names.is_empty() { 1 } else { 2 };
    let data = extensions + 8 + count * 16;
    let mut sections = vec![(GENERATOR, data + names.len(), generator.len())];
    if !names.is_empty() {
        sections.push((VARIANTS, data, names.len()));
    }
    out.extend(EXTENSIONS.to_le_bytes());
    out.extend((count as u32).to_le_bytes());
    for (tag, offset, size) in sections {
        for field in [tag, 0, offset as u32, size as u32] {
            out.extend(field.to_le_bytes());
        }
    }
    out.extend(names);
    out.extend(generator);
    out
}

/// The order of entries: names backwards, and variants before what serves every processor.
fn order(a: &Entry, b: &Entry) -> Ordering {
    newer(&b.name, &a.name)
        .then_with(|| b.flags.cmp(&a.flags))
        .then_with(|| match (&a.variant, &b.variant) {
            (Some(a), Some(b)) => a.cmp(b),
            (a, b) => b.is_some().cmp(&a.is_some()),
        })
}

/// Compares names as the dynamic linker does: runs of digits by their value, and a digit after
/// whatever is none.
pub(super) fn newer(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        match (a.first(), b.first()) {
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (x, y) = (number(&mut a), number(&mut b));
                if x != y {
                    return x.cmp(&y);
                }
            }
            (None, None) => return Ordering::Equal,
            (Some(x), _) if x.is_ascii_digit() => return Ordering::Greater,
            (Some(_), Some(y)) if y.is_ascii_digit() => return Ordering::Less,
            (x, y) if x != y => return x.cmp(&y),
            _ => (a, b) = (&a[1..], &b[1..]),
        }
    }
}

/// Takes the number at the start of a text.
fn number(text: &mut &[u8]) -> u64 {
    let end = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    digits.iter().fold(0, |value: u64, digit| {
        value
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    })
}

/// Strings, each ended by NUL; one that is the end of another lies in it.
struct Strings<'a> {
    bytes: Vec<u8>,
    offsets: BTreeMap<&'a str, usize>,
}

impl<'a> Strings<'a> {
    fn new(texts: impl Iterator<Item = &'a str>) -> Self {
        let mut texts: Vec<&str> = texts.collect();
        // By what they end with, backwards; of two with one end the longer first.
        texts.sort_by(|a, b| {
            let pairs = a.bytes().rev().zip(b.bytes().rev());
            let difference = pairs.map(|(a, b)| b.cmp(&a)).find(|order| order.is_ne());
            difference.unwrap_or_else(|| b.len().cmp(&a.len()))
        });
        let mut strings = Self {
            bytes: Vec::new(),
            offsets: BTreeMap::new(),
        };
        let mut previous = "";
        for text in texts {
            let end = strings.bytes.len();
            let offset = match previous.ends_with(text) && end > 0 {
                true => end - 1 - text.len(),
                false => {
                    strings.bytes.extend(text.as_bytes());
                    strings.bytes.push(0);
                    previous = text;
                    end
                }
            };
            strings.offsets.insert(text, offset);
        }
        strings
    }

    fn offset(&self, text: &str) -> usize {
        self.offsets.get(text).copied().unwrap_or_default()
    }
}
