//! An image taken apart as its manifest says: every byte belongs to a partition, or to what lies
//! before, between or after them.

use crate::verdict::{Fault, Findings};
use fortress_disk::Region;
use fortress_disk::verity::RootHash;
use fortress_pipeline::manifest::{Covered, Manifest, PartitionFacts};

/// Most partitions that are believed.
const MOST: usize = 128;

/// Most bytes that an image is believed to have: 1 PiB.
const LONGEST: u64 = 1 << 50;

/// What a part should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cover {
    /// The SHA-256 of so many bytes from its start on is known; behind them are zeros.
    Digest([u8; 32], u64),
    /// The root: dm-verity covers it.
    Root,
    /// Zeros.
    Zeros,
}

/// A part of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// As findings call it.
    pub(crate) name: String,
    pub(crate) region: Region,
    pub(crate) cover: Cover,
    /// Which of the manifest's partitions it is.
    pub(crate) partition: Option<usize>,
}

/// The parts that everything before and after the partitions makes.
pub(crate) const HEAD: &str = "partition table";
pub(crate) const TAIL: &str = "partition table (second copy)";

/// An image's parts, in the order of the disk, without a gap.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) list: Vec<Part>,
    pub(crate) length: u64,
    /// The root's hash tree.
    pub(crate) tree: Option<Region>,
    pub(crate) root_hash: Option<RootHash>,
    /// What every block of the root is preceded by when it is hashed.
    pub(crate) salt: Vec<u8>,
}

impl Parts {
    /// Takes the manifest's word for what is where. It need not be signed, so what cannot be is a
    /// finding, and none is returned.
    pub(crate) fn new(manifest: &Manifest, findings: &mut Findings) -> Option<Self> {
        match Self::divide(manifest) {
            Ok(parts) => Some(parts),
            Err(reason) => {
                findings.wrong(Fault::Foreign, crate::signature::MANIFEST, reason);
                None
            }
        }
    }

    fn divide(manifest: &Manifest) -> Result<Self, String> {
        let length = manifest.image.length;
        if length > LONGEST {
            return Err(format!("no disk has {length} bytes"));
        }
        let partitions = &manifest.partitions;
        if partitions.is_empty() || partitions.len() > MOST {
            return Err(format!("it has {} partitions", partitions.len()));
        }
        let mut parts = Self {
            list: Vec::new(),
            length,
            tree: None,
            root_hash: manifest.root_hash.parse().ok(),
            salt: salt(&manifest.verity_salt),
        };
        let mut at = 0;
        let mut order: Vec<usize> = (0..partitions.len()).collect();
        order.sort_by_key(|index| partitions[*index].offset);
        for index in order {
            let partition = &partitions[index];
            let name = name_of(partition);
            let end = partition.offset.checked_add(partition.length);
            let fits = end.is_some_and(|end| end <= length)
                && partition.offset >= at
                && partition.length > 0
                && partition.offset.is_multiple_of(4096)
                && partition.length.is_multiple_of(4096);
            if !fits {
                return Err(format!("partition {name} cannot be where it says"));
            }
            let data_length = partition.data_length;
            if data_length > partition.length || !data_length.is_multiple_of(4096) {
                return Err(format!(
                    "partition {name} cannot have {data_length} bytes of data"
                ));
            }
            if partition.offset > at {
                let (name, cover) = match at {
                    0 => (
                        HEAD.to_owned(),
                        digest(&manifest.image.head_sha256, partition.offset)?,
                    ),
                    _ => (format!("gap before {name}"), Cover::Zeros),
                };
                let region = Region::new(at, partition.offset - at);
                parts.push(name, region, cover, None);
            }
            let region = Region::new(partition.offset, partition.length);
            if partition.purpose == "root-verity" && partition.slot.as_deref() != Some("b") {
                parts.tree = Some(region);
            }
            let cover = match partition.covered {
                Covered::Empty => Cover::Zeros,
                Covered::RootHash => Cover::Root,
                Covered::Digest => {
                    let sha256 = partition.sha256.as_deref().unwrap_or_default();
                    digest(sha256, partition.data_length)?
                }
            };
            parts.push(name, region, cover, Some(index));
            at = region.end();
        }
        if at < length {
            let region = Region::new(at, length - at);
            let cover = digest(&manifest.image.tail_sha256, region.length)?;
            parts.push(TAIL.to_owned(), region, cover, None);
        }
        Ok(parts)
    }

    fn push(&mut self, name: String, region: Region, cover: Cover, partition: Option<usize>) {
        self.list.push(Part {
            name,
            region,
            cover,
            partition,
        });
    }

    /// The root's part.
    pub(crate) fn root(&self) -> Option<&Part> {
        self.list.iter().find(|part| part.cover == Cover::Root)
    }

    /// The part that holds a partition of slot A, or of none.
    pub(crate) fn purpose<'a>(&'a self, manifest: &Manifest, purpose: &str) -> Option<&'a Part> {
        self.list.iter().find(|part| {
            let partition = part
                .partition
                .and_then(|index| manifest.partitions.get(index));
            partition.is_some_and(|one| one.purpose == purpose && !is_slot_b(one))
        })
    }
}

/// Whether a partition is room for the next version: a machine may have filled it.
pub(crate) fn is_slot_b(partition: &PartitionFacts) -> bool {
    partition.slot.as_deref() == Some("b")
}

fn name_of(partition: &PartitionFacts) -> String {
    match partition.slot.as_deref() {
        None | Some("a") => partition.purpose.clone(),
        Some(slot) => format!("{} (slot {})", partition.purpose, slot.to_uppercase()),
    }
}

fn digest(text: &str, length: u64) -> Result<Cover, String> {
    let digest: Result<RootHash, _> = text.parse();
    match digest {
        Ok(RootHash(digest)) => Ok(Cover::Digest(digest, length)),
        Err(_) => Err("it lacks the SHA-256 of a part of the image".into()),
    }
}

/// A salt in hexadecimal; what is none will not be the superblock's.
fn salt(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2).take(256);
    let digits = pairs.map(|pair| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    });
    digits.collect::<Option<_>>().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salts_are_hexadecimal() {
        assert_eq!(salt("00ff10"), [0, 255, 16]);
        assert_eq!(salt("xy"), [0; 0]);
        assert_eq!(salt("é"), [0; 0]);
    }
}
