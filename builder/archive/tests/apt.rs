//! Our closures against apt's: the same suites, the same packages asked for, an empty root.
//!
//! apt is Debian 13's (3.0, whose `apt-get` resolves by apt's classic solver), run in the oracle
//! root on the very index files that ours read, laid out as a `file:` archive.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that panics has failed"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use fortress_archive::{Index, LoadOptions, Request, Source, resolve};
use fortress_progress::Silent;
use fortress_store::{Client, ClientOptions, Digest, Store, mirrors};
use fortress_tests::Oracle;

/// Package sets, small to desktop-sized.
const SETS: [(&str, &[&str]); 20] = [
    ("essential", &[]),
    ("hello", &["hello"]),
    (
        "host",
        &[
            "systemd",
            "systemd-sysv",
            "udev",
            "dbus",
            "systemd-cryptsetup",
            "cryptsetup-bin",
            "systemd-repart",
            "nftables",
            "wireguard-tools",
            "auditd",
            "apparmor",
            "iproute2",
            "kmod",
            "libpam-systemd",
            "ca-certificates",
            "iputils-ping",
            "procps",
            "systemd-resolved",
            "e2fsprogs",
            "systemd-boot-efi",
            "tpm2-tools",
        ],
    ),
    ("kernel", &["linux-image-cloud-ARCH", "initramfs-tools"]),
    (
        "web",
        &["nginx", "php-fpm", "certbot", "python3-certbot-nginx"],
    ),
    (
        "apache",
        &["apache2", "libapache2-mod-php", "mariadb-server"],
    ),
    (
        "database",
        &["postgresql", "postgresql-contrib", "redis-server"],
    ),
    ("mail", &["dovecot-imapd", "rspamd", "mailutils"]),
    (
        "virtualization",
        &[
            "qemu-system-QEMU",
            "libvirt-daemon-system",
            "virtinst",
            "ovmf|qemu-efi-aarch64",
        ],
    ),
    (
        "containers",
        &[
            "docker.io",
            "docker-compose",
            "podman",
            "buildah",
            "containernetworking-plugins",
        ],
    ),
    (
        "cluster",
        &[
            "containerd",
            "conntrack",
            "socat",
            "ebtables",
            "ethtool",
            "ipset",
            "etcd-server",
            "haproxy",
            "keepalived",
        ],
    ),
    (
        "toolchain",
        &["build-essential", "devscripts", "debhelper", "cmake", "git"],
    ),
    (
        "python",
        &[
            "python3-dev",
            "python3-venv",
            "python3-numpy",
            "python3-scipy",
            "python3-matplotlib",
        ],
    ),
    ("java", &["default-jdk", "maven", "tomcat10"]),
    ("rust", &["cargo", "rustc", "clang", "llvm", "gdb"]),
    ("tex", &["texlive", "texlive-latex-extra", "latexmk"]),
    ("gnome", &["task-gnome-desktop"]),
    ("kde", &["kde-standard", "sddm"]),
    ("xfce", &["xfce4", "lightdm", "firefox-esr", "libreoffice"]),
    (
        "monitoring",
        &[
            "prometheus",
            "prometheus-node-exporter",
            "grafana|collectd",
            "rsyslog",
            "snmpd",
            "zabbix-agent",
        ],
    ),
];

/// Differences that are known: architecture, whether recommended packages come along, set,
/// `+name` (only ours) or `-name` (only apt's), reason.
const EXPLAINED: [(&str, bool, &str, &str, &str); 4] = [
    ("amd64", true, "web", "-python3-typing-extensions", EARLIER),
    (
        "amd64",
        true,
        "toolchain",
        "-liblz1",
        "plzip alone needs it",
    ),
    ("amd64", true, "toolchain", "-plzip", EARLIER),
    ("amd64", true, "toolchain", "-sq", EARLIER),
];

/// apt comes to the alternatives before it comes to the package that meets them as well; we come
/// to that package first (both closures have it), and need no other.
const EARLIER: &str = "an alternative that a package of both closures meets";

struct Archive {
    name: &'static str,
    suite: &'static str,
    security: bool,
    public: &'static str,
}

