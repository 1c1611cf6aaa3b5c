//! Partitions, slots and sizes.

use super::{Inputs, or};
use crate::error::{ErrorKind, Result};
use crate::origin::Sourced;
use crate::plan::{Firmware, Image, Partition, PartitionKind, PartitionSize, RootFilesystem, Slot};
use crate::source::Located;

impl Inputs<'_> {
    /// The partitions of the slots that the image has, and its sizes.
    pub(super) fn image(&mut self) -> Result<(Vec<Partition>, Image)> {
        let scalars = std::mem::take(&mut self.composition.wishes.scalars);
        let written = std::mem::take(&mut self.board.partitions);
        let in_slot = |slot: &Option<Located<Slot>>, wanted| {
            slot.as_ref().is_some_and(|slot| slot.value == wanted)
        };
        let has_b = written.iter().any(|part| in_slot(&part.slot, Slot::B));
        let slots = match scalars.slots.clone() {
            Some(slots) if slots.value == 2 && !has_b => {
                return Err(slots.mark.error(ErrorKind::BadValue {
                    key: "image.slots".to_owned(),
                    got: "2".to_owned(),
                    why: format!("board {} has no slot b", self.board_name.value),
                }));
            }
            Some(slots) => slots.sourced(),
            None => Sourced::default_value(if has_b { 2 } else { 1 }),
        };
        let mut esp_size = None;
        let mut partitions = Vec::new();
        for partition in written {
            if slots.value == 1 && in_slot(&partition.slot, Slot::B) {
                continue;
            }
            let mut size = partition.size.sourced();
            if partition.kind.value == PartitionKind::Esp {
                if let Some(wanted) = scalars.esp_size.clone() {
                    size = wanted.map(PartitionSize::Bytes).sourced();
                }
                if let PartitionSize::Bytes(bytes) = size.value {
                    esp_size = Some(size.clone().map(|_| bytes));
                }
            }
            partitions.push(Partition {
                kind: partition.kind.sourced(),
                slot: partition.slot.map(Located::sourced),
                label: partition.label.map(Located::sourced),
                size,
            });
        }
        self.check_partitions(&partitions)?;
        if let (Some(wanted), None) = (&scalars.esp_size, &esp_size) {
            return Err(wanted.mark.error(ErrorKind::BadValue {
                key: "image.esp-size".to_owned(),
                got: wanted.value.to_string(),
                why: format!("board {} has no ESP", self.board_name.value),
            }));
        }
        let image = Image {
            filesystem: or(scalars.filesystem.clone(), RootFilesystem::Ext4),
            headroom_percent: or(scalars.headroom_percent.clone(), 10),
            headroom_bytes: or(scalars.headroom.clone(), 0),
            slots,
            esp_size,
        };
        self.composition.wishes.scalars = scalars;
        Ok((partitions, image))
    }

    /// Refuses a board on whose partitions no image can be.
    fn check_partitions(&self, partitions: &[Partition]) -> Result<()> {
        let mut needed = vec![PartitionKind::Root, PartitionKind::RootVerity];
        if self.board.firmware.value == Firmware::Uefi {
            needed.insert(0, PartitionKind::Esp);
        } else {
            needed.splice(0..0, [PartitionKind::BootSelect, PartitionKind::Boot]);
            if self.board.raspberry_pi.is_none() {
                return Err(self.board.firmware.mark.error(ErrorKind::MissingKey {
                    key: "raspberry-pi".to_owned(),
                    within: String::new(),
                }));
            }
        }
        for kind in needed {
            if partitions
                .iter()
                .all(|partition| partition.kind.value != kind)
            {
                return Err(self.board.firmware.mark.error(ErrorKind::MissingKey {
                    key: format!("kind = \"{}\"", kind.as_str()),
                    within: "partitions".to_owned(),
                }));
            }
        }
        Ok(())
    }
}
