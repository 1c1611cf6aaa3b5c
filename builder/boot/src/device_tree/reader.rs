//! Reads what may be anything.

use super::format::{
    BEGIN_NODE, DEEPEST, END, END_NODE, HEADER, LONGEST, LONGEST_NAME, MAGIC, NOTHING, PROPERTY,
    RESERVATION, VERSION,
};
use super::{DeviceTree, Error, Node};
use std::collections::HashSet;

impl DeviceTree {
    /// Reads a flattened device tree.
    ///
    /// # Errors
    /// When it is none, is damaged, or has two nodes or properties of one name in a node.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > LONGEST {
            return Err(Error::TooLarge {
                length: bytes.len(),
                limit: LONGEST,
            });
        }
        let field = |index: usize| number(bytes, index * 4).ok_or(Error::Format);
        let (magic, total) = (field(0)?, field(1)? as usize);
        let (version, compatible) = (field(5)?, field(6)?);
        if magic != MAGIC || compatible > VERSION || version < VERSION || total < HEADER {
            return Err(Error::Format);
        }
        let bytes = bytes.get(..total).ok_or(Error::Damaged {
            reason: "it breaks off",
            block: "header",
            offset: 4,
        })?;
        let block = |name, offset: u32, length: Option<u32>| {
            let start = offset as usize;
            let end = length.map_or(Some(total), |length| start.checked_add(length as usize));
            let block = end.and_then(|end| bytes.get(start..end));
            block.ok_or(Error::Damaged {
                reason: "a part lies outside of it",
                block: name,
                offset: 0,
            })
        };
        let mut reader = Reader {
            structure: block("structure", field(2)?, Some(field(9)?))?,
            strings: block("strings", field(3)?, Some(field(8)?))?,
            at: 0,
        };
        let reservations = reservations(block("reserved memory", field(4)?, None)?)?;
        let root = reader.tree()?;
        Ok(Self {
            reservations,
            boot_processor: field(7)?,
            root,
        })
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(four.try_into().ok()?))
}

fn long_number(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from(number(bytes, at)?) << 32 | u64::from(number(bytes, at + 4)?))
}

/// The entries before the one that is all zeros.
fn reservations(block: &[u8]) -> Result<Vec<(u64, u64)>, Error> {
    let mut found = Vec::new();
    for at in (0..).step_by(RESERVATION) {
        match long_number(block, at).zip(long_number(block, at + 8)) {
            Some((0, 0)) => break,
            Some(entry) => found.push(entry),
            None => {
                return Err(Error::Damaged {
                    reason: "the list has no end",
                    block: "reserved memory",
                    offset: at,
                });
            }
        }
    }
    Ok(found)
}

/// The length of the name that bytes begin with.
fn length(bytes: &[u8]) -> Option<usize> {
    let mut reach = bytes.iter().take(LONGEST_NAME + 1);
    reach.position(|byte| *byte == 0)
}

/// A node that has begun, and the names in it.
#[derive(Default)]
struct Open {
    node: Node,
    properties: HashSet<String>,
    children: HashSet<String>,
}

