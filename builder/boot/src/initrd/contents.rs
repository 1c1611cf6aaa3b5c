//! What an initrd holds besides modules: only what opening the verified root takes. Each entry is
//! attack surface and, at each boot, time.

/// Directories and mount points, and the links of a merged /usr.
pub(super) const DIRECTORIES: [&str; 12] = [
    "/bin",
    "/dev",
    "/etc",
    "/lib",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/sysroot",
    "/tmp",
    "/usr/bin",
    "/usr/sbin",
];

/// Programs, with what they load.
pub(super) const PROGRAMS: [&str; 18] = [
    "/usr/bin/dash",
    "/usr/bin/kmod",
    "/usr/bin/mkdir",
    "/usr/bin/mount",
    "/usr/bin/sync",
    "/usr/bin/systemctl",
    "/usr/bin/systemd-repart",
    "/usr/bin/udevadm",
    "/usr/lib/systemd/systemd",
    "/usr/lib/systemd/systemd-executor",
    "/usr/lib/systemd/systemd-shutdown",
    "/usr/lib/systemd/systemd-udevd",
    "/usr/lib/systemd/systemd-veritysetup",
    "/usr/lib/systemd/system-generators/systemd-fstab-generator",
    "/usr/lib/systemd/system-generators/systemd-veritysetup-generator",
    "/usr/sbin/dmsetup",
    "/usr/sbin/mkfs.ext4",
    "/usr/sbin/modprobe",
];

/// Libraries that programs load by name while they run.
pub(super) const LIBRARIES: [&str; 4] = [
    "libcryptsetup.so.12",
    "libkmod.so.2",
    "liblzma.so.5",
    "libzstd.so.1",
];

/// Plain files, where the base has them.
pub(super) const OPTIONAL: [&str; 13] = [
    "/etc/group",
    "/etc/mke2fs.conf",
    "/etc/passwd",
    "/usr/lib/os-release",
    "/etc/os-release",
    "/usr/lib/udev/rules.d/50-udev-default.rules",
    "/usr/lib/udev/rules.d/55-dm.rules",
    "/usr/lib/udev/rules.d/60-block.rules",
    "/usr/lib/udev/rules.d/60-persistent-storage.rules",
    "/usr/lib/udev/rules.d/60-persistent-storage-dm.rules",
    "/usr/lib/udev/rules.d/80-drivers.rules",
    "/usr/lib/udev/rules.d/95-dm-notify.rules",
    "/usr/lib/udev/rules.d/99-systemd.rules",
];
