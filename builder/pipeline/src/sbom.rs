//! The software bill of materials: which packages are in an image
//! ([SPDX 2.3](https://spdx.github.io/spdx-spec/v2.3/), JSON).
//!
//! It says nothing that depends on the owner's keys.

use crate::manifest::Manifest;
use fortress_archive::{Lock, LockedPackage, to_rfc3339};
use fortress_recipe::{Base, Plan};
use serde::Serialize;
use std::fmt::Write;
use uuid::Builder;

/// What is not said: nobody has looked at the licences of all packages, and mirrors differ.
const NO_ASSERTION: &str = "NOASSERTION";
/// The element that stands for the document itself.
const DOCUMENT: &str = "SPDXRef-DOCUMENT";
/// The element that stands for the image.
const IMAGE: &str = "SPDXRef-Image";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(rename = "SPDXID")]
    id: &'static str,
    spdx_version: &'static str,
    creation_info: CreationInfo,
    name: String,
    data_license: &'static str,
    document_namespace: String,
    packages: Vec<Package>,
    relationships: Vec<Relationship>,
}

#[derive(Serialize)]
struct CreationInfo {
    created: String,
    creators: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Package {
    #[serde(rename = "SPDXID")]
    id: String,
    name: String,
    version_info: String,
    primary_package_purpose: &'static str,
    download_location: &'static str,
    files_analyzed: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checksums: Vec<Checksum>,
    license_concluded: &'static str,
    license_declared: &'static str,
    copyright_text: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_refs: Vec<ExternalReference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_info: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checksum {
    algorithm: &'static str,
    checksum_value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExternalReference {
    reference_category: &'static str,
    reference_type: &'static str,
    reference_locator: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Relationship {
    spdx_element_id: &'static str,
    relationship_type: &'static str,
    related_spdx_element: String,
}

/// The SBOM of an image; same image, same text.
pub(crate) fn text(manifest: &Manifest, lock: &Lock, plan: &Plan) -> serde_json::Result<String> {
    let mut packages = vec![image(manifest)];
    let mut relationships = vec![Relationship {
        spdx_element_id: DOCUMENT,
        relationship_type: "DESCRIBES",
        related_spdx_element: IMAGE.into(),
    }];
    for (index, locked) in lock.packages.iter().enumerate() {
        let id = format!("SPDXRef-Package-{}", index + 1);
        relationships.push(Relationship {
            spdx_element_id: IMAGE,
            relationship_type: "CONTAINS",
            related_spdx_element: id.clone(),
        });
        packages.push(package(id, locked, &plan.base));
    }
    let document = Document {
        id: DOCUMENT,
        spdx_version: "SPDX-2.3",
        creation_info: CreationInfo {
            created: to_rfc3339(manifest.source_date_epoch),
            creators: vec![format!("Tool: fortress-build-{}", manifest.builder)],
        },
        name: manifest.stem().to_owned(),
        data_license: "CC0-1.0",
        document_namespace: namespace(manifest),
        packages,
        relationships,
    };
    let mut text = serde_json::to_string_pretty(&document)?;
    text.push('\n');
    Ok(text)
}

/// A URI that no other document has: the root hash tells images apart.
fn namespace(manifest: &Manifest) -> String {
    let mut half = [0; 16];
    let digits = manifest.root_hash.as_bytes().chunks_exact(2);
    for (byte, pair) in half.iter_mut().zip(digits) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16).unwrap_or_default() as u8;
        *byte = digit(0) << 4 | digit(1);
    }
    let uuid = Builder::from_custom_bytes(half).into_uuid();
    format!("https://spdx.org/spdxdocs/{}-{uuid}", manifest.stem())
}

fn image(manifest: &Manifest) -> Package {
    Package {
        id: IMAGE.into(),
        name: manifest.name.clone(),
        version_info: manifest.version.clone(),
        primary_package_purpose: "OPERATING-SYSTEM",
        download_location: NO_ASSERTION,
        files_analyzed: false,
        checksums: Vec::new(),
        license_concluded: NO_ASSERTION,
        license_declared: NO_ASSERTION,
        copyright_text: NO_ASSERTION,
        external_refs: Vec::new(),
        source_info: None,
        comment: Some(format!(
            "dm-verity root hash (SHA-256): {}; the manifest beside the image binds every byte of it",
            manifest.root_hash
        )),
    }
}

fn package(id: String, locked: &LockedPackage, base: &Base) -> Package {
    Package {
        id,
        name: locked.name.clone(),
        version_info: locked.version.clone(),
        primary_package_purpose: "INSTALL",
        download_location: NO_ASSERTION,
        files_analyzed: false,
        checksums: vec![Checksum {
            algorithm: "SHA256",
            checksum_value: locked.sha256.to_string(),
        }],
        license_concluded: NO_ASSERTION,
        license_declared: NO_ASSERTION,
        copyright_text: NO_ASSERTION,
        external_refs: vec![ExternalReference {
            reference_category: "PACKAGE-MANAGER",
            reference_type: "purl",
            reference_locator: package_url(locked, base),
        }],
        source_info: Some(format!(
            "source package {} {}",
            locked.source_package, locked.source_version
        )),
        comment: None,
    }
}

/// A package's URL
/// ([specification](https://github.com/package-url/purl-spec/blob/main/types-doc/deb-definition.md)).
fn package_url(locked: &LockedPackage, base: &Base) -> String {
    format!(
        "pkg:deb/{}/{}@{}?arch={}&distro={}",
        percent_encoded(&base.distribution),
        percent_encoded(&locked.name),
        percent_encoded(&locked.version),
        percent_encoded(&locked.architecture),
        percent_encoded(&base.release),
    )
}

/// A part of a package's URL: what is neither unreserved nor a colon is encoded.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                encoded.push(char::from(byte));
            }
            // Writing to a text cannot fail.
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_encoded_as_package_urls_have_them() {
        assert_eq!(percent_encoded("1:2.3+deb13u1~rc1"), "1:2.3%2Bdeb13u1~rc1");
        assert_eq!(percent_encoded("libstdc++6"), "libstdc%2B%2B6");
        assert_eq!(percent_encoded("a b/é"), "a%20b%2F%C3%A9");
    }
}
