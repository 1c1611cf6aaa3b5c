//! A buffer of strings as systemd's compiled databases have them (`strbuf.c`'s format): each
//! ended by NUL, none kept that is the end of one that is already there.

/// Strings in one buffer.
#[derive(Debug)]
pub(crate) struct StringBuffer {
    bytes: Vec<u8>,
    /// A trie over the strings read backwards: whoever looks for a string walks from its last
    /// character and takes the first string on the way that ends with it.
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    /// Where the node's string ends in the buffer, and how long it is.
    end: u32,
    length: u32,
    /// By character, sorted.
    children: Vec<(u8, u32)>,
}

impl StringBuffer {
    /// A buffer that has the empty string at 0.
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0],
            nodes: vec![Node::default()],
        }
    }

    /// The offset of `text` in the buffer, in which it is kept from now on.
    pub(crate) fn add(&mut self, text: &[u8]) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let mut at = 0;
        let mut rest = text;
        loop {
            let node = &self.nodes[at];
            let end = node.end as usize;
            if rest.is_empty()
                || (node.length as usize >= text.len()
                    && self.bytes[end - text.len()..end] == *text)
            {
                return (end - text.len()) as u32;
            }
            let Some((character, before)) = rest.split_last() else {
                return 0;
            };
            match node
                .children
                .binary_search_by_key(character, |child| child.0)
            {
                Ok(child) => at = node.children[child].1 as usize,
                Err(place) => {
                    let new = self.nodes.len() as u32;
                    self.nodes[at].children.insert(place, (*character, new));
                    break;
                }
            }
            rest = before;
        }
        let offset = self.bytes.len() as u32;
        self.bytes.extend(text);
        self.nodes.push(Node {
            end: self.bytes.len() as u32,
            length: text.len() as u32,
            children: Vec::new(),
        });
        self.bytes.push(0);
        offset
    }

    /// The string at an offset, without its NUL.
    pub(crate) fn get(&self, offset: u32) -> &[u8] {
        let rest = &self.bytes[offset as usize..];
        rest.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// All bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::StringBuffer;
    use proptest::prelude::*;

    #[test]
    fn the_end_of_a_string_is_not_kept_again() {
        let mut strings = StringBuffer::new();
        let waldo = strings.add(b"waldo");
        assert_eq!(strings.add(b"aldo"), waldo + 1);
        assert_eq!(strings.add(b""), 0);
        let foo = strings.add(b"foo");
        assert_eq!((foo, strings.add(b"foo")), (7, 7));
        assert_eq!(strings.bytes(), b"\0waldo\0foo\0");
    }

    proptest! {
        #[test]
        fn every_string_is_found_where_it_was_put(texts in prop::collection::vec("[a-c]{0,6}", 0..60)) {
            let mut strings = StringBuffer::new();
            let offsets: Vec<u32> = texts.iter().map(|text| strings.add(text.as_bytes())).collect();
            for (text, offset) in texts.iter().zip(offsets) {
                prop_assert_eq!(strings.get(offset), text.as_bytes());
            }
        }
    }
}
