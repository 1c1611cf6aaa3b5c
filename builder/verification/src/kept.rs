//! What is kept of an image that passes: the parts that are looked into afterwards.

use fortress_disk::Region;
use fortress_disk::data::is_zero;
use fortress_filesystem::ReadAt;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes in a page; parts of an image are whole pages.
pub(crate) const PAGE: usize = 4096;
/// Most pages that are kept: 128 MiB, zeros not counted.
const MOST: usize = 32 * 1024;
/// How many of them lie together in memory: asking for each on its own takes longer than hashing it.
const SLAB: usize = 256;

/// Pages of an image, and which of them are wanted besides.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// What is to be kept, or was.
    regions: Vec<Region>,
    /// Pages that are not zeros, by number: which one of those in the slabs each is.
    pages: BTreeMap<u64, usize>,
    /// Pages in the order in which they came; one that is cut off is filled up with zeros.
    slabs: Vec<Vec<u8>>,
    /// How far the image has passed.
    passed: u64,
    too_much: bool,
    missed: Mutex<Vec<Region>>,
}

impl Kept {
    /// Keeps a region from now on.
    pub(crate) fn keep(&mut self, region: Region) {
        let page = PAGE as u64;
        let start = region.offset - region.offset % page;
        let end = region.end().next_multiple_of(page);
        self.regions.push(Region::new(start, end - start));
    }

    /// Takes the next pages; the last one may be cut off.
    pub(crate) fn pass(&mut self, bytes: &[u8]) {
        let start = self.passed;
        let here = Region::new(start, bytes.len() as u64);
        let regions = self.regions.iter().filter(|one| overlap(one, &here));
        for region in regions {
            let from = region.offset.max(here.offset) - start;
            let to = region.end().min(here.end()) - start;
            let Some(part) = bytes.get(from as usize..to as usize) else {
                continue;
            };
            let first = (start + from) / PAGE as u64;
            for (number, page) in (first..).zip(part.chunks(PAGE)) {
                // In a second pass some were kept in the first.
                if is_zero(page) || self.pages.contains_key(&number) {
                    continue;
                }
                let count = self.pages.len();
                if count >= MOST {
                    self.too_much = true;
                    break;
                }
                if count.is_multiple_of(SLAB) {
                    self.slabs.push(Vec::with_capacity(SLAB * PAGE));
                }
                if let Some(slab) = self.slabs.last_mut() {
                    slab.extend_from_slice(page);
                    slab.resize((count % SLAB + 1) * PAGE, 0);
                    self.pages.insert(number, count);
                }
            }
        }
        self.passed += bytes.len() as u64;
    }

    /// Takes the next pages, all of them zeros.
    pub(crate) fn pass_zeros(&mut self, length: u64) {
        self.passed += length;
    }

    /// Begins anew, with what was missed and is not kept yet.
    pub(crate) fn again(&mut self) -> bool {
        let missed = std::mem::take(&mut *self.missed());
        let any = !missed.is_empty();
        self.regions = merged(std::mem::take(&mut self.regions), missed);
        self.passed = 0;
        any && !self.too_much
    }

    /// Keeps what was missed and is still to come.
    pub(crate) fn keep_missed(&mut self) {
        let missed = std::mem::take(&mut *self.missed());
        let passed = self.passed;
        let come = missed.into_iter().filter(|one| one.offset >= passed);
        self.regions = merged(std::mem::take(&mut self.regions), come.collect());
    }

    fn missed(&self) -> MutexGuard<'_, Vec<Region>> {
        self.missed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self, wanted: Region) -> bool {
        wanted.end() <= self.passed
            && self
                .regions
                .iter()
                .any(|one| one.offset <= wanted.offset && wanted.end() <= one.end())
    }
}

impl ReadAt for Kept {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let wanted = Region::new(offset, buffer.len() as u64);
        if self.too_much {
            return Err(io::Error::other(
                "there is more to look into than is kept of an image that passes (128 MiB): unpack it",
            ));
        }
        if !self.has(wanted) {
            let page = PAGE as u64;
            let start = offset - offset % page;
            let end = wanted.end().next_multiple_of(page);
            self.missed().push(Region::new(start, end - start));
            return Err(ErrorKind::WouldBlock.into());
        }
        buffer.fill(0);
        let first = offset / PAGE as u64;
        let last = wanted.end().div_ceil(PAGE as u64);
        for (number, index) in self.pages.range(first..last) {
            let slab = self.slabs.get(index / SLAB).map_or(&[][..], Vec::as_slice);
            let page = slab.chunks(PAGE).nth(index % SLAB).unwrap_or_default();
            let page_start = number * PAGE as u64;
            let from = offset.max(page_start);
            let to = wanted.end().min(page_start + page.len() as u64);
            let (Some(length), at) = (to.checked_sub(from), (from - offset) as usize) else {
                continue;
            };
            let start = (from - page_start) as usize;
            buffer[at..at + length as usize].copy_from_slice(&page[start..start + length as usize]);
        }
        Ok(())
    }
}

fn overlap(one: &Region, other: &Region) -> bool {
    one.offset < other.end() && other.offset < one.end()
}

/// Regions put together where they touch.
fn merged(mut regions: Vec<Region>, more: Vec<Region>) -> Vec<Region> {
    regions.extend(more);
    regions.sort();
    let mut merged: Vec<Region> = Vec::new();
    for region in regions {
        match merged.last_mut() {
            Some(last) if last.end() >= region.offset => {
                last.length = last.length.max(region.end() - last.offset);
            }
            _ => merged.push(region),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_kept_is_what_passed(
            bytes in prop::collection::vec(prop_oneof![9 => Just(0u8), 1 => any::<u8>()], 1..40_000),
            keep in (0u64..40_000, 1u64..20_000), piece in 1usize..5,
            wanted in (0u64..50_000, 0usize..9_000),
        ) {
            let mut kept = Kept::default();
            kept.keep(Region::new(keep.0, keep.1));
            for piece in bytes.chunks(piece * PAGE) {
                kept.pass(piece);
            }
            let read = |kept: &Kept| {
                let mut buffer = vec![7; wanted.1];
                kept.read_exact_at(&mut buffer, wanted.0).map(|()| buffer)
            };
            let start = wanted.0 as usize;
            let there = bytes.get(start..start + wanted.1);
            let inside = keep.0 <= wanted.0 && wanted.0 + wanted.1 as u64 <= keep.0 + keep.1;
            match read(&kept) {
                Ok(buffer) => prop_assert_eq!(there.unwrap(), &buffer[..]),
                Err(error) => {
                    prop_assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    prop_assert!(!inside || there.is_none());
                    // In a second pass it is there.
                    prop_assert!(kept.again());
                    kept.pass(&bytes);
                    let again = read(&kept).ok();
                    prop_assert_eq!(again.as_deref(), there);
                }
            }
        }
    }
}
