//! Unified kernel images: systemd-stub with kernel, initrd and command line as sections of one
//! EFI program ([specification](https://uapi-group.org/specifications/specs/unified_kernel_image/)).
//!
//! What is written equals `ukify build` of the same inputs to the byte.

use crate::pe::{self, Image, SECTION_HEADER};
use fortress_tree::Content;
use std::io::{self, Read, Write};

/// The SBAT entry of unified kernel images, with the header line of every SBAT.
pub const SBAT: &str = "\
sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md
uki,1,UKI,uki,1,https://uapi-group.org/specifications/specs/unified_kernel_image/
";
/// The header line of every SBAT.
const SBAT_HEADER: &str =
    "sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md";
/// Section flags.
const CODE: u32 = 0x20;
const INITIALIZED_DATA: u32 = 0x40;
const READABLE: u32 = 0x4000_0000;
/// The bit in an image's abilities that says it never executes data.
const NX_COMPAT: u16 = 0x100;
/// Bytes at a kernel's start that hold its headers.
const KERNEL_HEAD: u64 = 64 * 1024;
/// Most bytes of a kernel's own SBAT section.
const LONGEST_SBAT: u32 = 64 * 1024;
/// How much is copied at once.
const PIECE: u64 = 256 * 1024;

/// What can go wrong with a unified kernel image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The stub or the kernel is not what it should be.
    #[error("cannot use the {what}: it {reason}")]
    Program {
        /// Which of them.
        what: &'static str,
        /// What is wrong with it.
        reason: pe::Error,
    },
    /// The stub or the kernel does not suit.
    #[error("cannot use the {what}: {reason}")]
    Unsuitable {
        /// Which of them.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// The image cannot hold a section.
    #[error("section {section} of the unified kernel image does not fit: {reason}")]
    Room {
        /// The section.
        section: &'static str,
        /// What there is too little of.
        reason: String,
    },
    /// A section's contents could not be read.
    #[error("cannot read what is to be section {section} of the unified kernel image")]
    Contents {
        /// The section.
        section: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The image could not be written.
    #[error("cannot write the unified kernel image")]
    Write(#[source] io::Error),
}

/// This module's result.
pub type Result<T> = std::result::Result<T, Error>;

/// What goes into a unified kernel image. What is empty is left out.
#[derive(Debug, Clone)]
pub struct UkiSections<'a> {
    /// systemd-stub, unsigned.
    pub stub: &'a [u8],
    /// The os-release file (.osrel).
    pub os_release: &'a [u8],
    /// The kernel command line (.cmdline).
    pub command_line: &'a str,
    /// A device tree (.dtb), for machines whose firmware has none.
    pub device_tree: Option<Content>,
    /// The kernel's version, as `uname -r` gives it (.uname).
    pub uname: &'a str,
    /// The public key of PCR signatures, PEM (.pcrpkey).
    pub pcr_public_key: &'a [u8],
    /// The kernel (.linux).
    pub linux: Content,
    /// The initrd (.initrd).
    pub initrd: Content,
    /// SBAT entries of the image's own, with their header line, as [`SBAT`]; those of stub and
    /// kernel are merged in (.sbat).
    pub sbat: &'a str,
    /// Signatures of expected PCR values, JSON (.pcrsig).
    pub pcr_signature: &'a [u8],
}

impl UkiSections<'_> {
    /// The sections that are appended to the stub, in their order, but for the SBAT.
    fn appended(&self) -> Vec<(&'static str, Content)> {
        let bytes = |bytes: &[u8]| Content::from(bytes.to_vec());
        let sections = [
            (".osrel", bytes(self.os_release)),
            (".cmdline", Content::from(self.command_line)),
            (".dtb", self.device_tree.clone().unwrap_or(bytes(b""))),
            (".uname", Content::from(self.uname)),
            (".pcrpkey", bytes(self.pcr_public_key)),
            (".linux", self.linux.clone()),
            (".initrd", self.initrd.clone()),
        ];
        sections
            .into_iter()
            .filter(|(_, content)| content.length() > 0)
            .collect()
    }
}

/// Writes a unified kernel image to `out`, in one pass, and gives its length in bytes.
///
/// # Errors
/// When the stub or the kernel is no EFI program for the same kind of machine, the stub is
/// signed or has no room for the section headers, a section does not fit in 4 GiB, or reading
/// or writing fails.
pub fn build(sections: &UkiSections<'_>, out: &mut dyn Write) -> Result<u64> {
    let mut stub = Stub::new(sections.stub)?;
    let kernel = Kernel::read(&sections.linux)?;
    if kernel.image.machine != stub.image.machine {
        return Err(Error::Unsuitable {
            what: "kernel",
            reason: format!(
                "it is for machine type {:#06x}, systemd-stub for {:#06x}",
                kernel.image.machine, stub.image.machine
            ),
        });
    }
    // Firmware that enforces it wants the same of both.
    if kernel.image.dll_characteristics & NX_COMPAT == 0 {
        stub.clear_nx_compat();
    }
    let own_sbat = stub.text_of(".sbat");
    let sbat = merge_sbat(&[&own_sbat, &kernel.sbat, sections.sbat]);
    let mut appended = sections.appended();
    if !stub.replace(".sbat", sbat.as_bytes())? {
        appended.push((".sbat", Content::from(sbat)));
    }
    if !sections.pcr_signature.is_empty() {
        let signature = Content::from(sections.pcr_signature.to_vec());
        appended.push((".pcrsig", signature));
    }
    for (name, content) in &appended {
        stub.add_header(name, content)?;
    }
    stub.finish();
    let mut written = Writer { out, length: 0 };
    written.put(&stub.bytes)?;
    for (name, content) in &appended {
        written.pad(stub.image.file_alignment)?;
        written.copy(name, content)?;
    }
    written.pad(stub.image.file_alignment)?;
    Ok(written.length)
}

