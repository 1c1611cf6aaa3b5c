//! Lines of a console that fail a boot.
//!
//! ```
//! use fortress_qemu::patterns::{Effect, find};
//! let pattern = find("Kernel panic - not syncing: VFS: Unable to mount root fs").unwrap();
//! assert_eq!((pattern.name, pattern.effect), ("kernel-panic", Effect::Ends));
//! assert!(find("[  OK  ] Reached target Multi-User System.").is_none());
//! ```
//!
//! A pattern is text to be found in a line as it is written, with `*` for anything between two
//! pieces. That is all that the table needs, so there is no regular expression engine here.

use serde::Serialize;

/// What a line does to the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// The boot is over: nothing more can come.
    Ends,
    /// The boot goes on and fails at its end.
    Fails,
    /// It fails under hardware virtualisation. Under emulation a busy host is reason enough for
    /// such a line, and it is only told.
    Late,
}

/// One pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pattern {
    /// Its name, by which a test can allow it.
    pub name: &'static str,
    /// What it looks for.
    pub text: &'static str,
    /// What such a line means.
    pub why: &'static str,
    /// What it does to the test.
    pub effect: Effect,
}

const fn pattern(
    effect: Effect,
    name: &'static str,
    text: &'static str,
    why: &'static str,
) -> Pattern {
    Pattern {
        name,
        text,
        why,
        effect,
    }
}

use Effect::{Ends, Fails, Late};

