//! One package: its file read from start to end, its files put into the spool, what it holds
//! checked as far as the package alone tells.

use crate::ar::{self, MemberHeader};
use crate::contents::Contents;
use crate::decompress::{self, Compression, LargeMemory};
use crate::source::Source;
use crate::tar::{Entry, EntryKind, Reader};
use crate::window::Window;
use crate::{Archive, Control, Error, Limits, Options, Package, Result};
use fortress_tree::Spool;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Every package may unpack to this many bytes, whatever its ratio.
const RATIO_FLOOR: u64 = 64 << 20;

/// Bytes that headers in control.tar may take, however little the members may.
const CONTROL_HEADERS: u64 = 64 << 10;

/// Memory that one thread uses for one package after the other.
pub(crate) struct Scratch {
    buffer: Vec<u8>,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self {
            buffer: vec![0; crate::window::BUFFER],
        }
    }
}

/// What the unpacking of all packages shares.
pub(crate) struct Shared<'a> {
    pub(crate) spool: &'a Arc<Spool>,
    pub(crate) options: &'a Options,
    pub(crate) large: &'a LargeMemory,
}

/// A package as it was read: `paths` of the package are still those of all its entries.
#[derive(Debug)]
pub(crate) struct Unpacked {
    pub(crate) package: Package,
    pub(crate) contents: Contents,
}

/// Reads a package. `advanced` hears of every piece of the file read, in bytes, and says whether
/// to go on.
pub(crate) fn unpack(
    archive: &Archive,
    shared: &Shared<'_>,
    scratch: &mut Scratch,
    advanced: impl FnMut(u64) -> bool,
) -> Result<Unpacked> {
    let opened = Source::open(&archive.path, archive.sha256.is_some(), advanced);
    let source = opened.map_err(|source| Error::Io {
        operation: "open",
        archive: archive.name.clone(),
        source,
    })?;
    unpack_source(archive, source, shared, scratch)
}

/// The same from any source.
pub(crate) fn unpack_source(
    archive: &Archive,
    mut source: Source<'_>,
    shared: &Shared<'_>,
    scratch: &mut Scratch,
) -> Result<Unpacked> {
    let read = read(archive, &mut source, shared, scratch);
    match (read, archive.sha256) {
        (Err(Error::Cancelled), _) => Err(Error::Cancelled),
        // Whatever is wrong with a file that is not the right one: that it is not, comes first.
        (read, Some(expected)) => {
            let got = source.finish().map_err(|source| match source.kind() {
                std::io::ErrorKind::ConnectionAborted => Error::Cancelled,
                _ => Error::Io {
                    operation: "read",
                    archive: archive.name.clone(),
                    source,
                },
            })?;
            if got != Some(expected) {
                return Err(Error::Digest {
                    archive: archive.name.clone(),
                    expected: hexadecimal(&expected),
                    got: hexadecimal(&got.unwrap_or_default()),
                });
            }
            read
        }
        (read, None) => read,
    }
}

/// Bytes as hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(
    archive: &Archive,
    source: &mut Source<'_>,
    shared: &Shared<'_>,
    scratch: &mut Scratch,
) -> Result<Unpacked> {
    let limits = &shared.options.limits;
    let file_length = source.length();
    let relative = file_length.saturating_mul(limits.ratio).max(RATIO_FLOOR);
    let mut parts = Parts {
        archive,
        shared,
        scratch,
        limit: relative.min(limits.unpacked),
        control: None,
        contents: None,
    };
    let mut members = ar::Reader::new(&archive.name, source)?;
    let mut is_first = true;
    while let Some(header) = members.next()? {
        if is_first && header.name != "debian-binary" {
            return Err(parts.malformed("its first member is not debian-binary".into()));
        }
        is_first = false;
        let done = parts.member(&header, &mut members);
        match (done, members.cut_at()) {
            // The decoder calls it corrupt; the reason is that the file ends.
            (Err(_), Some(offset)) => {
                return Err(Error::Truncated {
                    archive: archive.name.clone(),
                    part: ar::PART,
                    offset,
                    wanted: "the rest of a member",
                });
            }
            (done, _) => done?,
        }
        members.end(&header)?;
    }
    let (members, contents) = match (parts.control.take(), parts.contents.take()) {
        (Some(members), Some(contents)) => (members, contents),
        (None, _) => return Err(parts.malformed("it has no control.tar".into())),
        (_, None) => return Err(parts.malformed("it has no data.tar".into())),
    };
    let package = package(archive, members, &contents)?;
    Ok(Unpacked { package, contents })
}

/// The members of a package's file, as they come.
struct Parts<'a, 's> {
    archive: &'a Archive,
    shared: &'a Shared<'a>,
    scratch: &'s mut Scratch,
    limit: u64,
    control: Option<BTreeMap<String, Vec<u8>>>,
    contents: Option<Contents>,
}

