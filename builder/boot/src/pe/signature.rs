//! Signatures in EFI programs: what of a program they are for, where they are, and how they get
//! there
//! ([Windows Authenticode Portable Executable Signature Format](https://download.microsoft.com/download/9/c/5/9c5b2167-8017-4bae-9fde-d599bac8184a/authenticode_pe.docx),
//! [attribute certificate table](https://learn.microsoft.com/windows/win32/debug/pe-format#the-attribute-certificate-table-image-only)).
//!
//! The digest is over the whole file but for the header's checksum, the data directory that points
//! to the signatures, and the signatures. So signing changes 8 bytes of the header, which are zeros
//! in a program without signatures, and appends; the header's checksum stays as it is, which is 0 for
//! "none" in what is built here, because firmware does not look at it.

use super::{Error, Image, SECTION_HEADER};
use sha2::{Digest, Sha256};
use std::io::{self, Read, Seek, SeekFrom, Write};

/// Bytes at a program's start that are kept until its headers can be read.
const HEAD: usize = 64 * 1024;
/// Most bytes of signatures that a program is believed to have.
const LONGEST_TABLE: u32 = 1024 * 1024;
/// What the signatures, and each of them, are aligned to.
const ALIGNMENT: u64 = 8;
/// Bytes of a WIN_CERTIFICATE before the signature.
const ENTRY_HEADER: usize = 8;
/// WIN_CERT_REVISION_2_0.
const REVISION: u16 = 0x0200;
/// WIN_CERT_TYPE_PKCS_SIGNED_DATA.
const PKCS_SIGNED_DATA: u16 = 0x0002;
/// How much is copied at once.
const PIECE: usize = 256 * 1024;

/// What is known of a program when all of it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its Authenticode digest, SHA-256.
    pub digest: [u8; 32],
    /// Its bytes without signatures.
    pub length: u64,
    /// Its signatures: PKCS#7 messages (DER).
    pub signatures: Vec<Vec<u8>>,
    /// Its headers.
    pub image: Image,
}

/// Sees a program go by, byte after byte, and computes its digest.
#[derive(Debug)]
pub struct AuthenticodeHasher {
    head: Vec<u8>,
    /// None until the headers are read.
    layout: Option<Result<Layout, Error>>,
    hasher: Sha256,
    position: u64,
    table: Vec<u8>,
}

/// Where what is not hashed lies.
#[derive(Debug)]
struct Layout {
    image: Image,
    checksum: u64,
    /// The data directory of signatures.
    directory: Option<u64>,
    /// Where the signatures begin and end.
    table: Option<(u64, u64)>,
    sections_end: u64,
}

impl Layout {
    fn read(head: &[u8]) -> Result<Self, Error> {
        let damaged = |reason: &str| Error::Damaged(reason.into());
        let image = Image::parse(head)?;
        let headers_end = image.section_headers + image.sections.len() * SECTION_HEADER;
        if headers_end as u64 > u64::from(image.headers_length) {
            return Err(damaged("its headers are longer than they say"));
        }
        // Implementations disagree about what lies between sections; here nothing does.
        let mut sections: Vec<_> = image.sections.iter().collect();
        sections.retain(|section| section.raw_size > 0);
        sections.sort_by_key(|section| section.raw_offset);
        let mut sections_end = u64::from(image.headers_length);
        for section in sections {
            if u64::from(section.raw_offset) != sections_end {
                return Err(damaged(
                    "its sections overlap, or are not one after another",
                ));
            }
            sections_end += u64::from(section.raw_size);
        }
        let directory = image.security_directory_offset().map(|at| at as u64);
        let table = match image.security_directory() {
            Some(table) if image.is_signed() => {
                let start = u64::from(table.address);
                if start < sections_end || !start.is_multiple_of(ALIGNMENT) {
                    return Err(damaged(
                        "its signatures overlap the rest, or are not aligned",
                    ));
                }
                if table.length == 0 || table.length > LONGEST_TABLE {
                    return Err(damaged("its signatures are empty, or longer than 1 MiB"));
                }
                Some((start, start + u64::from(table.length)))
            }
            _ => None,
        };
        Ok(Self {
            checksum: image.checksum_offset() as u64,
            directory,
            table,
            sections_end,
            image,
        })
    }

