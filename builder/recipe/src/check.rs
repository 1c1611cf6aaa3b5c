//! What names and values may look like.

/// Names that become part of file names: images, versions, boards, recipes, bases, overlays.
pub(crate) fn name(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".+-".contains(c);
    let starts = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if text.len() > 64 {
        return Err("it is longer than 64 characters".to_owned());
    }
    if !starts || !text.chars().all(allowed) {
        return Err(
            "it must be of a-z, 0-9, '.', '+' and '-', and begin with a letter or a digit"
                .to_owned(),
        );
    }
    Ok(text.to_owned())
}

/// A version. `+3` or `+3-1` at its end would be read as a count of boot attempts (Automatic Boot
/// Assessment) in the file name of a unified kernel image.
pub(crate) fn version(text: &str) -> Result<String, String> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let counter = text
        .rsplit_once('+')
        .is_some_and(|(_, end)| match end.split_once('-') {
            Some((left, done)) => digits(left) && digits(done),
            None => digits(end),
        });
    if counter {
        return Err("systemd-boot would read its end as a count of boot attempts".to_owned());
    }
    name(text)
}

/// A package of Debian: `name`, `name:architecture`, `name=version`, `name:architecture=version`.
pub(crate) fn package(text: &str) -> Result<String, String> {
    let (left, version) = match text.split_once('=') {
        Some((left, version)) => (left, Some(version)),
        None => (text, None),
    };
    let (name, architecture) = match left.split_once(':') {
        Some((name, architecture)) => (name, Some(architecture)),
        None => (left, None),
    };
    package_name(name)?;
    let plain = |text: &str, more: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    if architecture.is_some_and(|architecture| !plain(architecture, "-")) {
        return Err("what stands after ':' must be an architecture".to_owned());
    }
    if version.is_some_and(|version| !plain(version, ".+-~:")) {
        return Err("what stands after '=' must be a version".to_owned());
    }
    Ok(text.to_owned())
}

/// The part of a package as written that says which it is, without a version.
pub(crate) fn name_of(package: &str) -> &str {
    package.split_once('=').map_or(package, |(name, _)| name)
}

/// The name of a package (Debian Policy 5.6.7).
pub(crate) fn package_name(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".+-".contains(c);
    let starts = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if text.len() >= 2 && text.len() <= 128 && starts && text.chars().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err(
            "the name of a package is of a-z, 0-9, '.', '+' and '-', begins with a letter or a \
             digit and has two characters at least"
                .to_owned(),
        )
    }
}

/// A unit with its type, as systemd names it.
pub(crate) fn unit(text: &str) -> Result<String, String> {
    const TYPES: [&str; 11] = [
        "service",
        "socket",
        "target",
        "device",
        "mount",
        "automount",
        "swap",
        "timer",
        "path",
        "slice",
        "scope",
    ];
    let allowed = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    let typed = text
        .rsplit_once('.')
        .is_some_and(|(name, kind)| !name.is_empty() && TYPES.contains(&kind));
    if !typed {
        return Err("a unit has its type at its end, such as .service or .timer".to_owned());
    }
    if text.len() > 255 || !text.chars().all(allowed) {
        return Err("it is no name of a unit (systemd.unit(5))".to_owned());
    }
    Ok(text.to_owned())
}

/// A host name: labels of letters, digits and hyphens (RFC 1123), 64 characters at most (Linux).
pub(crate) fn hostname(text: &str) -> Result<String, String> {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    if text.len() <= 64 && text.split('.').all(label) {
        Ok(text.to_owned())
    } else {
        Err("a host name is of letters, digits and hyphens, 64 characters at most".to_owned())
    }
}

/// A locale, such as `C.UTF-8` or `de_AT.UTF-8`.
pub(crate) fn locale(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.@-".contains(c);
    if !text.is_empty() && text.len() <= 64 && text.chars().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err("a locale is written like C.UTF-8 or de_AT.UTF-8".to_owned())
    }
}

/// A name of the time zone database.
pub(crate) fn time_zone(text: &str) -> Result<String, String> {
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_+-".contains(c))
    };
    if text.len() <= 64 && text.split('/').all(part) {
        Ok(text.to_owned())
    } else {
        Err("a time zone is written like UTC or Europe/Vienna".to_owned())
    }
}

/// A part of the kernel's command line: one line of printable ASCII.
pub(crate) fn kernel_argument(text: &str) -> Result<String, String> {
    if text.is_empty() || !text.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
        return Err("it must be of printable ASCII characters".to_owned());
    }
    if text.starts_with("roothash=") || text.starts_with("usrhash=") {
        return Err("the builder itself says which root is to be trusted".to_owned());
    }
    Ok(text.to_owned())
}

/// A kernel module.
pub(crate) fn module(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    if !text.is_empty() && text.len() <= 64 && text.chars().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err("a module is named by letters, digits, '_' and '-', without .ko".to_owned())
    }
}

/// A user or group (systemd's strict rules).
pub(crate) fn account(text: &str) -> Result<String, String> {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    if starts && text.len() <= 31 && text.chars().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err(
            "a user or group is named by letters, digits, '_' and '-', 31 at most, and does not \
             begin with a digit"
                .to_owned(),
        )
    }
}

/// A socket that may listen: `udp:51820`, or `tcp:127.0.0.1:631`, `tcp:[::1]:631`.
pub(crate) fn socket(text: &str) -> Result<String, String> {
    let why = "a socket is written like udp:51820 or tcp:127.0.0.1:631".to_owned();
    let Some((protocol, rest)) = text.split_once(':') else {
        return Err(why);
    };
    let (address, port) = match rest.rsplit_once(':') {
        Some((address, port)) => (Some(address), port),
        None => (None, rest),
    };
    let address_fits = address.is_none_or(|address| {
        match address
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
            None => address.parse::<std::net::Ipv4Addr>().is_ok(),
        }
    });
    let port_fits = port
        .parse::<u16>()
        .is_ok_and(|number| number.to_string() == port);
    if ["tcp", "udp"].contains(&protocol) && address_fits && port_fits {
        Ok(text.to_owned())
    } else {
        Err(why)
    }
}

