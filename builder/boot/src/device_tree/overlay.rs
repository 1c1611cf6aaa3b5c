//! Overlays: a device tree that says what is different in another one. Each node below the
//! overlay's root is a fragment, with the path that it is for and what is laid over that node
//! ([Device Tree Dynamic Configuration](https://docs.kernel.org/devicetree/overlay-notes.html)).

use super::{DeviceTree, Error, Node};

/// Which node a fragment is for.
const TARGET: &str = "target-path";
/// What is laid over it.
const CONTENTS: &str = "__overlay__";
/// Names of nodes for other overlays: firmware and kernel make nothing of them alone.
const SYMBOLS: &str = "__symbols__";

impl DeviceTree {
    /// The overlay that turns this tree into another one: a fragment for each node in which
    /// something was added or has another value.
    ///
    /// # Errors
    /// What no overlay can say, each with its node: what the other tree does not have, and numbers
    /// of nodes (phandles) that differ, since everything refers to nodes by them.
    pub fn overlay_to(&self, other: &Self) -> Result<Self, Vec<String>> {
        let mut difference = Difference::default();
        if self.reservations != other.reservations {
            difference.refuse("/", "reserved memory differs");
        }
        difference.compare("", &self.root, &other.root);
        if !difference.refused.is_empty() {
            return Err(difference.refused);
        }
        let mut root = Node::default();
        // Firmware and kernel look for this in overlays of other boards, and skip those.
        if let Some(compatible) = other.root.property("compatible") {
            root.set("compatible", compatible);
        }
        let fragments = difference.fragments.into_iter().enumerate();
        root.children = fragments
            .map(|(index, (path, mut contents))| {
                contents.name = CONTENTS.into();
                Node {
                    name: format!("fragment@{index}"),
                    properties: vec![(TARGET.into(), [path.as_bytes(), b"\0"].concat())],
                    children: vec![contents],
                }
            })
            .collect();
        Ok(Self {
            root,
            ..Self::default()
        })
    }

    /// This tree with an overlay laid over it. Overlays that refer to nodes by labels, and so need
    /// symbols of the tree, are not taken.
    ///
    /// # Errors
    /// When the overlay has fragments of another kind, or for nodes that are not there.
    pub fn with_overlay(&self, overlay: &Self) -> Result<Self, Error> {
        let mut tree = self.clone();
        for fragment in &overlay.root.children {
            let refused = |why: &str| Error::Overlay(format!("{}: {why}", fragment.name));
            let contents = fragment.child(CONTENTS);
            let target = fragment.property(TARGET).and_then(|path| {
                let path = path.strip_suffix(b"\0").unwrap_or(path);
                std::str::from_utf8(path).ok()
            });
            let (Some(contents), Some(target)) = (contents, target) else {
                return Err(refused("it is no fragment with the path of a node"));
            };
            let node = tree.node_mut(target);
            let node = node.ok_or_else(|| refused(&format!("there is no node {target}")))?;
            lay(node, contents);
        }
        Ok(tree)
    }
}

fn has_phandle(node: &Node) -> bool {
    node.property("phandle").is_some() || node.children.iter().any(has_phandle)
}

/// Lays one node over another.
fn lay(node: &mut Node, over: &Node) {
    for (name, value) in &over.properties {
        node.set(name, value);
    }
    for child in &over.children {
        match node.children.iter_mut().find(|own| own.name == child.name) {
            Some(own) => lay(own, child),
            None => node.children.push(child.clone()),
        }
    }
}

/// What is different between two trees.
#[derive(Default)]
struct Difference {
    fragments: Vec<(String, Node)>,
    refused: Vec<String>,
}

impl Difference {
    fn refuse(&mut self, path: &str, why: &str) {
        let path = if path.is_empty() { "/" } else { path };
        self.refused.push(format!("{path}: {why}"));
    }

