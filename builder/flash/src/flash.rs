//! Flashing as a whole.

use crate::buffer::Buffer;
use crate::medium::Medium;
use crate::pace::Pace;
use crate::read_back::{self, push_zeros, read_back};
use crate::source::{Failed, Next, Source};
use crate::write::{Ends, Trouble, Writer};
use crate::{Error, Image, Result, State, Target};
use fortress_progress::{Observer, Unit};
use fortress_trust::PublicKeys;
use fortress_verification::{Outcome, Passing, Verdict};
use serde::Serialize;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

/// How many pieces of the image are under way at once.
const PIECES: usize = 6;

/// How an image is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What was written is read back and verified.
    pub read_back: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { read_back: true }
    }
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Flashed {
    /// Length of the image in bytes.
    pub length: u64,
    /// How many bytes of it were written; the others are zeros, and did not need to be.
    pub written: u64,
    /// Whether it was read back.
    pub read_back: bool,
    /// What the image was found to be.
    pub verdict: Verdict,
}

/// Writes an image. Its start is erased first and written last, when all else is on the disk and is
/// what the owner signed.
///
/// # Errors
/// When image or disk fail, the image is not what the owner signed, or the observer says stop. The
/// error tells how the disk was left.
pub fn flash(
    image: Image,
    keys: &PublicKeys,
    target: Target,
    options: &Options,
    observer: &dyn Observer,
) -> Result<Flashed> {
    Flash {
        image: &image,
        keys,
        medium: &target,
        observer,
    }
    .run(options)
}

/// What flashing works with.
pub(crate) struct Flash<'a> {
    pub(crate) image: &'a Image,
    pub(crate) keys: &'a PublicKeys,
    pub(crate) medium: &'a dyn Medium,
    pub(crate) observer: &'a dyn Observer,
}

