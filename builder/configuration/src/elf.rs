//! Just enough of ELF (System V gABI, chapters 4 and 5) for kernel modules and shared libraries.
//! Every offset is checked against the bytes at hand; nothing here panics.

/// `SHT_NOBITS`: a section without bytes in the file.
const NO_BITS: u32 = 8;
/// `SHT_SYMTAB`: the symbol table.
const SYMBOL_TABLE: u32 = 2;

/// The longest name that is read. Names may share their bytes: without a bound few of them would stand
/// for very many.
const LONGEST: usize = 4096;

/// Why bytes are no ELF file that we can read.
pub(crate) type Refusal = &'static str;

/// Word size and byte order of an ELF file, from `e_ident`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Whether words are 64 bits (`ELFCLASS64`).
    pub(crate) wide: bool,
    /// Whether the least significant byte comes first (`ELFDATA2LSB`).
    pub(crate) little: bool,
}

impl Layout {
    /// The layout that the first bytes of a file tell.
    pub(crate) fn of(bytes: &[u8]) -> Result<Self, Refusal> {
        let Some(identity) = bytes.get(..16) else {
            return Err("is shorter than an ELF header");
        };
        if identity[..4] != *b"\x7fELF" {
            return Err("does not begin as an ELF file does");
        }
        Ok(Self {
            wide: match identity[4] {
                1 => false,
                2 => true,
                _ => return Err("has an ELF class that is neither 32 nor 64 bits"),
            },
            little: match identity[5] {
                1 => true,
                2 => false,
                _ => return Err("has an ELF byte order that is neither little nor big"),
            },
        })
    }

    pub(crate) fn half(self, bytes: &[u8], at: usize) -> Result<u16, Refusal> {
        let field = field::<2>(bytes, at)?;
        Ok(match self.little {
            true => u16::from_le_bytes(field),
            false => u16::from_be_bytes(field),
        })
    }

    pub(crate) fn word(self, bytes: &[u8], at: usize) -> Result<u32, Refusal> {
        let field = field::<4>(bytes, at)?;
        Ok(match self.little {
            true => u32::from_le_bytes(field),
            false => u32::from_be_bytes(field),
        })
    }

    pub(crate) fn double(self, bytes: &[u8], at: usize) -> Result<u64, Refusal> {
        let field = field::<8>(bytes, at)?;
        Ok(match self.little {
            true => u64::from_le_bytes(field),
            false => u64::from_be_bytes(field),
        })
    }

    /// A field that is as wide as an address.
    pub(crate) fn address(self, bytes: &[u8], at: usize) -> Result<u64, Refusal> {
        match self.wide {
            true => self.double(bytes, at),
            false => self.word(bytes, at).map(u64::from),
        }
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Refusal> {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .ok_or("ends within one of its tables")
}

/// The string that begins at `at` in a string table, without its NUL.
pub(crate) fn string(table: &[u8], at: usize) -> Result<&[u8], Refusal> {
    let rest = table
        .get(at..)
        .ok_or("has a name outside its string table")?;
    let reach = &rest[..rest.len().min(LONGEST + 1)];
    let length = reach.iter().position(|byte| *byte == 0);
    length
        .map(|length| &reach[..length])
        .ok_or("has a name without an end, or one of over 4096 bytes")
}

/// A relocatable ELF file, all of it in memory.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    bytes: &'a [u8],
    layout: Layout,
    sections: Vec<Section<'a>>,
}

#[derive(Debug)]
struct Section<'a> {
    name: &'a [u8],
    kind: u32,
    offset: u64,
    size: u64,
    link: u32,
}

/// A symbol: its name, and whether it is defined elsewhere.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Symbol<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) undefined: bool,
}

impl<'a> Object<'a> {
    /// Reads the section headers.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let layout = Layout::of(bytes)?;
        let (table, entry, count, names) = match layout.wide {
            true => (layout.double(bytes, 40)?, 58, 60, 62),
            false => (u64::from(layout.word(bytes, 32)?), 46, 48, 50),
        };
        let entry = usize::from(layout.half(bytes, entry)?);
        let count = usize::from(layout.half(bytes, count)?);
        let names = usize::from(layout.half(bytes, names)?);
        if entry != if layout.wide { 64 } else { 40 } {
            return Err("has section headers of an unknown size");
        }
        let headers = slice(bytes, table, (entry * count) as u64)?;
        let mut sections = Vec::with_capacity(count);
        let mut name_offsets = Vec::with_capacity(count);
        for header in headers.chunks_exact(entry) {
            let (offset, size, link) = match layout.wide {
                true => (24, 32, 40),
                false => (16, 20, 24),
            };
            name_offsets.push(layout.word(header, 0)? as usize);
            sections.push(Section {
                name: b"",
                kind: layout.word(header, 4)?,
                offset: layout.address(header, offset)?,
                size: layout.address(header, size)?,
                link: layout.word(header, link)?,
            });
        }
        let strings = match sections.get(names) {
            Some(section) => slice(bytes, section.offset, section.size)?,
            None => return Err("has no names for its sections"),
        };
        for (section, offset) in sections.iter_mut().zip(name_offsets) {
            section.name = string(strings, offset)?;
        }
        Ok(Self {
            bytes,
            layout,
            sections,
        })
    }

    /// The bytes of the section with that name; none if there is no such section.
    pub(crate) fn section(&self, name: &str) -> Result<Option<&'a [u8]>, Refusal> {
        self.sections
            .iter()
            .find(|section| section.name == name.as_bytes() && section.kind != NO_BITS)
            .map(|section| slice(self.bytes, section.offset, section.size))
            .transpose()
    }

    /// Every symbol of the symbol table but the first, which stands for none.
    pub(crate) fn symbols(&self) -> Result<Vec<Symbol<'a>>, Refusal> {
        let Some(table) = self.sections.iter().find(|it| it.kind == SYMBOL_TABLE) else {
            return Ok(Vec::new());
        };
        let strings = match self.sections.get(table.link as usize) {
            Some(section) => slice(self.bytes, section.offset, section.size)?,
            None => return Err("has a symbol table without names"),
        };
        // Elf64_Sym: name 0, info 4, other 5, section 6. Elf32_Sym: name 0, section 14.
        let (size, section) = match self.layout.wide {
            true => (24, 6),
            false => (16, 14),
        };
        let table = slice(self.bytes, table.offset, table.size)?;
        table
            .chunks_exact(size)
            .skip(1)
            .map(|symbol| {
                Ok(Symbol {
                    name: string(strings, self.layout.word(symbol, 0)? as usize)?,
                    undefined: self.layout.half(symbol, section)? == 0,
                })
            })
            .collect()
    }
}

fn slice(bytes: &[u8], offset: u64, size: u64) -> Result<&[u8], Refusal> {
    let end = offset.checked_add(size);
    usize::try_from(offset)
        .ok()
        .zip(end.and_then(|end| usize::try_from(end).ok()))
        .and_then(|(start, end)| bytes.get(start..end))
        .ok_or("has a section that ends beyond the file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_and_are_not_endless() {
        let mut table = vec![b'n'; LONGEST + 1];
        table.push(0);
        assert_eq!(string(&table, 1).map(<[u8]>::len), Ok(LONGEST));
        assert!(string(&table, 0).is_err());
        assert_eq!(string(&table, LONGEST + 1), Ok(&b""[..]));
        assert!(string(&table, LONGEST + 2).is_err());
        assert!(string(b"no end", 0).is_err());
    }
}
