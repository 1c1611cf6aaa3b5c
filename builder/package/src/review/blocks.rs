//! The blocks that debhelper adds to scripts, and how the builder covers each.

/// A kind of block that one of debhelper's programs adds to scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GeneratedBlock {
    /// The program, as the block names it.
    pub program: &'static str,
    /// How the builder covers what the block does, in a line.
    pub covered: &'static str,
    /// The commands that such a block runs. A block with any other is reviewed as if a person
    /// had written it.
    pub(super) commands: &'static [&'static str],
}

/// Every kind of generated block that needs no review.
pub const GENERATED_BLOCKS: &[GeneratedBlock] = &[
    GeneratedBlock {
        program: "dh_installsystemd",
        covered: "units are enabled by presets, and started at boot",
        commands: SYSTEMD,
    },
    GeneratedBlock {
        program: "dh_installsystemduser",
        covered: "user units are enabled by presets",
        commands: SYSTEMD,
    },
    GeneratedBlock {
        program: "dh_systemd_enable",
        covered: "units are enabled by presets",
        commands: SYSTEMD,
    },
    GeneratedBlock {
        program: "dh_systemd_start",
        covered: "units are started at boot",
        commands: SYSTEMD,
    },
    GeneratedBlock {
        program: "dh_installinit",
        covered: "systemd starts what is to run; System V links are not used",
        commands: &[
            "update-rc.d",
            "invoke-rc.d",
            "chmod",
            "_dh_action=",
            "deb-systemd-invoke",
        ],
    },
    GeneratedBlock {
        program: "dh_installtmpfiles",
        covered: "tmpfiles.d is applied at build for /etc and /usr, at boot for the rest",
        commands: &["systemd-tmpfiles"],
    },
    GeneratedBlock {
        program: "dh_installsysusers",
        covered: "sysusers.d is applied at build",
        commands: &["systemd-sysusers"],
    },
    GeneratedBlock {
        program: "dh_installdeb",
        covered: "it moves or removes what older versions shipped, and there is none",
        commands: &["dpkg-maintscript-helper"],
    },
    GeneratedBlock {
        program: "dh_installalternatives",
        covered: "alternatives are linked at build",
        commands: &["update-alternatives"],
    },
    GeneratedBlock {
        program: "dh_installdebconf",
        covered: "no question is asked, so there are no answers to purge",
        commands: &[".", "db_purge"],
    },
    GeneratedBlock {
        program: "dh_makeshlibs",
        covered: "ld.so.cache is made at build",
        commands: &["ldconfig"],
    },
    GeneratedBlock {
        program: "dh_python3",
        covered: "byte code is not stored: Python makes it in memory",
        commands: &["command", "py3compile", "pypy3compile"],
    },
    GeneratedBlock {
        program: "dh_ucf",
        covered: "there is no earlier configuration file to keep",
        commands: &["ucf", "ucfr"],
    },
    GeneratedBlock {
        program: "dh_installudev",
        covered: "hwdb.bin is made at build, rules are read at boot",
        commands: &["udevadm", "dpkg-maintscript-helper"],
    },
    GeneratedBlock {
        program: "dh_installmodules",
        covered: "module indexes are made at build",
        commands: &["depmod", "dpkg-maintscript-helper"],
    },
    GeneratedBlock {
        program: "dh_installmenu",
        covered: "no package has update-menus any more",
        commands: &["update-menus"],
    },
    GeneratedBlock {
        program: "dh_usrlocal",
        covered: "/usr/local is not part of an image: empty directories in it are not made",
        commands: &[
            "(",
            ")",
            "default_mode=",
            "default_user=",
            "default_group=",
            "while",
            "do",
            "done",
            "set",
            "dir=",
            "mode=",
            "user=",
            "group=",
            "mkdir",
            "chown",
            "chmod",
            "DATA",
            "/usr/local/",
        ],
    },
];

const SYSTEMD: &[&str] = &[
    "deb-systemd-helper",
    "deb-systemd-invoke",
    "systemctl",
    "_dh_action=",
];