/// Merges SBAT texts: one header line, then the entries of each. A text without the header is
/// no SBAT and is left out.
fn merge_sbat(texts: &[&str]) -> String {
    let mut merged = String::from(SBAT_HEADER);
    merged.push('\n');
    let entries = texts
        .iter()
        .filter(|text| text.starts_with("sbat,"))
        .flat_map(|text| text.lines().skip(1));
    for (index, line) in entries.enumerate() {
        if index > 0 {
            merged.push('\n');
        }
        merged.push_str(line);
    }
    merged.push_str("\n\0");
    merged
}

/// systemd-stub, whose headers grow.
struct Stub {
    image: Image,
    bytes: Vec<u8>,
    /// Where the next section's data goes in the file.
    file_end: u64,
    initialized_length: u64,
}

impl Stub {
    fn new(bytes: &[u8]) -> Result<Self> {
        const WHAT: &str = "systemd-stub";
        let image = Image::parse(bytes).map_err(|reason| Error::Program { what: WHAT, reason })?;
        let unsuitable = |reason: &str| Error::Unsuitable {
            what: WHAT,
            reason: reason.into(),
        };
        if image.is_signed() {
            return Err(unsuitable("it is signed, and its signature would not hold"));
        }
        if image.symbols != 0 {
            return Err(unsuitable("it has a symbol table"));
        }
        let mut end = 0;
        for section in &image.sections {
            let aligned = section.raw_offset.is_multiple_of(image.file_alignment)
                && section.raw_size.is_multiple_of(image.file_alignment);
            if !aligned || section.virtual_address < end || section.data(bytes).is_none() {
                return Err(unsuitable("its sections are out of order or not aligned"));
            }
            end = section.virtual_address.saturating_add(section.virtual_size);
        }
        if image.sections.is_empty() || image.headers_length as usize > bytes.len() {
            return Err(unsuitable("it has no sections, or is cut off"));
        }
        Ok(Self {
            initialized_length: image.initialized_length.into(),
            file_end: bytes.len() as u64,
            bytes: bytes.to_vec(),
            image,
        })
    }

    /// A section's text, without the NULs at its end; empty if there is none.
    fn text_of(&self, name: &str) -> String {
        let section = self.image.section(name);
        let data = section.and_then(|section| section.data(&self.bytes));
        text(data.unwrap_or_default())
    }

    /// Replaces what is in a section that the stub has; says whether it has it.
    fn replace(&mut self, name: &'static str, data: &[u8]) -> Result<bool> {
        let sections = &mut self.image.sections;
        let Some(index) = sections.iter().position(|section| section.name == name) else {
            return Ok(false);
        };
        let section = &mut sections[index];
        let room = section.raw_size as usize;
        let start = section.raw_offset as usize;
        let place = self.bytes.get_mut(start..start + room);
        let Some(place) = place.filter(|place| place.len() >= data.len()) else {
            return Err(Error::Room {
                section: name,
                reason: format!("systemd-stub has {room} bytes for its {}", data.len()),
            });
        };
        place[..data.len()].copy_from_slice(data);
        place[data.len()..].fill(0);
        section.virtual_size = data.len() as u32;
        let header = self.image.section_headers + index * SECTION_HEADER;
        self.put(header + 8, &(data.len() as u32).to_le_bytes());
        Ok(true)
    }

