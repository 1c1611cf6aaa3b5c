//! Digests of what is in an image, for the manifest.

use crate::Result;
use crate::manifest::{BootFacts, Covered, Manifest, PartitionFacts};
use fortress_disk::{Region, data, digest};
use std::fs::File;

/// Takes the digests of everything that no root hash covers, and of EFI programs, and writes them
/// into the manifest.
pub(crate) fn fill(image: &File, manifest: &mut Manifest, programs: &[Region]) -> Result<()> {
    let mut digests = take(image, manifest, programs)?;
    if let BootFacts::Uefi(facts) = &mut manifest.boot {
        for program in &mut facts.programs {
            program.sha256 = digests.next().unwrap_or_default();
        }
    }
    Ok(())
}

/// Takes the digests of everything that no root hash covers.
pub(crate) fn of_partitions(image: &File, manifest: &mut Manifest) -> Result<()> {
    take(image, manifest, &[]).map(drop)
}

/// Gives the digests of `more`.
fn take(
    image: &File,
    manifest: &mut Manifest,
    more: &[Region],
) -> Result<impl Iterator<Item = String> + use<>> {
    for partition in hashed(manifest) {
        partition.data_length = data::length(image, partition.region())?;
    }
    let mut regions = ends(manifest).to_vec();
    regions.extend(hashed(manifest).map(|partition| partition.data()));
    regions.extend(more);
    let digests = digest::regions(image, &regions)?;
    let mut digests = digests.into_iter().map(|digest| hexadecimal(&digest));
    let mut next = || digests.next().unwrap_or_default();
    manifest.image.head_sha256 = next();
    manifest.image.tail_sha256 = next();
    for partition in hashed(manifest) {
        partition.sha256 = Some(next());
    }
    Ok(digests)
}

/// The partitions that have a digest.
fn hashed(manifest: &mut Manifest) -> impl Iterator<Item = &mut PartitionFacts> {
    let partitions = manifest.partitions.iter_mut();
    partitions.filter(|one| one.covered == Covered::Digest)
}

/// Everything before the first partition, and everything after the last one.
fn ends(manifest: &Manifest) -> [Region; 2] {
    let length = manifest.image.length;
    let first = manifest.partitions.first().map_or(length, |one| one.offset);
    let end = manifest
        .partitions
        .last()
        .map_or(0, |one| one.region().end());
    [
        Region::new(0, first),
        Region::new(end, length.saturating_sub(end)),
    ]
}

/// A digest as people write it.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