struct Reader<'a> {
    structure: &'a [u8],
    strings: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn damaged(&self, reason: &'static str) -> Error {
        Error::Damaged {
            reason,
            block: "structure",
            offset: self.at,
        }
    }

    fn number(&mut self) -> Result<u32, Error> {
        let value = number(self.structure, self.at).ok_or_else(|| self.damaged("it breaks off"))?;
        self.at += 4;
        Ok(value)
    }

    /// Takes so many bytes, and what pads them to a multiple of four.
    fn bytes(&mut self, length: usize) -> Result<&[u8], Error> {
        let end = self.at.checked_add(length);
        let Some(bytes) = end.and_then(|end| self.structure.get(self.at..end)) else {
            return Err(self.damaged("it breaks off"));
        };
        self.at = (self.at + length).next_multiple_of(4);
        Ok(bytes)
    }

    /// A text that ends with a NUL.
    fn node_name(&mut self) -> Result<String, Error> {
        let rest = self.structure.get(self.at..).unwrap_or_default();
        let length = length(rest).ok_or_else(|| self.damaged("a name has no end"))?;
        let start = self.at;
        let name = self.bytes(length + 1)?[..length].to_vec();
        match String::from_utf8(name) {
            Ok(name) if !name.contains('/') => Ok(name),
            _ => {
                self.at = start;
                Err(self.damaged("a node's name is none"))
            }
        }
    }

    fn property_name(&self, offset: u32) -> Result<String, Error> {
        let damaged = || Error::Damaged {
            reason: "a property's name is none",
            block: "strings",
            offset: offset as usize,
        };
        let rest = self.strings.get(offset as usize..).ok_or_else(damaged)?;
        let name = &rest[..length(rest).ok_or_else(damaged)?];
        let text = std::str::from_utf8(name).map_err(|_| damaged())?;
        Ok(text.to_owned())
    }

    fn tree(&mut self) -> Result<Node, Error> {
        let mut open: Vec<Open> = Vec::new();
        let mut root = None;
        loop {
            let token = self.number()?;
            match (token, open.last_mut()) {
                (NOTHING, _) => {}
                (BEGIN_NODE, _) if root.is_some() => {
                    return Err(self.damaged("it has two roots"));
                }
                (BEGIN_NODE, parent) => {
                    let has_parent = parent.is_some();
                    let name = self.node_name()?;
                    if let (true, Some(parent)) = (has_parent, open.last_mut())
                        && (name.is_empty() || !parent.children.insert(name.clone()))
                    {
                        return Err(self.damaged("a node has no name, or another one's"));
                    }
                    if !has_parent && !name.is_empty() {
                        return Err(self.damaged("the root has a name"));
                    }
                    if open.len() == DEEPEST {
                        return Err(self.damaged("its nodes lie too deep"));
                    }
                    let node = Node {
                        name,
                        ..Node::default()
                    };
                    open.push(Open {
                        node,
                        ..Open::default()
                    });
                }
                (PROPERTY, Some(_)) => {
                    let length = self.number()? as usize;
                    let name = self.number()?;
                    let name = self.property_name(name)?;
                    let value = self.bytes(length)?.to_vec();
                    // There is one: the match saw it.
                    if let Some(node) = open.last_mut() {
                        if !node.properties.insert(name.clone()) {
                            return Err(self.damaged("a node has a property twice"));
                        }
                        node.node.properties.push((name, value));
                    }
                }
                (END_NODE, Some(_)) => {
                    let Some(done) = open.pop() else { continue };
                    match open.last_mut() {
                        Some(parent) => parent.node.children.push(done.node),
                        None => root = Some(done.node),
                    }
                }
                (END, None) => return root.ok_or_else(|| self.damaged("it has no root")),
                _ => {
                    self.at -= 4;
                    return Err(self.damaged("something is where it cannot be"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::LONGEST;
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn any_tree() -> impl Strategy<Value = DeviceTree> {
        let property = (
            "[a-z#][a-z0-9,#-]{0,8}",
            prop::collection::vec(any::<u8>(), 0..20),
        );
        let properties = prop::collection::vec(property, 0..5).prop_map(|mut list| {
            let mut seen = HashSet::new();
            list.retain(|(name, _): &(String, _)| seen.insert(name.clone()));
            list
        });
        let leaf = ("[a-z][a-z0-9@-]{0,8}", properties.clone());
        let node = leaf
            .prop_map(|(name, properties)| Node {
                name,
                properties,
                children: Vec::new(),
            })
            .prop_recursive(4, 30, 4, move |inner| {
                let children = prop::collection::vec(inner, 0..4).prop_map(|mut list| {
                    let mut seen = HashSet::new();
                    list.retain(|node: &Node| seen.insert(node.name.clone()));
                    list
                });
                ("[a-z][a-z0-9@-]{0,8}", properties.clone(), children).prop_map(
                    |(name, properties, children)| Node {
                        name,
                        properties,
                        children,
                    },
                )
            });
        (
            node,
            any::<u32>(),
            prop::collection::vec((1u64.., any::<u64>()), 0..3),
        )
            .prop_map(|(mut root, boot_processor, reservations)| {
                root.name.clear();
                DeviceTree {
                    reservations,
                    boot_processor,
                    root,
                }
            })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(tree in any_tree()) {
            prop_assert_eq!(DeviceTree::parse(&tree.to_bytes()), Ok(tree));
        }

        #[test]
        fn anything_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = DeviceTree::parse(&bytes);
        }

        #[test]
        fn a_changed_tree_is_read_or_refused(
            tree in any_tree(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            end in any::<prop::sample::Index>(),
        ) {
            let mut bytes = tree.to_bytes();
            for (place, value) in changes {
                let place = place.index(bytes.len());
                bytes[place] = value;
            }
            if let Ok(read) = DeviceTree::parse(&bytes) {
                prop_assert_eq!(DeviceTree::parse(&read.to_bytes()), Ok(read));
            }
            let end = end.index(bytes.len());
            let _ = DeviceTree::parse(&bytes[..end]);
        }
    }

    #[test]
    fn what_is_too_large_or_too_deep_is_refused() {
        let error = DeviceTree::parse(&vec![0; LONGEST + 1]).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
        let mut root = Node::default();
        for _ in 0..DEEPEST {
            root.name = "a".into();
            root = Node {
                children: vec![root],
                ..Node::default()
            };
        }
        let tree = DeviceTree {
            root,
            ..DeviceTree::default()
        };
        let error = DeviceTree::parse(&tree.to_bytes()).unwrap_err();
        assert!(error.to_string().contains("too deep"), "{error}");
        for (length, reason) in [
            (LONGEST_NAME, None),
            (LONGEST_NAME + 1, Some("property's name is none")),
        ] {
            let mut tree = DeviceTree::default();
            tree.root.properties.push(("n".repeat(length), Vec::new()));
            let read = DeviceTree::parse(&tree.to_bytes());
            let said = read.err().map(|error| error.to_string());
            assert_eq!(said.is_some(), reason.is_some(), "{said:?}");
            assert!(said.unwrap_or_default().contains(reason.unwrap_or("")));
        }
    }
}
