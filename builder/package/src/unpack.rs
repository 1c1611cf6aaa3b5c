//! Unpacking many packages at once.

use crate::deb::{self, Scratch, Shared, Unpacked};
use crate::decompress::LargeMemory;
use crate::{Archive, Error, Options, Package, Result, merge};
use fortress_progress::{Observer, Unit};
use fortress_tree::{Spool, Tree};
use std::cmp::Reverse;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// Most packages that are unpacked at the same time, however many cores there are: each takes
/// some 10 MiB of memory.
const MOST_AT_ONCE: usize = 8;

/// Unpacks packages into a tree; no script of theirs is run. Gives the packages in the order of
/// `archives`.
///
/// Contents go to `spool`. Nothing of a package gets into the tree unless all packages were read
/// whole. Packages are merged as dpkg does it: first those that are `Essential`, then the others,
/// each in the order given. A path below a symbolic link to a directory lands in that directory
/// (merged /usr); of a directory that several ship, the first one's owner and mode stay; of a
/// file that several ship, the one whose package `Replaces` the other stays, and without
/// `Replaces` or a [`crate::Diversion`] files that differ are an error.
///
/// # Errors
/// When a package cannot be read, is damaged or hostile, or two of them are at odds.
pub fn unpack(
    archives: &[Archive],
    tree: &mut Tree,
    spool: &Arc<Spool>,
    options: &Options,
    observer: &dyn Observer,
) -> Result<Vec<Package>> {
    let unpacked = read_all(archives, spool, options, observer)?;
    merge::merge(archives, unpacked, tree, options)
}

/// Reads all packages, the largest first, on all threads of the current rayon pool.
fn read_all(
    archives: &[Archive],
    spool: &Arc<Spool>,
    options: &Options,
    observer: &dyn Observer,
) -> Result<Vec<Unpacked>> {
    let length = |archive: &Archive| std::fs::metadata(&archive.path).map_or(0, |file| file.len());
    let lengths: Vec<u64> = archives.iter().map(length).collect();
    let mut order: Vec<usize> = (0..archives.len()).collect();
    order.sort_by_key(|index| (Reverse(lengths[*index]), *index));

    let stage = observer.stage("unpack", Some(lengths.iter().sum()), Unit::Bytes);
    let large = LargeMemory::default();
    let shared = Shared {
        spool,
        options,
        large: &large,
    };
    let next = AtomicUsize::new(0);
    let is_stopped = AtomicBool::new(false);
    let results: Vec<OnceLock<Result<Unpacked>>> =
        archives.iter().map(|_| OnceLock::new()).collect();
    let work = || {
        let mut scratch = Scratch::new();
        while let Some(&index) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            let archive = &archives[index];
            stage.doing(&archive.name);
            let result = deb::unpack(archive, &shared, &mut scratch, |bytes| {
                stage.advance(bytes);
                !observer.cancelled() && !is_stopped.load(Ordering::Relaxed)
            });
            if result.is_err() {
                is_stopped.store(true, Ordering::Relaxed);
            }
            // Each index is handed out once, so the place is empty.
            let _ = results[index].set(result);
            if is_stopped.load(Ordering::Relaxed) {
                break;
            }
        }
    };
    let workers = rayon::current_num_threads().clamp(1, MOST_AT_ONCE);
    rayon::scope(|scope| {
        for _ in 0..workers.min(archives.len()) {
            scope.spawn(|_| work());
        }
    });

    let mut unpacked = Vec::with_capacity(archives.len());
    let mut is_cancelled = false;
    for result in results {
        match result.into_inner() {
            Some(Ok(package)) => unpacked.push(package),
            // Others stop, too, when one fails; what matters is why that one did.
            Some(Err(Error::Cancelled)) | None => is_cancelled = true,
            Some(Err(error)) => return Err(error),
        }
    }
    match is_cancelled {
        true => Err(Error::Cancelled),
        false => Ok(unpacked),
    }
}
