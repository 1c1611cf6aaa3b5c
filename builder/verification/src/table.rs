//! The partition table: both copies, and whether they say what the manifest says.

use crate::measured::Measured;
use crate::parts::{HEAD, Parts, TAIL, is_slot_b};
use crate::subject::Form;
use crate::verdict::{Fault, Finding, Findings};
use fortress_disk::Region;
use fortress_disk::gpt::{self, DiskLayout};
use fortress_filesystem::ReadAt;
use fortress_pipeline::manifest::Manifest;

/// Bytes of the protective MBR.
const MBR: u64 = 512;
/// Bytes of MBR, header and entries at the start, and of entries and header at the end.
const START: u64 = 34 * 512;
const END: u64 = 33 * 512;

/// Checks the partition table of a disk of `length` bytes. Says whether there is any table at all.
pub(crate) fn check(
    source: &dyn ReadAt,
    length: u64,
    form: Form,
    manifest: &Manifest,
    parts: &Parts,
    measured: &Measured,
    findings: &mut Findings,
) -> bool {
    let copies = gpt::examine(
        &mut |buffer, offset| source.read_exact_at(buffer, offset),
        length,
    );
    if copies.first.is_err() && copies.second.is_err() && copies.protective_mbr.is_err() {
        let none = "there is no partition table: this is no image, or all of it was overwritten";
        findings.wrong(Fault::Foreign, HEAD, none);
        return false;
    }
    let readable = [&copies.first, &copies.second].into_iter().flatten();
    let mut readable = readable.peekable();
    if readable.peek().is_some() && readable.all(|layout| is_foreign(layout, manifest)) {
        let other = "it is that of another system, or of another image than this manifest's";
        findings.wrong(Fault::Foreign, HEAD, other);
        return false;
    }
    // A machine that has made its state moved the second copy to the end of its disk.
    let moved = form == Form::Device && length > parts.length;
    let (head, tail) = (part(parts, measured, HEAD), part(parts, measured, TAIL));
    let before = findings.count();
    let wrong = |findings: &mut Findings, part: &str, bytes: Region, reason: String| {
        findings.add(Finding {
            fault: Fault::Damaged,
            reason,
            part: part.to_owned(),
            bytes: Some(bytes.into()),
            belongs_to: None,
        });
    };
    if let Err(error) = &copies.protective_mbr {
        wrong(findings, HEAD, Region::new(0, MBR), error.to_string());
    }
    let end = Region::new(length.saturating_sub(END), END.min(length));
    for (copy, name, bytes) in [
        (&copies.first, HEAD, Region::new(MBR, START - MBR)),
        (&copies.second, TAIL, end),
    ] {
        match copy {
            Err(error) => wrong(findings, name, bytes, error.to_string()),
            Ok(layout) => {
                for reason in differences(layout, manifest, parts, moved) {
                    wrong(findings, name, bytes, reason);
                }
            }
        }
    }
    if let (Ok(first), Ok(second)) = (&copies.first, &copies.second)
        && first != second
    {
        wrong(findings, TAIL, end, "it differs from the first copy".into());
    }
    let good = findings.count() == before;
    let same = [&head, &tail].iter().all(|part| part.same);
    if good && !same && !moved {
        for (part, own, name) in [
            (&head, Region::new(0, START.min(head.region.length)), HEAD),
            (&tail, end, TAIL),
        ] {
            if part.same || part.region.length == 0 {
                continue;
            }
            // What is wrong is not in what the table says: in the room beside it, or in bytes of it
            // that nobody reads.
            let filled = beside(source, part.region, own);
            if filled.is_empty() {
                wrong(
                    findings,
                    name,
                    own,
                    "it is not what the manifest says".into(),
                );
            }
            for bytes in filled {
                wrong(
                    findings,
                    name,
                    bytes,
                    "there should be zeros beside it".into(),
                );
            }
        }
    }
    let good = findings.count() == before;
    if good && same {
        findings.right(HEAD, "both copies are what the manifest says");
    } else if good {
        findings.right(HEAD, "both copies have the image's partitions");
        findings.note("the partition table was changed for this disk, as a machine does when it makes its state: its bytes are not covered, what it says of the image's partitions is right");
    }
    if let Ok(layout) = &copies.first {
        for extra in extra(layout, parts) {
            findings.note(format!(
                "partition {extra:?} is not the image's, and not covered"
            ));
        }
    }
    true
}