/// The patterns, in the order in which they are tried: the first that fits names the line.
#[rustfmt::skip]
pub const PATTERNS: &[Pattern] = &[
    // Verity first: whatever else such a line says, this is what it is about.
    pattern(Fails, "verity-corruption", "device-mapper: verity: * corrupted", "a block of a verity device is not what its hash tree says"),
    pattern(Fails, "verity-signature", "verity: Root hash verification failed", "nobody signed the root hash whom the kernel trusts"),
    pattern(Ends, "verity-unsigned", "fortress: the root hash of * is not signed, ", "the machine demands the owner's signature of the root hash"),
    pattern(Fails, "verity-setup", "device-mapper: table: * verity: ", "the kernel refuses the verity device: superblock, signature or root hash"),
    pattern(Fails, "verity-root-hash", "Verity device detected corruption", "veritysetup found the root hash or its signature wrong"),
    // The kernel's end.
    pattern(Ends, "kernel-panic", "Kernel panic - not syncing", "the kernel gave up"),
    pattern(Ends, "no-init", "No working init found", "the root has no init that runs"),
    pattern(Ends, "double-fault", "PANIC: double fault", "the kernel gave up"),
    pattern(Ends, "systemd-frozen", "Freezing execution", "systemd crashed, and stands still"),
    pattern(Ends, "emergency-mode", "You are in emergency mode", "the boot failed; a person is to help"),
    pattern(Ends, "emergency-target", "Reached target *mergency Mode", "the boot failed; a person is to help"),
    pattern(Ends, "rescue-mode", "You are in rescue mode", "the boot failed; a person is to help"),
    pattern(Ends, "maintenance-prompt", "Press Enter for maintenance", "the boot failed; a person is to help"),
    pattern(Ends, "initramfs-shell", "(initramfs) ", "the initrd gave up and shows a shell"),
    pattern(Ends, "cannot-open-access", "Cannot open access to console, the root account is locked", "the boot failed, and the emergency shell is locked"),
    pattern(Ends, "start-failed", "fortress: the start failed", "the initrd could not bring up the root, and starts again"),
    pattern(Ends, "state-command-line", "fortress: the command line is not the one", "somebody added to the command line, and the initrd goes no further"),
    pattern(Ends, "state-sealed", "fortress: the TPM does not release the key of the state", "the TPM keeps the key of /var: what started is not what it was sealed to, or this is another TPM"),
    pattern(Ends, "state-without-tpm", "fortress: this machine has no TPM 2, and ", "the image demands a TPM"),
    pattern(Ends, "firmware-no-boot", "BdsDxe: No bootable option or device was found", "the firmware found nothing to boot"),
    pattern(Ends, "firmware-shell", "UEFI Interactive Shell", "the firmware found nothing to boot, and shows its shell"),
    pattern(Ends, "firmware-assert", "ASSERT_EFI_ERROR", "the firmware gave up"),
    pattern(Ends, "secure-boot-refused", ": Access Denied", "the firmware refuses a program that nobody signed whom it trusts"),
    pattern(Ends, "secure-boot-loader", "Error loading *: Access denied", "the boot loader was given a program that nobody signed whom the firmware trusts"),
    pattern(Ends, "secure-boot-violation", "Security Violation", "the firmware refuses a program that nobody signed whom it trusts"),
    // The kernel's faults.
    pattern(Fails, "oops", "Oops: ", "a fault in the kernel"),
    pattern(Late, "soft-lockup", "BUG: soft lockup", "a processor was stuck in the kernel"),
    pattern(Late, "workqueue-lockup", "BUG: workqueue lockup", "kernel work was stuck"),
    pattern(Fails, "kernel-bug", "BUG: ", "the kernel met a state that it holds for impossible"),
    pattern(Fails, "kernel-bug-at", "kernel BUG at ", "the kernel met a state that it holds for impossible"),
    pattern(Fails, "general-protection", "general protection fault", "a forbidden access in the kernel or a program"),
    pattern(Fails, "kernel-warning", "WARNING: CPU: ", "the kernel met a state that it did not expect"),
    pattern(Late, "hard-lockup", "hard LOCKUP", "a processor no longer takes interrupts"),
    pattern(Late, "rcu-stall", "rcu: INFO: *detected *stall", "a processor was stuck"),
    pattern(Late, "hung-task", "blocked for more than ", "a program waits without end for the kernel"),
    pattern(Fails, "out-of-memory", "Out of memory: Killed process", "memory ran out"),
    pattern(Fails, "oom-kill", "invoked oom-killer", "memory ran out"),
    pattern(Fails, "segfault", " segfault at ", "a program crashed"),
    pattern(Fails, "trap", " traps: ", "a program crashed"),
    pattern(Fails, "taint", "taints kernel", "a module that is not of this kernel"),
    pattern(Fails, "module-signature", "module verification failed", "a module without a valid signature"),
    pattern(Fails, "watchdog", "watchdog did not stop", "the watchdog will restart the machine"),
    pattern(Fails, "audit-lost", "audit_lost=", "the audit trail has gaps"),
    pattern(Fails, "audit-backlog", "audit: backlog limit exceeded", "the audit trail has gaps"),
    // Disks and file systems.
    pattern(Fails, "io-error", "I/O error", "the disk cannot be read or written"),
    pattern(Fails, "ext4-error", "EXT4-fs error", "the file system is damaged"),
    pattern(Fails, "ext4-mount", "EXT4-fs (*): VFS: Can't find ext4", "there is no ext4 where one is mounted"),
    pattern(Fails, "erofs-error", "erofs: (device *): * error", "the file system is damaged"),
    pattern(Fails, "fat-error", "FAT-fs (*): error", "the file system is damaged"),
    pattern(Fails, "btrfs-error", "BTRFS error", "the file system is damaged"),
    // systemd's words.
    pattern(Fails, "unit-failed", "Failed to start ", "a service failed"),
    pattern(Fails, "mount-failed", "Failed to mount ", "a mount failed"),
    pattern(Fails, "listen-failed", "Failed to listen on ", "a socket failed"),
    pattern(Fails, "dependency-failed", "Dependency failed for ", "a unit was not started, since one that it needs failed"),
    pattern(Fails, "failed-state", "Entered failed state", "a unit failed"),
    pattern(Fails, "failed-result", "Failed with result ", "a unit failed"),
    pattern(Fails, "device-timeout", "Timed out waiting for device", "a disk or partition never appeared"),
    pattern(Fails, "ordering-cycle", "ordering cycle", "units wait for each other; systemd left one out"),
    pattern(Fails, "unit-not-found", "Failed to isolate default target", "there is no default target"),
    pattern(Fails, "generator-failed", "generators failed", "units could not be generated"),
];