    /// From where to where the byte at `position` and those after it are treated alike, and how.
    fn run(&self, position: u64) -> (u64, Treatment) {
        let holes = [
            Some((self.checksum, self.checksum + 4, Treatment::Skip)),
            self.directory.map(|at| (at, at + 8, Treatment::Skip)),
            self.table.map(|(start, end)| (start, end, Treatment::Keep)),
        ];
        let mut until = u64::MAX;
        for (start, end, treatment) in holes.into_iter().flatten() {
            if (start..end).contains(&position) {
                return (end, treatment);
            }
            if start > position {
                until = until.min(start);
            }
        }
        (until, Treatment::Hash)
    }
}

#[derive(Debug, Clone, Copy)]
enum Treatment {
    Hash,
    Skip,
    Keep,
}

impl Default for AuthenticodeHasher {
    fn default() -> Self {
        Self::new()
    }
}

impl AuthenticodeHasher {
    /// Has seen nothing yet.
    pub fn new() -> Self {
        Self {
            head: Vec::new(),
            layout: None,
            hasher: Sha256::new(),
            position: 0,
            table: Vec::new(),
        }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        if self.layout.is_some() {
            return self.take(bytes);
        }
        let missing = HEAD - self.head.len();
        let (head, rest) = bytes.split_at(missing.min(bytes.len()));
        self.head.extend_from_slice(head);
        if self.head.len() == HEAD {
            self.read_headers();
            self.take(rest);
        }
    }

    fn read_headers(&mut self) {
        let head = std::mem::take(&mut self.head);
        self.layout = Some(Layout::read(&head));
        self.take(&head);
    }

    fn take(&mut self, mut bytes: &[u8]) {
        let Some(Ok(layout)) = &self.layout else {
            return;
        };
        while !bytes.is_empty() {
            let (until, treatment) = layout.run(self.position);
            let length = (until - self.position).min(bytes.len() as u64);
            let (run, rest) = bytes.split_at(length as usize);
            match treatment {
                Treatment::Hash => self.hasher.update(run),
                Treatment::Skip => {}
                Treatment::Keep => self.table.extend_from_slice(run),
            }
            self.position += length;
            bytes = rest;
        }
    }

    /// That was all of the program.
    ///
    /// # Errors
    /// When it is none, is damaged, or has something behind its signatures.
    pub fn finish(mut self) -> Result<Program, Error> {
        let damaged = |reason: &str| Error::Damaged(reason.into());
        if self.layout.is_none() {
            self.read_headers();
        }
        let layout = match self.layout {
            Some(layout) => layout?,
            None => return Err(damaged("it is cut off")),
        };
        if self.position < layout.sections_end {
            return Err(damaged("it is cut off"));
        }
        let mut length = self.position;
        if let Some((start, end)) = layout.table {
            if self.position != end {
                return Err(damaged("it does not end where its signatures end"));
            }
            length = start;
        }
        Ok(Program {
            digest: self.hasher.finalize().into(),
            length,
            signatures: signatures(&self.table)?,
            image: layout.image,
        })
    }
}

impl Write for AuthenticodeHasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The messages in an attribute certificate table.
fn signatures(mut table: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    let damaged = |reason: &str| Error::Damaged(reason.into());
    let mut signatures = Vec::new();
    while !table.is_empty() {
        let length = super::long(table, 0).ok_or(damaged("a signature is cut off"))? as usize;
        let padded = length.next_multiple_of(ALIGNMENT as usize);
        let entry = table.get(..length).filter(|_| length > ENTRY_HEADER);
        let (entry, padding) = match (entry, table.get(length..padded)) {
            (Some(entry), Some(padding)) => (entry, padding),
            _ => return Err(damaged("a signature is longer than there is room for it")),
        };
        if super::short(entry, 4) != Some(REVISION)
            || super::short(entry, 6) != Some(PKCS_SIGNED_DATA)
        {
            return Err(damaged("it has a signature that is no PKCS#7 message"));
        }
        if padding.iter().any(|byte| *byte != 0) {
            return Err(damaged("something is between its signatures"));
        }
        signatures.push(entry[ENTRY_HEADER..].to_vec());
        table = &table[padded..];
    }
    Ok(signatures)
}

