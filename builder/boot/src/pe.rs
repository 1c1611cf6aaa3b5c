//! Reads the headers of EFI programs: PE/COFF images for 64-bit machines
//! ([format](https://learn.microsoft.com/windows/win32/debug/pe-format)).
//!
//! Nothing in the file is believed before it is checked against the file's length.

pub mod signature;

/// Where the PE header's offset is in the DOS header.
const PE_OFFSET: usize = 0x3c;
/// Bytes in the COFF header, the signature before it included.
const COFF_HEADER: usize = 24;
/// Bytes in the optional header of a 64-bit image before its data directories.
const OPTIONAL_HEADER: usize = 112;
/// Bytes in a section header.
pub(crate) const SECTION_HEADER: usize = 40;
/// Most sections that an image is believed to have.
const MOST_SECTIONS: usize = 96;
/// Most data directories that the format knows.
const MOST_DIRECTORIES: usize = 16;
/// Largest alignment that is believed, in bytes; real ones are 512 and 4096.
const LARGEST_ALIGNMENT: u32 = 1 << 20;
/// The data directory that points to the image's signatures.
const SECURITY_DIRECTORY: usize = 4;

/// What is wrong with an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is something else.
    #[error("is no EFI program: {0}")]
    Foreign(&'static str),
    /// Its headers contradict themselves or the file.
    #[error("is a damaged EFI program: {0}")]
    Damaged(String),
    /// It cannot carry signatures.
    #[error("cannot be signed: {0}")]
    Unsignable(String),
}

/// A section of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its name; bytes that are not ASCII are replaced.
    pub name: String,
    /// Bytes that it takes in memory.
    pub virtual_size: u32,
    /// Where it is in memory, from the start of the image.
    pub virtual_address: u32,
    /// Bytes that it takes in the file: padded to the file alignment.
    pub raw_size: u32,
    /// Where it is in the file.
    pub raw_offset: u32,
    /// What it is and what may be done with it.
    pub characteristics: u32,
}

impl Section {
    /// How many of its bytes in the file are its own, not padding.
    pub fn length(&self) -> u32 {
        self.virtual_size.min(self.raw_size)
    }

    /// Its contents in `file`, the whole image, without padding; none if the file is too short.
    pub fn data<'a>(&self, file: &'a [u8]) -> Option<&'a [u8]> {
        let start = self.raw_offset as usize;
        file.get(start..start.checked_add(self.length() as usize)?)
    }
}

/// A place that a data directory points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataDirectory {
    /// Where: in memory, except for the signatures', which is in the file.
    pub address: u32,
    /// How many bytes.
    pub length: u32,
}

/// The headers of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The kind of machine that it is for: 0x8664 for x86-64, 0xaa64 for ARM64.
    pub machine: u16,
    /// Where the optional header begins in the file.
    pub optional_header: usize,
    /// Where the section headers begin in the file.
    pub section_headers: usize,
    /// Where symbols are in the file; 0 if it has none.
    pub symbols: u32,
    /// What sections are aligned to in memory.
    pub section_alignment: u32,
    /// What sections are aligned to in the file.
    pub file_alignment: u32,
    /// Bytes of the file's headers, padding included.
    pub headers_length: u32,
    /// Bytes that the image takes in memory.
    pub image_length: u32,
    /// Bytes of initialised data, as the header says.
    pub initialized_length: u32,
    /// Bits of the program's abilities; 0x100 is NX_COMPAT.
    pub dll_characteristics: u16,
    /// Data directories, as many as there are.
    pub directories: Vec<DataDirectory>,
    /// Sections, in the order of their headers.
    pub sections: Vec<Section>,
}

