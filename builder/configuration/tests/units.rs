//! Units against systemd's own `systemctl preset-all`, `enable`, `disable` and `mask`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by them")]

#[path = "host/mod.rs"]
mod host;

use fortress_configuration::units::{self, UnitSettings};
use fortress_tests::Oracle;
use fortress_tree::{Kind, Tree, TreePath};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Units that ask for what Debian's own do not: a file's path below `/usr/lib/systemd`, its text.
const FIXTURES: [(&str, &str); 21] = [
    (
        "system/x-plain.service",
        "[Install]\nWantedBy=multi-user.target\n",
    ),
    (
        "system/x-also.service",
        "[Install]\nWantedBy=multi-user.target\nAlso=x-also.socket x-gone.service\n",
    ),
    (
        "system/x-also.socket",
        "[Install]\nWantedBy=sockets.target\n",
    ),
    (
        "system/x-alias.service",
        "[Install]\nAlias=x-name.service x-%p.service x-bad.target\n",
    ),
    (
        "system/x-dep.service",
        "[Install]\nRequiredBy=a.target b.target\nUpheldBy=c.service\n",
    ),
    (
        "system/x-template@.service",
        "[Install]\nDefaultInstance=one\nWantedBy=x-%i.target\n",
    ),
    (
        "system/x-bare@.service",
        "[Install]\nWantedBy=multi-user.target x-other@.service\n",
    ),
    (
        "system/x-many@.service",
        "[Install]\nWantedBy=multi-user.target x-%i.target\nAlias=x-more@.service\n",
    ),
    ("system/x-dropin.service", "[Unit]\nDescription=x\n"),
    (
        "system/x-dropin.service.d/10.conf",
        "[Install]\nWantedBy=x-drop.target\n",
    ),
    (
        "system/x-reset.service",
        "[Install]\nWantedBy=a.target\nWantedBy=\nWantedBy= \\\n  b.target\n",
    ),
    (
        "system/x-off.service",
        "[Install]\nWantedBy=multi-user.target\n",
    ),
    ("system/x-off.timer", "[Install]\nWantedBy=timers.target\n"),
    (
        "system/x-first.service",
        "[Install]\nAlias=x-shared.service\n",
    ),
    (
        "system/x-inward.service",
        "[Install]\nAlias=x-plain.service.wants/x-inward.service\n",
    ),
    (
        "system/x-mount.mount",
        "[Mount]\nWhere=/x/mount\n[Install]\nWantedBy=local-fs.target\nAlias=y.mount\n",
    ),
    (
        "system-preset/10-x.preset",
        "enable x-off.timer\ndisable x-off.*\nenable x-many@.service p q\nenable x-*\nenable fstrim.timer\n",
    ),
    ("system-preset/99-default.preset", "disable *\n"),
    (
        "user/x-user.service",
        "[Install]\nWantedBy=default.target\n",
    ),
    ("user-preset/10-x.preset", "enable x-*\n"),
    ("user-preset/99-default.preset", "disable *\n"),
];