impl Flash<'_> {
    pub(crate) fn run(&self, options: &Options) -> Result<Flashed> {
        // All that can be found wrong without touching the disk.
        let passing = self.passing(State::Untouched)?;
        let source = self.image.source()?;
        if self.observer.cancelled() {
            let state = State::Untouched;
            return Err(Error::Cancelled { state });
        }
        let mut ends = Ends::new(self.image.length());
        let unknown = || State::Unknown {
            place: self.medium.name().to_owned(),
        };
        ends.erase(self.medium)
            .map_err(|trouble| self.trouble(trouble, unknown()))?;
        let (written, verdict) = self.write(source, passing, &mut ends)?;
        self.judge(&verdict, || self.image.path().display().to_string())?;
        if options.read_back {
            let passing = self.passing(self.not_bootable())?;
            let read = read_back(self.medium, &ends, passing, self.observer);
            let verdict = read.map_err(|stopped| match stopped {
                read_back::Stopped::Trouble(trouble) => self.trouble(trouble, self.not_bootable()),
                read_back::Stopped::Cancelled => self.cancelled(),
            })?;
            self.judge(&verdict, || {
                format!("what was read back from {}", self.medium.name())
            })?;
        }
        if self.observer.cancelled() {
            return Err(self.cancelled());
        }
        self.make_bootable(&ends, options)?;
        Ok(Flashed {
            length: self.image.length(),
            written,
            read_back: options.read_back,
            verdict,
        })
    }

    /// Writes the ends; if that fails, it is as if they had never been written, as far as that goes.
    fn make_bootable(&self, ends: &Ends, options: &Options) -> Result<()> {
        let outcome = ends.write(self.medium).and_then(|()| {
            let different = options.read_back.then(|| ends.compare(self.medium));
            different.transpose().map(Option::flatten)
        });
        if let Ok(None) = outcome {
            return Ok(());
        }
        let state = match ends.erase_head(self.medium) {
            Ok(()) => self.not_bootable(),
            Err(_) => State::Unknown {
                place: self.medium.name().to_owned(),
            },
        };
        match outcome {
            Err(trouble) => Err(self.trouble(trouble, state)),
            Ok(Some(offset)) => Err(Error::Differs {
                place: self.medium.name().to_owned(),
                offset,
                state,
            }),
            Ok(None) => Ok(()),
        }
    }

    fn passing(&self, state: State) -> Result<Passing<'_>> {
        Passing::new(self.image.manifest(), self.keys).map_err(|verdict| Error::NotVerified {
            what: self.image.path().display().to_string(),
            verdict,
            state,
        })
    }

    fn judge(&self, verdict: &Verdict, what: impl FnOnce() -> String) -> Result<()> {
        match verdict.outcome {
            Outcome::Good => Ok(()),
            _ => Err(Error::NotVerified {
                what: what(),
                verdict: Box::new(verdict.clone()),
                state: self.not_bootable(),
            }),
        }
    }

    fn not_bootable(&self) -> State {
        State::NotBootable {
            place: self.medium.name().to_owned(),
        }
    }

    fn cancelled(&self) -> Error {
        Error::Cancelled {
            state: self.not_bootable(),
        }
    }

    fn trouble(&self, trouble: Trouble, state: State) -> Error {
        let place = self.medium.name().to_owned();
        Error::Disk {
            operation: trouble.operation,
            place: match self.medium.is_there() {
                true => place,
                false => format!("{place}, which is gone,"),
            },
            offset: trouble.offset,
            state,
            source: trouble.source,
        }
    }

    /// Writes what is between the ends, and verifies all of it on the way: one thread reads and
    /// unpacks, one writes, one hashes.
    fn write(
        &self,
        mut source: Source<'_>,
        mut passing: Passing<'_>,
        ends: &mut Ends,
    ) -> Result<(u64, Verdict)> {
        let total = self.image.length();
        let stage = self.observer.stage("write", Some(total), Unit::Bytes);
        let done = source.done();
        let (pieces_sender, pieces) = sync_channel::<Piece>(PIECES);
        let (hash_sender, to_hash) = channel::<Piece>();
        let (empty_sender, empty) = channel::<Buffer>();
        for _ in 0..PIECES {
            let _ = empty_sender.send(Buffer::new());
        }
        let hasher_empty = empty_sender.clone();
        std::thread::scope(move |scope| {
            scope.spawn(move || read(&mut source, &empty, &pieces_sender));
            let hasher = scope.spawn(move || {
                let zeros = Buffer::new();
                while let Ok(piece) = to_hash.recv() {
                    match piece {
                        Piece::Data(buffer, length) => {
                            passing.push(&buffer.bytes()[..length]);
                            give_back(buffer, &hasher_empty);
                        }
                        Piece::Zeros(length) => push_zeros(&mut passing, &zeros, length),
                        Piece::Failed(_) => break,
                    }
                }
                passing
            });
            let mut writer = Writer::new(self.medium, ends);
            let mut pace = Pace::new();
            let mut at = 0;
            while let Ok(piece) = pieces.recv() {
                if self.observer.cancelled() {
                    return Err(self.cancelled());
                }
                let before = writer.written;
                let (outcome, length) = match piece {
                    Piece::Data(buffer, length) => {
                        let _ = hash_sender.send(Piece::Data(Arc::clone(&buffer), length));
                        let outcome = writer.data(&buffer.bytes()[..length], at);
                        give_back(buffer, &empty_sender);
                        (outcome, length as u64)
                    }
                    Piece::Zeros(length) => {
                        let _ = hash_sender.send(Piece::Zeros(length));
                        (writer.zeros(at, length), length)
                    }
                    Piece::Failed(failed) => return Err(self.source_failed(failed)),
                };
                outcome.map_err(|trouble| self.trouble(trouble, self.not_bootable()))?;
                at += length;
                stage.advance(length);
                pace.tell(stage.as_ref(), writer.written - before, done.part());
            }
            writer
                .finish()
                .map_err(|trouble| self.trouble(trouble, self.not_bootable()))?;
            let written = writer.written + ends.head().len() as u64 + ends.tail().len() as u64;
            drop(hash_sender);
            match hasher.join() {
                Ok(passing) => Ok((written, passing.finish())),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    fn source_failed(&self, failed: Failed) -> Error {
        let path = self.image.path().to_owned();
        match failed {
            // An image that cannot be read is as bad as one that is damaged.
            Failed::Read(error) => Error::Damaged {
                path,
                reason: format!("it cannot be read: {error}"),
                state: self.not_bootable(),
            },
            Failed::Damaged(reason) => Error::Damaged {
                path,
                reason,
                state: self.not_bootable(),
            },
        }
    }
}

/// A piece of the image on its way.
enum Piece {
    Data(Arc<Buffer>, usize),
    Zeros(u64),
    Failed(Failed),
}

fn read(source: &mut Source<'_>, empty: &Receiver<Buffer>, pieces: &SyncSender<Piece>) {
    while let Ok(mut buffer) = empty.recv() {
        let piece = loop {
            match source.next(buffer.bytes_mut()) {
                Ok(Some(Next::Data(length))) => break Piece::Data(Arc::new(buffer), length),
                Ok(Some(Next::Zeros(length))) => {
                    if pieces.send(Piece::Zeros(length)).is_err() {
                        return;
                    }
                }
                Ok(None) => return,
                Err(failed) => break Piece::Failed(failed),
            }
        };
        if pieces.send(piece).is_err() {
            return;
        }
    }
}

/// Whoever is done with a buffer last gives it back.
fn give_back(buffer: Arc<Buffer>, empty: &Sender<Buffer>) {
    if let Some(buffer) = Arc::into_inner(buffer) {
        // The reader may have ended.
        let _ = empty.send(buffer);
    }
}
