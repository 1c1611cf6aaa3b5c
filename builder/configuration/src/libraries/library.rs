//! What a library's file says about itself: its own name, and which machine it is for.

use crate::elf::{Layout, Refusal, string};
use fortress_tree::{Content, ContentReader};
use std::io::{self, Read, Seek, SeekFrom};

/// `ET_DYN`: a shared object.
const SHARED: u16 = 3;
/// Types of segments: `PT_LOAD`, `PT_DYNAMIC`, `PT_GNU_PROPERTY`.
const LOAD: u32 = 1;
const DYNAMIC: u32 = 2;
const PROPERTY: u32 = 0x6474_e553;
/// Tags of the dynamic section: where strings are, how many bytes, the library's own name.
const STRINGS: u64 = 5;
const NAME: u64 = 14;
/// `GNU_PROPERTY_X86_ISA_1_NEEDED`.
const X86_LEVELS: u32 = 0xc000_8002;

/// Longest name taken; it has to be a file's name.
const LONGEST_NAME: usize = 255;
/// Most program headers, and largest dynamic section and properties taken, in bytes.
const MOST_SEGMENTS: usize = 512;
const LARGEST_TABLE: u64 = 1 << 20;

/// A shared library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Library {
    /// Its own name (`DT_SONAME`), if it has one.
    pub(super) name: Option<String>,
    /// Kind and machine, as the cache has them (`dl-cache.h`, `FLAG_*`).
    pub(super) flags: u32,
    /// The level of x86-64 that it needs, as the cache has it: 0 is none beyond the first.
    pub(super) level: u32,
}

impl Library {
    /// Reads no more of a file than it must. None if it is no shared library that we know of
    /// (a linker script, a damaged file, another machine's): ldconfig leaves such out as well.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn read(content: &Content) -> io::Result<Option<Self>> {
        let mut file = File {
            reader: content.reader()?,
            length: content.length(),
            failure: None,
        };
        let library = parse(&mut file);
        match file.failure {
            Some(error) => Err(error),
            None => Ok(library.ok()),
        }
    }
}

struct File {
    reader: ContentReader,
    length: u64,
    failure: Option<io::Error>,
}

impl File {
    /// Bytes at an offset, all of them.
    fn bytes(&mut self, offset: u64, length: u64) -> Result<Vec<u8>, Refusal> {
        let within = offset
            .checked_add(length)
            .is_some_and(|end| end <= self.length);
        if !within || length > LARGEST_TABLE {
            return Err("has a table that is too large or lies outside the file");
        }
        let mut bytes = vec![0; length as usize];
        let read = self
            .reader
            .seek(SeekFrom::Start(offset))
            .and_then(|_| self.reader.read_exact(&mut bytes));
        match read {
            Ok(()) => Ok(bytes),
            Err(error) => {
                self.failure = Some(error);
                Err("cannot be read")
            }
        }
    }
}

/// A segment of the file: type, offset, address, size in the file.
struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    size: u64,
}

fn parse(file: &mut File) -> Result<Library, Refusal> {
    let header = file.bytes(0, file.length.min(64))?;
    let layout = Layout::of(&header)?;
    if layout.half(&header, 16)? != SHARED {
        return Err("is no shared object");
    }
    let flags = machine(layout, &header)?;
    let (table, entry, count) = match layout.wide {
        true => (layout.double(&header, 32)?, 54, 56),
        false => (u64::from(layout.word(&header, 28)?), 42, 44),
    };
    let entry = usize::from(layout.half(&header, entry)?);
    let count = usize::from(layout.half(&header, count)?);
    if entry != if layout.wide { 56 } else { 32 } || count > MOST_SEGMENTS {
        return Err("has program headers of an unknown size");
    }
    let headers = file.bytes(table, (entry * count) as u64)?;
    let (offset, address, size) = match layout.wide {
        true => (8, 16, 32),
        false => (4, 8, 16),
    };
    let segments = headers
        .chunks_exact(entry)
        .map(|header| {
            Ok(Segment {
                kind: layout.word(header, 0)?,
                offset: layout.address(header, offset)?,
                address: layout.address(header, address)?,
                size: layout.address(header, size)?,
            })
        })
        .collect::<Result<Vec<_>, Refusal>>()?;
    let dynamic = segments.iter().find(|segment| segment.kind == DYNAMIC);
    let dynamic = dynamic.ok_or("has no dynamic section")?;
    let table = file.bytes(dynamic.offset, dynamic.size)?;
    let level = match segments.iter().find(|segment| segment.kind == PROPERTY) {
        Some(segment) => {
            let note = file.bytes(segment.offset, segment.size)?;
            level(layout, &note).unwrap_or(0)
        }
        None => 0,
    };
    Ok(Library {
        name: own_name(file, layout, &segments, &table)?,
        flags,
        level,
    })
}

