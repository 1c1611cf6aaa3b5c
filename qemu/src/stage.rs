//! How far a boot came, by what its console says.

/// How far a boot came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Firmware,
    BootLoader,
    Kernel,
    Initrd,
    SwitchRoot,
    UserSpace,
    /// All units of the usual target were started.
    MultiUser,
    Reported,
}

impl Stage {
    /// In words, as a sentence's end: "it stood in …".
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Firmware => "the firmware",
            Self::BootLoader => "the boot loader",
            Self::Kernel => "the kernel, before its init",
            Self::Initrd => "the initrd",
            Self::SwitchRoot => "the switch from initrd to root",
            Self::UserSpace => "the root's user space",
            Self::MultiUser => "the wait for the health report, all targets reached",
            Self::Reported => "the end: it had reported",
        }
    }
}

/// Texts and the stage that they prove. The kernel's lines tell of its init when it is not quiet.
const SIGNS: &[(&str, Stage)] = &[
    ("BdsDxe: starting Boot", Stage::BootLoader),
    ("systemd-boot", Stage::BootLoader),
    ("EFI stub: ", Stage::Kernel),
    ("Linux version ", Stage::Kernel),
    ("Booting Linux on physical CPU", Stage::Kernel),
    ("Run /init as init process", Stage::Initrd),
    ("Running in initrd", Stage::Initrd),
    ("Booting initrd of", Stage::Initrd),
    ("Reached target initrd", Stage::Initrd),
    ("Switching root", Stage::SwitchRoot),
    ("Starting initrd-switch-root", Stage::SwitchRoot),
    ("Reached target sysinit.target", Stage::UserSpace),
    ("Reached target multi-user.target", Stage::MultiUser),
    ("Reached target graphical.target", Stage::MultiUser),
];

/// Follows one boot.
#[derive(Debug)]
pub(crate) struct Progress {
    stage: Stage,
    seconds: [Option<f64>; 8],
    target: Option<String>,
    waiting: Option<String>,
    kernel_lines: bool,
}

impl Progress {
    /// A boot that starts with firmware, or at once with the kernel.
    pub(crate) fn new(direct: bool) -> Self {
        Self {
            stage: if direct {
                Stage::BootLoader
            } else {
                Stage::Firmware
            },
            seconds: [None; 8],
            target: None,
            waiting: None,
            kernel_lines: false,
        }
    }

    /// Looks at a line; gives the stage if the boot reached a further one with it.
    pub(crate) fn look(&mut self, seconds: f64, line: &str) -> Option<Stage> {
        if let Some((_, target)) = line.split_once("Reached target ") {
            self.target = Some(target.trim_end_matches('.').chars().take(80).collect());
            self.waiting = None;
        } else if let Some(job) = waited_for(line) {
            self.waiting = Some(job.chars().take(80).collect());
        }
        let stage = if let Some(sign) = SIGNS.iter().rev().find(|sign| line.contains(sign.0)) {
            sign.1
        } else if !self.kernel_lines && is_kernel_line(line) {
            self.kernel_lines = true;
            Stage::Kernel
        } else if line.contains("Welcome to ") {
            // systemd greets once in the initrd, once in the root.
            if self.stage < Stage::Initrd {
                Stage::Initrd
            } else {
                Stage::UserSpace
            }
        } else {
            return None;
        };
        self.reach(seconds, stage)
    }

    /// The boot reached a stage.
    pub(crate) fn reach(&mut self, seconds: f64, stage: Stage) -> Option<Stage> {
        if stage <= self.stage {
            return None;
        }
        self.stage = stage;
        if let Some(at) = self.seconds.get_mut(stage as usize) {
            *at = Some(seconds);
        }
        Some(stage)
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    /// When a stage was seen to begin, in seconds since power-on.
    pub(crate) fn when(&self, stage: Stage) -> Option<f64> {
        self.seconds.get(stage as usize).copied().flatten()
    }

    /// Where the boot stands, in words.
    pub(crate) fn tell(&self) -> String {
        let mut words = self.stage.name().to_owned();
        if self.stage == Stage::Reported {
            return words;
        }
        if let Some(target) = &self.target {
            words.push_str(&format!(", last target reached: {target}"));
        }
        if let Some(waiting) = &self.waiting {
            words.push_str(&format!(", waiting for {waiting}"));
        }
        words
    }
}

/// What systemd says it waits for, in the line that it writes over again and again:
/// `[ ***  ] (1 of 3) Job dev-mapper-root.device/start running (7s / 1min 30s)`.
pub(crate) fn waited_for(line: &str) -> Option<&str> {
    let (head, job) = line.split_once("Job ")?;
    let (job, _) = job.split_once(" running (")?;
    let spinner = head.starts_with('[') && head.contains('*');
    spinner.then(|| job.trim_end_matches("/start"))
}

/// Whether a line has the kernel's time stamp, as in `[    1.234567] text`.
fn is_kernel_line(line: &str) -> bool {
    guest_seconds(line).is_some()
}

/// A kernel line's time stamp: seconds since the kernel started.
pub(crate) fn guest_seconds(line: &str) -> Option<f64> {
    let (stamp, _) = line.strip_prefix('[')?.split_once("] ")?;
    let stamp = stamp.trim_start();
    let (whole, fraction) = stamp.split_once('.')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(whole) && digits(fraction) && fraction.len() == 6)
        .then(|| stamp.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_is_followed() {
        let mut progress = Progress::new(false);
        let lines = [
            (
                "BdsDxe: starting Boot0001 \"UEFI Misc Device\"",
                Some(Stage::BootLoader),
            ),
            (
                "EFI stub: Loaded initrd from LINUX_EFI_INITRD_MEDIA_GUID device path",
                Some(Stage::Kernel),
            ),
            ("[    0.000000] Linux version 6.12.1", None),
            (
                "Welcome to Debian GNU/Linux 13 (trixie) (Initramfs)!",
                Some(Stage::Initrd),
            ),
            (
                "[  OK  ] Reached target initrd-root-device.target - Initrd Root Device.",
                None,
            ),
            (
                "[    3.000000] systemd[1]: Switching root.",
                Some(Stage::SwitchRoot),
            ),
            (
                "Welcome to Debian GNU/Linux 13 (trixie)!",
                Some(Stage::UserSpace),
            ),
            ("[  OK  ] Reached target network.target - Network.", None),
        ];
        for (at, (line, stage)) in lines.into_iter().enumerate() {
            assert_eq!(progress.look(at as f64, line), stage, "{line}");
        }
        assert!(progress.tell().ends_with("network.target - Network"));
        let waits = "[ ***  ] (1 of 3) Job var.mount/start running (7s / 1min 30s)";
        assert_eq!(progress.look(8.5, waits), None);
        assert!(progress.tell().ends_with(", waiting for var.mount"));
        assert_eq!(progress.when(Stage::Kernel), Some(1.0));
        progress.look(
            9.0,
            "[  OK  ] Reached target multi-user.target - Multi-User System.",
        );
        assert_eq!(progress.stage(), Stage::MultiUser);
    }

    #[test]
    fn time_stamps_are_read() {
        assert_eq!(
            guest_seconds("[    1.555489] Kernel panic"),
            Some(1.555_489)
        );
        assert_eq!(guest_seconds("[  OK  ] Reached"), None);
        assert_eq!(guest_seconds("[ 1.x] "), None);
    }
}
