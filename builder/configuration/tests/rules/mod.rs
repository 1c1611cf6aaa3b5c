//! Why the tree may differ from one whose scripts ran.

use crate::difference::Difference;

/// A reason, and what it explains.
#[derive(Debug)]
pub(crate) struct Rule {
    /// How the path differs.
    aspect: &'static str,
    /// The path; what ends with `*` stands for all that begin so.
    path: &'static str,
    /// Why.
    #[allow(dead_code)]
    reason: &'static str,
}

impl Rule {
    /// Whether it explains a difference.
    pub(crate) fn explains(&self, difference: &Difference) -> bool {
        let fits = match self.path.strip_suffix('*') {
            Some(start) => difference.path.starts_with(start),
            None => difference.path == self.path,
        };
        fits && self.aspect == difference.aspect
    }
}

/// All of them.
pub(crate) const RULES: &[Rule] = &[
    Rule {
        aspect: "content",
        path: "/etc/ld.so.cache",
        reason: "it names its maker",
    },
    Rule {
        aspect: "only theirs",
        path: "/.complete",
        reason: "the oracle's own mark",
    },
    Rule {
        aspect: "only theirs",
        path: "/boot/initrd.img-*",
        reason: "the builder makes its own initrd",
    },
    Rule {
        aspect: "only theirs",
        path: "/initrd.img*",
        reason: "a link for boot loaders that the image has not",
    },
    Rule {
        aspect: "only theirs",
        path: "/vmlinuz*",
        reason: "a link for boot loaders that the image has not",
    },
    Rule {
        aspect: "only theirs",
        path: "/etc/.pwd.lock",
        reason: "a lock file of the tools that change accounts",
    },
    Rule {
        aspect: "only theirs",
        path: "/etc/.resolv.conf.systemd-resolved.bak",
        reason: "the host's resolv.conf, which mmdebstrap copied in",
    },
    Rule {
        aspect: "only ours",
        path: "/etc/.updated",
        reason: "systemd-update-done writes it at the first boot",
    },
    Rule {
        aspect: "content",
        path: "/etc/apparmor.d/tunables/*",
        reason: "comments in words of our own",
    },
    Rule {
        aspect: "only theirs",
        path: "/etc/apt/apt.conf.d/99mmdebstrap",
        reason: "mmdebstrap's",
    },
    Rule {
        aspect: "only theirs",
        path: "/etc/apt/sources.list",
        reason: "mmdebstrap's",
    },
    Rule {
        aspect: "content",
        path: "/etc/ca-certificates.conf",
        reason: "the comment in words of our own",
    },
    Rule {
        aspect: "only theirs",
        path: "/etc/fstab",
        reason: "mmdebstrap's",
    },
    Rule {
        aspect: "content",
        path: "/etc/passwd",
        reason: "order and IDs, compared account by account",
    },
    Rule {
        aspect: "content",
        path: "/etc/group",
        reason: "order and IDs, compared group by group",
    },
    Rule {
        aspect: "content",
        path: "/etc/shadow",
        reason: "order and days, compared account by account",
    },
    Rule {
        aspect: "content",
        path: "/etc/gshadow",
        reason: "order, compared group by group",
    },
    Rule {
        aspect: "only theirs",
        path: "/etc/passwd-",
        reason: "a backup",
    },
    Rule {
        aspect: "only theirs",
        path: "/etc/group-",
        reason: "a backup",
    },
    Rule {
        aspect: "only theirs",
        path: "/etc/shadow-",
        reason: "a backup",
    },
    Rule {
        aspect: "only theirs",
        path: "/etc/gshadow-",
        reason: "a backup",
    },
    Rule {
        aspect: "content",
        path: "/etc/hostname",
        reason: "the host's, which mmdebstrap copied in",
    },
    Rule {
        aspect: "mode",
        path: "/etc/hostname",
        reason: "the host's, which mmdebstrap copied in",
    },
    Rule {
        aspect: "content",
        path: "/etc/hosts.*",
        reason: "comments in words of our own",
    },
    Rule {
        aspect: "only ours",
        path: "/etc/locale.conf",
        reason: "a setting; Debian asks in locales' debconf question",
    },
    Rule {
        aspect: "mode",
        path: "/etc/machine-id",
        reason: "mmdebstrap empties it; systemd makes it 444",
    },
    Rule {
        aspect: "content",
        path: "/etc/modules",
        reason: "comments in words of our own",
    },
    Rule {
        aspect: "only theirs",
        path: "/etc/rc*",
        reason: "System V runlevels, which systemd does not read",
    },
    Rule {
        aspect: "only ours",
        path: "/etc/systemd/*",
        reason: "presets decide, not scripts",
    },
    Rule {
        aspect: "only theirs",
        path: "/etc/systemd/*",
        reason: "presets decide, not scripts",
    },
    Rule {
        aspect: "only ours",
        path: "/usr/lib/systemd/system-preset/99-default.preset",
        reason: "presets decide: off unless asked for",
    },
    Rule {
        aspect: "only ours",
        path: "/usr/lib/systemd/user-preset/99-default.preset",
        reason: "presets decide: off unless asked for",
    },
    Rule {
        aspect: "only ours",
        path: "/usr/lib/sysimage*",
        reason: "dpkg's database, in the read-only system",
    },
    Rule {
        aspect: "only ours",
        path: "/usr/lib/systemd/catalog/database",
        reason: "the journal's catalog, in the read-only system",
    },
    Rule {
        aspect: "only ours",
        path: "/usr/lib/tmpfiles.d/fortress-*",
        reason: "what fills /var at boot",
    },
    Rule {
        aspect: "only ours",
        path: "/usr/share/factory*",
        reason: "what fills /var at boot",
    },
    Rule {
        aspect: "content",
        path: "/usr/lib/modules/*",
        reason: "modules.symbols: the order of a hash table, compared line by line elsewhere",
    },
    Rule {
        aspect: "only theirs",
        path: "/usr/lib/python3*",
        reason: "byte code, which Python makes in memory where the system is read-only",
    },
    Rule {
        aspect: "only theirs",
        path: "/usr/share/python3*",
        reason: "byte code, which Python makes in memory where the system is read-only",
    },
];
