//! What an image does without: documentation, manuals, translations. Copyright files stay.

use crate::glob::Glob;
use crate::{Done, Result, TrimSettings};
use fortress_tree::{Kind, Node, Tree, TreePath};
use std::collections::BTreeSet;

const DOCUMENTATION: &str = "/usr/share/doc";
/// What goes with the documentation.
const RELATED: [&str; 4] = [
    "/usr/share/doc-base",
    "/usr/share/info",
    "/usr/share/lintian",
    "/usr/share/gtk-doc",
];
const MANUALS: &str = "/usr/share/man";
const LOCALES: &str = "/usr/share/locale";

/// Removes what the settings leave out, and gives which paths went (what dpkg's database must
/// not claim any more).
///
/// # Errors
/// None yet.
pub fn run(tree: &mut Tree, settings: &TrimSettings) -> Result<(Done, BTreeSet<TreePath>)> {
    let globs: Vec<Glob> = settings
        .paths
        .iter()
        .map(|pattern| Glob::new(pattern))
        .collect();
    let unwanted = |path: &TreePath, node: &Node| {
        let text = path.as_str();
        settings.documentation && is_documentation(text, node)
            || settings.manuals && below(text, MANUALS).is_some()
            || is_foreign(text, settings)
            || globs.iter().any(|glob| glob.fits(text))
    };
    let before: BTreeSet<TreePath> = tree.iter().map(|(path, _)| path.clone()).collect();
    tree.remove_where(unwanted);
    remove_empty(tree, &[DOCUMENTATION, LOCALES]);
    let gone: BTreeSet<TreePath> = before
        .into_iter()
        .filter(|path| tree.get(path).is_none())
        .collect();
    Ok((Done::new(format!("{} paths left out", gone.len())), gone))
}

/// What is below a folder, relative to it; none for the folder itself and what is elsewhere.
fn below<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    path.strip_prefix(folder)?.strip_prefix('/')
}

/// Documentation, but for copyright files, the folders that may hold them, and links between
/// packages' folders.
fn is_documentation(path: &str, node: &Node) -> bool {
    if RELATED.iter().any(|folder| below(path, folder).is_some()) {
        return true;
    }
    match below(path, DOCUMENTATION).and_then(|rest| rest.split_once('/')) {
        Some((_, "copyright")) => false,
        Some(_) => !node.is_directory(),
        None => false,
    }
}

/// Translations (of messages, and manuals in translation) for locales that are not kept.
fn is_foreign(path: &str, settings: &TrimSettings) -> bool {
    let Some(kept) = &settings.locales else {
        return false;
    };
    let locale = below(path, LOCALES).or_else(|| below(path, MANUALS));
    let Some(locale) = locale.and_then(|rest| rest.split('/').next()) else {
        return false;
    };
    let is_section = locale.starts_with("man") && !locale.contains('_');
    if is_section || locale == "locale.alias" {
        return false;
    }
    let speaks = |kept: &String| {
        let language = kept.split(['_', '.', '@']).next();
        locale == kept
            || Some(locale) == language
            || locale
                .strip_prefix(kept.as_str())
                .is_some_and(|rest| rest.starts_with(['.', '@']))
    };
    !kept.iter().any(speaks)
}

/// Removes folders that hold no file any more, the deepest first.
fn remove_empty(tree: &mut Tree, folders: &[&str]) {
    let within: Vec<TreePath> = tree
        .iter()
        .filter(|(path, node)| {
            matches!(node.kind, Kind::Directory)
                && folders
                    .iter()
                    .any(|folder| below(path.as_str(), folder).is_some())
        })
        .map(|(path, _)| path.clone())
        .collect();
    for path in within.iter().rev() {
        if tree.within(path).nth(1).is_none() {
            tree.remove(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copyright_stays_and_the_rest_goes() {
        let mut tree = Tree::new(0);
        let paths = [
            "/usr/share/doc/a/copyright",
            "/usr/share/doc/a/changelog.gz",
            "/usr/share/doc/b/examples/deep/copyright",
            "/usr/share/man/man1/a.1.gz",
            "/usr/share/man/de/man1/a.1.gz",
            "/usr/share/locale/de/LC_MESSAGES/a.mo",
            "/usr/share/locale/de@x/LC_MESSAGES/a.mo",
            "/usr/share/locale/pt/LC_MESSAGES/a.mo",
            "/usr/share/locale/pt_BR/LC_MESSAGES/a.mo",
            "/usr/share/locale/fr/LC_MESSAGES/a.mo",
            "/usr/share/locale/locale.alias",
            "/usr/share/games/a/b",
            "/usr/share/docs/a",
        ];
        for path in paths {
            tree.write(&TreePath::new(path).unwrap(), 0o644, "")
                .unwrap();
        }
        tree.link(&TreePath::new("/usr/share/doc/c").unwrap(), "a")
            .unwrap();
        let settings = TrimSettings {
            locales: Some(vec!["de".into(), "pt_BR".into()]),
            manuals: false,
            paths: vec!["/usr/share/games/**".into()],
            ..TrimSettings::default()
        };
        let (_, gone) = run(&mut tree, &settings).unwrap();
        let stays: Vec<&str> = tree
            .iter()
            .filter(|(_, node)| !node.is_directory())
            .map(|(path, _)| path.as_str())
            .collect();
        assert_eq!(
            stays,
            [
                "/usr/share/doc/a/copyright",
                "/usr/share/doc/c",
                "/usr/share/docs/a",
                "/usr/share/locale/de/LC_MESSAGES/a.mo",
                "/usr/share/locale/de@x/LC_MESSAGES/a.mo",
                "/usr/share/locale/locale.alias",
                "/usr/share/locale/pt/LC_MESSAGES/a.mo",
                "/usr/share/locale/pt_BR/LC_MESSAGES/a.mo",
                "/usr/share/man/de/man1/a.1.gz",
                "/usr/share/man/man1/a.1.gz",
            ]
        );
        assert!(gone.contains(&TreePath::new("/usr/share/doc/b").unwrap()));
    }
}