/// A pattern of absolute paths in the image; its first name is plain, so it cannot mean all.
pub(crate) fn pattern(text: &str) -> Result<String, String> {
    let names_fit = text.strip_prefix('/').is_some_and(|rest| {
        rest.split('/')
            .all(|name| !name.is_empty() && name != "." && name != "..")
    });
    if !names_fit || text.chars().any(char::is_control) {
        return Err(
            "it must be an absolute path, without '.', '..' or '//' and with no '/' at its end"
                .to_owned(),
        );
    }
    if text
        .split('/')
        .nth(1)
        .is_some_and(|name| name.contains(['*', '?', '[']))
    {
        return Err("its first name must be plain".to_owned());
    }
    Ok(text.to_owned())
}

/// The public address of an archive.
pub(crate) fn url(text: &str) -> Result<String, String> {
    let scheme = ["http://", "https://", "file:///"];
    let fits = scheme.iter().any(|scheme| {
        text.strip_prefix(scheme)
            .is_some_and(|rest| !rest.is_empty())
    });
    if !fits || !text.chars().all(|c| c.is_ascii_graphic()) {
        return Err("it must be an http://, https:// or file:/// address".to_owned());
    }
    if text.ends_with('/') {
        return Err("an archive's address has no '/' at its end".to_owned());
    }
    Ok(text.to_owned())
}

/// The address of a snapshot service.
pub(crate) fn snapshot(text: &str) -> Result<String, String> {
    if text.matches("{timestamp}").count() != 1 {
        return Err("it must have {timestamp} in it once".to_owned());
    }
    url(text)
}

/// A drive for data: its name is part of a GPT label (36 characters), of a device's name and of a
/// unit's.
pub(crate) fn drive(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !text.is_empty() && text.len() <= 20 && text.chars().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err("a drive is named by a-z and 0-9, 20 characters at most".to_owned())
    }
}

/// A suite, component, code name, label, console, machine type or the like: one plain word.
pub(crate) fn word(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".,_+-/=".contains(c);
    let leaves = text.starts_with('/') || text.split('/').any(|part| part == "..");
    if !text.is_empty() && text.len() <= 128 && text.chars().all(allowed) && !leaves {
        Ok(text.to_owned())
    } else {
        Err("it must be a word of ASCII letters, digits and .,_+-/=".to_owned())
    }
}

/// The name of a TOML file in the folder of recipes.
pub(crate) fn toml_file(text: &str) -> Result<String, String> {
    match text.strip_suffix(".toml") {
        Some(stem) => name(stem).map(|_| text.to_owned()),
        None => Err("it must be the name of a .toml file in recipes/".to_owned()),
    }
}

/// A description: one line that says something.
pub(crate) fn line(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        Err("it must be a line of text".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Check = fn(&str) -> Result<String, String>;

    #[test]
    fn what_fits_and_what_does_not() {
        let table: [(&str, Check, &[&str], &[&str]); 12] = [
            (
                "name",
                name,
                &["host", "debian-13", "1.0+b"],
                &["", "Host", "-a", "a b", "ä", "a/b", ".."],
            ),
            (
                "version",
                version,
                &["1", "1.2", "2.0+git-5a"],
                &["1+3", "1.0+2-1", "", "+1", "1.2~"],
            ),
            (
                "package",
                package,
                &["g++", "libc6:arm64", "dpkg=1:1.22~rc", "a1:amd64=1"],
                &["a", "A1", "a b", "dpkg=", "libc6:", "../x", "-aa"],
            ),
            (
                "unit",
                unit,
                &["a.service", "getty@.service", "dev-disk\\x2d1.device"],
                &["a", ".service", "a.exe", "a/b.service"],
            ),
            (
                "hostname",
                hostname,
                &["attic", "a.example"],
                &["", "-a", "a_b", "a..b"],
            ),
            (
                "time zone",
                time_zone,
                &["UTC", "America/Port-au-Prince", "Etc/GMT+5"],
                &["", "../x", "/UTC", "a//b"],
            ),
            (
                "kernel argument",
                kernel_argument,
                &["quiet", "a=\"b c\""],
                &["", "a\nb", "ü", "roothash=00"],
            ),
            (
                "account",
                account,
                &["_apt", "systemd-network"],
                &["", "1a", "a.b", "root:x"],
            ),
            (
                "socket",
                socket,
                &["udp:51820", "tcp:[::1]:80", "tcp:127.0.0.1:1"],
                &["udp", "icmp:1", "udp:99999", "udp:01", "tcp:host:1"],
            ),
            (
                "pattern",
                pattern,
                &["/usr/share/x", "/a/**/[A-Z]*.so"],
                &["/", "", "usr", "/a/", "/a/../b", "/*/x", "/**", "//a"],
            ),
            (
                "url",
                url,
                &["http://a.example/debian", "file:///srv/x"],
                &["ftp://a", "http://", "http://a/", "http://a b"],
            ),
            (
                "snapshot",
                snapshot,
                &["https://a.example/{timestamp}"],
                &["https://a.example/x"],
            ),
        ];
        for (what, check, good, bad) in table {
            for text in good {
                assert_eq!(check(text).as_deref(), Ok(*text), "{what}");
            }
            for text in bad {
                assert!(check(text).is_err(), "{what}: {text:?} fits");
            }
        }
    }
}
