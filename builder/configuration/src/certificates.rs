//! Certificate authorities, as update-ca-certificates(8) sets them up: a link for each in
//! `/etc/ssl/certs`, the hashed links by which OpenSSL finds them, and one bundle.

mod name;

use crate::files::read_if_there;
use crate::{Done, Error, Result};
use base64::Engine;
use fortress_tree::{Kind, Tree, TreePath};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

const SHIPPED: &str = "/usr/share/ca-certificates";
const LOCAL: &str = "/usr/local/share/ca-certificates";
const SELECTION: &str = "/etc/ca-certificates.conf";
const CERTIFICATES: &str = "/etc/ssl/certs";
const BUNDLE: &str = "ca-certificates.crt";
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const BEGIN_TRUSTED: &str = "-----BEGIN TRUSTED CERTIFICATE-----";
const ENDING: &str = ".crt";
/// What stands at the top of the selection that the builder makes.
const SELECTION_HEADER: &str = "# Certificates below /usr/share/ca-certificates that are trusted; ! before one deselects it.\n";

/// Sets up those that `/etc/ca-certificates.conf` selects (all that are shipped, sorted, if an
/// overlay does not bring that file) and all of `/usr/local/share/ca-certificates`. Without
/// either folder nothing is done.
///
/// # Errors
/// A certificate that cannot be read, with its path.
pub fn run(tree: &mut Tree) -> Result<Done> {
    let shipped = below(tree, SHIPPED)?;
    let mut chosen = selected(tree, &shipped)?;
    chosen.extend(below(tree, LOCAL)?);
    if shipped.is_empty() && chosen.is_empty() {
        return Ok(Done::new("none in the tree"));
    }
    let folder = tree.make_directories(&TreePath::new(CERTIFICATES)?)?;
    let mut bundle = String::new();
    for path in &chosen {
        let text = tree.read_text(path)?;
        bundle.push_str(&text);
        if !text.is_empty() && !text.ends_with('\n') {
            bundle.push('\n');
        }
        tree.link(&folder.join(&link_name(path))?, path.as_str())?;
    }
    let hashed = rehash(tree, &folder)?;
    tree.write(&folder.join(BUNDLE)?, 0o644, bundle)?;
    Ok(Done::new(format!(
        "{} certificates, {hashed} hashed links",
        chosen.len()
    )))
}

/// The certificates below a folder, sorted.
fn below(tree: &Tree, folder: &str) -> Result<Vec<TreePath>> {
    let folder = TreePath::new(folder)?;
    let is_certificate = |path: &TreePath| path.as_str().ends_with(ENDING);
    let found = tree
        .within(&folder)
        .filter(|(path, node)| is_certificate(path) && !node.is_directory());
    let mut found: Vec<TreePath> = found.map(|(path, _)| path.clone()).collect();
    found.sort_unstable();
    Ok(found)
}

/// Those that the selection names, in its order; writes a selection where there is none.
fn selected(tree: &mut Tree, shipped: &[TreePath]) -> Result<Vec<TreePath>> {
    let Some(text) = read_if_there(tree, SELECTION)? else {
        if !shipped.is_empty() {
            let lines = shipped
                .iter()
                .map(|path| format!("{}\n", &path.as_str()[SHIPPED.len() + 1..]));
            let text = SELECTION_HEADER.to_owned() + &lines.collect::<String>();
            tree.write(&TreePath::new(SELECTION)?, 0o644, text)?;
        }
        return Ok(shipped.to_vec());
    };
    let known: BTreeSet<&TreePath> = shipped.iter().collect();
    let mut chosen = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let path = TreePath::new(SHIPPED)?.join(line)?;
        if !known.contains(&path) {
            return Err(crate::drop_in::mistake(
                &TreePath::new(SELECTION)?,
                index + 1,
                format!("{SHIPPED} has no {line:?}"),
            ));
        }
        chosen.push(path);
    }
    Ok(chosen)
}

/// The name of a certificate's link: its own with what shells trip over replaced.
fn link_name(path: &TreePath) -> String {
    let stem = path.name().strip_suffix(ENDING).unwrap_or(path.name());
    let name: String = stem
        .chars()
        .map(|found| match found {
            ' ' | ',' => '_',
            '(' | ')' => '=',
            other => other,
        })
        .collect();
    name + ".pem"
}

/// Makes the hashed links as `openssl rehash` does: HASH.N for each certificate file that holds
/// one certificate, in order of names, N counting up for certificates of one subject; none for
/// a certificate that comes twice.
fn rehash(tree: &mut Tree, folder: &TreePath) -> Result<usize> {
    let counts = |name: &str| {
        [".pem", ".crt", ".cer"]
            .iter()
            .any(|ending| name.ends_with(ending))
    };
    let names: Vec<String> = tree
        .entries(folder)
        .filter(|(name, node)| counts(name) && !node.is_directory())
        .map(|(name, _)| name.to_owned())
        .collect();
    let mut links: BTreeMap<u32, Vec<(Vec<u8>, String)>> = BTreeMap::new();
    for name in names {
        let path = folder.join(&name)?;
        if tree.find(&path).is_none() {
            continue;
        }
        let Some(certificate) = only_certificate(&path, &tree.read(&path)?)? else {
            continue;
        };
        let hash = name::subject_hash(&certificate).map_err(|reason| unusable(&path, reason))?;
        let fingerprint = Sha256::digest(&certificate).to_vec();
        let same = links.entry(hash).or_default();
        if !same.iter().any(|(other, _)| *other == fingerprint) {
            same.push((fingerprint, name));
        }
    }
    let stale: Vec<TreePath> = tree
        .entries(folder)
        .filter(|(name, node)| is_hashed(name) && matches!(node.kind, Kind::Symlink(_)))
        .filter_map(|(name, _)| folder.join(name).ok())
        .collect();
    for path in stale {
        tree.remove(&path);
    }
    let mut made = 0;
    for (hash, same) in links {
        for (index, (_, name)) in same.into_iter().enumerate() {
            tree.link(&folder.join(&format!("{hash:08x}.{index}"))?, name)?;
            made += 1;
        }
    }
    Ok(made)
}

fn is_hashed(name: &str) -> bool {
    match name.split_once('.') {
        Some((hash, number)) => {
            hash.len() == 8
                && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
                && !number.is_empty()
                && number.bytes().all(|byte| byte.is_ascii_digit())
        }
        None => false,
    }
}

/// The certificate of a PEM file that holds exactly one.
fn only_certificate(path: &TreePath, bytes: &[u8]) -> Result<Option<Vec<u8>>> {
    let text = String::from_utf8_lossy(bytes);
    let is_begin = |line: &str| line.trim_end() == BEGIN || line.trim_end() == BEGIN_TRUSTED;
    let mut blocks = text.lines().enumerate().filter(|(_, line)| is_begin(line));
    let (Some((begin, _)), None) = (blocks.next(), blocks.next()) else {
        return Ok(None);
    };
    let lines = text.lines().skip(begin + 1).map(str::trim);
    let body: String = lines
        .take_while(|line| !line.starts_with("-----END"))
        .collect();
    let decoded = base64::engine::general_purpose::STANDARD.decode(body);
    decoded
        .map(Some)
        .map_err(|_| unusable(path, "it is not valid PEM"))
}

fn unusable(path: &TreePath, reason: &str) -> Error {
    Error::File {
        file: path.to_string(),
        reason: format!("as a certificate, {reason}"),
    }
}
