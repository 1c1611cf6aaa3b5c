//! kmod's binary indexes: a trie of 7-bit keys with values in order of priority
//! (`libkmod-index.h`, format 2.1). Integers are big-endian.
//!
//! A node is, each part only where its offset's flag says so: a prefix, ended by NUL; the first
//! and last character that lead to children, with an offset for each character between (0: none);
//! the number of values, each a priority and a text ended by NUL.

const MAGIC: u32 = 0xB007_F457;
const VERSION: u32 = 0x0002_0001;
const HAS_PREFIX: u32 = 0x8000_0000;
const HAS_VALUES: u32 = 0x4000_0000;
const HAS_CHILDREN: u32 = 0x2000_0000;

/// A key's value. Where a key has several, the lowest priority comes first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) priority: u32,
    pub(super) value: String,
}

/// The bytes of an index. Among values of one key and one priority the later comes first.
pub(super) fn encode(mut entries: Vec<Entry>) -> Vec<u8> {
    entries.reverse();
    entries.sort_by(|a, b| (&a.key, a.priority).cmp(&(&b.key, b.priority)));
    let mut out = Vec::with_capacity(entries.len() * 24);
    out.extend(MAGIC.to_be_bytes());
    out.extend(VERSION.to_be_bytes());
    out.extend([0; 4]);
    let root = node(&entries, 0, true, &mut out);
    out[8..12].copy_from_slice(&root.to_be_bytes());
    out
}

/// Writes the node for sorted `entries`, whose keys are the same up to `depth`, and then its
/// children; gives its offset with flags. Only the root keeps to an empty prefix.
fn node(entries: &[Entry], depth: usize, root: bool, out: &mut Vec<u8>) -> u32 {
    let shared = match (entries.first(), entries.last()) {
        (Some(first), Some(last)) if !root => {
            let (first, last) = (
                &first.key.as_bytes()[depth..],
                &last.key.as_bytes()[depth..],
            );
            first.iter().zip(last).take_while(|(a, b)| a == b).count()
        }
        _ => 0,
    };
    let mut offset = out.len() as u32;
    if let (Some(entry), 1..) = (entries.first(), shared) {
        out.extend(&entry.key.as_bytes()[depth..depth + shared]);
        out.push(0);
        offset |= HAS_PREFIX;
    }
    let depth = depth + shared;
    let values = entries.partition_point(|entry| entry.key.len() == depth);
    let (values, below) = entries.split_at(values);
    let character = |entry: &Entry| entry.key.as_bytes()[depth];
    let mut children = 0;
    if let (Some(first), Some(last)) = (below.first(), below.last()) {
        let (first, last) = (character(first), character(last));
        out.extend([first, last]);
        children = out.len();
        out.resize(children + 4 * (usize::from(last - first) + 1), 0);
        offset |= HAS_CHILDREN;
    }
    if !values.is_empty() {
        out.extend((values.len() as u32).to_be_bytes());
        for entry in values {
            out.extend(entry.priority.to_be_bytes());
            out.extend(entry.value.as_bytes());
            out.push(0);
        }
        offset |= HAS_VALUES;
    }
    for branch in below.chunk_by(|a, b| character(a) == character(b)) {
        let place = children + 4 * usize::from(character(&branch[0]) - character(&below[0]));
        let child = node(branch, depth + 1, false, out);
        out[place..place + 4].copy_from_slice(&child.to_be_bytes());
    }
    offset
}