impl Parts<'_, '_> {
    /// Takes one member: `debian-binary`, `control.tar`, `data.tar` in this order. Members whose
    /// names begin with `_` may stand between them, and any may follow; they are passed over.
    fn member(&mut self, header: &MemberHeader, members: &mut ar::Reader<'_, '_>) -> Result<()> {
        let member = members.member(header);
        let io_failed = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::ConnectionAborted => Error::Cancelled,
            _ => Error::Io {
                operation: "read",
                archive: self.archive.name.clone(),
                source,
            },
        };
        let name = header.name.as_str();
        if self.contents.is_some() || name.starts_with('_') {
            return member.skip().map_err(io_failed);
        }
        if name == "debian-binary" {
            if header.size > 1024 {
                return Err(self.malformed("debian-binary is larger than 1 KiB".into()));
            }
            let mut text = Vec::new();
            std::io::Read::read_to_end(&mut { member }, &mut text).map_err(io_failed)?;
            return match text.starts_with(b"2.") {
                true => Ok(()),
                false => Err(self.malformed(format!(
                    "its format is {:?}, and only 2.x is known",
                    String::from_utf8_lossy(&text).trim_end()
                ))),
            };
        }
        let part = match (self.control.is_some(), name.split_once(".tar")) {
            (false, Some(("control", suffix))) => (ar::CONTROL, suffix),
            (true, Some(("data", suffix))) => (ar::DATA, suffix),
            _ => return Err(self.malformed(format!("member {name:?} has no place here"))),
        };
        let (part, suffix) = part;
        let Some(compression) = Compression::of(suffix) else {
            return Err(self.malformed(format!(
                "{name} is compressed in a way that is not known (xz, zst and gz are)"
            )));
        };
        let is_authentic = self.archive.sha256.is_some();
        let reader = decompress::reader(compression, member, is_authentic, self.shared.large)
            .map_err(io_failed)?;
        let limits = &self.shared.options.limits;
        let limit = match part {
            // Headers and padding of members come on top.
            ar::CONTROL => limits
                .control_total
                .saturating_mul(2)
                .saturating_add(CONTROL_HEADERS),
            _ => self.limit,
        };
        let window = Window::new(
            &self.archive.name,
            part,
            reader,
            &mut self.scratch.buffer,
            limit,
            self.shared.spool,
        );
        match part {
            ar::CONTROL => self.control = Some(control(&self.archive.name, window, limits)?),
            _ => self.contents = Some(Contents::read(&self.archive.name, window, self.shared)?),
        }
        Ok(())
    }

    fn malformed(&self, reason: String) -> Error {
        Error::Malformed {
            archive: self.archive.name.clone(),
            part: ar::PART,
            offset: 0,
            reason,
        }
    }
}

/// Reads control.tar: files alone, in one folder.
fn control(
    archive: &str,
    mut window: Window<'_>,
    limits: &Limits,
) -> Result<BTreeMap<String, Vec<u8>>> {
    let reader = Reader::new(archive, ar::CONTROL);
    let mut members = BTreeMap::new();
    let mut total = 0;
    while let Some(Entry { path, kind, .. }) = reader.next(&mut window)? {
        let refuse = |reason: &str| Error::Refused {
            archive: archive.to_owned(),
            path: format!("control.tar:{path}"),
            reason: reason.to_owned(),
        };
        let size = match kind {
            EntryKind::Directory if path.is_root() => continue,
            EntryKind::File(size) if !path.is_root() => size,
            _ => return Err(refuse("is no regular file")),
        };
        if path.parent().is_some_and(|parent| !parent.is_root()) {
            return Err(refuse("lies in a folder"));
        }
        let limit = |what, got, limit| Error::Limit {
            archive: archive.to_owned(),
            what,
            got,
            limit,
        };
        if size > limits.control_member {
            let what = "bytes in one control file";
            return Err(limit(what, size, limits.control_member));
        }
        total += size;
        if total > limits.control_total {
            return Err(limit("bytes of control files", total, limits.control_total));
        }
        if members
            .insert(path.name().to_owned(), window.read(size)?)
            .is_some()
        {
            return Err(refuse("comes twice"));
        }
    }
    window.finish()?;
    Ok(members)
}

/// What the control file says.
fn package(
    archive: &Archive,
    mut members: BTreeMap<String, Vec<u8>>,
    contents: &Contents,
) -> Result<Package> {
    let refuse = |reason: String| Error::Control {
        archive: archive.name.clone(),
        line: 0,
        reason,
    };
    let Some(bytes) = members.remove("control") else {
        return Err(refuse("there is none in control.tar".into()));
    };
    let text = String::from_utf8(bytes).map_err(|_| refuse("it is not UTF-8".into()))?;
    let control = Control::parse(&archive.name, text)?;
    let field = |name: &str| match control.get(name) {
        Some(value) if !value.is_empty() && !value.contains(char::is_whitespace) => {
            Ok(value.to_owned())
        }
        Some(value) => Err(refuse(format!("{name}: {value:?} is no value for it"))),
        None => Err(refuse(format!("field {name} is missing"))),
    };
    let name = field("Package")?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    if !name.bytes().all(is_name) || !name.starts_with(|first: char| first.is_ascii_alphanumeric())
    {
        return Err(refuse(format!("{name:?} is no package name")));
    }
    Ok(Package {
        version: field("Version")?,
        architecture: field("Architecture")?,
        essential: control.get("Essential") == Some("yes"),
        name,
        control,
        members,
        paths: contents.listed(),
    })
}
