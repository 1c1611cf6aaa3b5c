//! An image piece by piece: the next ones are read and unpacked while others are taken.

use crate::buffer::Buffer;
use crate::source::{Failed, Next, Source};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// How many buffers there are: hashing may fall behind writing by nearly as many, and catches up while
/// the disk is flushed and read back.
const BUFFERS: usize = 16;
/// How many pieces are read ahead.
const AHEAD: usize = 3;

/// A piece of an image.
#[derive(Clone)]
pub(crate) enum Piece {
    /// Bytes.
    Data(Arc<Loan>),
    /// So many zeros.
    Zeros(u64),
}

impl Piece {
    /// Its length in bytes.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Data(loan) => loan.length as u64,
            Self::Zeros(length) => *length,
        }
    }
}

/// A buffer that goes back to be filled again when nobody needs it any more.
pub(crate) struct Loan {
    buffer: Option<Buffer>,
    length: usize,
    pool: Arc<Pool>,
}

impl Loan {
    pub(crate) fn bytes(&self) -> &[u8] {
        let bytes = self.buffer.as_ref().map(Buffer::bytes);
        &bytes.unwrap_or_default()[..self.length]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        let bytes = self.buffer.as_mut().map(Buffer::bytes_mut);
        bytes.unwrap_or_default()
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            lock(&self.pool.free).push(buffer);
            self.pool.given.notify_one();
        }
    }
}

/// Buffers that are free. The last one that came back goes first, so that no more of them are touched,
/// and take memory, than are needed at once.
pub(crate) struct Pool {
    free: Mutex<Vec<Buffer>>,
    given: Condvar,
}

impl Pool {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            free: Mutex::new((0..BUFFERS).map(|_| Buffer::new()).collect()),
            given: Condvar::new(),
        })
    }

    /// A buffer, as soon as one is free.
    fn loan(self: &Arc<Self>) -> Loan {
        let free = lock(&self.free);
        let none = |free: &mut Vec<Buffer>| free.is_empty();
        let waited = self.given.wait_while(free, none);
        let mut free = waited.unwrap_or_else(PoisonError::into_inner);
        Loan {
            buffer: free.pop(),
            length: 0,
            pool: Arc::clone(self),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives each piece of an image, with the place where it begins, to a taker, until one fails. Each has a
/// thread of its own, and the pieces come in their order.
pub(crate) fn each<const TAKERS: usize, Error: From<Failed> + Send>(
    mut source: Source<'_>,
    pool: &Arc<Pool>,
    takers: [impl FnMut(Piece, u64) -> Result<(), Error> + Send; TAKERS],
) -> Result<(), Error> {
    let (sender, pieces) = sync_channel(AHEAD);
    // What it captures is dropped before the thread that reads is waited for, which then ends too.
    thread::scope(move |scope| {
        scope.spawn(move || read(&mut source, pool, &sender));
        let pieces = Pieces {
            next: Mutex::new((pieces, 0)),
            stopped: AtomicBool::new(false),
        };
        thread::scope(|scope| {
            let takers = takers.map(|take| scope.spawn(|| pieces.give(take)));
            let outcomes =
                takers.map(|taker| taker.join().unwrap_or_else(|panic| resume_unwind(panic)));
            outcomes.into_iter().collect()
        })
    })
}

/// The pieces that come from the thread that reads.
struct Pieces {
    /// With the place where the next one begins.
    next: Mutex<(Receiver<Result<Piece, Failed>>, u64)>,
    /// Whether a taker has failed.
    stopped: AtomicBool,
}

impl Pieces {
    fn give<Error: From<Failed>>(
        &self,
        mut take: impl FnMut(Piece, u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        while !self.stopped.load(Ordering::Relaxed) {
            let Some(next) = self.next() else {
                break;
            };
            let outcome = next
                .map_err(Error::from)
                .and_then(|(piece, at)| take(piece, at));
            if outcome.is_err() {
                self.stopped.store(true, Ordering::Relaxed);
                return outcome;
            }
        }
        Ok(())
    }

    /// The next piece, and where it begins; none at the end.
    fn next(&self) -> Option<Result<(Piece, u64), Failed>> {
        let (pieces, end) = &mut *lock(&self.next);
        let piece = pieces.recv().ok()?;
        Some(piece.map(|piece| {
            let at = *end;
            *end += piece.length();
            (piece, at)
        }))
    }
}

fn read(source: &mut Source<'_>, pool: &Arc<Pool>, pieces: &SyncSender<Result<Piece, Failed>>) {
    loop {
        let mut loan = pool.loan();
        let piece = loop {
            match source.next(loan.bytes_mut()) {
                Ok(Some(Next::Data(length))) => {
                    loan.length = length;
                    break Ok(Piece::Data(Arc::new(loan)));
                }
                Ok(Some(Next::Zeros(length))) => {
                    if pieces.send(Ok(Piece::Zeros(length))).is_err() {
                        return;
                    }
                }
                Ok(None) => return,
                Err(failed) => break Err(failed),
            }
        };
        let last = piece.is_err();
        if pieces.send(piece).is_err() || last {
            return;
        }
    }
}
