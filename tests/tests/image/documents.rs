//! What lies beside the image.

use crate::fixture::{image, locked};
use fortress_tests::{BENCH_IMAGE, public_halves, test_keys, tool};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

#[test]
fn the_documents_are_signed_and_checksums_fit() {
    let image = image();
    let stem = BENCH_IMAGE.strip_suffix(".img").unwrap();
    let halves = public_halves(test_keys());
    let key = halves.path().join("minisign.pub");
    let key = key.to_str().unwrap();
    for ending in ["manifest.json", "spdx.json", "sha256"] {
        let document = image.path(&format!("{stem}.{ending}"));
        let document = document.to_str().unwrap();
        let said = tool("minisign", &["-V", "-p", key, "-m", document]);
        assert!(said.contains(&format!("file:{stem}.{ending}")), "{said}");
    }
    let ran = Command::new("sha256sum")
        .args(["--check", "--strict", &format!("{stem}.sha256")])
        .current_dir(&image.folder)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let said = String::from_utf8(ran.stdout).unwrap();
    assert_eq!(said.matches(": OK\n").count(), 2, "{said}");
}

#[test]
fn the_bill_of_materials_has_every_package() {
    let image = image();
    let stem = BENCH_IMAGE.strip_suffix(".img").unwrap();
    let text = fs::read(image.path(&format!("{stem}.spdx.json"))).unwrap();
    let bill: Value = serde_json::from_slice(&text).unwrap();
    // What SPDX 2.3 demands of a document (sections 6, 7 and 11).
    for (key, value) in [
        ("spdxVersion", "SPDX-2.3"),
        ("dataLicense", "CC0-1.0"),
        ("SPDXID", "SPDXRef-DOCUMENT"),
        ("name", stem),
    ] {
        assert_eq!(bill[key], value);
    }
    let namespace = bill["documentNamespace"].as_str().unwrap();
    assert!(
        namespace.starts_with("https://") && !namespace.contains('#'),
        "{namespace}"
    );
    let epoch = image.manifest["source_date_epoch"].to_string();
    let time = tool("date", &["-u", "-d", &format!("@{epoch}"), "+%FT%TZ"]);
    assert_eq!(bill["creationInfo"]["created"], time.trim());
    let packages = bill["packages"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    for package in packages {
        let id = package["SPDXID"].as_str().unwrap();
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-.".contains(letter);
        assert!(id.strip_prefix("SPDXRef-").unwrap().chars().all(allowed));
        assert!(ids.insert(id), "{id} is there twice");
        for key in [
            "name",
            "versionInfo",
            "downloadLocation",
            "licenseConcluded",
        ] {
            assert!(!package[key].as_str().unwrap().is_empty(), "{package}");
        }
        assert_eq!(package["filesAnalyzed"], false);
    }
    let mut listed: Vec<String> = packages[1..]
        .iter()
        .map(|package| {
            let url = &package["externalRefs"][0]["referenceLocator"];
            let url = url
                .as_str()
                .unwrap()
                .strip_prefix("pkg:deb/debian/")
                .unwrap();
            let (name, rest) = url.split_once('@').unwrap();
            let (version, rest) = rest.split_once("?arch=").unwrap();
            let architecture = rest.strip_suffix("&distro=trixie").unwrap();
            [name, version, architecture].join(" ").replace("%2B", "+")
        })
        .collect();
    listed.sort();
    assert_eq!(listed, locked());
    let relations = bill["relationships"].as_array().unwrap();
    let of = |kind: &str| {
        let kinds = relations
            .iter()
            .map(|relation| &relation["relationshipType"]);
        kinds.filter(|found| *found == kind).count()
    };
    assert_eq!((of("DESCRIBES"), of("CONTAINS")), (1, packages.len() - 1));
    for relation in relations {
        let to = relation["relatedSpdxElement"].as_str().unwrap();
        assert!(ids.contains(to), "{relation}");
    }
}