    fn compare(&mut self, path: &str, from: &Node, to: &Node) {
        let mut contents = Node::default();
        for (name, value) in &to.properties {
            match from.property(name) {
                Some(old) if old == value => {}
                Some(_) if matches!(name.as_str(), "phandle" | "linux,phandle") => {
                    self.refuse(path, "it has another phandle");
                }
                _ => contents.set(name, value),
            }
        }
        for (name, _) in &from.properties {
            if to.property(name).is_none() {
                self.refuse(path, &format!("property {name} is gone"));
            }
        }
        for child in &from.children {
            if to.child(&child.name).is_none() {
                self.refuse(path, &format!("node {} is gone", child.name));
            }
        }
        let new = to
            .children
            .iter()
            .filter(|child| from.child(&child.name).is_none());
        contents.children = new.cloned().collect();
        if contents.children.iter().any(has_phandle) {
            // Whoever lays an overlay over a tree gives its phandles new numbers.
            self.refuse(path, "a new node in it has a phandle");
        }
        if !contents.properties.is_empty() || !contents.children.is_empty() {
            let path = if path.is_empty() { "/" } else { path };
            self.fragments.push((path.to_owned(), contents));
        }
        for child in &to.children {
            if let Some(old) = from.child(&child.name)
                && !(path.is_empty() && child.name == SYMBOLS)
            {
                self.compare(&format!("{path}/{}", child.name), old, child);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, properties: &[(&str, &[u8])], children: Vec<Node>) -> Node {
        let properties = properties.iter();
        Node {
            name: name.into(),
            properties: properties
                .map(|(name, value)| ((*name).to_owned(), value.to_vec()))
                .collect(),
            children,
        }
    }

    fn tree(properties: &[(&str, &[u8])], children: Vec<Node>) -> DeviceTree {
        DeviceTree {
            root: node("", properties, children),
            ..DeviceTree::default()
        }
    }

    #[test]
    fn changed_and_new_is_said_and_nothing_else() {
        let old = tree(
            &[("model", b"a\0")],
            vec![
                node("same", &[("x", b"1")], vec![node("deep", &[], vec![])]),
                node("uart", &[("reg", b"1"), ("irq", b"1")], vec![]),
            ],
        );
        let new = tree(
            &[("model", b"a\0")],
            vec![
                node(
                    "same",
                    &[("x", b"1")],
                    vec![node("deep", &[("n", b"")], vec![])],
                ),
                node(
                    "uart",
                    &[("reg", b"1"), ("irq", b"2")],
                    vec![node("bt", &[], vec![])],
                ),
            ],
        );
        let overlay = old.overlay_to(&new).unwrap();
        let paths: Vec<&[u8]> = overlay
            .root
            .children
            .iter()
            .filter_map(|fragment| fragment.property("target-path"))
            .collect();
        assert_eq!(paths, [b"/same/deep\0".as_slice(), b"/uart\0"]);
        let uart = overlay.node("/fragment@1/__overlay__").unwrap();
        assert_eq!(uart.properties, [("irq".to_owned(), b"2".to_vec())]);
        assert_eq!(old.with_overlay(&overlay).unwrap(), new);
        assert!(new.overlay_to(&new).unwrap().root.children.is_empty());
    }

    #[test]
    fn what_cannot_be_said_is_told_with_its_node() {
        let old = tree(
            &[],
            vec![node("a", &[("gone", b""), ("phandle", b"1")], vec![])],
        );
        let new = tree(&[], vec![node("a", &[("phandle", b"2")], vec![])]);
        let refused = old.overlay_to(&new).unwrap_err();
        assert_eq!(
            refused,
            ["/a: it has another phandle", "/a: property gone is gone"]
        );
        let refused = old.overlay_to(&tree(&[], vec![])).unwrap_err();
        assert_eq!(refused, ["/: node a is gone"]);
    }

    #[test]
    fn a_foreign_overlay_is_refused() {
        let old = tree(&[], vec![]);
        let stray = tree(&[("x", b"")], vec![node("a", &[], vec![])]);
        let overlay = old.overlay_to(&stray).unwrap();
        let error = tree(&[], vec![]).with_overlay(&overlay);
        assert!(error.is_ok());
        let missing = tree(&[], vec![node("a", &[("y", b"")], vec![])]);
        let overlay =
            stray.overlay_to(&tree(&[("x", b"")], vec![missing.root.children[0].clone()]));
        let error = old.with_overlay(&overlay.unwrap()).unwrap_err();
        assert!(error.to_string().contains("no node /a"), "{error}");
        let labels = tree(
            &[],
            vec![node("fragment@0", &[("target", b"\0\0\0\x01")], vec![])],
        );
        let error = old.with_overlay(&labels).unwrap_err();
        assert!(error.to_string().contains("no fragment"), "{error}");
    }
}