/// The first pattern that fits a line.
pub fn find(line: &str) -> Option<&'static Pattern> {
    PATTERNS.iter().find(|pattern| matches(pattern.text, line))
}

/// Whether a line holds the pieces of a text, in their order.
fn matches(text: &str, line: &str) -> bool {
    let mut rest = line;
    for piece in text.split('*') {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    true
}

/// A line that matched a pattern.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The pattern's name.
    pub pattern: String,
    /// What such a line means.
    pub why: String,
    /// What it does to the test.
    pub effect: Effect,
    /// The line.
    pub line: String,
    /// When it came, in seconds since power-on.
    pub seconds: f64,
    /// Why it does not fail the test, if it does not.
    pub allowed: Option<String>,
}

impl Finding {
    /// Whether the line says that something signed, hashed or sealed is not what it should be.
    pub(crate) fn tells_of_verification(&self) -> bool {
        ["verity-", "secure-boot-", "state-"]
            .iter()
            .any(|kind| self.pattern.starts_with(kind))
    }
}

/// Judges the lines of one test.
#[derive(Debug)]
pub(crate) struct Judge {
    allowed: Vec<String>,
    emulated: bool,
    findings: Vec<Finding>,
    left_out: usize,
}

/// How many findings a report lists.
const LISTED: usize = 100;

impl Judge {
    pub(crate) fn new(allowed: &[String], emulated: bool) -> Self {
        Self {
            allowed: allowed.to_vec(),
            emulated,
            findings: Vec::new(),
            left_out: 0,
        }
    }

    /// Looks at a line; gives the finding, if it is one.
    pub(crate) fn look(&mut self, seconds: f64, line: &str) -> Option<Finding> {
        let pattern = find(line)?;
        let allowed = self
            .allowed
            .iter()
            .find(|allowed| match allowed.split_once(": ") {
                Some((name, text)) => name == pattern.name && line.contains(text),
                None => *allowed == pattern.name,
            })
            .map(|allowed| format!("this test allows \"{allowed}\""))
            .or_else(|| {
                (self.emulated && pattern.effect == Late).then(|| {
                    "the machine is emulated, where a busy host is reason enough".to_owned()
                })
            });
        let finding = Finding {
            pattern: pattern.name.to_owned(),
            why: pattern.why.to_owned(),
            effect: pattern.effect,
            line: line.to_owned(),
            seconds,
            allowed,
        };
        if self.findings.len() < LISTED {
            self.findings.push(finding.clone());
        } else {
            self.left_out += usize::from(finding.allowed.is_none());
        }
        Some(finding)
    }

