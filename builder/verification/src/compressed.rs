//! Compressed images: unpacked as they are read, and never to a disk.

use crate::passing::Passing;
use crate::subject::{Form, Subject};
use crate::verdict::{Fault, Findings};
use crate::{Error, Result};
use fortress_progress::{Observer, Stage, Unit};
use liblzma::read::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Largest window that zstd may ask for: 64 MiB.
const LARGEST_WINDOW: u32 = 26;
/// Most memory that xz may take.
const XZ_MEMORY: u64 = 80 << 20;
/// How much is unpacked before it is hashed, while the next is unpacked.
const PIECE: usize = 2 << 20;
/// How often an image passes at the most: more often only a hostile one would have to.
const MOST_PASSES: usize = 6;

/// Lets a compressed image pass, and judges it.
pub(crate) fn verify(
    subject: &Subject,
    mut passing: Passing<'_>,
    length: u64,
    observer: &dyn Observer,
) -> Result<Findings> {
    let mut damage = unpack(subject, length, observer, &mut |bytes| passing.push(bytes))?;
    let (mut ended, mut findings) = passing.end();
    for _ in 0..MOST_PASSES {
        match ended.judge(&mut findings) {
            Ok(true) => return Ok(with(findings, damage)),
            Ok(false) if ended.kept.again() => {
                damage = unpack(subject, length, observer, &mut |bytes| {
                    ended.kept.pass(bytes);
                })?;
            }
            Ok(false) => break,
            Err(error) => {
                ended.unreadable(&mut findings, &error);
                return Ok(with(findings, damage));
            }
        }
    }
    ended.give_up(&mut findings);
    Ok(with(findings, damage))
}

fn with(mut findings: Findings, damage: Option<String>) -> Findings {
    if let Some(damage) = damage {
        findings.wrong(Fault::Damaged, "compressed data", damage);
    }
    findings
}

/// Unpacks, in pieces of whole pages; gives what is wrong with the compressed data. What comes after
/// more than the image's length is left.
fn unpack(
    subject: &Subject,
    length: u64,
    observer: &dyn Observer,
    take: &mut dyn FnMut(&[u8]),
) -> Result<Option<String>> {
    let stage = observer.stage("verify", Some(length), Unit::Bytes);
    let failed = Arc::new(Mutex::new(None));
    let mut file = subject.file();
    file.rewind().map_err(Error::Image)?;
    let source = Watched {
        file,
        failed: Arc::clone(&failed),
    };
    let source = BufReader::with_capacity(1 << 18, source);
    let mut decoder: Box<dyn Read + Send + '_> = match subject.form() {
        Form::Xz => {
            let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)
                .map_err(|error| Error::Image(io::Error::other(error)))?;
            Box::new(XzDecoder::new_stream(source, stream))
        }
        _ => {
            let mut decoder =
                zstd::stream::read::Decoder::with_buffer(source).map_err(Error::Image)?;
            decoder
                .window_log_max(LARGEST_WINDOW)
                .map_err(Error::Image)?;
            Box::new(decoder)
        }
    };
    let outcome = pump(decoder.as_mut(), length, stage.as_ref(), observer, take);
    let read_error = lock(&failed).take();
    match (read_error, outcome) {
        (Some(error), _) => Err(Error::Image(error)),
        (None, Err(Stopped::Cancelled)) => Err(Error::Cancelled),
        (None, Err(Stopped::Damaged(error))) => Ok(Some(format!("it cannot be unpacked: {error}"))),
        (None, Ok(())) => Ok(None),
    }
}

enum Stopped {
    Cancelled,
    Damaged(io::Error),
}

/// Unpacks in a thread of its own while what came before is taken.
fn pump(
    decoder: &mut (dyn Read + Send),
    length: u64,
    stage: &dyn Stage,
    observer: &dyn Observer,
    take: &mut dyn FnMut(&[u8]),
) -> std::result::Result<(), Stopped> {
    // Buffers go round: one is filled, one is taken, one waits.
    let (full_sender, full) = sync_channel::<(Vec<u8>, io::Result<()>)>(1);
    let (empty_sender, empty) = sync_channel::<Vec<u8>>(3);
    for _ in 0..3 {
        let _ = empty_sender.send(Vec::new());
    }
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while let Ok(mut buffer) = empty.recv() {
                let outcome = fill(decoder, &mut buffer);
                let last = buffer.len() < PIECE || outcome.is_err();
                if full_sender.send((buffer, outcome)).is_err() || last {
                    return;
                }
            }
        });
        let mut passed = 0;
        while let Ok((buffer, outcome)) = full.recv() {
            take(&buffer);
            passed += buffer.len() as u64;
            stage.advance(buffer.len() as u64);
            if observer.cancelled() {
                return Err(Stopped::Cancelled);
            }
            outcome.map_err(Stopped::Damaged)?;
            if passed > length {
                return Ok(());
            }
            let _ = empty_sender.send(buffer);
        }
        Ok(())
    })
}

/// Fills a buffer, unless the end comes first; what came before an error is in it.
fn fill(decoder: &mut dyn Read, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.resize(PIECE, 0);
    let mut filled = 0;
    let outcome = loop {
        match decoder.read(&mut buffer[filled..]) {
            Ok(0) => break Ok(()),
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
        if filled == PIECE {
            break Ok(());
        }
    };
    buffer.truncate(filled);
    outcome
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file that remembers why it could not be read: that is another matter than damaged data.
struct Watched<'a> {
    file: &'a File,
    failed: Arc<Mutex<Option<io::Error>>>,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                *lock(&self.failed) = Some(error.kind().into());
            }
        })
    }
}
