//! Writes images to disks: the right disk, verified on the way, bootable only when all of it is there.
