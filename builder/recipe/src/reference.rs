//! The reference, docs/recipes.md, held against what is read: every key is in it and no other,
//! and every example in it is taken.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::base::BaseFile;
use crate::board::BoardFile;
use crate::error::Result;
use crate::recipe::{Layer, RecipeFile};
use crate::section::known;
use crate::source::Source;

fn reference() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/recipes.md");
    std::fs::read_to_string(path).unwrap()
}

fn parse(kind: &str, text: &str) -> Result<()> {
    let source = Source::from_bytes(text.as_bytes().to_vec(), format!("{kind} example"))?;
    match kind {
        "board" => BoardFile::parse(&source).map(drop),
        "base" => BaseFile::parse(&source).map(drop),
        "recipe" => RecipeFile::parse(&source).map(drop),
        "site" => Layer::parse_site(&source).map(drop),
        other => panic!("what is a {other}?"),
    }
}

/// The sections on boards, bases, recipes and site files.
fn sections(text: &str) -> BTreeMap<&'static str, &str> {
    let kinds = [
        ("board", "Boards"),
        ("base", "Bases"),
        ("recipe", "Recipes"),
        ("site", "Site files"),
    ];
    kinds
        .into_iter()
        .map(|(kind, title)| {
            let (_, rest) = text.split_once(&format!("\n## {title}\n")).unwrap();
            (kind, rest.split("\n## ").next().unwrap())
        })
        .collect()
}

/// The keys of the rows of a section's table.
fn documented(section: &str) -> BTreeSet<String> {
    section
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|rest| rest.split('`').next())
        .map(|key| key.replace("FLAVOUR", "*").replace("NAME", "*"))
        .collect()
}

#[test]
fn every_key_is_in_the_reference_and_every_example_is_taken() {
    let text = reference();
    for (kind, section) in sections(&text) {
        let fence = format!("\n```toml {kind}\n");
        let (_, rest) = section.split_once(&fence).unwrap();
        let example = rest.split("\n```").next().unwrap();
        known::take();
        parse(kind, example).unwrap();
        let mut read = known::take();
        // A key whose own keys are read is told by them.
        let outer: Vec<String> = read
            .iter()
            .filter(|key| {
                let inner = format!("{key}.");
                read.iter().any(|other| other.starts_with(&inner))
            })
            .cloned()
            .collect();
        for key in outer {
            read.remove(&key);
        }
        let mut documented = documented(section);
        // A table of free names may have a row of its own beside those of its keys.
        documented.retain(|key| {
            let inner = format!("{key}.");
            read.iter().all(|other| !other.starts_with(&inner))
        });
        assert_eq!(read, documented, "{kind}");
    }
    assert_eq!(text.matches("\n```toml").count(), 4);
}
