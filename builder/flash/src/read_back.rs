//! Reads a disk back and verifies what it holds, as if it were the image.

use crate::buffer::{Buffer, PIECE};
use crate::medium::Medium;
use crate::pace::Pace;
use crate::write::{Ends, Trouble};
use fortress_progress::{Observer, Unit};
use fortress_verification::{Passing, Verdict};
use std::sync::mpsc::sync_channel;

/// Why there is no verdict.
pub(crate) enum Stopped {
    Trouble(Trouble),
    Cancelled,
}

/// What was read.
enum Read {
    Data(Buffer, usize),
    Zeros(u64),
}

/// Reads back what is between the ends, which are taken as they are to be written, and judges the whole.
pub(crate) fn read_back(
    medium: &dyn Medium,
    ends: &Ends,
    mut passing: Passing<'_>,
    observer: &dyn Observer,
) -> Result<Verdict, Stopped> {
    let body = ends.body();
    let stage = observer.stage("read back", Some(body.length), Unit::Bytes);
    let zeros = Buffer::new();
    let (full_sender, full) = sync_channel::<Result<Read, Trouble>>(2);
    let (empty_sender, empty) = sync_channel::<Buffer>(4);
    for _ in 0..4 {
        let _ = empty_sender.send(Buffer::new());
    }
    std::thread::scope(move |scope| {
        scope.spawn(move || {
            let mut at = body.offset;
            while at < body.end() {
                let data = medium.data_from(at, body.end());
                // Whole pages, so that it can be read directly.
                let data = (data - data % 4096).max(at);
                let next = if data > at {
                    Ok(Read::Zeros(data - at))
                } else {
                    let Ok(mut buffer) = empty.recv() else {
                        return;
                    };
                    let length = (body.end() - at).min(PIECE as u64) as usize;
                    let outcome = medium.read(&mut buffer.bytes_mut()[..length], at);
                    outcome
                        .map(|()| Read::Data(buffer, length))
                        .map_err(Trouble::new("read back from", at))
                };
                at += match &next {
                    Ok(Read::Data(_, length)) => *length as u64,
                    Ok(Read::Zeros(length)) => *length,
                    Err(_) => body.end(),
                };
                if full_sender.send(next).is_err() {
                    return;
                }
            }
        });
        let mut pace = Pace::new();
        let mut passed = 0;
        passing.push(ends.head());
        while let Ok(next) = full.recv() {
            if observer.cancelled() {
                return Err(Stopped::Cancelled);
            }
            let (length, moved) = match next.map_err(Stopped::Trouble)? {
                Read::Data(buffer, length) => {
                    passing.push(&buffer.bytes()[..length]);
                    let _ = empty_sender.send(buffer);
                    (length as u64, length as u64)
                }
                Read::Zeros(length) => {
                    push_zeros(&mut passing, &zeros, length);
                    (length, 0)
                }
            };
            passed += length;
            stage.advance(length);
            let part = passed as f64 / body.length.max(1) as f64;
            pace.tell(stage.as_ref(), moved, part);
        }
        passing.push(ends.tail());
        Ok(passing.finish())
    })
}

/// Lets zeros pass.
pub(crate) fn push_zeros(passing: &mut Passing<'_>, zeros: &Buffer, length: u64) {
    let mut left = length;
    while left > 0 {
        let part = left.min(PIECE as u64);
        passing.push(&zeros.bytes()[..part as usize]);
        left -= part;
    }
}
