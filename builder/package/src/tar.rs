//! The tar archives within a package (POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar
//! manual, "Basic Tar Format"), read strictly: what is not understood is refused.

mod format;
mod reader;

pub(crate) use format::BLOCK;
pub(crate) use reader::{Blocks, Entry, EntryKind, Reader};
