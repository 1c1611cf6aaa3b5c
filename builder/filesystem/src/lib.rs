//! File system writers: ext4, FAT32, cpio.
