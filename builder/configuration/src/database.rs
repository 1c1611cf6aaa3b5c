//! dpkg's database, so that `dpkg -l`, `dpkg --verify` and scanners for vulnerabilities and
//! compliance see every package. It lies in the read-only system; `/var/lib/dpkg` is a link to it.

mod status;
mod triggers;

use crate::{Done, PackageData, Result, owners};
use fortress_package::Package;
use fortress_tree::{Kind, Tree, TreePath};
use std::collections::{BTreeSet, HashSet};

/// Where the database lies in the tree.
pub const FOLDER: &str = "/usr/lib/sysimage/dpkg";
/// What `/var/lib/dpkg` leads to.
pub const LINK: (&str, &str) = ("/var/lib/dpkg", "../../usr/lib/sysimage/dpkg");
/// Members of a package's control.tar that the database keeps. Scripts are left out: nothing
/// can run them on a read-only system.
const KEPT: [&str; 4] = ["conffiles", "md5sums", "templates", "triggers"];
/// The database's format (deb-conffiles in `info` by package and architecture).
const FORMAT: &str = "1\n";

/// Lays the database. `gone` are paths that were left out of the tree on purpose; the database
/// claims them no more, nor what is not there of a package's own configuration files.
///
/// # Errors
/// Configuration files that cannot be read; diversions that mean nothing.
pub fn run(
    tree: &mut Tree,
    packages: &[Package],
    architecture: &str,
    data: &PackageData,
    gone: &BTreeSet<TreePath>,
) -> Result<Done> {
    let folder = TreePath::new(FOLDER)?;
    let info = folder.join("info")?;
    for name in ["alternatives", "info", "parts", "triggers", "updates"] {
        tree.make_directories(&folder.join(name)?)?;
    }
    let mut sorted: Vec<&Package> = packages.iter().collect();
    sorted.sort_by(|one, other| {
        (&one.name, &one.architecture).cmp(&(&other.name, &other.architecture))
    });
    let gone = Gone::new(tree, gone);
    let mut status = String::new();
    for package in &sorted {
        let mut list = String::new();
        for path in &package.paths {
            if !gone.has(path) {
                list.push_str(path);
                list.push('\n');
            }
        }
        let mut files = vec![("list", list.into_bytes())];
        for name in KEPT {
            let Some(bytes) = package.members.get(name) else {
                continue;
            };
            files.push((
                name,
                match name {
                    "md5sums" => sums(bytes, &gone),
                    _ => bytes.clone(),
                },
            ));
        }
        status.push_str(&status::paragraph(tree, package)?);
        let stem = package.info_name();
        for (name, bytes) in files {
            tree.write(&info.join(&format!("{stem}.{name}"))?, 0o644, bytes)?;
        }
    }
    let present: Vec<&str> = sorted.iter().map(|package| package.name.as_str()).collect();
    let native = format!("{architecture}\n");
    let files = [
        ("info/format", FORMAT.to_owned()),
        ("status", status),
        ("available", String::new()),
        ("arch", native.clone()),
        ("arch-native", native),
        ("diversions", diversions(&present, architecture, data)?),
        (
            "statoverride",
            owners::overrides(&present, architecture, data)?,
        ),
    ];
    for (name, text) in files {
        tree.write(&folder.join(name)?, 0o644, text)?;
    }
    triggers::write(tree, &folder.join("triggers")?, &sorted)?;
    Ok(Done::new(format!("{} packages", sorted.len())))
}

/// Paths that were left out, by any name.
struct Gone<'a> {
    paths: HashSet<&'a str>,
    /// Links at the top of the tree (`/lib`), with where they lead.
    links: Vec<(String, TreePath)>,
}

impl<'a> Gone<'a> {
    fn new(tree: &Tree, gone: &'a BTreeSet<TreePath>) -> Self {
        let root = TreePath::root();
        let links = tree.entries(&root).filter_map(|(name, node)| {
            let is_link = matches!(node.kind, Kind::Symlink(_));
            let path = root.join(name).ok().filter(|_| is_link)?;
            Some((path.to_string(), tree.resolve(&path).ok()?))
        });
        Self {
            paths: gone.iter().map(TreePath::as_str).collect(),
            links: links.collect(),
        }
    }

    /// Whether an absolute path was left out.
    fn has(&self, path: &str) -> bool {
        let by_link = |(link, target): &(String, TreePath)| {
            let rest = path.strip_prefix(link.as_str());
            let rest = rest.filter(|rest| rest.starts_with('/'));
            rest.is_some_and(|rest| self.paths.contains(format!("{target}{rest}").as_str()))
        };
        !self.paths.is_empty() && (self.paths.contains(path) || self.links.iter().any(by_link))
    }
}

/// The lines of `md5sums` whose files are still there.
fn sums(bytes: &[u8], gone: &Gone<'_>) -> Vec<u8> {
    let mut kept = Vec::with_capacity(bytes.len());
    for line in String::from_utf8_lossy(bytes).lines() {
        let path = line.split_once("  ").map_or("", |(_, path)| path);
        if !gone.has(&format!("/{path}")) {
            kept.extend(line.as_bytes());
            kept.push(b'\n');
        }
    }
    kept
}

/// dpkg's `diversions`: path, where to, whose, a line each.
fn diversions(present: &[&str], architecture: &str, data: &PackageData) -> Result<String> {
    let mut text = String::new();
    for (package, rules) in data.of(present) {
        for rule in &rules.diversions {
            let path = crate::place::of_rule(&rule.path, architecture)?;
            let to = crate::place::of_rule(&rule.to, architecture)?;
            text.push_str(&format!("{path}\n{to}\n{package}\n"));
        }
    }
    Ok(text)
}

/// Whether a path leads to a regular file.
fn is_file(tree: &Tree, path: &TreePath) -> bool {
    let kind = tree.find(path).map(|node| &node.kind);
    matches!(kind, Some(Kind::File(_) | Kind::HardLink(_)))
}
