//! An image that passes once, in its order: hashed on the way, and judged at its end.

use crate::judge::Judge;
use crate::kept::{Kept, PAGE};
use crate::measured::{Found, Measured, add_filled};
use crate::parts::{Cover, Parts};
use crate::root;
use crate::subject::Form;
use crate::trusted::Trusted;
use crate::verdict::{Findings, Verdict};
use fortress_disk::Region;
use fortress_disk::verity::PassedData;
use fortress_pipeline::manifest::Manifest;
use fortress_trust::PublicKeys;
use sha2::{Digest, Sha256};
use std::io;

/// How much of the root is kept from its start: there lies most of what says where the rest is.
const ROOT_START: u64 = 16 << 20;
/// Most bytes of a hash tree that are kept: enough for a root of 4 GiB.
const LONGEST_TREE: u64 = 32 << 20;
/// What is hashed where an image has zeros.
static ZEROS: [u8; 1 << 20] = [0; 1 << 20];

/// An image that passes: give it every byte with [`Passing::push`], then ask for the verdict. It
/// takes at most about 200 MiB, however large the image is.
///
/// [`crate::manifest`] gives the manifest, and says whether the owner has signed it.
#[derive(Debug)]
pub struct Passing<'a> {
    manifest: &'a Manifest,
    keys: &'a PublicKeys,
    parts: Parts,
    findings: Findings,
    kept: Kept,
    found: Vec<Option<Found>>,
    /// The part that passes now, and what is known of it.
    part: usize,
    digest: Sha256,
    filled: Vec<Region>,
    data: PassedData,
    tree: Vec<u8>,
    /// Where the next whole page begins, and what of it has come.
    position: u64,
    pending: Vec<u8>,
    length: u64,
    looked_ahead: bool,
}

impl<'a> Passing<'a> {
    /// Makes ready for an image.
    ///
    /// # Errors
    /// The verdict, when the manifest cannot be of an image.
    pub fn new(manifest: &'a Manifest, keys: &'a PublicKeys) -> Result<Self, Box<Verdict>> {
        let mut findings = Findings::default();
        match Parts::new(manifest, &mut findings) {
            Some(parts) => Ok(Self::with(manifest, keys, parts, findings)),
            None => Err(Box::new(findings.verdict())),
        }
    }

    pub(crate) fn with(
        manifest: &'a Manifest,
        keys: &'a PublicKeys,
        parts: Parts,
        findings: Findings,
    ) -> Self {
        let mut kept = Kept::default();
        for part in &parts.list {
            match part.cover {
                Cover::Digest(..) if Some(part.region) != parts.tree => kept.keep(part.region),
                Cover::Root => {
                    let length = part.region.length.min(ROOT_START);
                    kept.keep(Region::new(part.region.offset, length));
                }
                _ => {}
            }
        }
        Self {
            manifest,
            keys,
            findings,
            kept,
            found: vec![None; parts.list.len()],
            part: 0,
            digest: Sha256::new(),
            filled: Vec::new(),
            data: PassedData::new(&parts.salt),
            tree: Vec::new(),
            position: 0,
            pending: Vec::new(),
            length: 0,
            looked_ahead: false,
            parts,
        }
    }

