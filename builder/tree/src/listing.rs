//! A tree as text, a line a node, to compare trees and to keep beside an image.

use crate::{Error, Kind, Node, Result, Tree, TreePath};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::io::Read;

/// How much of a content is read at a time.
const PIECE: usize = 256 * 1024;

impl Tree {
    /// One line for each node, in the tree's order: path, mode, owner and group, what it is with
    /// length and SHA-256, target or device numbers, and its extended attributes. Blanks,
    /// backslashes and control characters in names are escaped. Times are left out: writers clamp
    /// them.
    ///
    /// ```
    /// # use fortress_tree::{Tree, TreePath};
    /// let mut tree = Tree::new(0);
    /// tree.link(&TreePath::new("/bin")?, "usr/bin")?;
    /// assert_eq!(tree.listing()?, "/ 0755 0:0 directory\n/bin 0777 0:0 link usr/bin\n");
    /// # Ok::<(), fortress_tree::Error>(())
    /// ```
    ///
    /// # Errors
    /// When a content cannot be read.
    pub fn listing(&self) -> Result<String> {
        let mut text = String::new();
        let mut buffer = vec![0; PIECE];
        for (path, node) in self.iter() {
            let node = match &node.kind {
                Kind::HardLink(file) => Node {
                    metadata: self.get(file).unwrap_or(node).metadata.clone(),
                    kind: node.kind.clone(),
                },
                _ => node.clone(),
            };
            line(&mut text, path, &node, &mut buffer)?;
        }
        Ok(text)
    }
}

fn line(text: &mut String, path: &TreePath, node: &Node, buffer: &mut [u8]) -> Result<()> {
    let metadata = &node.metadata;
    let kind = match &node.kind {
        Kind::Directory => "directory".to_owned(),
        Kind::File(content) => {
            let digest = digest(content, buffer).map_err(|source| Error::Io {
                operation: "read",
                what: path.to_string(),
                source,
            })?;
            format!("file {} {digest}", content.length())
        }
        Kind::Symlink(target) => format!("link {}", escaped(target)),
        Kind::HardLink(file) => format!("hardlink {}", escaped(file.as_str())),
        Kind::CharacterDevice { major, minor } => format!("character {major}:{minor}"),
        Kind::BlockDevice { major, minor } => format!("block {major}:{minor}"),
        Kind::Fifo => "fifo".to_owned(),
    };
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "{} {:04o} {}:{} {kind}",
        escaped(path.as_str()),
        metadata.mode,
        metadata.user,
        metadata.group
    );
    for (name, value) in &metadata.attributes {
        let _ = write!(text, " {}={}", escaped(name), hexadecimal(value));
    }
    text.push('\n');
    Ok(())
}

fn digest(content: &crate::Content, buffer: &mut [u8]) -> std::io::Result<String> {
    let mut reader = content.reader()?;
    let mut hash = Sha256::new();
    loop {
        match reader.read(buffer)? {
            0 => return Ok(hexadecimal(&hash.finalize())),
            length => hash.update(&buffer[..length]),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for character in name.chars() {
        match character {
            ' ' | '\\' => {
                let _ = write!(escaped, "\\{:03o}", u32::from(character));
            }
            control if control.is_control() => {
                let _ = write!(escaped, "\\u{{{:x}}}", u32::from(control));
            }
            other => escaped.push(other),
        }
    }
    escaped
}
