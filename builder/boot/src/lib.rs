//! What boots: initrd, unified kernel image, boot loader files.
