//! What README and docs say of the project's files, held against them.

use fortress_tests::project_folder;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use toml::Table;

fn read(path: &str) -> String {
    fs::read_to_string(project_folder().join(path)).unwrap()
}

/// The packages of the workspace, by name.
fn packages() -> BTreeMap<String, Table> {
    let mut folders: Vec<PathBuf> = fs::read_dir(project_folder().join("builder"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.extend(["qemu", "tests", "tests/bench"].map(|name| project_folder().join(name)));
    let packages = folders.iter().map(|folder| {
        let text = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let package: Table = text.parse().unwrap();
        let name = package["package"]["name"].as_str().unwrap().to_owned();
        (name, package)
    });
    packages.collect()
}

fn dependencies(package: &Table, kind: &str) -> BTreeSet<String> {
    let table = package.get(kind).and_then(|value| value.as_table());
    table.into_iter().flat_map(Table::keys).cloned().collect()
}

/// The cells of the tables after a heading, up to the next one, without their heads.
fn rows(text: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, section) = text.split_once(&format!("\n{heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let lines = section.lines().filter(|line| line.starts_with("| `"));
    let cells = |line: &str| {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect()
    };
    lines.map(cells).collect()
}

/// What stands in backquotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_dependency_has_its_reason() {
    let used: BTreeSet<String> = packages()
        .values()
        .flat_map(|package| {
            ["dependencies", "dev-dependencies", "build-dependencies"]
                .map(|kind| dependencies(package, kind))
        })
        .flatten()
        .filter(|name| !name.starts_with("fortress-"))
        .collect();
    let readme = read("README.md");
    let told: BTreeSet<String> = rows(&readme, "## Dependencies")
        .iter()
        .flat_map(|row| quoted(&row[0]))
        .map(str::to_owned)
        .collect();
    assert_eq!(used, told);
}

#[test]
fn crates_use_only_what_stands_above_them() {
    let packages = packages();
    let architecture = read("docs/architecture.md");
    let rows = rows(&architecture, "## The house");
    let mut above = BTreeSet::new();
    for row in &rows {
        let name = row[0].trim_matches('`');
        let package = match name {
            "cli" => "fortress-build".to_owned(),
            other => format!("fortress-{other}"),
        };
        let used: BTreeSet<String> = dependencies(&packages[&package], "dependencies")
            .iter()
            .filter_map(|name| name.strip_prefix("fortress-"))
            .map(str::to_owned)
            .collect();
        let told: BTreeSet<String> = match row[2].as_str() {
            "all above" => above.clone(),
            uses => uses
                .split(", ")
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
        };
        assert_eq!(used, told, "{name}");
        above.insert(name.to_owned());
        let others: Vec<_> = used.difference(&above).collect();
        assert!(
            others.iter().all(|other| *other == "qemu"),
            "{name}: {others:?}"
        );
    }
    let folders = fs::read_dir(project_folder().join("builder")).unwrap();
    assert_eq!(rows.len(), folders.count());
}

#[test]
fn every_fuzz_target_is_told_of() {
    let manifest: Table = read("tests/fuzz/Cargo.toml").parse().unwrap();
    let text = |value: &toml::Value, key: &str| value[key].as_str().unwrap().to_owned();
    let targets: BTreeSet<String> = manifest["bin"]
        .as_array()
        .unwrap()
        .iter()
        .map(|target| {
            let name = text(target, "name");
            assert_eq!(text(target, "path"), format!("fuzz_targets/{name}.rs"));
            name
        })
        .collect();
    let files = fs::read_dir(project_folder().join("tests/fuzz/fuzz_targets")).unwrap();
    assert_eq!(targets.len(), files.count());
    let rows = rows(&read("docs/fuzzing.md"), "## Targets");
    let told: BTreeSet<String> = rows
        .iter()
        .map(|row| row[0].trim_matches('`').to_owned())
        .collect();
    assert_eq!(targets, told);
}

/// The Markdown files of the project.
fn documents() -> Vec<String> {
    let mut documents = vec![
        "README.md".to_owned(),
        "keys/README.md".to_owned(),
        "recipes/locks/README.md".to_owned(),
    ];
    for entry in fs::read_dir(project_folder().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") {
            documents.push(format!("docs/{name}"));
        }
    }
    documents
}

#[test]
fn links_and_paths_lead_somewhere() {
    let mut count = 0;
    let tops = [
        "builder/",
        "docs/",
        "qemu/",
        "recipes/",
        "tests/",
        "keys/",
        "overlays/",
    ];
    for document in documents() {
        let text = read(&document);
        let folder = Path::new(&document).parent().unwrap();
        let links = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')'))
            .map(|(link, _)| link.split('#').next().unwrap())
            .filter(|link| !link.is_empty() && !link.contains("://"))
            .map(|link| folder.join(link));
        // Paths with names in capitals or patterns are examples.
        let paths = quoted(&text)
            .into_iter()
            .filter(|path| tops.iter().any(|top| path.starts_with(top)))
            .filter(|path| !path.contains([' ', '*', '<', '…']))
            .filter(|path| {
                !path
                    .split(['/', '-'])
                    .any(|name| name == name.to_uppercase())
            })
            .map(PathBuf::from);
        for path in links.chain(paths) {
            let there = project_folder().join(&path);
            assert!(
                there.exists(),
                "{document}: {} is not there",
                path.display()
            );
            count += 1;
        }
    }
    assert!(count > 30, "only {count} were found");
}