    /// The findings, and how many more that fail the test were not kept.
    pub(crate) fn findings(self) -> (Vec<Finding>, usize) {
        (self.findings, self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines as kernels and systemd print them, with the pattern that must name each.
    const LINES: &[(&str, &str)] = &[
        (
            "[    9.1] device-mapper: verity: 254:2: data block 81 is corrupted",
            "verity-corruption",
        ),
        (
            "[    9.1] device-mapper: verity: 254:2: metadata block 2 is corrupted",
            "verity-corruption",
        ),
        (
            "[    9.1] device-mapper: table: 254:0: verity: Unrecognized verity feature request (-EINVAL)",
            "verity-setup",
        ),
        (
            "[    8.2] device-mapper: table: 253:0: verity: Root hash verification failed (-EKEYREJECTED)",
            "verity-signature",
        ),
        (
            "[    1.5] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
            "kernel-panic",
        ),
        (
            "[    1.5] BUG: kernel NULL pointer dereference, address: 0000000000000010",
            "kernel-bug",
        ),
        ("[    1.5] Oops: 0000 [#1] PREEMPT SMP NOPTI", "oops"),
        (
            "[   50.1] watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [systemd:1]",
            "soft-lockup",
        ),
        (
            "[   21.0] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
            "rcu-stall",
        ),
        (
            "[   21.0] rcu: INFO: rcu_preempt self-detected stall on CPU",
            "rcu-stall",
        ),
        (
            "[  242.7] INFO: task systemd:1 blocked for more than 120 seconds.",
            "hung-task",
        ),
        (
            "[    7.2] systemd-udevd[181]: segfault at 0 ip 00007f sp 00007f error 4 in libc.so.6",
            "segfault",
        ),
        (
            "[    3.4] Buffer I/O error on dev dm-0, logical block 12, async page read",
            "io-error",
        ),
        (
            "[    3.4] EXT4-fs error (device dm-0): ext4_lookup:1780: inode #2: comm init: bad entry",
            "ext4-error",
        ),
        (
            "[FAILED] Failed to start nftables.service - nftables.",
            "unit-failed",
        ),
        ("[FAILED] Failed to mount var.mount - /var.", "mount-failed"),
        (
            "[DEPEND] Dependency failed for local-fs.target - Local File Systems.",
            "dependency-failed",
        ),
        (
            "[    5.1] systemd[1]: Found ordering cycle on sysinit.target/start",
            "ordering-cycle",
        ),
        (
            "[    5.1] systemd[1]: nftables.service: Failed with result 'exit-code'.",
            "failed-result",
        ),
        (
            "[ TIME ] Timed out waiting for device dev-disk-by\\x2dpartuuid-1.device.",
            "device-timeout",
        ),
        (
            "You are in emergency mode. After logging in, type \"journalctl -xb\"",
            "emergency-mode",
        ),
        (
            "[    5.0] systemd[1]: Freezing execution.",
            "systemd-frozen",
        ),
        (
            "BdsDxe: No bootable option or device was found.",
            "firmware-no-boot",
        ),
        (
            "BdsDxe: failed to load Boot0001 \"UEFI Misc Device\" from PciRoot(0x0): Access Denied",
            "secure-boot-refused",
        ),
        (
            "../src/boot/boot.c:2576@image_start: Error loading \\EFI\\Linux\\a.efi: Access denied",
            "secure-boot-loader",
        ),
        (
            "[   11.5] fortress: the command line is not the one that the kernel image brings: something was added to it",
            "state-command-line",
        ),
        (
            "[    8.2] foo: loading out-of-tree module taints kernel.",
            "taint",
        ),
        (
            "[   11.3] Out of memory: Killed process 210 (nft) total-vm:1234kB",
            "out-of-memory",
        ),
    ];

    #[test]
    fn each_line_is_named() {
        for (line, name) in LINES {
            assert_eq!(
                find(line).map(|pattern| pattern.name),
                Some(*name),
                "{line}"
            );
        }
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = PATTERNS.iter().map(|pattern| pattern.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PATTERNS.len());
    }

    #[test]
    fn what_is_allowed_is_told_and_does_not_fail() {
        let allowed = ["unit-failed: nftables".to_owned(), "oops".to_owned()];
        let mut judge = Judge::new(&allowed, true);
        let mut allows = |line: &str| judge.look(1.0, line).unwrap().allowed.is_some();
        assert!(allows("[FAILED] Failed to start nftables.service"));
        assert!(!allows("[FAILED] Failed to start auditd.service"));
        assert!(allows("Oops: 0000"));
        assert!(allows("watchdog: BUG: soft lockup - CPU#0"));
        assert!(!allows("BUG: unable to handle page fault"));
        let mut judge = Judge::new(&[], false);
        assert_eq!(
            judge
                .look(1.0, "watchdog: BUG: soft lockup")
                .unwrap()
                .allowed,
            None
        );
    }
}