/// What makes a program a signed one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The program's bytes without signatures; [`Self::table`] follows them.
    pub length: u64,
    /// Where [`Self::directory`] goes.
    pub directory_offset: u64,
    /// The data directory of signatures.
    pub directory: [u8; 8],
    /// The signatures.
    pub table: Vec<u8>,
}

impl Program {
    /// What puts a signature in: a PKCS#7 message (DER). It replaces those that are there.
    ///
    /// # Errors
    /// When the program's headers have no place for it, or its length is no multiple of 8, so that
    /// padding would have to be signed as well.
    pub fn attachment(&self, message: &[u8]) -> Result<Attachment, Error> {
        let unsignable = |reason: &str| Error::Unsignable(reason.into());
        let directory = self.image.security_directory_offset();
        let directory = directory.ok_or(unsignable("its headers have no place for signatures"))?;
        if !self.length.is_multiple_of(ALIGNMENT) {
            return Err(unsignable("its length is no multiple of 8 bytes"));
        }
        let long = |_| unsignable("it would be longer than 4 GiB");
        let length = u32::try_from(ENTRY_HEADER + message.len()).map_err(long)?;
        let mut table = length.to_le_bytes().to_vec();
        table.extend(REVISION.to_le_bytes());
        table.extend(PKCS_SIGNED_DATA.to_le_bytes());
        table.extend(message);
        table.resize(table.len().next_multiple_of(ALIGNMENT as usize), 0);
        let address = u32::try_from(self.length).map_err(long)?;
        let length = u32::try_from(table.len()).map_err(long)?;
        let mut place = [0; 8];
        place[..4].copy_from_slice(&address.to_le_bytes());
        place[4..].copy_from_slice(&length.to_le_bytes());
        Ok(Attachment {
            length: self.length,
            directory_offset: directory as u64,
            directory: place,
            table,
        })
    }

    /// What takes all signatures out.
    ///
    /// # Errors
    /// When the program's headers have no place for signatures.
    pub fn detachment(&self) -> Result<Attachment, Error> {
        let directory = self.image.security_directory_offset();
        let missing = || Error::Unsignable("its headers have no place for signatures".into());
        Ok(Attachment {
            length: self.length,
            directory_offset: directory.ok_or_else(missing)? as u64,
            directory: [0; 8],
            table: Vec::new(),
        })
    }
}

impl Attachment {
    /// The program's bytes once this is applied.
    pub fn signed_length(&self) -> u64 {
        self.length + self.table.len() as u64
    }

    /// Changes a program where it is. The program begins at `start` of `file`. If its signatures were
    /// longer than these, what is behind is left to the caller.
    ///
    /// # Errors
    /// When writing fails.
    pub fn apply<F: Write + Seek>(&self, file: &mut F, start: u64) -> io::Result<()> {
        file.seek(SeekFrom::Start(start + self.directory_offset))?;
        file.write_all(&self.directory)?;
        file.seek(SeekFrom::Start(start + self.length))?;
        file.write_all(&self.table)
    }

    /// Copies a program, and applies this to the copy.
    ///
    /// # Errors
    /// When reading or writing fails, or the program is shorter than it was.
    pub fn copy(&self, program: &mut dyn Read, out: &mut dyn Write) -> io::Result<()> {
        copy(program, out, self.directory_offset)?;
        let mut replaced = [0; 8];
        program.read_exact(&mut replaced)?;
        out.write_all(&self.directory)?;
        copy(program, out, self.length - self.directory_offset - 8)?;
        out.write_all(&self.table)
    }
}

fn copy(from: &mut dyn Read, to: &mut dyn Write, length: u64) -> io::Result<()> {
    let mut left = length;
    let mut buffer = vec![0; PIECE.min(length as usize)];
    while left > 0 {
        let piece = (left.min(PIECE as u64)) as usize;
        from.read_exact(&mut buffer[..piece])?;
        to.write_all(&buffer[..piece])?;
        left -= piece as u64;
    }
    Ok(())
}

/// Reads a whole program.
///
/// # Errors
/// When reading fails; inside, when it is no sound program.
pub fn examine(program: &mut dyn Read) -> io::Result<Result<Program, Error>> {
    let mut hasher = AuthenticodeHasher::new();
    let mut buffer = vec![0; PIECE];
    loop {
        match program.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(length) => hasher.update(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
