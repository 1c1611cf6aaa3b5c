//! Flashing as a whole.

use crate::medium::Medium;
use crate::pace::Pace;
use crate::pieces::{self, Piece, Pool};
use crate::read_back::Comparison;
use crate::source::{Failed, Source};
use crate::write::{Ends, Trouble, Writer};
use crate::{Error, Image, Result, State, Target};
use fortress_progress::{Observer, Unit};
use fortress_trust::PublicKeys;
use fortress_verification::{Outcome, Passing, Verdict};
use serde::Serialize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

/// How an image is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What was written is read back and compared.
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
    /// How many bytes were written; where the image has zeros, they need not be.
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
        medium: &target,
        observer,
    }
    .run(keys, options)
}

/// What flashing works with.
pub(crate) struct Flash<'a> {
    pub(crate) image: &'a Image,
    pub(crate) medium: &'a dyn Medium,
    pub(crate) observer: &'a dyn Observer,
}

/// Why a pass over the image ended early.
enum Stopped {
    Image(Failed),
    /// The disk's ends cannot be erased.
    Erasing(Trouble),
    Disk(Trouble),
    Differs(u64),
    Cancelled,
}

impl From<Failed> for Stopped {
    fn from(failed: Failed) -> Self {
        Self::Image(failed)
    }
}

impl From<Trouble> for Stopped {
    fn from(trouble: Trouble) -> Self {
        Self::Disk(trouble)
    }
}

