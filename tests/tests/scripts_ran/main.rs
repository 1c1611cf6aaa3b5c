//! The tree that the builder makes of an image's packages, held against a tree in which
//! mmdebstrap unpacked the very same packages and ran their scripts: every path that differs is
//! explained by a rule in `scripts-ran-rules.toml`, and every rule explains something.
//!
//! `/var` is compared as it is after the first boot: systemd-tmpfiles fills it.

mod boot;
mod difference;
mod installed;
mod rules;

use fortress_archive::Lock;
use fortress_pipeline::{LockMode, Settings, Signing};
use fortress_progress::Silent;
use fortress_recipe::{Library, Plan, Request};
use fortress_store::{Client, ClientOptions, Store};
use fortress_tests::{Oracle, project_folder, target_folder};
use fortress_tree::Tree;
use fortress_trust::PublicKeys;
use installed::Installed;
use rules::Rules;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

const RECIPES: [&str; 2] = ["bench", "host"];
const BASE: &str = "debian-13";
const BOARD: &str = "x86";

#[test]
fn trees_equal_those_whose_scripts_ran_but_for_what_rules_explain() {
    let oracle = Oracle::open();
    let mut rules = Rules::read();
    let mut unexplained = Vec::new();
    for recipe in RECIPES {
        let (ours, theirs) = trees(recipe, &oracle);
        let found = difference::between(&ours, &theirs);
        println!("{recipe}: {} differences", found.len());
        for difference in found {
            if !rules.explain(recipe, &difference) {
                unexplained.push(format!("{recipe}: {difference}"));
            }
        }
    }
    unexplained.extend(rules.unused());
    assert!(
        unexplained.is_empty(),
        "{} unexplained:\n{}",
        unexplained.len(),
        unexplained.join("\n")
    );
}

/// Ours as it is after a first boot, and theirs.
fn trees(recipe: &str, oracle: &Oracle) -> (Tree, Tree) {
    let library = Library::open(&project_folder()).unwrap();
    let request = Request {
        board: BOARD.into(),
        recipe: Some(recipe.into()),
        base: Some(BASE.into()),
        ..Request::default()
    };
    let mut plan = library.plan(&request).unwrap();
    with_packages_alone(&mut plan);
    let target = target_folder();
    let store = Store::open(&target.join("test-store")).unwrap();
    let client = Client::new(ClientOptions::default()).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    // Nothing is sealed, and so nothing is signed.
    let keys = PublicKeys::default();
    let settings = Settings {
        store: &store,
        client: &client,
        observer: &Silent,
        mirrors: Vec::new(),
        machine_configuration: "/etc".into(),
        lock_path: target.join(format!("test-locks/scripts-ran-{recipe}.toml")),
        lock_mode: LockMode::Keep,
        output: target,
        strict: false,
        keys: &keys,
        signing: Signing::Later,
        now: now.as_secs().cast_signed(),
    };
    let ours = fortress_pipeline::tree(&plan, &settings).unwrap();
    let ours = boot::booted(ours, oracle);
    let lock = Lock::from_toml(&fs::read_to_string(&settings.lock_path).unwrap()).unwrap();
    let sources = fortress_pipeline::sources(&plan, &settings).unwrap();
    let archives = fortress_pipeline::fetch(&lock, &plan, &sources, &settings).unwrap();
    let installed = Installed::open(recipe, &lock, &archives);
    (ours, Tree::load(installed.root(), 0).unwrap())
}

/// Takes from a plan what would lay other files over those of the packages, take files away, or
/// switch units by other words than the packages' own.
fn with_packages_alone(plan: &mut Plan) {
    // Scripts need what an image that is built without them leaves out.
    plan.left_out.clear();
    plan.overlays.clear();
    plan.units.enable.clear();
    plan.units.disable.clear();
    plan.units.mask.clear();
    plan.units.default_target = None;
    plan.trim.documentation.value = false;
    plan.trim.manuals.value = false;
    plan.trim.locales.value = false;
    plan.trim.paths.clear();
}