const ARCHIVES: [Archive; 3] = [
    Archive {
        name: "debian",
        suite: "trixie",
        security: false,
        public: "http://ftp.debian.org/debian",
    },
    Archive {
        name: "updates",
        suite: "trixie-updates",
        security: false,
        public: "http://ftp.debian.org/debian",
    },
    Archive {
        name: "security",
        suite: "trixie-security",
        security: true,
        public: "http://security.debian.org/debian-security",
    },
];

const KEYS: &str = "usr/share/keyrings/debian-archive-keyring.gpg";

fn store() -> Store {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    Store::open(&target.join("test-store")).unwrap()
}

fn load(oracle: &Oracle, store: &Store, architecture: &str) -> Index {
    let keys = fs::read(oracle.root().join(KEYS)).unwrap();
    let sources = ARCHIVES.map(|archive| {
        let mut mirrors = mirrors::machine_mirrors(Path::new("/etc"), "debian", archive.security);
        mirrors.push(archive.public.into());
        Source {
            name: archive.name.into(),
            mirrors,
            suite: archive.suite.into(),
            components: vec!["main".into()],
            keys: vec![keys.clone()],
            priority: 500,
            ..Source::default()
        }
    });
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let options = LoadOptions {
        now: i64::try_from(now).unwrap(),
        offline: false,
    };
    let client = Client::new(ClientOptions::default()).unwrap();
    Index::load(&sources, architecture, store, &client, &options, &Silent).unwrap()
}

/// Lays the index files that were loaded out as archives, and lets apt read them.
fn apt_root(store: &Store, oracle: &Oracle, folder: &Path, architecture: &str) -> Vec<String> {
    let mut list = String::new();
    for archive in ARCHIVES {
        let release = store
            .recall(&format!("release/{}/{}", archive.name, archive.suite))
            .unwrap()
            .unwrap();
        let dists = folder.join(archive.name).join("dists").join(archive.suite);
        let path = format!("main/binary-{architecture}/Packages.xz");
        fs::create_dir_all(dists.join(&path).parent().unwrap()).unwrap();
        let text = String::from_utf8(release).unwrap();
        let (_, hashes) = text.split_once("\nSHA256:").unwrap();
        let line = hashes
            .lines()
            .find(|line| line.ends_with(&format!(" {path}")))
            .unwrap();
        let digest: Digest = line.split_whitespace().next().unwrap().parse().unwrap();
        let blob = store.get(&digest).unwrap().unwrap();
        fs::copy(blob.path(), dists.join(&path)).unwrap();
        fs::write(dists.join("InRelease"), text).unwrap();
        let here = oracle.inside(&folder.join(archive.name));
        writeln!(
            list,
            "deb [signed-by=/{KEYS}] file:{here} {} main",
            archive.suite
        )
        .unwrap();
    }
    let apt = folder.join("apt");
    for part in [
        "state/lists/partial",
        "cache/archives/partial",
        "etc/preferences.d",
    ] {
        fs::create_dir_all(apt.join(part)).unwrap();
    }
    fs::write(apt.join("sources.list"), list).unwrap();
    fs::write(apt.join("status"), "").unwrap();
    let here = oracle.inside(&apt);
    let mut command = vec!["apt-get".to_owned()];
    for option in [
        format!("Dir::State={here}/state"),
        format!("Dir::State::status={here}/status"),
        format!("Dir::Cache={here}/cache"),
        format!("Dir::Etc={here}/etc"),
        format!("Dir::Etc::SourceList={here}/sources.list"),
        format!("APT::Architecture={architecture}"),
        format!("APT::Architectures={architecture}"),
        "APT::Sandbox::User=root".into(),
        "Acquire::Languages=none".into(),
    ] {
        command.extend(["-o".to_owned(), option]);
    }
    command
}

fn run(oracle: &Oracle, command: &[String], more: &[&str]) -> String {
    let command: Vec<&str> = command
        .iter()
        .map(String::as_str)
        .chain(more.iter().copied())
        .collect();
    oracle.run(&command).success()
}