impl Flash<'_> {
    pub(crate) fn run(&self, keys: &PublicKeys, options: &Options) -> Result<Flashed> {
        // All that can be found wrong without touching the disk.
        let passing = Passing::new(self.image.manifest(), keys)
            .map_err(|verdict| self.not_verified(verdict, State::Untouched))?;
        let source = self.image.source()?;
        if self.observer.cancelled() {
            let state = State::Untouched;
            return Err(Error::Cancelled { state });
        }
        let mut ends = Ends::new(self.image.length());
        let (written, verdict) =
            self.write_and_read_back(source, passing, &mut ends, options.read_back)?;
        if self.observer.cancelled() {
            return Err(self.stopped(Stopped::Cancelled, self.not_bootable()));
        }
        self.make_bootable(&ends, options)?;
        Ok(Flashed {
            length: self.image.length(),
            written,
            read_back: options.read_back,
            verdict,
        })
    }

    /// Erases the ends, writes what is between them, reads it back, and verifies the image on the way:
    /// one thread reads and unpacks, one writes, or two read back, one hashes. Gives how many bytes were
    /// written, and the verdict, which is good.
    fn write_and_read_back(
        &self,
        source: Source<'_>,
        passing: Passing<'_>,
        ends: &mut Ends,
        read_back: bool,
    ) -> Result<(u64, Verdict)> {
        let (hasher, to_hash) = channel();
        let pool = Pool::new();
        let refused = AtomicBool::new(false);
        let refused = &refused;
        std::thread::scope(move |scope| {
            let hashed = scope.spawn(move || {
                let verdict = hash(passing, &to_hash);
                refused.store(verdict.outcome != Outcome::Good, Ordering::Relaxed);
                verdict
            });
            let written = self.write(source, &pool, hasher, ends)?;
            // What hashing is behind, and the judgement, need not be waited for.
            let compared = match read_back {
                true => self.read_back(self.image.source()?, &pool, ends, refused),
                false => Ok(()),
            };
            let verdict = hashed
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            if verdict.outcome != Outcome::Good {
                return Err(self.not_verified(Box::new(verdict), self.not_bootable()));
            }
            compared.map_err(|stopped| self.stopped(stopped, self.not_bootable()))?;
            Ok((written, verdict))
        })
    }

    /// Erases the ends and writes what is between them; gives how many bytes, with what the ends will
    /// be.
    fn write(
        &self,
        source: Source<'_>,
        pool: &Arc<Pool>,
        hasher: Sender<Piece>,
        ends: &mut Ends,
    ) -> Result<u64> {
        let total = self.image.length();
        let mut stage = None;
        let done = source.done();
        let mut writer = Writer::new(self.medium, ends);
        let mut pace = Pace::new();
        let mut state = State::Untouched;
        let take = |piece: Piece, at| {
            if self.observer.cancelled() {
                return Err(Stopped::Cancelled);
            }
            // It lives as long as this does.
            let _ = hasher.send(piece.clone());
            if state == State::Untouched {
                // The first pieces are read and hashed meanwhile.
                let erased = writer.ends.erase(self.medium);
                erased.map_err(Stopped::Erasing)?;
                state = self.not_bootable();
            }
            // Whoever is told of it can rely on it that the disk starts nothing any more.
            let stage =
                stage.get_or_insert_with(|| self.observer.stage("write", Some(total), Unit::Bytes));
            let before = writer.written;
            match &piece {
                Piece::Data(loan) => writer.data(loan.bytes(), at)?,
                Piece::Zeros(length) => writer.zeros(at, *length)?,
            }
            stage.advance(piece.length());
            pace.tell(stage.as_ref(), writer.written - before, done.part());
            Ok(())
        };
        let taken = pieces::each(source, pool, [take]);
        // The image is judged while the disk is flushed.
        drop(hasher);
        let written = taken.and_then(|()| Ok(writer.finish()?));
        written.map_err(|stopped| self.stopped(stopped, state))?;
        Ok(writer.written + ends.head().len() as u64 + ends.tail().len() as u64)
    }

    /// Compares what is between the ends with the image: one piece is read while another is compared.
    /// Ends early when the image turns out to be refused.
    fn read_back(
        &self,
        source: Source<'_>,
        pool: &Arc<Pool>,
        ends: &Ends,
        refused: &AtomicBool,
    ) -> Result<(), Stopped> {
        let total = self.image.length();
        let stage = self.observer.stage("read back", Some(total), Unit::Bytes);
        let stage = stage.as_ref();
        let pace = &Mutex::new(Pace::new());
        let takers = [(); 2].map(|()| {
            let mut comparison = Comparison::new(self.medium, ends);
            move |piece: Piece, at| {
                if self.observer.cancelled() || refused.load(Ordering::Relaxed) {
                    return Err(Stopped::Cancelled);
                }
                let before = comparison.read;
                if let Some(place) = comparison.piece(&piece, at)? {
                    return Err(Stopped::Differs(place));
                }
                stage.advance(piece.length());
                let done = (at + piece.length()) as f64 / total.max(1) as f64;
                let mut pace = pace.lock().unwrap_or_else(PoisonError::into_inner);
                pace.tell(stage, comparison.read - before, done);
                Ok(())
            }
        });
        pieces::each(source, pool, takers)
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
            Err(_) => self.unknown(),
        };
        match outcome {
            Err(trouble) => Err(self.trouble(trouble, state)),
            Ok(Some(offset)) => Err(self.differs(offset, state)),
            Ok(None) => Ok(()),
        }
    }

    fn not_bootable(&self) -> State {
        State::NotBootable {
            place: self.medium.name().to_owned(),
        }
    }

    fn unknown(&self) -> State {
        State::Unknown {
            place: self.medium.name().to_owned(),
        }
    }

    /// The error for what stopped the work, and left the disk so.
    fn stopped(&self, stopped: Stopped, state: State) -> Error {
        match stopped {
            Stopped::Cancelled => Error::Cancelled { state },
            Stopped::Differs(offset) => self.differs(offset, state),
            Stopped::Disk(trouble) => self.trouble(trouble, state),
            Stopped::Erasing(trouble) => self.trouble(trouble, self.unknown()),
            Stopped::Image(failed) => Error::Damaged {
                path: self.image_path(),
                reason: match failed {
                    // An image that cannot be read is as bad as one that is damaged.
                    Failed::Read(error) => format!("it cannot be read: {error}"),
                    Failed::Damaged(reason) => reason,
                },
                state,
            },
        }
    }

    fn differs(&self, offset: u64, state: State) -> Error {
        Error::Differs {
            place: self.medium.name().to_owned(),
            offset,
            state,
        }
    }

    fn not_verified(&self, verdict: Box<Verdict>, state: State) -> Error {
        Error::NotVerified {
            what: self.image_path().display().to_string(),
            verdict,
            state,
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

    fn image_path(&self) -> PathBuf {
        self.image.path().to_owned()
    }
}

/// Verifies an image as it passes.
fn hash(mut passing: Passing<'_>, pieces: &Receiver<Piece>) -> Verdict {
    while let Ok(piece) = pieces.recv() {
        match piece {
            Piece::Data(loan) => passing.push(loan.bytes()),
            Piece::Zeros(length) => passing.push_zeros(length),
        }
    }
    passing.finish()
}
