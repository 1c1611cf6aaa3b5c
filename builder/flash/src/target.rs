//! A disk or file that is open for writing, for nobody else at the same time.

use crate::buffer::{Buffer, PIECE, is_aligned};
use crate::disks::System;
use crate::medium::Medium;
use crate::place::{Consent, Place, Refusal};
use crate::source::data_from;
use crate::{Error, Image, Result};
use fortress_disk::data::is_zero;
use rustix::fs::{
    Advice, FallocateFlags, FlockOperation, OFlags, fadvise, fallocate, fdatasync, flock,
};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

/// How long udev may look at a disk until it is ours.
const LOCK_TRIES: u32 = 50;
const LOCK_WAIT: Duration = Duration::from_millis(100);
/// Where the page cache cannot be passed by, so much is written before it is flushed.
const FLUSH: u64 = 64 << 20;

/// A disk or file that an image can be written to.
#[derive(Debug)]
pub struct Target {
    path: PathBuf,
    name: String,
    file: File,
    /// The same, past the page cache; none where that cannot be.
    direct: Option<File>,
    disk: bool,
    size: u64,
    /// Whether it can make stretches zero by itself.
    zeroes: AtomicBool,
    /// Bytes that wait in the page cache.
    waiting: AtomicU64,
}

impl System {
    /// Opens a place for writing an image, if it may be written there. Unmounts what is mounted, if the
    /// user has agreed to that. Nothing is written yet, but a file that is missing is made.
    ///
    /// # Errors
    /// When it must not be written to, or cannot be opened.
    pub fn open(&self, place: &Place, image: &Image, consent: &Consent) -> Result<Target> {
        let refused = |refusal| Error::Refused {
            place: place.path().display().to_string(),
            refusal: Box::new(refusal),
        };
        // Somebody may have thought it over for long.
        let now = self.place(place.path())?;
        if !now.is_same(place) {
            return Err(refused(Refusal::Changed));
        }
        let place = &now;
        if let Some(refusal) = place.refusal(image, consent) {
            return Err(refused(refusal));
        }
        if let Place::Disk { disk, .. } = place {
            for point in disk.mount_points() {
                unmount(&point, UnmountFlags::NOFOLLOW).map_err(|error| Error::Unmount {
                    path: point,
                    source: error.into(),
                })?;
            }
        }
        let target = Target::open(place, image.length())?;
        // What it is now, and not what it was when it was looked at.
        if target.size < image.length() {
            return Err(refused(Refusal::TooSmall {
                size: target.size,
                needed: image.length(),
            }));
        }
        Ok(target)
    }
}

impl Target {
    fn open(place: &Place, length: u64) -> Result<Self> {
        let path = place.path();
        let failed = |source| Error::Open {
            path: path.to_owned(),
            source,
        };
        let disk = matches!(place, Place::Disk { .. });
        let mut options = File::options();
        options.read(true).write(true);
        match disk {
            // As long as it is open, nobody else can mount it, or open it this way.
            true => options.custom_flags(OFlags::EXCL.bits() as i32),
            false => options.create(true).truncate(false),
        };
        let mut file = options.open(path).map_err(failed)?;
        lock(&file, disk).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => Error::Refused {
                place: path.display().to_string(),
                refusal: Box::new(Refusal::Locked),
            },
            _ => failed(error),
        })?;
        let mut size = file.seek(SeekFrom::End(0)).map_err(failed)?;
        if !disk && size == 0 {
            file.set_len(length).map_err(failed)?;
            size = length;
        }
        Ok(Self {
            path: path.to_owned(),
            name: path.display().to_string(),
            direct: direct(&file),
            file,
            disk,
            size,
            zeroes: AtomicBool::new(true),
            waiting: AtomicU64::new(0),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a stretch reads as zeros already.
    fn reads_as_zeros(&self, offset: u64, length: u64) -> io::Result<bool> {
        let mut buffer = Buffer::new();
        let mut at = offset;
        while at < offset + length {
            let part = (offset + length - at).min(PIECE as u64);
            let bytes = &mut buffer.bytes_mut()[..part as usize];
            self.read(bytes, at)?;
            if !is_zero(bytes) {
                return Ok(false);
            }
            at += part;
        }
        Ok(true)
    }

    fn write_zeros(&self, offset: u64, length: u64) -> io::Result<()> {
        let buffer = Buffer::new();
        let mut at = offset;
        while at < offset + length {
            let part = (offset + length - at).min(PIECE as u64);
            self.write(&buffer.bytes()[..part as usize], at)?;
            at += part;
        }
        Ok(())
    }
}

impl Medium for Target {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if let Some(direct) = &self.direct
            && is_aligned(bytes, offset)
        {
            return direct.write_all_at(bytes, offset);
        }
        self.file.write_all_at(bytes, offset)?;
        let length = bytes.len() as u64;
        if self.waiting.fetch_add(length, Ordering::Relaxed) + length >= FLUSH {
            self.waiting.store(0, Ordering::Relaxed);
            fdatasync(&self.file)?;
        }
        Ok(())
    }

    fn zero(&self, offset: u64, length: u64) -> io::Result<u64> {
        if !self.disk && data_from(&self.file, offset, offset + length) == offset + length {
            return Ok(0);
        }
        if self.zeroes.load(Ordering::Relaxed) {
            // Unlike a plain discard, this promises that the stretch reads as zeros from now on.
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            match fallocate(&self.file, flags, offset, length) {
                Ok(()) => return Ok(0),
                Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS | Errno::NODEV) => {
                    self.zeroes.store(false, Ordering::Relaxed);
                }
                Err(error) => return Err(error.into()),
            }
        }
        // Reading is several times as fast as writing on what has no such command, and new cards are
        // empty.
        match self.reads_as_zeros(offset, length)? {
            true => Ok(0),
            false => self.write_zeros(offset, length).map(|()| length),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.waiting.store(0, Ordering::Relaxed);
        // When it was written does not matter.
        self.file.sync_data()
    }

    fn read(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        match &self.direct {
            Some(direct) if is_aligned(bytes, offset) => direct.read_exact_at(bytes, offset),
            _ => {
                let length = std::num::NonZeroU64::new(bytes.len() as u64);
                // Clean pages are forgotten, so that it is the disk that is read.
                fadvise(&self.file, offset, length, Advice::DontNeed)?;
                self.file.read_exact_at(bytes, offset)
            }
        }
    }

    fn data_from(&self, at: u64, end: u64) -> u64 {
        match self.disk {
            true => at,
            false => data_from(&self.file, at, end),
        }
    }

    fn is_there(&self) -> bool {
        fs::metadata(&self.path).is_ok()
    }
}

/// Locks a disk or file against others that ask. udev heeds a lock on a disk, and leaves it alone.
fn lock(file: &File, disk: bool) -> io::Result<()> {
    let mut tries = 0;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK) if disk && tries < LOCK_TRIES => sleep(LOCK_WAIT),
            // File systems without locks.
            Err(Errno::NOTSUP | Errno::NOLCK | Errno::NOSYS) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        tries += 1;
    }
}

/// Opens the same file past the page cache. It is the same one even if its name has gone to another.
fn direct(file: &File) -> Option<File> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let opened = File::options()
        .read(true)
        .write(true)
        .custom_flags(OFlags::DIRECT.bits() as i32)
        .open(path)
        .ok()?;
    // Some file systems refuse only when it comes to reading.
    let mut buffer = Buffer::new();
    let bytes = &mut buffer.bytes_mut()[..crate::buffer::ALIGNMENT];
    opened.read_at(bytes, 0).ok().map(|_| opened)
}
