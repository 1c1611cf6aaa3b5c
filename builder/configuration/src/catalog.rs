//! The journal's catalog: explanations of messages, compiled.
//!
//! journalctl looks for the database in `/var/lib/systemd/catalog`, and an image's `/var` is
//! empty at first boot. So the database lies in `/usr/lib/systemd/catalog`, beside what it is
//! made from, read-only and verified like all of `/usr`, and a line of tmpfiles.d links it.
//!
//! ```
//! use fortress_configuration::catalog;
//! use fortress_tree::{Tree, TreePath};
//! let mut tree = Tree::new(0);
//! let text = "-- f77379a8490b408bbe5f6940505a777b\nSubject: The journal has been started\n";
//! tree.write(&TreePath::new("/usr/lib/systemd/catalog/x.catalog")?, 0o644, text)?;
//! assert_eq!(catalog::write(&mut tree)?, 1);
//! # Ok::<(), fortress_configuration::Error>(())
//! ```

use crate::strings::StringBuffer;
use crate::{Error, Result};
use fortress_tree::{Tree, TreePath};
use std::collections::HashMap;

/// Where sources are looked for; of two of one name the first counts.
const FOLDERS: [&str; 2] = ["/usr/local/lib/systemd/catalog", "/usr/lib/systemd/catalog"];
/// The database.
const COMPILED: &str = "/usr/lib/systemd/catalog/database";
/// What links it to where it is looked for.
const LINKED: &str = "/usr/lib/tmpfiles.d/fortress-catalog.conf";
const LINK: &str = "\
d /var/lib/systemd/catalog 0755 root root -
L+ /var/lib/systemd/catalog/database - - - - /usr/lib/systemd/catalog/database
";

const SIGNATURE: &[u8; 8] = b"RHHHKSLP";
/// Sizes of `CatalogHeader` and `CatalogItem`, and of the language in an item.
const HEADER: u64 = 40;
const ITEM: u64 = 56;
const LANGUAGE: usize = 32;

/// What an entry is for: message, language (empty: any).
type Key = ([u8; 16], [u8; LANGUAGE]);

/// Compiles the tree's catalogs as `journalctl --update-catalog` does. Gives the number of
/// entries; with none, nothing is written.
///
/// # Errors
/// A file that is no catalog, with its line; a tree that cannot be written.
pub fn write(tree: &mut Tree) -> Result<usize> {
    let mut entries = Entries::default();
    for path in crate::fragments::find(tree, &FOLDERS, ".catalog")? {
        entries.read(&tree.read(&path)?, &path)?;
    }
    let count = entries.texts.len();
    if count > 0 {
        tree.write(&TreePath::new(COMPILED)?, 0o644, entries.encode())?;
        tree.write(&TreePath::new(LINKED)?, 0o644, LINK)?;
    }
    Ok(count)
}

/// Entries in the order in which they were first met.
#[derive(Debug, Default)]
struct Entries {
    texts: Vec<(Key, Vec<u8>)>,
    places: HashMap<Key, usize>,
}

impl Entries {
    /// Adds a file's entries: each a line `-- ID` or `-- ID LANGUAGE` after an empty line, then
    /// headers, an empty line, and the text.
    fn read(&mut self, text: &[u8], path: &TreePath) -> Result<()> {
        let of_file = language_of(path.name());
        let mut entry: Option<(Key, Vec<u8>)> = None;
        let mut after_empty = true;
        for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let refuse = |reason: &str| Error::Line {
                file: path.clone(),
                line: number + 1,
                reason: reason.to_owned(),
            };
            match line.first() {
                None => {
                    after_empty = true;
                    continue;
                }
                Some(b'#' | b';') => continue,
                Some(_) => {}
            }
            if let Some((id, language)) = after_empty.then(|| heading(line)).flatten() {
                let language = match language {
                    Some(language) if !(2..LANGUAGE).contains(&language.len()) => {
                        return Err(refuse("a language has 2 to 31 characters"));
                    }
                    Some(language) => language,
                    None => of_file.as_bytes(),
                };
                let mut padded = [0; LANGUAGE];
                padded[..language.len()].copy_from_slice(language);
                if let Some((key, text)) = entry.replace(((id, padded), Vec::new())) {
                    self.add(key, text);
                }
                after_empty = false;
                continue;
            }
            let Some((_, text)) = &mut entry else {
                return Err(refuse("text before the first line of the form '-- ID'"));
            };
            if after_empty {
                text.push(b'\n');
            }
            text.extend(line);
            text.push(b'\n');
            after_empty = false;
        }
        if let Some((key, text)) = entry {
            self.add(key, text);
        }
        Ok(())
    }

    /// Adds an entry. Where there is one already the new one's headers come first, and its text
    /// counts unless it has none.
    fn add(&mut self, key: Key, text: Vec<u8>) {
        let Some(place) = self.places.get(&key) else {
            self.places.insert(key, self.texts.len());
            self.texts.push((key, text));
            return;
        };
        let old = &mut self.texts[*place].1;
        let (headers, body) = text.split_at(end_of_headers(&text));
        let (old_headers, old_body) = old.split_at(end_of_headers(old));
        let body = if body.is_empty() { old_body } else { body };
        *old = [headers, old_headers, body].concat();
    }

    /// The database: header, items sorted by message and language, texts.
    fn encode(&self) -> Vec<u8> {
        let mut strings = StringBuffer::new();
        let mut items: Vec<(&Key, u32)> = Vec::with_capacity(self.texts.len());
        for (key, text) in &self.texts {
            items.push((key, strings.add(text)));
        }
        items.sort();
        let mut out = Vec::new();
        out.extend(SIGNATURE);
        // Flags, compatible and incompatible: none.
        out.extend([0; 8]);
        for field in [HEADER, items.len() as u64, ITEM] {
            out.extend(field.to_le_bytes());
        }
        for ((id, language), offset) in items {
            out.extend(id);
            out.extend(language);
            out.extend(u64::from(offset).to_le_bytes());
        }
        out.extend(strings.bytes());
        out
    }
}

/// The message and the language, if there is one, of a line `-- ID LANGUAGE`.
fn heading(line: &[u8]) -> Option<([u8; 16], Option<&[u8]>)> {
    let (digits, rest) = line.strip_prefix(b"-- ")?.split_at_checked(32)?;
    let digits = std::str::from_utf8(digits).ok()?;
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let id = u128::from_str_radix(digits, 16).ok()?.to_be_bytes();
    match rest {
        [] => Some((id, None)),
        [b' ', language @ ..] => Some((id, Some(language.trim_ascii()))),
        _ => None,
    }
}

/// Where the headers end: behind the line break before the first empty line.
fn end_of_headers(text: &[u8]) -> usize {
    let gap = text.windows(2).position(|pair| pair == b"\n\n");
    gap.map_or(text.len(), |at| at + 1)
}

/// The language in a name such as `systemd.pt_BR.catalog`; empty if there is none.
fn language_of(name: &str) -> &str {
    let stem = name.strip_suffix(".catalog").unwrap_or(name);
    match stem.rsplit_once('.') {
        Some((_, language)) if language.len() < LANGUAGE => language,
        _ => "",
    }
}
