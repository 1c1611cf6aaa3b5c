//! Reading the machine's own apt sources.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fs;
use std::path::Path;

use fortress_store::mirrors::machine_mirrors;
use proptest::prelude::*;

/// An /etc with these files below apt.
fn etc(files: &[(&str, &str)]) -> tempfile::TempDir {
    let etc = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = etc.path().join("apt").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    etc
}

#[test]
fn finds_the_mirrors_of_the_distribution() {
    struct Case {
        what: &'static str,
        files: &'static [(&'static str, &'static str)],
        distribution: &'static str,
        general: &'static [&'static str],
        security: &'static [&'static str],
    }
    let cases = [
        Case {
            what: "nothing there",
            files: &[],
            distribution: "debian",
            general: &[],
            security: &[],
        },
        Case {
            what: "Debian's installer, one-line style",
            files: &[(
                "sources.list",
                "#deb cdrom:[Debian GNU/Linux 13]/ trixie main\n\
                 \n\
                 deb http://mirror.example/debian/ trixie main non-free-firmware # local\n\
                 deb-src http://source.example/debian/ trixie main\n\
                 deb http://security.debian.org/debian-security trixie-security main\n\
                 deb http://mirror.example/debian/ trixie-updates main\n",
            )],
            distribution: "debian",
            general: &["http://mirror.example/debian"],
            security: &["http://security.debian.org/debian-security"],
        },
        Case {
            what: "Debian's container image, deb822 style",
            files: &[(
                "sources.list.d/debian.sources",
                "Types: deb\n\
                 # http://snapshot.example.org/archive/debian/20250520T000000Z\n\
                 URIs: http://ftp.debian.org/debian\n\
                 Suites: bookworm bookworm-updates\n\
                 Components: main\n\
                 Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\
                 \n\
                 Types: deb\n\
                 URIs: http://ftp.debian.org/debian-security\n\
                 Suites: bookworm-security\n\
                 Components: main\n\
                 Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n",
            )],
            distribution: "debian",
            general: &["http://ftp.debian.org/debian"],
            security: &["http://ftp.debian.org/debian-security"],
        },
        Case {
            what: "Debian's cloud image, lists of mirrors",
            files: &[
                (
                    "sources.list.d/debian.sources",
                    "Types: deb deb-src\n\
                     URIs: mirror+file:///etc/apt/mirrors/debian.list\n\
                     Suites: trixie trixie-updates\n\
                     Components: main\n\
                     \n\
                     Types: deb deb-src\n\
                     URIs: mirror+file:///etc/apt/mirrors/debian-security.list\n\
                     Suites: trixie-security\n\
                     Components: main\n",
                ),
                (
                    "mirrors/debian.list",
                    "# near first\nhttps://near.example/debian\tpriority:1\nhttps://far.example/debian\n",
                ),
                (
                    "mirrors/debian-security.list",
                    "https://near.example/debian-security\n",
                ),
            ],
            distribution: "debian",
            general: &["https://near.example/debian", "https://far.example/debian"],
            security: &["https://near.example/debian-security"],
        },
        Case {
            what: "Ubuntu's installer",
            files: &[(
                "sources.list.d/ubuntu.sources",
                "Types: deb\n\
                 URIs: http://de.archive.ubuntu.com/ubuntu/ http://spare.example/ubuntu\n\
                 Suites: noble noble-updates noble-backports\n\
                 Components: main restricted universe multiverse\n\
                 Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg\n\
                 \n\
                 Types: deb\n\
                 URIs: http://security.ubuntu.com/ubuntu/\n\
                 Suites: noble-security\n\
                 Components: main restricted universe multiverse\n\
                 Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg\n\
                 \n\
                 Types: deb\n\
                 URIs: http://ports.ubuntu.com/ubuntu-ports\n\
                 Suites: noble\n\
                 Components: main\n",
            )],
            distribution: "ubuntu",
            general: &[
                "http://de.archive.ubuntu.com/ubuntu",
                "http://spare.example/ubuntu",
            ],
            security: &["http://security.ubuntu.com/ubuntu"],
        },
        Case {
            what: "other vendors, disabled entries, passwords",
            files: &[
                (
                    "sources.list",
                    "deb http://user:secret@private.example/debian trixie main\n\
                     deb [arch=amd64 signed-by=/etc/apt/keyrings/docker.gpg] https://docker.example/linux/debian trixie stable\n\
                     deb [ signed-by=/etc/apt/keyrings/vendor.gpg ] https://vendor.example/debian trixie main\n\
                     deb https://php.example/php/ trixie main\n\
                     deb ftp://old.example/debian trixie main\n\
                     debhttp://typo.example/debian trixie main\n\
                     deb http://flat.example/debian ./\n",
                ),
                (
                    "sources.list.d/a.sources",
                    "Enabled: no\nTypes: deb\nURIs: http://off.example/debian\nSuites: trixie\nComponents: main\n\
                     \n\
                     Types: deb-src\nURIs: http://src.example/debian\nSuites: trixie\nComponents: main\n\
                     \n\
                     Types: deb\nURIs: http://keyed.example/debian\nSuites: trixie\nComponents: main\n\
                     Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDMEY865UxYJKwYBBAHaRw8BAQdA\n -----END PGP PUBLIC KEY BLOCK-----\n",
                ),
                (
                    "sources.list.d/b.list.save",
                    "deb http://saved.example/debian trixie main\n",
                ),
            ],
            distribution: "debian",
            general: &[],
            security: &[],
        },
        Case {
            what: "the likeliest first, each once",
            files: &[
                (
                    "sources.list.d/a.list",
                    "deb http://maybe.example/debian trixie main\n",
                ),
                (
                    "sources.list.d/b.list",
                    "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg arch=amd64] http://sure.example/debian trixie main\n\
                     deb http://likely.example/debian// trixie-backports main\n",
                ),
                (
                    "sources.list",
                    "deb http://likely.example/debian trixie main\n\
                     deb http://likely.example/debian/ trixie-updates main\n\
                     deb file:/srv/mirror/debian trixie main\n\
                     deb [trusted=yes] HTTP://Upper.example/debian trixie main contrib\n",
                ),
            ],
            distribution: "debian",
            general: &[
                "http://sure.example/debian",
                "http://likely.example/debian",
                "file:///srv/mirror/debian",
                "HTTP://Upper.example/debian",
                "http://maybe.example/debian",
            ],
            security: &[],
        },
        Case {
            what: "fields over several lines, any case, no line at the end",
            files: &[(
                "sources.list.d/local.sources",
                "types: deb\r\nuris:\n http://one.example/debian\n# a remark\n\thttp://two.example/debian\nSUITES: trixie\nComponents:\n main\n contrib",
            )],
            distribution: "debian",
            general: &["http://one.example/debian", "http://two.example/debian"],
            security: &[],
        },
        Case {
            what: "old names of security suites",
            files: &[(
                "sources.list",
                "deb http://security.debian.org/ buster/updates main\n\
                 deb http://all.example/debian-security bullseye-security main\n",
            )],
            distribution: "debian",
            general: &[],
            security: &[
                "http://security.debian.org",
                "http://all.example/debian-security",
            ],
        },
        Case {
            what: "lists of mirrors that lead elsewhere",
            files: &[
                (
                    "sources.list",
                    "deb mirror+file:/etc/apt/../../etc/apt/m.list trixie main\n\
                     deb mirror+file:/etc/apt/missing.list trixie main\n\
                     deb mirror+file:/dev/zero trixie main\n",
                ),
                ("m.list", "http://never.example/debian\n"),
            ],
            distribution: "debian",
            general: &[],
            security: &[],
        },
    ];
    for case in cases {
        let etc = etc(case.files);
        let found = |security| machine_mirrors(etc.path(), case.distribution, security);
        assert_eq!(found(false), case.general, "{}", case.what);
        assert_eq!(found(true), case.security, "{}, security", case.what);
        let other = if case.distribution == "debian" {
            "ubuntu"
        } else {
            "debian"
        };
        assert_eq!(
            machine_mirrors(etc.path(), other, false),
            [""; 0],
            "{}",
            case.what
        );
    }
    assert_eq!(
        machine_mirrors(Path::new("/nowhere"), "fedora", false),
        [""; 0]
    );
}