/// Whether a table has nothing of the manifest's: neither the disk's GUID nor a partition's.
fn is_foreign(layout: &DiskLayout, manifest: &Manifest) -> bool {
    let known = |guid: String| manifest.partitions.iter().any(|one| one.guid == guid);
    let mut partitions = layout.partitions.iter();
    layout.guid.to_string() != manifest.image.guid
        && !partitions.any(|one| known(one.entry.guid.to_string()))
}

struct Judged {
    region: Region,
    same: bool,
}

fn part(parts: &Parts, measured: &Measured, name: &str) -> Judged {
    let found = parts.list.iter().zip(&measured.parts);
    found
        .filter(|(part, _)| part.name == name)
        .map(|(part, found)| Judged {
            region: part.region,
            same: found.as_ref().is_some_and(|found| found.is(part.cover)),
        })
        .next()
        .unwrap_or(Judged {
            region: Region::new(0, 0),
            same: true,
        })
}

/// How a copy's partitions differ from the manifest's.
fn differences(
    layout: &DiskLayout,
    manifest: &Manifest,
    parts: &Parts,
    moved: bool,
) -> Vec<String> {
    let mut differences = Vec::new();
    if layout.guid.to_string() != manifest.image.guid {
        differences.push(format!(
            "the disk's GUID is {}, and the manifest says {}",
            layout.guid, manifest.image.guid
        ));
    }
    for part in &parts.list {
        let Some(wanted) = part
            .partition
            .and_then(|index| manifest.partitions.get(index))
        else {
            continue;
        };
        let found = layout
            .partitions
            .iter()
            .find(|found| found.offset == wanted.offset);
        let Some(found) = found else {
            differences.push(format!("there is no partition {} in its place", part.name));
            continue;
        };
        let entry = &found.entry;
        // Another version in slot B has names of its own.
        let named = moved && is_slot_b(wanted);
        for (what, found, wanted) in [
            (
                "length",
                entry.length.to_string(),
                wanted.length.to_string(),
            ),
            ("type", entry.kind.to_string(), wanted.kind.clone()),
            ("GUID", entry.guid.to_string(), wanted.guid.clone()),
            ("label", entry.name.clone(), wanted.label.clone()),
        ] {
            if found != wanted && !(named && matches!(what, "GUID" | "label")) {
                differences.push(format!(
                    "{what} of partition {} is {found:?}, and the manifest says {wanted:?}",
                    part.name
                ));
            }
        }
    }
    if !moved {
        for extra in extra(layout, parts) {
            differences.push(format!(
                "there is a partition {extra:?} that is not the image's"
            ));
        }
    }
    differences
}

/// Labels of partitions that the manifest does not have.
fn extra(layout: &DiskLayout, parts: &Parts) -> Vec<String> {
    let own = |offset: u64| {
        let mut parts = parts.list.iter();
        parts.any(|part| part.partition.is_some() && part.region.offset == offset)
    };
    let extra = layout.partitions.iter().filter(|one| !own(one.offset));
    extra.map(|one| one.entry.name.clone()).collect()
}

/// What of a part beside the table itself is not zeros.
fn beside(source: &dyn ReadAt, part: Region, table: Region) -> Vec<Region> {
    let mut filled = Vec::new();
    for (start, end) in [(part.offset, table.offset), (table.end(), part.end())] {
        let mut at = start.max(part.offset);
        let end = end.min(part.end());
        while at < end {
            let mut buffer = vec![0; (end - at).min(1 << 20) as usize];
            if source.read_exact_at(&mut buffer, at).is_err() {
                break;
            }
            crate::measured::add_filled(&mut filled, &buffer, at);
            at += buffer.len() as u64;
        }
    }
    filled
}
