//! Writes a partition table with the `gpt` crate, which is given every GUID.

use super::format::SECTOR;
use super::layout::DiskLayout;
use crate::{Error, Result};
use gpt::GptConfig;
use gpt::mbr::ProtectiveMBR;
use gpt::partition::Partition;
use gpt::partition_types::{OperatingSystem, Type};
use std::collections::BTreeMap;
use std::fs::File;

/// Writes both copies of the table and the protective MBR. `file` must already have the
/// layout's length, and nothing may read or write it by its position meanwhile.
///
/// # Errors
/// When the file has another length or cannot be written.
pub fn write(file: &File, layout: &DiskLayout) -> Result<()> {
    let failed = |source| Error::io("write", "the partition table", source);
    let length = file.metadata().map_err(failed)?.len();
    if length != layout.length {
        let reason = format!("is for {} bytes, the file has {length}", layout.length);
        return Err(Error::Table {
            copy: "planned",
            reason,
        });
    }
    let mut partitions = BTreeMap::new();
    for (number, placement) in (1..).zip(&layout.partitions) {
        let region = placement.region();
        let partition = Partition {
            part_type_guid: Type {
                guid: placement.entry.kind,
                os: OperatingSystem::None,
            },
            part_guid: placement.entry.guid,
            first_lba: region.offset / SECTOR,
            last_lba: region.end() / SECTOR - 1,
            flags: placement.entry.attributes,
            name: placement.entry.name.clone(),
        };
        partitions.insert(number, partition);
    }
    let mut device = file;
    let protected = u32::try_from(length / SECTOR - 1).unwrap_or(u32::MAX);
    ProtectiveMBR::with_lb_size(protected)
        .overwrite_lba0(&mut device)
        .map_err(|error| failed(std::io::Error::other(error)))?;
    let library = |error: gpt::GptError| match error {
        gpt::GptError::Io(source) => failed(source),
        other => failed(std::io::Error::other(other)),
    };
    let mut disk = GptConfig::new()
        .writable(true)
        .create_from_device(device, Some(layout.guid))
        .map_err(library)?;
    disk.update_partitions(partitions).map_err(library)?;
    disk.write().map_err(library)?;
    Ok(())
}
