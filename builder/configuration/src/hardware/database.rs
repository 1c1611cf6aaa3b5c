//! The compiled form (`hwdb-internal.h`): a trie of match patterns, then the strings. All
//! integers are little-endian; all offsets count from the start of the file.

use crate::strings::StringBuffer;
use std::collections::HashMap;

const SIGNATURE: &[u8; 8] = b"KSLPHHRH";
/// Sizes of `trie_header_f`, `trie_node_f`, `trie_child_entry_f` and `trie_value_entry2_f`.
const HEADER: u64 = 80;
const NODE: u64 = 24;
const CHILD: u64 = 16;
const VALUE: u64 = 32;

/// Where a property comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin<'a> {
    /// The file's name.
    pub(super) file: &'a str,
    /// Which line, from 1.
    pub(super) line: u32,
    /// Later files have higher ones and win.
    pub(super) priority: u16,
}

/// The database while it grows. Offsets are within the strings.
#[derive(Debug)]
pub(super) struct Database {
    nodes: Vec<Node>,
    strings: StringBuffer,
    /// Offsets of property keys and file names: there are few, each used many times.
    frequent: HashMap<Vec<u8>, u32>,
}

#[derive(Debug, Default)]
struct Node {
    prefix: u32,
    /// By character, sorted.
    children: Vec<(u8, u32)>,
    /// By key's text, sorted.
    values: Vec<Value>,
}

#[derive(Debug)]
struct Value {
    key: u32,
    value: u32,
    file: u32,
    line: u32,
    priority: u16,
}

impl Database {
    pub(super) fn new() -> Self {
        Self {
            nodes: vec![Node::default()],
            strings: StringBuffer::new(),
            frequent: HashMap::new(),
        }
    }

    /// How many properties there are.
    pub(super) fn properties(&self) -> usize {
        self.nodes.iter().map(|node| node.values.len()).sum()
    }

    /// Gives everything that matches `pattern` a property, in the place of an earlier one of
    /// the same key for the same pattern.
    pub(super) fn insert(&mut self, pattern: &[u8], key: &[u8], value: &[u8], origin: Origin<'_>) {
        let mut at = 0;
        let mut rest = pattern;
        loop {
            let prefix = self.strings.get(self.nodes[at].prefix);
            let shared = prefix.iter().zip(rest).take_while(|(a, b)| a == b).count();
            if shared < prefix.len() {
                let (character, prefix) = (prefix[shared], prefix[..shared].to_vec());
                self.split(at, character, &prefix);
            }
            rest = &rest[shared..];
            let Some((character, behind)) = rest.split_first() else {
                return self.set(at, key, value, origin);
            };
            let children = &self.nodes[at].children;
            match children.binary_search_by_key(character, |child| child.0) {
                Ok(child) => at = children[child].1 as usize,
                Err(place) => {
                    let new = self.nodes.len();
                    self.nodes[at]
                        .children
                        .insert(place, (*character, new as u32));
                    let prefix = self.strings.add(behind);
                    self.nodes.push(Node {
                        prefix,
                        ..Node::default()
                    });
                    return self.set(new, key, value, origin);
                }
            }
            rest = behind;
        }
    }

    /// Cuts a node's prefix down to its beginning `prefix`; what it had goes to a new child
    /// behind `character`.
    fn split(&mut self, at: usize, character: u8, prefix: &[u8]) {
        let new = self.nodes.len() as u32;
        let short = self.strings.add(prefix);
        let node = std::mem::replace(
            &mut self.nodes[at],
            Node {
                prefix: short,
                children: vec![(character, new)],
                values: Vec::new(),
            },
        );
        self.nodes.push(Node {
            prefix: node.prefix + prefix.len() as u32 + 1,
            ..node
        });
    }

    fn set(&mut self, at: usize, key: &[u8], value: &[u8], origin: Origin<'_>) {
        let value = Value {
            key: self.add_frequent(key),
            value: self.strings.add(value),
            file: self.add_frequent(origin.file.as_bytes()),
            line: origin.line,
            priority: origin.priority,
        };
        let values = &mut self.nodes[at].values;
        match values.binary_search_by(|value| self.strings.get(value.key).cmp(key)) {
            Ok(place) => values[place] = value,
            Err(place) => values.insert(place, value),
        }
    }

    fn add_frequent(&mut self, text: &[u8]) -> u32 {
        if let Some(offset) = self.frequent.get(text) {
            return *offset;
        }
        let offset = self.strings.add(text);
        self.frequent.insert(text.to_vec(), offset);
        offset
    }

    /// The file's bytes; `version` is systemd's, for information.
    pub(super) fn encode(&self, version: u64) -> Vec<u8> {
        let nodes: u64 = (self.nodes.iter())
            .map(|node| {
                NODE + CHILD * node.children.len() as u64 + VALUE * node.values.len() as u64
            })
            .sum();
        let strings = self.strings.bytes();
        let size = HEADER + nodes + strings.len() as u64;
        let mut out = Vec::with_capacity(size as usize);
        out.resize(HEADER as usize, 0);
        let root = self.encode_node(0, HEADER + nodes, &mut out);
        out.extend(strings);
        let fields = [
            version,
            size,
            HEADER,
            NODE,
            CHILD,
            VALUE,
            root,
            nodes,
            strings.len() as u64,
        ];
        out[..8].copy_from_slice(SIGNATURE);
        for (place, field) in out[8..HEADER as usize].chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        out
    }

    /// Writes a node after its children; gives its offset. `strings` is where strings begin.
    fn encode_node(&self, at: usize, strings: u64, out: &mut Vec<u8>) -> u64 {
        let node = &self.nodes[at];
        let children: Vec<(u8, u64)> = (node.children.iter())
            .map(|(character, child)| (*character, self.encode_node(*child as usize, strings, out)))
            .collect();
        let offset = out.len() as u64;
        let string = |offset: u32| (strings + u64::from(offset)).to_le_bytes();
        out.extend(string(node.prefix));
        out.extend((children.len() as u64).to_le_bytes());
        out.extend((node.values.len() as u64).to_le_bytes());
        for (character, child) in children {
            out.extend(u64::from(character).to_le_bytes());
            out.extend(child.to_le_bytes());
        }
        for value in &node.values {
            out.extend(string(value.key));
            out.extend(string(value.value));
            out.extend(string(value.file));
            out.extend(value.line.to_le_bytes());
            out.extend(value.priority.to_le_bytes());
            out.extend([0; 2]);
        }
        offset
    }
}
