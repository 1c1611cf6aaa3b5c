//! What the machine is called and how it is spoken to: hostname, hosts, locale, time zone,
//! resolver, machine ID, and keys that must not be in an image.

use crate::place::is_there;
use crate::{Done, Error, Result, Settings};
use fortress_tree::{Kind, Node, Tree, TreePath};

const ZONES: &str = "/usr/share/zoneinfo";
const LOCALES: &str = "/usr/lib/locale";
/// Locales that the C library has built in.
const BUILT_IN: [&str; 3] = ["C", "POSIX", "C.UTF-8"];
const STUB: &str = "../run/systemd/resolve/stub-resolv.conf";
/// What netbase writes, with a place for the machine's own name.
const HOSTS: &str = "127.0.0.1\tlocalhost\n@::1\t\tlocalhost ip6-localhost ip6-loopback\nff02::1\t\tip6-allnodes\nff02::2\t\tip6-allrouters\n\n";

/// Sets them. `/etc/hosts` and `/etc/resolv.conf` stay when they are there (an overlay's).
/// The machine ID is an empty file: on a read-only root systemd binds one over it that is made
/// at boot, and does not take the boot for a first one. SSH host keys and `/etc/.pwd.lock` go.
///
/// # Errors
/// A hostname that is none, a time zone or locale that the tree lacks.
pub fn run(tree: &mut Tree, settings: &Settings) -> Result<Done> {
    hostname(tree, &settings.hostname)?;
    locale(tree, &settings.locale)?;
    time_zone(tree, &settings.time_zone)?;
    let resolver = TreePath::new("/etc/resolv.conf")?;
    let resolved = TreePath::new("/usr/lib/systemd/systemd-resolved")?;
    if !is_there(tree, &resolver) && tree.find(&resolved).is_some() {
        tree.link(&resolver, STUB)?;
    }
    tree.write(&TreePath::new("/etc/machine-id")?, 0o444, "")?;
    let removed = tree.remove_where(|path, _| is_secret(path.as_str()));
    let mut done = Done::new(format!(
        "{}, {}, {}",
        settings.hostname, settings.locale, settings.time_zone
    ));
    if removed > 0 {
        done.warnings.push(format!(
            "{removed} keys or locks that must differ from machine to machine were left out"
        ));
    }
    Ok(done)
}

fn is_secret(path: &str) -> bool {
    let host_key = |name: &str| name.starts_with("ssh_host_") && name.contains("_key");
    path == "/etc/.pwd.lock" || path.strip_prefix("/etc/ssh/").is_some_and(host_key)
}

fn hostname(tree: &mut Tree, name: &str) -> Result<()> {
    let good_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > 64 || !name.split('.').all(good_label) {
        return Err(Error::Setting {
            setting: "hostname",
            value: name.to_owned(),
            reason:
                "a hostname has up to 64 letters, digits and hyphens, in parts set apart by dots"
                    .into(),
        });
    }
    tree.write(&TreePath::new("/etc/hostname")?, 0o644, format!("{name}\n"))?;
    let hosts = TreePath::new("/etc/hosts")?;
    if !is_there(tree, &hosts) {
        let short = name.split('.').next().unwrap_or(name);
        let names = if short == name {
            name.to_owned()
        } else {
            format!("{name} {short}")
        };
        let own = match short {
            "localhost" => String::new(),
            _ => format!("127.0.1.1\t{names}\n"),
        };
        tree.write(&hosts, 0o644, HOSTS.replace('@', &own))?;
    }
    Ok(())
}

fn locale(tree: &mut Tree, locale: &str) -> Result<()> {
    let folder = locale.replace(".UTF-8", ".utf8");
    let compiled = TreePath::new(&format!("{LOCALES}/{folder}/LC_CTYPE"))?;
    let archive = TreePath::new(&format!("{LOCALES}/locale-archive"))?;
    if !BUILT_IN.contains(&locale)
        && tree.find(&compiled).is_none()
        && tree.find(&archive).is_none()
    {
        return Err(Error::Setting {
            setting: "locale",
            value: locale.to_owned(),
            reason: format!(
                "the tree has no compiled locale {LOCALES}/{folder}; C.UTF-8 is always there, others come with locales-all"
            ),
        });
    }
    tree.write(
        &TreePath::new("/etc/locale.conf")?,
        0o644,
        format!("LANG={locale}\n"),
    )?;
    let old = TreePath::new("/etc/default/locale")?;
    if !is_there(tree, &old) {
        tree.link(&old, "../locale.conf")?;
    }
    Ok(())
}

