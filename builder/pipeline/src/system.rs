//! The root's file tree: packages, overlays, what the plan says, configuration.

use crate::root::{self, KeptFacts};
use crate::{Error, ListeningSocket, Result, Settings, manifest, state};
use fortress_configuration::modules::ModuleIndex;
use fortress_configuration::{Identifiers, TrimSettings, UnitSettings, configure};
use fortress_package::{Archive, Package, Reviewed, ScriptFinding, review};
use fortress_recipe::{Overlay, Plan, Sourced};
use fortress_store::{Digest, Hasher};
use fortress_tree::{Content, Tree, TreePath, overlay};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

/// The root's file tree, and what came up while it was made.
#[derive(Debug)]
pub(crate) struct System {
    pub(crate) tree: Tree,
    pub(crate) scripts: Vec<manifest::ScriptFacts>,
    pub(crate) overlays: Vec<manifest::OverlayFacts>,
    pub(crate) modules: BTreeMap<String, ModuleIndex>,
}

/// Makes the root's file tree.
pub(crate) fn make(
    plan: &Plan,
    archives: &[Archive],
    epoch: i64,
    settings: &Settings<'_>,
) -> Result<System> {
    let (mut tree, packages) = root::unpacked(
        archives,
        epoch,
        settings.store,
        &Default::default(),
        settings.observer,
    )?;
    let scripts = reviewed(plan, &packages, settings)?;
    let mut overlays = apply_overlays(&plan.overlays, "root", &mut tree)?;
    // Into a tree of their own: what they hold is asked here, the initrd comes later.
    let mut initrd = Tree::new(epoch);
    overlays.extend(apply_overlays(
        &plan.initrd_overlays,
        "initrd",
        &mut initrd,
    )?);
    add_settings(plan, &mut tree)?;
    let modules = configured(plan, &mut tree, &packages, archives, settings)?;
    Ok(System {
        tree,
        scripts,
        overlays,
        modules,
    })
}

/// What is left of maintainer scripts, for the manifest; an error in a strict build.
fn reviewed(
    plan: &Plan,
    packages: &[Package],
    settings: &Settings<'_>,
) -> Result<Vec<manifest::ScriptFacts>> {
    let path = &plan.reviewed_scripts.path;
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Error::io("read", path, error)),
    };
    let findings = review(packages, &Reviewed::from_toml(&text)?);
    let unknown: Vec<&ScriptFinding> = findings
        .iter()
        .filter(|finding| finding.covered.is_none())
        .collect();
    let names = || {
        unknown
            .iter()
            .map(|finding| format!("{} ({})", finding.package, finding.script))
    };
    if settings.strict && !unknown.is_empty() {
        return Err(Error::Unreviewed {
            scripts: names().collect(),
        });
    }
    if !unknown.is_empty() {
        let list: Vec<String> = names().collect();
        settings.observer.warn(&format!(
            "nobody has reviewed what {} maintainer script(s) would do, none of which is run: {}",
            list.len(),
            list.join(", ")
        ));
    }
    Ok(findings
        .into_iter()
        .map(|finding| manifest::ScriptFacts {
            package: finding.package,
            script: finding.script,
            sha256: finding.sha256,
            covered: finding.covered,
        })
        .collect())
}

/// Lays overlays over a tree.
fn apply_overlays(
    overlays: &[Sourced<Overlay>],
    over: &str,
    tree: &mut Tree,
) -> Result<Vec<manifest::OverlayFacts>> {
    let mut facts = Vec::new();
    for overlay in overlays {
        let paths = overlay::apply(tree, &overlay.folder.path)?;
        let mut files = Vec::new();
        for path in paths {
            if let Ok(content) = tree.content(&path) {
                files.push((path.to_string(), digest(&path, content)?.to_string()));
            }
        }
        facts.push(manifest::OverlayFacts {
            name: overlay.name.clone(),
            over: over.to_owned(),
            files,
        });
    }
    Ok(facts)
}

/// SHA-256 of a content, however long it is.
fn digest(path: &TreePath, content: &Content) -> Result<Digest> {
    let failed = |source| Error::io("read", Path::new(path.as_str()), source);
    let mut reader = content.reader().map_err(failed)?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; content.length().min(1 << 20) as usize];
    loop {
        match reader.read(&mut buffer).map_err(failed)? {
            0 => return Ok(hasher.finish()),
            length => hasher.update(&buffer[..length]),
        }
    }
}

/// Writes what the plan says and programs in the image read.
fn add_settings(plan: &Plan, tree: &mut Tree) -> Result<()> {
    let lines = |values: &[fortress_recipe::Sourced<String>]| -> String {
        values
            .iter()
            .map(|value| format!("{}\n", value.value))
            .collect()
    };
    let mut write = |path: &str, text: String| -> Result<()> {
        Ok(tree.write(&TreePath::new(path)?, 0o644, text)?)
    };
    if !plan.kernel.load.is_empty() {
        write(
            "/usr/lib/modules-load.d/fortress.conf",
            lines(&plan.kernel.load),
        )?;
    }
    let mut sockets = String::from("# What the recipe lets listen.\n");
    for socket in &plan.health.sockets {
        sockets.push_str(&socket.value.parse::<ListeningSocket>()?.line());
    }
    write("/usr/lib/fortress/sockets.d/50-recipe", sockets)?;
    state::write(plan, tree)?;
    let path = TreePath::new("/usr/lib/os-release")?;
    let mut text = tree.read_text(&path)?;
    text.push_str(&format!(
        "IMAGE_ID={}\nIMAGE_VERSION={}\n",
        plan.name.value, plan.version.value
    ));
    tree.write(&path, 0o644, text)?;
    Ok(())
}

/// Runs the jobs of the configuration; gives what is known of kernel modules.
fn configured(
    plan: &Plan,
    tree: &mut Tree,
    packages: &[Package],
    archives: &[Archive],
    settings: &Settings<'_>,
) -> Result<BTreeMap<String, ModuleIndex>> {
    let values = |of: &[fortress_recipe::Sourced<String>]| -> Vec<String> {
        of.iter().map(|one| one.value.clone()).collect()
    };
    let numbers = |of: &std::collections::BTreeMap<String, fortress_recipe::Sourced<u32>>| {
        of.iter()
            .map(|(name, id)| (name.clone(), id.value))
            .collect()
    };
    let told = fortress_configuration::Settings {
        hostname: plan.system.hostname.value.clone(),
        locale: plan.system.locale.value.clone(),
        time_zone: plan.system.time_zone.value.clone(),
        units: UnitSettings {
            enable: values(&plan.units.enable),
            disable: values(&plan.units.disable),
            mask: values(&plan.units.mask),
            default_target: plan
                .units
                .default_target
                .as_ref()
                .map(|target| target.value.clone()),
        },
        identifiers: Identifiers {
            users: numbers(&plan.identifiers.users),
            groups: numbers(&plan.identifiers.groups),
        },
        trim: TrimSettings {
            documentation: *plan.trim.documentation,
            manuals: *plan.trim.manuals,
            locales: plan.trim.locales.then(|| values(&plan.trim.keep_locales)),
            paths: values(&plan.trim.paths),
        },
        ..Default::default()
    };
    let facts = KeptFacts::open(settings.store, archives)?;
    let report = configure(tree, packages, &told, &facts, settings.observer)?;
    facts.close()?;
    Ok(report.modules)
}
