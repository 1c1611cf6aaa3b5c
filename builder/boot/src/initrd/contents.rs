//! What an initrd holds besides the board's modules: only what opening the verified root and the
//! machine's state takes. Each entry is attack surface and, at each boot, time.

use super::StateSupport;

/// Directories and mount points, and the links of a merged /usr; without /sbin, where the kernel would
/// look for modprobe before it starts systemd (the command line tells it the right place).
pub(super) const DIRECTORIES: [&str; 11] = [
    "/bin",
    "/dev",
    "/etc",
    "/lib",
    "/proc",
    "/run",
    "/sys",
    "/sysroot",
    "/tmp",
    "/usr/bin",
    "/usr/sbin",
];

/// What is there for one purpose.
pub(super) struct Part {
    /// Programs, with what they load.
    pub(super) programs: &'static [&'static str],
    /// Libraries that programs load by name while they run.
    pub(super) libraries: &'static [&'static str],
    /// Plain files, where the base has them.
    pub(super) optional: &'static [&'static str],
    /// Kernel modules, by name or alias.
    pub(super) modules: &'static [&'static str],
}

/// The parts of an initrd that can do so much about the state.
pub(super) fn parts(state: StateSupport) -> impl Iterator<Item = &'static Part> {
    [
        (true, &ROOT),
        (state.encrypted, &ENCRYPTED),
        (state.tpm, &TPM),
        (state.swap, &SWAP),
        (state.key_stick, &KEY_STICK),
    ]
    .into_iter()
    .filter_map(|(wanted, part)| wanted.then_some(part))
}

/// Finds and opens the verified root, makes and mounts the state.
static ROOT: Part = Part {
    programs: &[
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
    ],
    libraries: &[
        "libcryptsetup.so.12",
        "libkmod.so.2",
        "liblzma.so.5",
        "libzstd.so.1",
    ],
    optional: &[
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
    ],
    modules: &[],
};

/// Makes and opens LUKS2 volumes, by a passphrase that is asked for on every console.
static ENCRYPTED: Part = Part {
    programs: &[
        "/usr/bin/rm",
        "/usr/bin/rmdir",
        "/usr/bin/systemd-ask-password",
        "/usr/bin/systemd-cryptenroll",
        "/usr/bin/systemd-tty-ask-password-agent",
        "/usr/bin/umount",
        "/usr/lib/systemd/systemd-cryptsetup",
    ],
    // The C library loads it when a thread ends by itself.
    libraries: &["libgcc_s.so.1"],
    optional: &[],
    // What encrypts for dm-crypt, by the names that the kernel asks for; how cryptsetup asks the
    // kernel for it; how systemd-repart reaches a partition that is not in the table yet.
    modules: &[
        "dm-crypt",
        "crypto-aes",
        "crypto-xts",
        "algif_skcipher",
        "loop",
    ],
};

/// Seals keys in a TPM 2, and has them given back.
static TPM: Part = Part {
    programs: &["/usr/lib/systemd/systemd-pcrextend"],
    libraries: &[
        "libtss2-esys.so.0",
        "libtss2-mu.so.0",
        "libtss2-rc.so.0",
        "libtss2-tcti-device.so.0",
    ],
    optional: &[],
    // The variables of UEFI say whether Secure Boot is on and what systemd-stub measured.
    modules: &["efivarfs"],
};

/// Makes swap.
static SWAP: Part = Part {
    programs: &["/usr/sbin/mkswap"],
    libraries: &[],
    optional: &[],
    modules: &[],
};

/// Reads keys from a stick with FAT.
static KEY_STICK: Part = Part {
    programs: &["/usr/bin/mv", "/usr/bin/rm"],
    libraries: &[],
    optional: &[],
    modules: &["vfat", "nls_ascii", "nls_cp437"],
};
