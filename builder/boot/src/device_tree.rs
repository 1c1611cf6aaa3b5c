//! Flattened device trees: what a kernel is told of the hardware that it cannot find by itself
//! ([Devicetree Specification](https://github.com/devicetree-org/devicetree-specification) 0.4,
//! chapter 5).
//!
//! ```
//! use fortress_boot::device_tree::{DeviceTree, Node};
//!
//! let mut board = DeviceTree::default();
//! board.root.properties.push(("model".into(), b"A board\0".to_vec()));
//! let mut newer = board.clone();
//! newer.root.properties[0].1 = b"A newer board\0".to_vec();
//!
//! let overlay = board.overlay_to(&newer).unwrap();
//! assert_eq!(board.with_overlay(&overlay)?, newer);
//! assert_eq!(DeviceTree::parse(&overlay.to_bytes())?, overlay);
//! # Ok::<(), fortress_boot::device_tree::Error>(())
//! ```

mod format;
mod overlay;
mod reader;
mod writer;

/// A device tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceTree {
    /// Memory that the kernel must leave alone: addresses and lengths in bytes.
    pub reservations: Vec<(u64, u64)>,
    /// The processor that boots, by its number.
    pub boot_processor: u32,
    /// The root, whose name is empty.
    pub root: Node,
}

/// A node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// Its name with the unit address, for example `serial@7d001000`.
    pub name: String,
    /// Its properties in their order, each name once.
    pub properties: Vec<(String, Vec<u8>)>,
    /// The nodes below it in their order, each name once.
    pub children: Vec<Node>,
}

impl Node {
    /// The value of a property.
    pub fn property(&self, name: &str) -> Option<&[u8]> {
        let found = self.properties.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_slice())
    }

    /// The node of a name right below this one.
    pub fn child(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|child| child.name == name)
    }

    fn set(&mut self, name: &str, value: &[u8]) {
        match self.properties.iter_mut().find(|(own, _)| own == name) {
            Some((_, old)) => *old = value.to_vec(),
            None => self.properties.push((name.to_owned(), value.to_vec())),
        }
    }
}

impl DeviceTree {
    /// The node at a path such as `/soc/serial@7d001000`.
    pub fn node(&self, path: &str) -> Option<&Node> {
        let mut names = path.strip_prefix('/')?.split('/').filter(|n| !n.is_empty());
        names.try_fold(&self.root, |node, name| node.child(name))
    }

    fn node_mut(&mut self, path: &str) -> Option<&mut Node> {
        let mut names = path.strip_prefix('/')?.split('/').filter(|n| !n.is_empty());
        names.try_fold(&mut self.root, |node, name| {
            node.children.iter_mut().find(|child| child.name == name)
        })
    }
}

/// What is wrong with a device tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is no device tree, or of a version that nobody writes any more.
    #[error("it is no device tree of version 17")]
    Format,
    /// It is larger than any device tree.
    #[error("it has {length} bytes, and no device tree has more than {limit}")]
    TooLarge {
        /// Its length in bytes.
        length: usize,
        /// The largest that is read, in bytes.
        limit: usize,
    },
    /// It breaks off, or contradicts itself.
    #[error("it is damaged: {reason}, at byte {offset} of its {block}")]
    Damaged {
        /// What is wrong.
        reason: &'static str,
        /// In which part.
        block: &'static str,
        /// Where in that part, in bytes.
        offset: usize,
    },
    /// An overlay that cannot be laid over.
    #[error("its overlay cannot be laid over it: {0}")]
    Overlay(String),
}
