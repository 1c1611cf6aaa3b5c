//! GUID partition tables ([UEFI 2.10, section 5.3](https://uefi.org/specs/UEFI/2.10/05_GUID_Partition_Table_Format.html)):
//! where partitions go, both copies of the table, and the protective MBR.

mod format;
mod layout;
pub mod partition_types;
mod reader;
mod writer;

pub use format::{Attributes, SECTOR};
pub use layout::{DiskLayout, LayoutOptions, PartitionEntry, Placement, layout};
pub use reader::{Copies, examine, read};
pub use writer::write;