    /// Appends a section's header.
    fn add_header(&mut self, name: &'static str, content: &Content) -> Result<()> {
        let room = |reason: &str| Error::Room {
            section: name,
            reason: reason.into(),
        };
        let header = self.image.section_headers + self.image.sections.len() * SECTION_HEADER;
        if header + SECTION_HEADER > self.image.headers_length as usize {
            return Err(room("systemd-stub has no room for another section header"));
        }
        let file_alignment = u64::from(self.image.file_alignment);
        let in_memory = self.image.sections.last().map_or(0, |last| {
            u64::from(last.virtual_address) + u64::from(last.virtual_size)
        });
        let address = in_memory.next_multiple_of(self.image.section_alignment.into());
        let offset = self.file_end.next_multiple_of(file_alignment);
        let raw_size = content.length().next_multiple_of(file_alignment);
        self.initialized_length += content.length();
        let large = |_| room("the image passes 4 GiB");
        let section = pe::Section {
            name: name.into(),
            virtual_size: u32::try_from(content.length()).map_err(large)?,
            virtual_address: u32::try_from(address).map_err(large)?,
            raw_size: u32::try_from(raw_size).map_err(large)?,
            raw_offset: u32::try_from(offset).map_err(large)?,
            characteristics: match name {
                ".linux" => CODE | READABLE,
                _ => INITIALIZED_DATA | READABLE,
            },
        };
        u32::try_from(offset + raw_size).map_err(large)?;
        u32::try_from(address + content.length() + u64::from(self.image.section_alignment))
            .map_err(large)?;
        u32::try_from(self.initialized_length).map_err(large)?;
        let mut bytes = [0; SECTION_HEADER];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        bytes[8..12].copy_from_slice(&section.virtual_size.to_le_bytes());
        bytes[12..16].copy_from_slice(&section.virtual_address.to_le_bytes());
        bytes[16..20].copy_from_slice(&section.raw_size.to_le_bytes());
        bytes[20..24].copy_from_slice(&section.raw_offset.to_le_bytes());
        bytes[36..40].copy_from_slice(&section.characteristics.to_le_bytes());
        self.put(header, &bytes);
        self.file_end = offset + raw_size;
        self.image.sections.push(section);
        Ok(())
    }

    fn clear_nx_compat(&mut self) {
        self.image.dll_characteristics &= !NX_COMPAT;
        let value = self.image.dll_characteristics.to_le_bytes();
        self.put(self.image.optional_header + 70, &value);
    }

    /// Writes the sums of the sections into the headers. The checksum is zero, which says that there
    /// is none: firmware does not look at it, and signing would change it.
    fn finish(&mut self) {
        let optional = self.image.optional_header;
        let sections = self.image.sections.len() as u16;
        self.put(optional - 18, &sections.to_le_bytes());
        self.put(
            optional + 8,
            &(self.initialized_length as u32).to_le_bytes(),
        );
        if let Some(last) = self.image.sections.last() {
            let end = last.virtual_address.saturating_add(last.virtual_size);
            let alignment = self.image.section_alignment;
            let length = end.checked_next_multiple_of(alignment).unwrap_or(end);
            self.put(optional + 56, &length.to_le_bytes());
        }
        self.put(self.image.checksum_offset(), &[0; 4]);
    }

    /// Writes into the headers, which [`Image::parse`] saw to be there.
    fn put(&mut self, at: usize, value: &[u8]) {
        if let Some(place) = self.bytes.get_mut(at..at + value.len()) {
            place.copy_from_slice(value);
        }
    }
}

/// What is needed of a kernel's headers.
struct Kernel {
    image: Image,
    sbat: String,
}

impl Kernel {
    fn read(linux: &Content) -> Result<Self> {
        let lost = |source| Error::Contents {
            section: ".linux",
            source,
        };
        let mut reader = linux.reader().map_err(lost)?;
        let mut head = vec![0; linux.length().min(KERNEL_HEAD) as usize];
        reader.read_exact(&mut head).map_err(lost)?;
        let image = Image::parse(&head).map_err(|reason| Error::Program {
            what: "kernel",
            reason,
        })?;
        let mut sbat = Vec::new();
        if let Some(section) = image.section(".sbat") {
            let end = u64::from(section.raw_offset) + u64::from(section.length());
            if section.length() > LONGEST_SBAT || end > linux.length() {
                return Err(Error::Unsuitable {
                    what: "kernel",
                    reason: "its .sbat section is damaged".into(),
                });
            }
            let mut reader = linux.reader().map_err(lost)?;
            let before = u64::from(section.raw_offset);
            io::copy(&mut reader.by_ref().take(before), &mut io::sink()).map_err(lost)?;
            sbat.resize(section.length() as usize, 0);
            reader.read_exact(&mut sbat).map_err(lost)?;
        }
        Ok(Self {
            image,
            sbat: text(&sbat),
        })
    }
}

/// A text without the NULs that pad it.
fn text(bytes: &[u8]) -> String {
    let padding = bytes.iter().rev().take_while(|byte| **byte == 0).count();
    String::from_utf8_lossy(&bytes[..bytes.len() - padding]).into_owned()
}

/// Counts what is written.
struct Writer<'a> {
    out: &'a mut dyn Write,
    length: u64,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.length += bytes.len() as u64;
        self.out.write_all(bytes).map_err(Error::Write)
    }

    fn pad(&mut self, alignment: u32) -> Result<()> {
        let end = self.length.next_multiple_of(alignment.into());
        self.put(&vec![0; (end - self.length) as usize])
    }

    fn copy(&mut self, section: &'static str, content: &Content) -> Result<()> {
        let lost = |source| Error::Contents { section, source };
        let mut reader = content.reader().map_err(lost)?;
        let mut left = content.length();
        let mut buffer = vec![0; left.min(PIECE) as usize];
        while left > 0 {
            let piece = &mut buffer[..left.min(PIECE) as usize];
            reader.read_exact(piece).map_err(lost)?;
            self.put(piece)?;
            left -= piece.len() as u64;
        }
        Ok(())
    }
}