fn own_name(
    file: &mut File,
    layout: Layout,
    segments: &[Segment],
    table: &[u8],
) -> Result<Option<String>, Refusal> {
    let width = if layout.wide { 8 } else { 4 };
    let (mut strings, mut name) = (None, None);
    for entry in table.chunks_exact(2 * width) {
        let value = layout.address(entry, width)?;
        match layout.address(entry, 0)? {
            0 => break,
            STRINGS => strings = Some(value),
            NAME => name = Some(value),
            _ => {}
        }
    }
    let (Some(strings), Some(name)) = (strings, name) else {
        return Ok(None);
    };
    let home = segments.iter().find(|segment| {
        segment.kind == LOAD
            && strings
                .checked_sub(segment.address)
                .is_some_and(|at| at < segment.size)
    });
    let home = home.ok_or("has its strings in no segment")?;
    let start = (strings - home.address)
        .checked_add(home.offset)
        .and_then(|start| start.checked_add(name))
        .filter(|start| *start < file.length)
        .ok_or("has its name outside the file")?;
    let bytes = file.bytes(start, (file.length - start).min(LONGEST_NAME as u64 + 1))?;
    match std::str::from_utf8(string(&bytes, 0)?) {
        Ok("" | "." | "..") => Err("has no name for a name"),
        Ok(name) if !name.contains('/') => Ok(Some(name.to_owned())),
        _ => Err("has a name that no file can have"),
    }
}

/// The flags of a machine: 3 for every ELF library of this C library, and a number in the next
/// byte for one of several kinds of a machine.
fn machine(layout: Layout, header: &[u8]) -> Result<u32, Refusal> {
    if !layout.little {
        return Err("is for a machine whose most significant byte comes first");
    }
    let flags = layout.word(header, if layout.wide { 48 } else { 36 })?;
    let kind = match (layout.half(header, 18)?, layout.wide) {
        (3, false) => 0x00,
        (62, true) => 0x03,
        (62, false) => 0x08,
        (183, true) => 0x0a,
        // EF_ARM_ABI_FLOAT_HARD and _SOFT.
        (40, false) if flags & 0x400 != 0 => 0x09,
        (40, false) if flags & 0x200 != 0 => 0x0b,
        (40, false) => 0x00,
        // EF_RISCV_FLOAT_ABI: none or double.
        (243, true) if flags & 6 == 0 => 0x0f,
        (243, true) if flags & 6 == 4 => 0x10,
        (21, true) => 0x05,
        // LoongArch: soft or double floats.
        (258, true) if flags & 7 == 1 => 0x11,
        (258, true) if flags & 7 == 3 => 0x12,
        _ => return Err("is for a machine that is not known"),
    };
    Ok(kind << 8 | 3)
}

/// The level of x86-64 that GNU properties (an ELF note) ask for.
fn level(layout: Layout, note: &[u8]) -> Result<u32, Refusal> {
    let align = if layout.wide { 8 } else { 4 };
    // Lengths of name and description, type (5: properties), "GNU" and NUL, description.
    let length = layout.word(note, 4)? as usize;
    if layout.word(note, 0)? != 4
        || layout.word(note, 8)? != 5
        || note.get(12..16) != Some(b"GNU\0")
    {
        return Ok(0);
    }
    let mut rest = note
        .get(16..)
        .and_then(|rest| rest.get(..length))
        .ok_or("ends in a note")?;
    while !rest.is_empty() {
        let size = layout.word(rest, 4)? as usize;
        if layout.word(rest, 0)? == X86_LEVELS && size == 4 {
            // Level by level a bit, of which the highest counts, by its number.
            return Ok(layout.word(rest, 8)?.checked_ilog2().unwrap_or(0));
        }
        let next = 8 + size.next_multiple_of(align);
        rest = rest.get(next..).unwrap_or_default();
    }
    Ok(0)
}