#[test]
fn is_bounded() {
    let many: String = (0..1000)
        .map(|n| format!("deb http://m{n}.example/debian trixie main\n"))
        .collect();
    let etc = etc(&[("sources.list", &many)]);
    // A file that never ends.
    let parts = etc.path().join("apt/sources.list.d");
    fs::create_dir(&parts).unwrap();
    std::os::unix::fs::symlink("/dev/zero", parts.join("zero.list")).unwrap();
    assert_eq!(machine_mirrors(etc.path(), "debian", false).len(), 32);
}

const WORDS: [&str; 24] = [
    "deb",
    "deb-src",
    " ",
    "\n",
    "\n\n",
    "[",
    "]",
    "#",
    "arch=amd64",
    "signed-by=/k",
    "Types: deb",
    "URIs:",
    "Suites:",
    "Components:",
    "Enabled: no",
    "main",
    "trixie",
    "trixie-security",
    "./",
    "http://m.example/debian",
    "file:/srv/debian",
    "mirror+file:/etc/apt/sources.list",
    ":",
    "\t",
];

proptest! {
    #[test]
    fn never_panics(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        words in prop::collection::vec(prop::sample::select(&WORDS[..]), 0..60),
    ) {
        let words = words.concat();
        let etc = etc(&[("sources.list", &words), ("sources.list.d/a.sources", &words)]);
        fs::write(etc.path().join("apt/sources.list.d/b.list"), &bytes).unwrap();
        fs::write(etc.path().join("apt/sources.list.d/c.sources"), &bytes).unwrap();
        for security in [false, true] {
            for mirror in machine_mirrors(etc.path(), "debian", security) {
                prop_assert!(!mirror.ends_with('/') && mirror.contains("://"), "{}", mirror);
                prop_assert!(!mirror.contains(char::is_whitespace));
            }
        }
    }
}
