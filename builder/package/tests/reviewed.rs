//! The reviews that come with the project, on the scripts of real packages.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

use fortress_package::{Archive, GENERATED_BLOCKS, Options, Reviewed, review, unpack};
use fortress_progress::Silent;
use fortress_tests::Oracle;
use fortress_tree::{Spool, Tree};
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn nearly_all_scripts_of_the_oracle_root_are_reviewed() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes/reviewed-scripts.toml");
    let reviewed = Reviewed::from_toml(&std::fs::read_to_string(file).unwrap()).unwrap();
    let oracle = Oracle::open();
    let mut archives: Vec<Archive> = std::fs::read_dir(oracle.packages())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .map(|path| Archive {
            name: path.display().to_string(),
            path,
            sha256: None,
        })
        .collect();
    archives.sort_by(|one, other| one.name.cmp(&other.name));
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::new(folder.path()).unwrap();
    let options = Options::default();
    let packages = unpack(&archives, &mut Tree::new(0), &spool, &options, &Silent).unwrap();

    let findings = review(&packages, &reviewed);
    assert!(findings.len() > 50, "only {} scripts found", findings.len());
    let unreviewed: Vec<String> = findings
        .iter()
        .filter(|finding| finding.covered.is_none())
        .map(|finding| format!("{} {}", finding.package, finding.script))
        .collect();
    // The archive moves on: an update may bring a new script, which is then to be read.
    assert!(
        unreviewed.len() * 10 <= findings.len(),
        "read these, and extend recipes/reviewed-scripts.toml: {unreviewed:?}"
    );
    // Without the file all of them are unreviewed: it is the file that answers.
    let without = review(&packages, &Reviewed::default());
    assert!(without.iter().all(|finding| finding.covered.is_none()));
    assert_eq!(without.len(), findings.len());
}

#[test]
fn every_kind_of_generated_block_says_how_it_is_covered() {
    let programs: BTreeSet<_> = GENERATED_BLOCKS.iter().map(|block| block.program).collect();
    assert_eq!(programs.len(), GENERATED_BLOCKS.len());
    for block in GENERATED_BLOCKS {
        assert!(block.program.starts_with("dh_"), "{}", block.program);
        assert!(!block.covered.is_empty(), "{}", block.program);
    }
}