/// A root in the oracle's `/tmp` with Debian's units and the fixtures, and the same as a tree.
fn prepare(oracle: &Oracle) -> (tempfile::TempDir, Tree) {
    let folder = oracle.folder();
    let lib = folder.path().join("usr/lib");
    fs::create_dir_all(&lib).unwrap();
    fs::create_dir_all(folder.path().join("etc/systemd")).unwrap();
    let status = std::process::Command::new("cp")
        .arg("-a")
        .arg(oracle.root().join("usr/lib/systemd"))
        .arg(&lib)
        .status();
    assert!(status.unwrap().success());
    for (path, text) in FIXTURES {
        let path = lib.join("systemd").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let tree = host::load(folder.path(), &["/etc", "/usr"]);
    (folder, tree)
}

/// Every link below `/etc/systemd`, with its target.
fn links(tree: &Tree) -> BTreeMap<String, String> {
    let folder = TreePath::new("/etc/systemd").unwrap();
    let links = tree
        .within(&folder)
        .filter_map(|(path, node)| match &node.kind {
            Kind::Symlink(target) => Some((path.to_string(), target.clone())),
            _ => None,
        });
    links.collect()
}

fn systemctl(oracle: &Oracle, folder: &Path, arguments: &[&str]) {
    let root = format!("--root={}", oracle.inside(folder));
    let mut command = vec!["systemctl", &root];
    command.extend(arguments);
    let outcome = oracle.run(&command);
    assert!(outcome.status == 0, "{arguments:?}: {outcome:?}");
}

#[test]
fn links_are_those_of_systemctl_preset_all() {
    let oracle = Oracle::open();
    let (folder, mut tree) = prepare(&oracle);
    let report = units::apply(&mut tree, &UnitSettings::default()).unwrap();
    systemctl(&oracle, folder.path(), &["preset-all"]);
    systemctl(&oracle, folder.path(), &["--global", "preset-all"]);
    let theirs = links(&host::load(folder.path(), &["/etc/systemd"]));
    let ours = links(&tree);
    assert_eq!(ours, theirs);
    assert!(ours.len() > 30);
    for (warning, about) in [
        ("x-also.service", "x-gone.service"),
        ("x-alias.service", "x-bad.target"),
        ("x-mount.mount", "y.mount"),
    ] {
        let told = report.warnings.iter().any(|it| it.contains(about));
        assert!(
            told,
            "{warning}: nothing about {about} in {:?}",
            report.warnings
        );
    }
}

#[test]
fn the_recipes_choices_are_what_systemctl_does() {
    let oracle = Oracle::open();
    let (folder, mut tree) = prepare(&oracle);
    let settings = UnitSettings {
        enable: [
            "x-off",
            "x-template@two.service",
            "auditd",
            "systemd-networkd",
        ]
        .map(Into::into)
        .into(),
        disable: [
            "x-also.service",
            "x-alias.service",
            "x-many@.service",
            "getty@",
        ]
        .map(Into::into)
        .into(),
        mask: ["systemd-pstore.service", "x-plain"].map(Into::into).into(),
        default_target: Some("rescue.target".into()),
    };
    let report = units::apply(&mut tree, &settings).unwrap();
    systemctl(&oracle, folder.path(), &["preset-all"]);
    systemctl(&oracle, folder.path(), &["--global", "preset-all"]);
    for (verb, names) in [
        ("disable", &settings.disable),
        ("enable", &settings.enable),
        ("mask", &settings.mask),
    ] {
        let mut arguments = vec![verb];
        arguments.extend(names.iter().map(String::as_str));
        systemctl(&oracle, folder.path(), &arguments);
    }
    systemctl(&oracle, folder.path(), &["set-default", "rescue.target"]);
    let theirs = links(&host::load(folder.path(), &["/etc/systemd"]));
    let ours = links(&tree);
    assert_eq!(ours, theirs);
    for (link, target) in &report.links {
        assert_eq!(ours.get(link.as_str()), Some(target), "{link}");
    }
    assert!(report.enabled.contains(&"auditd.service".to_owned()));
    assert!(!report.enabled.contains(&"x-plain.service".to_owned()));
}

#[test]
fn a_unit_that_is_not_there_is_refused_with_its_neighbours() {
    let oracle = Oracle::open();
    let tree = host::load(oracle.root(), &["/usr/lib/systemd"]);
    let name = vec!["systemd-netwrokd".to_owned()];
    let of = |settings: UnitSettings| {
        units::apply(&mut tree.clone(), &settings)
            .unwrap_err()
            .to_string()
    };
    let default = UnitSettings::default;
    for error in [
        of(UnitSettings {
            enable: name.clone(),
            ..default()
        }),
        of(UnitSettings {
            disable: name.clone(),
            ..default()
        }),
        of(UnitSettings {
            mask: name.clone(),
            ..default()
        }),
        of(UnitSettings {
            default_target: name.first().cloned(),
            ..default()
        }),
    ] {
        assert!(error.contains("\"systemd-netwrokd\""), "{error}");
        assert!(
            error.contains("near are systemd-networkd.service"),
            "{error}"
        );
    }
}
