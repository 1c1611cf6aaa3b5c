//! `/var` is empty in an image and filled at boot: what packages ship there becomes lines of
//! tmpfiles.d(5), and files wait in `/usr/share/factory` to be copied. The same goes for `/run`.

use crate::tmpfiles::made_at_boot;
use crate::users::{self, Accounts};
use crate::{Done, Result};
use fortress_tree::{Kind, Metadata, Node, Tree, TreePath};
use std::collections::{BTreeMap, BTreeSet};

/// Where copies wait.
const FACTORY: &str = "/usr/share/factory";
/// The lines that the builder makes.
const LINES: &str = "/usr/lib/tmpfiles.d/fortress-state.conf";
/// What is emptied; with `true`, what was there is made again at boot.
const EMPTIED: [(&str, bool); 3] = [("/run", true), ("/tmp", false), ("/var", true)];

/// Empties `/var`, `/run` and `/tmp`. What tmpfiles.d lines of packages make anyway gets no line.
/// `links` are paths that become links to a place in the read-only system, with where they lead
/// (dpkg's database); what is below them goes.
///
/// # Errors
/// When the tree refuses.
pub fn run(
    tree: &mut Tree,
    links: &[(&str, &str)],
    hostname: &str,
    architecture: &str,
) -> Result<Done> {
    let covered = made_at_boot(tree, hostname, architecture)?;
    let (users, groups) = users::names(&Accounts::read(tree)?);
    let mut links_made = Vec::new();
    for (path, target) in links {
        let path = TreePath::new(path)?;
        if tree.remove(&path) > 0 || tree.get(&path).is_none() {
            links_made.push((path, (*target).to_owned()));
        }
    }
    let mut moving = Moving {
        users,
        groups,
        lines: Vec::new(),
        copies: Vec::new(),
    };
    for (place, kept) in EMPTIED {
        let place = TreePath::new(place)?;
        if kept {
            moving.collect(tree, &place, &covered);
        }
        let gone: Vec<TreePath> = tree
            .entries(&place)
            .filter_map(|(name, _)| place.join(name).ok())
            .collect();
        for path in &gone {
            tree.remove(path);
        }
    }
    for (path, target) in links_made {
        moving.lines.push(format!(
            "L {} - - - - {}",
            quoted(path.as_str()),
            escaped(&target)
        ));
    }
    moving.finish(tree)
}

struct Moving {
    users: BTreeMap<u32, String>,
    groups: BTreeMap<u32, String>,
    lines: Vec<String>,
    copies: Vec<(TreePath, Node)>,
}

impl Moving {
    /// A line for everything below `place`, and a copy of every file with something in it.
    fn collect(&mut self, tree: &Tree, place: &TreePath, covered: &BTreeSet<TreePath>) {
        let mut hard_links: BTreeMap<TreePath, Node> = BTreeMap::new();
        for (path, node) in tree.within(place).skip(1) {
            if covered.contains(path) {
                continue;
            }
            let node = match &node.kind {
                // Each name gets a copy of its own at boot.
                Kind::HardLink(target) => match tree.get(target) {
                    Some(file) => hard_links
                        .entry(target.clone())
                        .or_insert_with(|| file.clone())
                        .clone(),
                    None => continue,
                },
                _ => node.clone(),
            };
            let line = self.line(path, &node);
            if let Some(line) = line {
                self.lines.push(line);
            }
            if let Kind::File(content) = &node.kind
                && content.length() > 0
            {
                self.copies.push((path.clone(), node));
            }
        }
    }