/// `Inst name (version suite [architecture])`.
fn apt_closure(
    oracle: &Oracle,
    command: &[String],
    roots: &[&str],
    recommends: bool,
) -> BTreeMap<String, String> {
    let recommends = format!("APT::Install-Recommends={recommends}");
    // apt holds itself essential.
    let essential = "?and(?essential,?not(?exact-name(apt)))";
    let mut more = vec!["-o", &recommends, "-s", "install", essential];
    more.extend(roots);
    run(oracle, command, &more)
        .lines()
        .filter_map(|line| line.strip_prefix("Inst "))
        .map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next().unwrap().split(':').next().unwrap();
            let version = words.next().unwrap().trim_start_matches('(');
            (name.to_owned(), version.to_owned())
        })
        .collect()
}

fn compare(architecture: &str, sets: &[&str], recommends: bool) {
    let oracle = Oracle::open();
    let store = store();
    let folder = oracle.folder();
    let (index, command) = {
        // Both read one state of the archive, whatever the mirror has by the time that the next test asks.
        static TURN: Mutex<()> = Mutex::new(());
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let index = load(&oracle, &store, architecture);
        let command = apt_root(&store, &oracle, folder.path(), architecture);
        (index, command)
    };
    run(&oracle, &command, &["update"]);
    let mut unexplained = Vec::new();
    let mut needed = BTreeSet::new();
    for (set, roots) in SETS {
        if !sets.is_empty() && !sets.contains(&set) {
            continue;
        }
        // Names that an architecture has of its own.
        let roots: Vec<&str> = roots
            .iter()
            .map(|root| match (*root, architecture) {
                ("linux-image-cloud-ARCH", "amd64") => "linux-image-cloud-amd64",
                ("linux-image-cloud-ARCH", _) => "linux-image-cloud-arm64",
                ("qemu-system-QEMU", "amd64") => "qemu-system-x86",
                ("qemu-system-QEMU", _) => "qemu-system-arm",
                ("ovmf|qemu-efi-aarch64", "amd64") => "ovmf",
                ("ovmf|qemu-efi-aarch64", _) => "qemu-efi-aarch64",
                (root, _) => root.rsplit('|').next().unwrap(),
            })
            .collect();
        let request = Request {
            roots: roots.iter().map(|root| (*root).to_owned()).collect(),
            essential: true,
            recommends,
            ..Request::default()
        };
        let resolution = resolve(&index, &request).unwrap_or_else(|error| panic!("{set}: {error}"));
        let ours: BTreeMap<String, String> = resolution
            .packages
            .iter()
            .map(|stanza| (stanza.name().to_owned(), stanza.version().to_owned()))
            .collect();
        let apt = apt_closure(&oracle, &command, &roots, recommends);
        println!(
            "{architecture} {set}: {} packages, apt {}",
            ours.len(),
            apt.len()
        );
        let only =
            |one: &BTreeMap<String, String>, other: &BTreeMap<String, String>, sign: char| {
                let extra = one
                    .iter()
                    .filter(|(name, version)| other.get(*name) != Some(*version));
                extra
                    .map(|(name, _)| format!("{sign}{name}"))
                    .collect::<Vec<_>>()
            };
        for difference in [only(&ours, &apt, '+'), only(&apt, &ours, '-')].concat() {
            let here = (architecture, recommends, set, difference.as_str());
            let known = EXPLAINED
                .iter()
                .position(|known| (known.0, known.1, known.2, known.3) == here);
            match known {
                Some(known) => drop(needed.insert(known)),
                None => unexplained.push(format!("{set} {difference}")),
            }
        }
    }
    assert!(unexplained.is_empty(), "not explained: {unexplained:#?}");
    // No fault of ours: the archive is a living one.
    for (number, known) in EXPLAINED.iter().enumerate() {
        if (known.0, known.1) == (architecture, recommends) && !needed.contains(&number) {
            println!("explained, and no longer different: {known:?}");
        }
    }
}

#[test]
fn closures_equal_those_of_apt_on_amd64() {
    compare("amd64", &[], false);
}

#[test]
fn closures_equal_those_of_apt_on_arm64() {
    compare("arm64", &[], false);
}

#[test]
fn recommended_packages_equal_those_of_apt() {
    compare(
        "amd64",
        &[
            "hello",
            "host",
            "web",
            "database",
            "virtualization",
            "toolchain",
        ],
        true,
    );
}
