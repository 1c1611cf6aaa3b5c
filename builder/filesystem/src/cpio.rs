//! cpio archives in the "new ASCII" form (newc), as the Linux kernel unpacks them
//! ([format](https://docs.kernel.org/driver-api/early-userspace/buffer-format.html)).
//!
//! Archives may follow each other: the kernel unpacks them in turn, each into the same root.

use crate::{Error, Result};
use fortress_tree::{Content, Kind, Node, Tree, TreePath};
use std::collections::BTreeMap;
use std::io::{Read, Write};

const WHAT: &str = "the cpio archive";
/// The name that ends an archive.
const TRAILER: &str = "TRAILER!!!";
/// Most bytes in a file: the size has eight hexadecimal digits.
const LONGEST_FILE: u64 = u32::MAX as u64;
/// How much of a file is copied at once.
const PIECE: usize = 256 * 1024;

/// Writes a whole tree as an archive, closed by its trailer and padded to 512 bytes, so that
/// another archive may follow. Every node is there, the root as `.`; inode numbers count up in
/// the tree's order, names of one file share theirs, and the contents are with the last of them,
/// as the kernel wants it. No time is later than `epoch` (seconds since 1970) or before 1970.
/// Extended attributes have no place in the format and are left out.
///
/// # Errors
/// When writing fails, a content cannot be read, or a file has 4 GiB or more.
pub fn write(tree: &Tree, epoch: i64, out: &mut dyn Write) -> Result<()> {
    let mut archive = Archive {
        out,
        written: 0,
        buffer: vec![0; PIECE],
    };
    let files = linked_files(tree);
    let mut numbers: BTreeMap<&TreePath, u32> = BTreeMap::new();
    let mut next = 1;
    for (path, node) in tree.iter() {
        let (file, node) = match &node.kind {
            Kind::HardLink(target) => (target, tree.get(target).unwrap_or(node)),
            _ => (path, node),
        };
        let linked = files.get(file);
        let number = match linked {
            Some(_) => *numbers.entry(file).or_insert(next),
            None => next,
        };
        next += u32::from(number == next);
        let last = linked.is_none_or(|file| file.last == path);
        let links = match linked {
            Some(file) => file.names,
            None => 1 + u32::from(node.is_directory()),
        };
        archive.entry(path, node, number, links, last, epoch)?;
    }
    archive.trailer()
}

/// A file with several names.
struct LinkedFile<'a> {
    names: u32,
    /// The name that comes last in the archive.
    last: &'a TreePath,
}

/// The files with several names, by the path of the file itself.
fn linked_files(tree: &Tree) -> BTreeMap<&TreePath, LinkedFile<'_>> {
    let mut files = BTreeMap::new();
    for (path, node) in tree.iter() {
        if let Kind::HardLink(target) = &node.kind {
            let file = files.entry(target).or_insert(LinkedFile {
                names: 1,
                last: target,
            });
            file.names += 1;
            file.last = file.last.max(path);
        }
    }
    files
}

struct Archive<'a> {
    out: &'a mut dyn Write,
    written: u64,
    buffer: Vec<u8>,
}

impl Archive<'_> {
    fn entry(
        &mut self,
        path: &TreePath,
        node: &Node,
        number: u32,
        links: u32,
        with_contents: bool,
        epoch: i64,
    ) -> Result<()> {
        let (kind, major, minor) = match &node.kind {
            Kind::Directory => (0o040000, 0, 0),
            Kind::File(_) | Kind::HardLink(_) => (0o100000, 0, 0),
            Kind::Symlink(_) => (0o120000, 0, 0),
            Kind::CharacterDevice { major, minor } => (0o020000, *major, *minor),
            Kind::BlockDevice { major, minor } => (0o060000, *major, *minor),
            Kind::Fifo => (0o010000, 0, 0),
        };
        let content = match &node.kind {
            Kind::File(content) if with_contents => content.clone(),
            Kind::Symlink(target) => Content::from(target.as_str()),
            _ => Content::from(""),
        };
        if content.length() > LONGEST_FILE {
            return Err(Error::Unsuitable {
                path: path.clone(),
                what: WHAT,
                reason: "it has 4 GiB or more".into(),
            });
        }
        let time = node.metadata.modified.min(epoch);
        let header = Header {
            number,
            mode: kind | u32::from(node.metadata.mode & 0o7777),
            user: node.metadata.user,
            group: node.metadata.group,
            links,
            // The kernel reads eight digits without a sign.
            time: u32::try_from(time.max(0)).unwrap_or(u32::MAX),
            length: content.length() as u32,
            major,
            minor,
        };
        let name = match path.is_root() {
            true => ".",
            false => path.relative(),
        };
        self.header(&header, name)?;
        self.content(path, &content)
    }

    fn content(&mut self, path: &TreePath, content: &Content) -> Result<()> {
        let failed = |source| Error::Contents {
            path: path.clone(),
            source,
        };
        let mut reader = content.reader().map_err(failed)?;
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut left = content.length();
        while left > 0 {
            let piece = &mut buffer[..left.min(PIECE as u64) as usize];
            reader.read_exact(piece).map_err(failed)?;
            self.put(piece)?;
            left -= piece.len() as u64;
        }
        self.buffer = buffer;
        self.pad(4)
    }

    fn trailer(mut self) -> Result<()> {
        let header = Header {
            links: 1,
            ..Header::default()
        };
        self.header(&header, TRAILER)?;
        self.pad(512)
    }

    fn header(&mut self, header: &Header, name: &str) -> Result<()> {
        self.put(header.text(name.len() as u32 + 1).as_bytes())?;
        self.put(name.as_bytes())?;
        self.put(&[0])?;
        self.pad(4)
    }

    fn pad(&mut self, multiple: u64) -> Result<()> {
        let missing = self.written.next_multiple_of(multiple) - self.written;
        self.put(&[0; 512][..missing as usize])
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.written += bytes.len() as u64;
        self.out
            .write_all(bytes)
            .map_err(|source| Error::write(WHAT, source))
    }
}

/// An entry's header, less what is always zero: the device that the file system is on, and the
/// checksum.
#[derive(Debug, Default)]
struct Header {
    number: u32,
    mode: u32,
    user: u32,
    group: u32,
    links: u32,
    time: u32,
    length: u32,
    major: u32,
    minor: u32,
}

impl Header {
    /// The header as it is written; `name_length` counts the final NUL.
    fn text(&self, name_length: u32) -> String {
        let fields = [
            self.number,
            self.mode,
            self.user,
            self.group,
            self.links,
            self.time,
            self.length,
            0,
            0,
            self.major,
            self.minor,
            name_length,
            0,
        ];
        let digits = fields.iter().map(|field| format!("{field:08x}"));
        std::iter::once("070701".to_owned()).chain(digits).collect()
    }
}