impl Image {
    /// Reads the headers of an image; `file` begins with them, and need not be all of it. That a
    /// section's data lies within the file is seen by [`Section::data`].
    ///
    /// # Errors
    /// When this is no 64-bit PE image, or its headers do not hold together.
    pub fn parse(file: &[u8]) -> Result<Self, Error> {
        let damaged = |reason: &str| Error::Damaged(reason.into());
        if file.get(..2) != Some(b"MZ") {
            return Err(Error::Foreign("there is no DOS header"));
        }
        let header = long(file, PE_OFFSET).ok_or(damaged("the DOS header is cut off"))? as usize;
        let coff = slice(file, header, COFF_HEADER).ok_or(damaged("there is no PE header"))?;
        if coff.get(..4) != Some(b"PE\0\0") {
            return Err(Error::Foreign("there is no PE header"));
        }
        // These read within the slices that were just cut.
        let cut = || damaged("the headers are cut off");
        let section_count = usize::from(short(coff, 6).ok_or_else(cut)?);
        let optional_length = usize::from(short(coff, 20).ok_or_else(cut)?);
        let optional_header = header + COFF_HEADER;
        let optional = slice(file, optional_header, optional_length).ok_or_else(cut)?;
        if short(optional, 0) != Some(0x20b) || optional.len() < OPTIONAL_HEADER {
            return Err(Error::Foreign("it is not for a 64-bit machine"));
        }
        let field = |at| long(optional, at).ok_or_else(cut);
        let section_alignment = field(32)?;
        let file_alignment = field(36)?;
        for alignment in [section_alignment, file_alignment] {
            if !alignment.is_power_of_two() || alignment > LARGEST_ALIGNMENT {
                return Err(damaged("an alignment is no power of two, or over 1 MiB"));
            }
        }
        let directory_count = field(108)? as usize;
        if directory_count > MOST_DIRECTORIES {
            return Err(damaged("there are too many data directories"));
        }
        let directories = slice(optional, OPTIONAL_HEADER, directory_count * 8)
            .ok_or_else(cut)?
            .chunks_exact(8)
            .map(|directory| {
                Some(DataDirectory {
                    address: long(directory, 0)?,
                    length: long(directory, 4)?,
                })
            })
            .collect::<Option<_>>()
            .ok_or_else(cut)?;
        if section_count > MOST_SECTIONS {
            return Err(damaged("there are too many sections"));
        }
        let section_headers = optional_header + optional_length;
        let sections = slice(file, section_headers, section_count * SECTION_HEADER)
            .ok_or_else(cut)?
            .chunks_exact(SECTION_HEADER)
            .map(section)
            .collect::<Option<_>>()
            .ok_or_else(cut)?;
        Ok(Self {
            machine: short(coff, 4).ok_or_else(cut)?,
            optional_header,
            section_headers,
            symbols: long(coff, 12).ok_or_else(cut)?,
            section_alignment,
            file_alignment,
            headers_length: field(60)?,
            image_length: field(56)?,
            initialized_length: field(8)?,
            dll_characteristics: short(optional, 70).ok_or_else(cut)?,
            directories,
            sections,
        })
    }

    /// The first section of that name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// Where the header's checksum is in the file.
    pub fn checksum_offset(&self) -> usize {
        self.optional_header + 64
    }

    /// Where the data directory of signatures is in the file; none if there is no room for it.
    pub fn security_directory_offset(&self) -> Option<usize> {
        (self.directories.len() > SECURITY_DIRECTORY)
            .then(|| self.optional_header + OPTIONAL_HEADER + 8 * SECURITY_DIRECTORY)
    }

    /// Where the image's signatures are in the file.
    pub fn security_directory(&self) -> Option<DataDirectory> {
        self.directories.get(SECURITY_DIRECTORY).copied()
    }

    /// Whether the image carries signatures.
    pub fn is_signed(&self) -> bool {
        self.security_directory()
            .is_some_and(|directory| directory.length != 0 || directory.address != 0)
    }
}

fn section(header: &[u8]) -> Option<Section> {
    let name = header.get(..8)?;
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(8);
    Some(Section {
        name: String::from_utf8_lossy(name.get(..end)?).into_owned(),
        virtual_size: long(header, 8)?,
        virtual_address: long(header, 12)?,
        raw_size: long(header, 16)?,
        raw_offset: long(header, 20)?,
        characteristics: long(header, 36)?,
    })
}

fn slice(bytes: &[u8], start: usize, length: usize) -> Option<&[u8]> {
    bytes.get(start..start.checked_add(length)?)
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
