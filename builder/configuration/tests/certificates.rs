//! Hashed links against `openssl rehash`, for subjects in every encoding. (The authorities that
//! Debian ships are compared in whole.rs.)

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by them")]

use fortress_configuration::certificates;
use fortress_tests::Oracle;
use fortress_tree::{Kind, Tree, TreePath};
use std::collections::BTreeMap;
use std::fs;

/// Subjects with the string types that openssl may choose for them.
const SUBJECTS: [(&str, &str); 8] = [
    (
        "utf8only",
        "/C=CH/O=  Staat   der  Dinge /CN=Ünï  Çode ROOT",
    ),
    ("nombstr", "/C=CH/O=  Staat   der  Dinge /CN=Ünï  Çode ROOT"),
    ("MASK:0x800", "/O=Wide ÄÖÜ   Letters/CN=€uro"),
    ("MASK:0x100", "/O=Universal   Letters/CN=€uro"),
    (
        "default",
        "/C=CH/O=Plain-Text/OU=Two+CN=Parts of+L=One name",
    ),
    ("default", "/emailAddress=Root@Example.ORG/CN=Mail"),
    ("default", "/DC=org/DC=Example/serialNumber=A B  C/CN=x"),
    ("default", "/CN=same subject"),
];

fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

/// Links by name in a folder of this machine, hashed ones only.
fn hashed(folder: &std::path::Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_symlink() {
            let target = fs::read_link(entry.path()).unwrap();
            found.insert(
                entry.file_name().into_string().unwrap(),
                target.into_os_string().into_string().unwrap(),
            );
        }
    }
    found
}

#[test]
fn hashed_links_equal_those_of_openssl_rehash() {
    let oracle = Oracle::open();
    let folder = oracle.folder();
    let inside = oracle.inside(folder.path());
    let mut names = Vec::new();
    let twice = [SUBJECTS.as_slice(), &[SUBJECTS[7]]].concat();
    for (index, (mask, subject)) in twice.into_iter().enumerate() {
        let settings =
            format!("[req]\ndistinguished_name = name\nstring_mask = {mask}\nutf8 = yes\n[name]\n");
        fs::write(folder.path().join("settings"), settings).unwrap();
        let (settings, key, pem) = (
            format!("{inside}/settings"),
            format!("{inside}/key"),
            format!("{inside}/c{index}.pem"),
        );
        oracle
            .run(&[
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-noenc",
                "-utf8",
                "-multivalue-rdn",
                "-config",
                &settings,
                "-subj",
                subject,
                "-keyout",
                &key,
                "-out",
                &pem,
                "-days",
                "9",
            ])
            .success();
        names.push(format!("c{index}"));
    }
    // The same certificate under another name, and a file that holds two: no link for either.
    let first = fs::read_to_string(folder.path().join("c0.pem")).unwrap();
    fs::write(folder.path().join("z-again.pem"), &first).unwrap();
    fs::write(folder.path().join("z-two.pem"), first.repeat(2)).unwrap();
    names.extend(["z-again".to_owned(), "z-two".to_owned()]);
    let mut tree = Tree::new(0);
    for name in &names {
        let text = fs::read_to_string(folder.path().join(format!("{name}.pem"))).unwrap();
        tree.write(
            &path(&format!("/usr/local/share/ca-certificates/{name}.crt")),
            0o644,
            text,
        )
        .unwrap();
    }
    tree.link(&path("/etc/ssl/certs/00000000.0"), "gone.pem")
        .unwrap();
    certificates::run(&mut tree).unwrap();
    oracle.run(&["openssl", "rehash", &inside]);
    let expected = hashed(folder.path());
    assert_eq!(expected.len(), 9, "{expected:?}");
    let certs = path("/etc/ssl/certs");
    let ours: BTreeMap<String, String> = tree
        .entries(&certs)
        .filter_map(|(name, node)| match &node.kind {
            Kind::Symlink(target) if !target.starts_with('/') => {
                Some((name.to_owned(), target.clone()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(ours, expected);
}

#[test]
fn a_selection_decides_and_damage_is_told() {
    let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";
    let mut tree = Tree::new(0);
    let shipped = |name: &str| path(&format!("/usr/share/ca-certificates/x/{name}.crt"));
    tree.write(&shipped("a"), 0o644, certificate).unwrap();
    let error = certificates::run(&mut tree).unwrap_err().to_string();
    assert_eq!(
        error,
        "cannot use /etc/ssl/certs/a.pem: as a certificate, it is no X.509 certificate"
    );
    let selection = path("/etc/ca-certificates.conf");
    tree.write(&selection, 0o644, "!x/a.crt\nx/b.crt\n")
        .unwrap();
    let error = certificates::run(&mut tree).unwrap_err().to_string();
    assert!(
        error.contains("line 2: /usr/share/ca-certificates has no \"x/b.crt\""),
        "{error}"
    );
    tree.remove(&path("/etc/ssl/certs/a.pem"));
    tree.write(&selection, 0o644, "# none\n!x/a.crt\n").unwrap();
    certificates::run(&mut tree).unwrap();
    assert_eq!(
        tree.read_text(&path("/etc/ssl/certs/ca-certificates.crt"))
            .unwrap(),
        ""
    );
}