    /// Takes the image's next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        let mut bytes = bytes;
        if !self.pending.is_empty() {
            let (start, rest) = bytes.split_at(bytes.len().min(PAGE - self.pending.len()));
            self.pending.extend_from_slice(start);
            bytes = rest;
            if self.pending.len() < PAGE {
                return;
            }
            let page = std::mem::take(&mut self.pending);
            self.pages(&page);
        }
        let whole = bytes.len() - bytes.len() % PAGE;
        self.pages(&bytes[..whole]);
        self.pending.extend_from_slice(&bytes[whole..]);
    }

    /// Takes so many zeros, as if they had been pushed. They need not be read for that, nor looked at.
    pub fn push_zeros(&mut self, length: u64) {
        self.length += length;
        let mut left = length;
        if !self.pending.is_empty() {
            let start = left.min((PAGE - self.pending.len()) as u64);
            self.pending.resize(self.pending.len() + start as usize, 0);
            left -= start;
            if self.pending.len() < PAGE {
                return;
            }
            let page = std::mem::take(&mut self.pending);
            self.pages(&page);
        }
        let rest = left % PAGE as u64;
        self.zeros(left - rest);
        self.pending.resize(rest as usize, 0);
    }

    /// The verdict on what has passed.
    pub fn finish(self) -> Verdict {
        let (mut ended, mut findings) = self.end();
        match ended.judge(&mut findings) {
            Ok(true) => {}
            Ok(false) => ended.give_up(&mut findings),
            Err(error) => ended.unreadable(&mut findings, &error),
        }
        findings.verdict()
    }

    /// What is known when all has passed.
    pub(crate) fn end(mut self) -> (Ended<'a>, Findings) {
        let last = std::mem::take(&mut self.pending);
        self.pages(&last);
        let verity = match (self.parts.root(), self.parts.tree, &self.parts.root_hash) {
            (Some(root), Some(tree), Some(root_hash)) if self.length >= tree.end() => Some(
                self.data
                    .compare(root.region, tree, &self.tree, root_hash)
                    .map_err(|error| error.to_string()),
            ),
            _ => None,
        };
        let ended = Ended {
            manifest: self.manifest,
            keys: self.keys,
            parts: self.parts,
            kept: self.kept,
            measured: Measured {
                parts: self.found,
                verity,
            },
            length: self.length,
        };
        (ended, self.findings)
    }

    /// Takes pages: whole ones, but for the image's last.
    fn pages(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Some(part) = self.parts.list.get(self.part) else {
                // Beyond the image's end: only counted.
                return;
            };
            let region = part.region;
            let left = region.end() - self.position;
            let (here, rest) = bytes.split_at((bytes.len() as u64).min(left) as usize);
            match part.cover {
                Cover::Digest(_, length) => {
                    let data = left_of(length, region, self.position).min(here.len() as u64);
                    let (data, behind) = here.split_at(data as usize);
                    self.digest.update(data);
                    add_filled(&mut self.filled, behind, self.position + data.len() as u64);
                }
                Cover::Zeros => add_filled(&mut self.filled, here, self.position),
                Cover::Root => self.data.push(here),
            }
            if Some(region) == self.parts.tree && region.length <= LONGEST_TREE {
                self.tree.extend_from_slice(here);
            }
            self.kept.pass(here);
            self.position += here.len() as u64;
            self.look_ahead();
            if self.position == region.end() {
                self.part_ends();
            }
            bytes = rest;
        }
    }

    /// Takes whole pages of zeros.
    fn zeros(&mut self, mut left: u64) {
        while left > 0 {
            let Some(part) = self.parts.list.get(self.part) else {
                return;
            };
            let region = part.region;
            let mut here = left.min(region.end() - self.position);
            match part.cover {
                Cover::Digest(_, length) => {
                    let mut data = left_of(length, region, self.position).min(here);
                    while data > 0 {
                        let zeros = &ZEROS[..data.min(ZEROS.len() as u64) as usize];
                        self.digest.update(zeros);
                        data -= zeros.len() as u64;
                    }
                }
                Cover::Zeros => {}
                Cover::Root => {
                    // In steps, so that looking ahead comes no later than it would with bytes.
                    here = here.min(ZEROS.len() as u64);
                    self.data.push(&ZEROS[..here as usize]);
                }
            }
            if Some(region) == self.parts.tree && region.length <= LONGEST_TREE {
                self.tree.resize(self.tree.len() + here as usize, 0);
            }
            self.kept.pass_zeros(here);
            self.position += here;
            self.look_ahead();
            if self.position == region.end() {
                self.part_ends();
            }
            left -= here;
        }
    }

    fn part_ends(&mut self) {
        let Some(part) = self.parts.list.get(self.part) else {
            return;
        };
        let filled = std::mem::take(&mut self.filled);
        self.found[self.part] = Some(match part.cover {
            Cover::Digest(..) => Found::Digest(self.digest.finalize_reset().into(), filled),
            Cover::Zeros => Found::Filled(filled),
            Cover::Root => Found::Root,
        });
        self.part += 1;
    }

    /// When the root's start has passed, it says where its directories are.
    fn look_ahead(&mut self) {
        let start = self.parts.root().map_or(0, |root| root.region.offset);
        if !self.looked_ahead && self.position >= start + ROOT_START {
            self.looked_ahead = true;
            let _ = root::structure(&self.kept, &self.parts);
            self.kept.keep_missed();
        }
    }
}

/// How many of the `length` bytes that a region's digest covers come from a place on.
fn left_of(length: u64, region: Region, position: u64) -> u64 {
    length.saturating_sub(position - region.offset)
}

/// An image that has passed.
#[derive(Debug)]
pub(crate) struct Ended<'a> {
    manifest: &'a Manifest,
    keys: &'a PublicKeys,
    parts: Parts,
    pub(crate) kept: Kept,
    measured: Measured,
    length: u64,
}

impl Ended<'_> {
    /// Judges it; false if something is missing that has to pass again. Then nothing was found yet.
    pub(crate) fn judge(&mut self, findings: &mut Findings) -> io::Result<bool> {
        let mut found = Findings::default();
        let trusted = Trusted::new(self.keys, self.manifest, &mut found);
        let judge = Judge {
            form: Form::Image,
            length: self.length,
            manifest: self.manifest,
            parts: &self.parts,
            trusted: &trusted,
        };
        match judge.all(&self.kept, &self.measured, None, &mut found) {
            Ok(()) => {
                findings.merge(found);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Judges without what would have to pass again.
    pub(crate) fn give_up(&mut self, findings: &mut Findings) {
        let trusted = Trusted::new(self.keys, self.manifest, findings);
        let judge = Judge {
            form: Form::Image,
            length: self.length,
            manifest: self.manifest,
            parts: &self.parts,
            trusted: &trusted,
        };
        judge.passed(&self.kept, &self.measured, findings);
    }

    pub(crate) fn unreadable(&mut self, findings: &mut Findings, error: &io::Error) {
        self.give_up(findings);
        findings.note(format!("not all was looked into: {error}"));
    }
}

#[cfg(test)]
mod tests;
