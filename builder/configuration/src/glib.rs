//! GLib: its package compiles settings' schemas and lists GIO's modules. The builder does neither,
//! and says so where a package has some.

use crate::{Done, Result};
use fortress_tree::{Tree, TreePath};

const SCHEMAS: &str = "/usr/share/glib-2.0/schemas";
/// Below the library folder of an architecture.
const MODULES: &str = "/gio/modules";

/// Looks for them.
///
/// # Errors
/// Never; jobs have one signature.
pub fn run(tree: &Tree) -> Result<Done> {
    let schemas = TreePath::new(SCHEMAS)?;
    let libraries = TreePath::new("/usr/lib")?;
    let is_schema = |path: &TreePath| {
        path.parent().as_ref() == Some(&schemas) && path.name().ends_with(".gschema.xml")
    };
    let is_module = |path: &TreePath| {
        let folder = path.parent();
        folder.is_some_and(|folder| folder.as_str().ends_with(MODULES))
            && path.name().ends_with(".so")
    };
    let schemas = tree.within(&schemas).filter(|(path, _)| is_schema(path));
    let modules = tree.within(&libraries).filter(|(path, _)| is_module(path));
    let mut warnings = Vec::new();
    if let Some((path, _)) = schemas.into_iter().next() {
        warnings.push(format!(
            "{path}: schemas of GLib are not compiled, and programs that read their settings fail"
        ));
    }
    if let Some((path, _)) = modules.into_iter().next() {
        warnings.push(format!(
            "{path}: modules of GIO are not listed, and programs look through all of them"
        ));
    }
    Ok(Done {
        summary: match warnings.is_empty() {
            true => "nothing to compile".into(),
            false => "not compiled".into(),
        },
        warnings,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by it")]
    use super::*;

    #[test]
    fn what_is_not_compiled_is_told() {
        let mut tree = Tree::new(0);
        assert!(run(&tree).unwrap().warnings.is_empty());
        for path in [
            "/usr/share/glib-2.0/schemas/gschema.dtd",
            "/usr/share/glib-2.0/schemas/org.example.gschema.xml",
            "/usr/lib/x86_64-linux-gnu/gio/modules/libexample.so",
        ] {
            tree.write(&TreePath::new(path).unwrap(), 0o644, "")
                .unwrap();
        }
        let warnings = run(&tree).unwrap().warnings;
        assert_eq!(warnings.len(), 2);
        assert!(warnings[0].starts_with("/usr/share/glib-2.0/schemas/org.example.gschema.xml: "));
        assert!(warnings[1].starts_with("/usr/lib/x86_64-linux-gnu/gio/modules/libexample.so: "));
    }
}