    fn line(&self, path: &TreePath, node: &Node) -> Option<String> {
        let Metadata {
            mode, user, group, ..
        } = &node.metadata;
        let user = name_of(&self.users, *user);
        let group = name_of(&self.groups, *group);
        let owner = format!("{mode:04o} {user} {group} -");
        let name = quoted(path.as_str());
        match &node.kind {
            Kind::Directory => Some(format!("d {name} {owner}")),
            Kind::File(content) if content.length() == 0 => Some(format!("f {name} {owner}")),
            Kind::File(_) => Some(format!(
                "C {name} {owner} {FACTORY}{}",
                escaped(path.as_str())
            )),
            Kind::Symlink(target) => Some(format!("L {name} - - - - {}", escaped(target))),
            Kind::Fifo => Some(format!("p {name} {owner}")),
            // Packages ship none, and the tree has resolved hard links.
            Kind::CharacterDevice { .. } | Kind::BlockDevice { .. } | Kind::HardLink(_) => None,
        }
    }

    fn finish(mut self, tree: &mut Tree) -> Result<Done> {
        let summary = format!(
            "{} lines for the boot, {} files to copy",
            self.lines.len(),
            self.copies.len()
        );
        for (path, node) in self.copies {
            tree.place(&TreePath::new(&format!("{FACTORY}{path}"))?, node)?;
        }
        if !self.lines.is_empty() {
            self.lines.push(String::new());
            let header =
                "# What packages have in /var and /run, made at each boot where it is missing.\n";
            tree.write(
                &TreePath::new(LINES)?,
                0o644,
                header.to_owned() + &self.lines.join("\n"),
            )?;
        }
        Ok(Done::new(summary))
    }
}

fn name_of(names: &BTreeMap<u32, String>, id: u32) -> String {
    match id {
        0 => "root".into(),
        id => names.get(&id).cloned().unwrap_or_else(|| id.to_string()),
    }
}

/// A path as a field: in quotes where it has blanks or quotes, percent signs doubled.
fn quoted(path: &str) -> String {
    let plain = escaped(path);
    match plain.contains(|found: char| found.is_whitespace() || "\"'".contains(found)) {
        true => format!("\"{}\"", plain.replace('"', "\\\"")),
        false => plain,
    }
}

/// A text with what systemd would expand doubled.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('%', "%%")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn var_is_emptied_and_filled_by_lines() {
        let mut tree = Tree::new(0);
        let mut write = |path: &str, text: &str| {
            tree.write(&TreePath::new(path).unwrap(), 0o640, text)
                .unwrap()
        };
        write("/var/lib/a/state 100%", "kept");
        write("/var/log/empty", "");
        write("/var/lib/dpkg/info/x.list", "gone");
        write("/run/lock/subsys/x", "");
        write("/tmp/x", "x");
        write("/usr/lib/tmpfiles.d/var.conf", "d /var/log 0755 - - -\n");
        tree.link(&TreePath::new("/var/spool/mail").unwrap(), "../mail")
            .unwrap();
        run(
            &mut tree,
            &[("/var/lib/dpkg", "../../usr/lib/x")],
            "h",
            "amd64",
        )
        .unwrap();
        for place in ["/var", "/run", "/tmp"] {
            assert_eq!(
                tree.entries(&TreePath::new(place).unwrap()).count(),
                0,
                "{place}"
            );
        }
        let lines = tree.read_text(&TreePath::new(LINES).unwrap()).unwrap();
        let lines: Vec<&str> = lines.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "d /run/lock 0755 root root -",
                "d /run/lock/subsys 0755 root root -",
                "f /run/lock/subsys/x 0640 root root -",
                "d /var/lib 0755 root root -",
                "d /var/lib/a 0755 root root -",
                "C \"/var/lib/a/state 100%%\" 0640 root root - /usr/share/factory/var/lib/a/state 100%%",
                "f /var/log/empty 0640 root root -",
                "d /var/spool 0755 root root -",
                "L /var/spool/mail - - - - ../mail",
                "L /var/lib/dpkg - - - - ../../usr/lib/x",
            ]
        );
        let copy = TreePath::new("/usr/share/factory/var/lib/a/state 100%").unwrap();
        assert_eq!(tree.read_text(&copy).unwrap(), "kept");
        assert_eq!(tree.get(&copy).unwrap().metadata.mode, 0o640);
    }
}
