//! Tells mkext4 what is in a tree.

use super::{Ext4Options, WHAT};
use crate::{Error, Result};
use fortress_tree::{Content, Kind, Node, Tree, TreePath};
use mkext4::{FsBuilder, InodeCount, InodeHandle, Meta, Options, ROOT, SpecialKind, dirhash};
use std::collections::HashMap;

/// Inodes that every ext4 file system has: ten reserved ones, one of them the root's, and that
/// of lost+found.
const OWN_INODES: usize = 11;
/// The smallest journal that the kernel takes, in blocks.
const JOURNAL_BLOCKS: u32 = 1024;
/// The directory that every ext4 file system has.
const LOST_AND_FOUND: &str = "/lost+found";

/// A file that has contents to be filled in.
pub(super) struct File<'a> {
    pub(super) path: &'a TreePath,
    pub(super) content: &'a Content,
    pub(super) handle: InodeHandle,
}

/// A tree as mkext4 has it, before it is laid out.
pub(super) struct Declared<'a> {
    pub(super) builder: FsBuilder,
    pub(super) files: Vec<File<'a>>,
}

/// How many inodes a tree takes, those of the file system's own included.
pub(super) fn inodes(tree: &Tree) -> u32 {
    let nodes = tree
        .iter()
        .filter(|(path, node)| !matches!(node.kind, Kind::HardLink(_)) && !path.is_root())
        .count();
    u32::try_from(nodes + OWN_INODES).unwrap_or(u32::MAX)
}

/// Declares every node of a tree, in the tree's order.
pub(super) fn declare<'a>(tree: &'a Tree, options: &Ext4Options) -> Result<Declared<'a>> {
    let mut library = Options::new(options.size, *options.uuid.as_bytes(), options.epoch);
    library.hash_seed = dirhash::seed_from_uuid(options.hash_seed.as_bytes());
    library.inodes = InodeCount::Exact(inodes(tree));
    library.label = Some(options.label.clone()).filter(|label| !label.is_empty());
    library.reserved_percent = 0;
    library.journal_blocks = Some(JOURNAL_BLOCKS);
    let builder = FsBuilder::new(library).map_err(|error| Error::Option {
        what: WHAT,
        reason: error.to_string(),
    })?;
    let mut declaring = Declaring {
        declared: Declared {
            builder,
            files: Vec::new(),
        },
        handles: HashMap::new(),
        epoch: options.epoch,
    };
    for (path, node) in tree.iter() {
        declaring.node(path, node)?;
    }
    // A link may sort before the file whose name it is.
    for (path, node) in tree.iter() {
        if let Kind::HardLink(target) = &node.kind {
            declaring.hard_link(path, target)?;
        }
    }
    Ok(declaring.declared)
}

struct Declaring<'a> {
    declared: Declared<'a>,
    handles: HashMap<&'a TreePath, InodeHandle>,
    epoch: i64,
}

impl<'a> Declaring<'a> {
    fn node(&mut self, path: &'a TreePath, node: &'a Node) -> Result<()> {
        let refused = |error: mkext4::Error| unsuitable(path, &error);
        if path.as_str() == LOST_AND_FOUND && node.is_directory() {
            return Ok(()); // ext4 makes its own
        }
        let metadata = self.metadata(node);
        let handle = if path.is_root() {
            let builder = &mut self.declared.builder;
            builder.set_meta(ROOT, metadata).map_err(refused)?;
            ROOT
        } else {
            let parent = self.parent(path)?;
            let name = path.name();
            let builder = &mut self.declared.builder;
            match &node.kind {
                Kind::HardLink(_) => return Ok(()),
                Kind::Directory => builder.mkdir(parent, name, metadata),
                Kind::File(content) => builder.file(parent, name, metadata, content.length()),
                Kind::Symlink(target) => builder.symlink(parent, name, target, metadata),
                Kind::CharacterDevice { major, minor } => {
                    let (major, minor) = (*major, *minor);
                    builder.mknod(parent, name, metadata, SpecialKind::Char { major, minor })
                }
                Kind::BlockDevice { major, minor } => {
                    let (major, minor) = (*major, *minor);
                    builder.mknod(parent, name, metadata, SpecialKind::Block { major, minor })
                }
                Kind::Fifo => builder.mknod(parent, name, metadata, SpecialKind::Fifo),
            }
            .map_err(refused)?
        };
        if let Kind::File(content) = &node.kind {
            self.declared.files.push(File {
                path,
                content,
                handle,
            });
        }
        for (name, value) in &node.metadata.attributes {
            if name.starts_with("system.") {
                // ACLs have another form on the disk than in a tree.
                return Err(Error::Unsuitable {
                    path: path.clone(),
                    what: WHAT,
                    reason: format!("the extended attribute {name} is not supported"),
                });
            }
            let builder = &mut self.declared.builder;
            builder.set_xattr(handle, name, value).map_err(refused)?;
        }
        self.handles.insert(path, handle);
        Ok(())
    }

    fn hard_link(&mut self, path: &'a TreePath, target: &TreePath) -> Result<()> {
        let handle = *self.handles.get(target).ok_or_else(|| Error::Unsuitable {
            path: path.clone(),
            what: WHAT,
            reason: format!("it is a hard link to {target}, which is not there"),
        })?;
        let parent = self.parent(path)?;
        let builder = &mut self.declared.builder;
        builder
            .hardlink(parent, path.name(), handle)
            .map_err(|error| unsuitable(path, &error))
    }

    fn parent(&self, path: &TreePath) -> Result<InodeHandle> {
        let parent = path.parent().unwrap_or(TreePath::root());
        self.handles
            .get(&parent)
            .copied()
            .ok_or_else(|| Error::Unsuitable {
                path: path.clone(),
                what: WHAT,
                reason: format!("{parent} is not for files of others"),
            })
    }

    fn metadata(&self, node: &Node) -> Meta {
        let metadata = &node.metadata;
        // ext4's times begin in 1901.
        let time = metadata.modified.clamp(i32::MIN.into(), self.epoch);
        Meta::new(
            metadata.mode & 0o7777,
            metadata.user,
            metadata.group,
            (time, 0),
        )
    }
}

fn unsuitable(path: &TreePath, error: &mkext4::Error) -> Error {
    Error::Unsuitable {
        path: path.clone(),
        what: WHAT,
        reason: error.to_string(),
    }
}
