//! Which mirrors this machine's own apt uses.
//!
//! ```
//! let mirrors = fortress_store::mirrors::machine_mirrors("/etc".as_ref(), "debian", false);
//! ```
//!
//! Formats: sources.list(5), one-line and deb822, and the `mirror+file` lists of
//! apt-transport-mirror(1).

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Longer files are not read any further, in bytes.
const LONGEST: u64 = 1 << 20;

/// More files are not read.
const MOST_FILES: usize = 256;

/// More mirrors are not returned.
const MOST_MIRRORS: usize = 32;

/// The mirrors of a distribution ("debian" or "ubuntu") that the apt configuration below `etc`
/// names, without a slash at the end: with `security` those of its security updates, else those
/// of everything else. The likeliest come first: entries signed by the distribution's own keys,
/// then those of the files where an installer puts them, then others that look alike.
///
/// Left out are entries that are disabled, of other vendors as far as their keys, components and
/// paths tell, of ports (`ubuntu-ports` has no amd64), and with passwords in them. Files that are
/// missing or make no sense add nothing: what is returned is a list of places to try.
pub fn machine_mirrors(etc: &Path, distribution: &str, security: bool) -> Vec<String> {
    let apt = etc.join("apt");
    let mut entries = Vec::new();
    for path in source_files(&apt) {
        let Some(text) = read(&path) else { continue };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let main = matches!(&*name, "sources.list" | "debian.sources" | "ubuntu.sources");
        let found = if name.ends_with(".sources") {
            paragraphs(&text)
        } else {
            lines(&text)
        };
        entries.extend(found.into_iter().map(|entry| (main, entry)));
    }

    let mut ranked: Vec<(u8, String)> = Vec::new();
    for (main, entry) in entries {
        if entry.security() != security || !entry.has_components_of(distribution) {
            continue;
        }
        let rank = match entry.signer(distribution) {
            Signer::Distribution => 0,
            Signer::Unknown if main => 1,
            Signer::Unknown => 2,
            Signer::Other => continue,
        };
        for address in &entry.addresses {
            let addresses = match address.strip_prefix("mirror+file:") {
                Some(list) => mirror_list(etc, list),
                None => vec![address.clone()],
            };
            let fitting = addresses
                .iter()
                .filter_map(|address| base(address, distribution));
            ranked.extend(fitting.map(|base| (rank, base)));
        }
    }
    // Stable: within a rank, the order of the files.
    ranked.sort_by_key(|(rank, _)| *rank);
    let mut mirrors: Vec<String> = Vec::new();
    for (_, base) in ranked {
        if !mirrors.contains(&base) && mirrors.len() < MOST_MIRRORS {
            mirrors.push(base);
        }
    }
    mirrors
}

/// One archive of one or more addresses.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Entry {
    addresses: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    signed_by: Option<String>,
}

/// Whose keys an entry is to be signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signer {
    Distribution,
    Unknown,
    Other,
}

impl Entry {
    fn security(&self) -> bool {
        // A paragraph may have all suites of one mirror: then it is a general mirror.
        !self.suites.is_empty()
            && self
                .suites
                .iter()
                .all(|suite| suite.ends_with("-security") || suite.ends_with("/updates"))
    }

    fn has_components_of(&self, distribution: &str) -> bool {
        let known: &[&str] = match distribution {
            "debian" => &["main", "contrib", "non-free", "non-free-firmware"],
            "ubuntu" => &["main", "restricted", "universe", "multiverse"],
            _ => return false,
        };
        !self.components.is_empty()
            && self
                .components
                .iter()
                .all(|component| known.contains(&component.as_str()))
    }

    fn signer(&self, distribution: &str) -> Signer {
        match &self.signed_by {
            None => Signer::Unknown,
            Some(key) if key.contains(&format!("{distribution}-archive")) => Signer::Distribution,
            Some(_) => Signer::Other,
        }
    }
}

/// The address as a mirror's base, if it is that of a mirror of the distribution.
fn base(address: &str, distribution: &str) -> Option<String> {
    let base = address.trim_end_matches('/');
    let rest = ["http://", "https://", "file://"]
        .iter()
        .find_map(|scheme| {
            base.get(..scheme.len())
                .filter(|start| start.eq_ignore_ascii_case(scheme))
                .and(base.get(scheme.len()..))
        });
    let (rest, base) = match rest {
        Some(rest) => (rest, base.to_owned()),
        // apt takes file:/path as well.
        None => {
            let path = base
                .strip_prefix("file:")
                .filter(|path| path.starts_with('/'))?;
            (path, format!("file://{path}"))
        }
    };
    if rest.contains('@') || !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let last = match rest.rsplit_once('/') {
        Some((_, last)) => last,
        None => "",
    };
    let fits = last == distribution
        || last.strip_suffix("-security") == Some(distribution)
        || (distribution == "debian" && rest == "security.debian.org");
    fits.then_some(base)
}

/// The files of apt's sources, in apt's order.
fn source_files(apt: &Path) -> Vec<PathBuf> {
    let mut parts: Vec<PathBuf> = std::fs::read_dir(apt.join("sources.list.d"))
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok())
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "list" || extension == "sources")
        })
        .collect();
    parts.sort();
    parts.insert(0, apt.join("sources.list"));
    parts.truncate(MOST_FILES);
    parts
}

fn read(path: &Path) -> Option<String> {
    // Not a pipe or a device, which might never end.
    if !path.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(path)
        .ok()?
        .take(LONGEST)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The addresses in a list of apt-transport-mirror: one a line, data about it after a tab.
fn mirror_list(etc: &Path, path: &str) -> Vec<String> {
    let path = format!("/{}", path.trim_start_matches('/'));
    // In a test's or another root's /etc the list is there as well.
    let file = match path.strip_prefix("/etc/") {
        Some(inner) => etc.join(inner),
        None => PathBuf::from(&path),
    };
    if path.split('/').any(|part| part == "..") {
        return Vec::new();
    }
    read(&file)
        .unwrap_or_default()
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// One-line style: `deb [options] address suite component…`.
fn lines(text: &str) -> Vec<Entry> {
    text.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<Entry> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb")?;
    if !rest.starts_with(|letter: char| letter.is_whitespace() || letter == '[') {
        return None;
    }
    let rest = rest.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    let (address, suite) = (words.next()?, words.next()?);
    let option = |wanted: &str| {
        options.split_whitespace().find_map(|option| {
            let (name, value) = option.split_once('=')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.to_owned())
        })
    };
    Some(Entry {
        addresses: vec![address],
        suites: vec![suite],
        components: words.collect(),
        signed_by: option("signed-by"),
    })
}

/// deb822 style: paragraphs of fields.
fn paragraphs(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines().chain([""]) {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            entries.extend(paragraph(&fields));
            fields.clear();
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push('\n');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    entries
}

fn paragraph(fields: &[(String, String)]) -> Option<Entry> {
    let field = |wanted: &str| {
        fields
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.as_str())
    };
    let words = |wanted: &str| -> Vec<String> {
        field(wanted)
            .unwrap_or_default()
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    };
    let enabled = field("enabled").unwrap_or("yes").to_ascii_lowercase();
    // apt's words for no.
    let disabled = matches!(
        enabled.as_str(),
        "no" | "false" | "without" | "off" | "disable" | "0"
    );
    if disabled || !words("types").iter().any(|kind| kind == "deb") {
        return None;
    }
    Some(Entry {
        addresses: words("uris"),
        suites: words("suites"),
        components: words("components"),
        signed_by: field("signed-by").map(str::to_owned),
    })
}
