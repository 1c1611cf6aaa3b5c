//! An image piece by piece: the next ones are read and unpacked while one is taken.

use crate::buffer::Buffer;
use crate::source::{Failed, Next, Source};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

/// How many pieces are under way at once.
const PIECES: usize = 6;

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
    home: Sender<Buffer>,
}

impl Loan {
    pub(crate) fn bytes(&self) -> &[u8] {
        let bytes = self.buffer.as_ref().map(Buffer::bytes);
        &bytes.unwrap_or_default()[..self.length]
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            // The reader may have ended.
            let _ = self.home.send(buffer);
        }
    }
}

/// Gives each piece of an image to `take`, with the place where it begins, until that fails.
pub(crate) fn each<Error: From<Failed>>(
    mut source: Source<'_>,
    mut take: impl FnMut(Piece, u64) -> Result<(), Error>,
) -> Result<(), Error> {
    let (sender, pieces) = sync_channel(PIECES);
    // What it captures is dropped before the thread is waited for, which then ends too.
    std::thread::scope(move |scope| {
        scope.spawn(move || read(&mut source, &sender));
        let mut at = 0;
        while let Ok(piece) = pieces.recv() {
            let piece: Piece = piece?;
            let length = piece.length();
            take(piece, at)?;
            at += length;
        }
        Ok(())
    })
}

fn read(source: &mut Source<'_>, pieces: &SyncSender<Result<Piece, Failed>>) {
    let (home, empty): (Sender<Buffer>, Receiver<Buffer>) = channel();
    for _ in 0..PIECES {
        let _ = home.send(Buffer::new());
    }
    while let Ok(mut buffer) = empty.recv() {
        let piece = loop {
            match source.next(buffer.bytes_mut()) {
                Ok(Some(Next::Data(length))) => {
                    break Ok(Piece::Data(Arc::new(Loan {
                        buffer: Some(buffer),
                        length,
                        home: home.clone(),
                    })));
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