fn time_zone(tree: &mut Tree, zone: &str) -> Result<()> {
    let refused = |reason: String| Error::Setting {
        setting: "time_zone",
        value: zone.to_owned(),
        reason,
    };
    let zones = TreePath::new(ZONES)?;
    let path = zones
        .join(zone)
        .map_err(|error| refused(error.to_string()))?;
    let found = tree.find(&path).map(|node| &node.kind);
    if !matches!(found, Some(Kind::File(_) | Kind::HardLink(_))) {
        if zone == "Etc/UTC" || zone == "UTC" {
            // Without zone data the C library's time is UTC anyway.
            return Ok(());
        }
        return Err(refused(match nearest(tree, &zones, zone) {
            Some(near) => format!("{ZONES} in the tree has no such zone; did you mean {near:?}?"),
            None => format!("the tree has no {ZONES}; the package tzdata has it"),
        }));
    }
    let localtime = TreePath::new("/etc/localtime")?;
    tree.place(&localtime, Node::symlink(format!("{ZONES}/{zone}")))?;
    Ok(())
}

/// The zone whose name is most like the one asked for.
fn nearest(tree: &Tree, zones: &TreePath, zone: &str) -> Option<String> {
    let names = tree
        .within(zones)
        .filter(|(_, node)| !node.is_directory())
        .filter_map(|(path, _)| path.as_str().strip_prefix(ZONES)?.strip_prefix('/'));
    let likeness = |name: &str| strsim::jaro_winkler(&name.to_lowercase(), &zone.to_lowercase());
    let best = names.max_by(|one, other| {
        likeness(one)
            .total_cmp(&likeness(other))
            .then(other.cmp(one))
    });
    best.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let mut tree = Tree::new(0);
        for path in [
            "/usr/share/zoneinfo/Etc/UTC",
            "/usr/share/zoneinfo/Europe/Zurich",
            "/etc/ssh/ssh_host_rsa_key",
            "/etc/ssh/sshd_config",
        ] {
            tree.write(&TreePath::new(path).unwrap(), 0o644, "x")
                .unwrap();
        }
        tree
    }

    fn settings() -> Settings {
        Settings {
            hostname: "wall.example".into(),
            time_zone: "Europe/Zurich".into(),
            ..Settings::default()
        }
    }

    #[test]
    fn everything_is_set_and_keys_go() {
        let mut tree = tree();
        let done = run(&mut tree, &settings()).unwrap();
        let text = |path: &str| tree.read_text(&TreePath::new(path).unwrap()).unwrap();
        assert_eq!(text("/etc/hostname"), "wall.example\n");
        assert!(text("/etc/hosts").contains("127.0.1.1\twall.example wall\n"));
        assert_eq!(text("/etc/default/locale"), "LANG=C.UTF-8\n");
        assert_eq!(text("/etc/machine-id"), "");
        assert_eq!(text("/etc/localtime"), "x");
        assert!(
            tree.find(&TreePath::new("/etc/ssh/ssh_host_rsa_key").unwrap())
                .is_none()
        );
        assert_eq!(text("/etc/ssh/sshd_config"), "x");
        assert_eq!(done.warnings.len(), 1);
    }

    #[test]
    fn settings_that_do_not_fit_say_what_would() {
        for (change, said) in [
            (("hostname", "-x"), "hyphens"),
            (("hostname", "a..b"), "hyphens"),
            (("locale", "de_DE.UTF-8"), "locales-all"),
            (("time_zone", "Europe/Zürich"), "\"Europe/Zurich\""),
            (("time_zone", "../x"), "leave"),
            (("time_zone", "Europe"), "did you mean"),
        ] {
            let mut settings = settings();
            match change.0 {
                "hostname" => settings.hostname = change.1.into(),
                "locale" => settings.locale = change.1.into(),
                _ => settings.time_zone = change.1.into(),
            }
            let error = run(&mut tree(), &settings).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
