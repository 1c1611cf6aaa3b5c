//! PAM's common-* files against pam-auth-update of Debian 13, with profiles beyond its own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by them")]

use fortress_configuration::pam;
use fortress_tests::Oracle;
use fortress_tree::{Tree, TreePath};
use std::fs;

const FILES: [&str; 5] = [
    "account",
    "auth",
    "password",
    "session",
    "session-noninteractive",
];
/// Profiles as packages might ship them.
const PROFILES: [(&str, &str); 6] = [
    (
        "krb5",
        "Name: Kerberos authentication\nDefault: yes\nPriority: 704\nConflicts: krb5-openafs\n\
         Auth-Type: Primary\nAuth:\n\t[success=end default=ignore]\tpam_krb5.so minimum_uid=1000 try_first_pass\n\
         Auth-Initial:\n\t[success=end default=ignore]\tpam_krb5.so minimum_uid=1000\n\
         Account-Type: Additional\nAccount:\n\trequired\tpam_krb5.so minimum_uid=1000\n\
         Password-Type: Primary\nPassword:\n\t[success=end default=ignore]\tpam_krb5.so use_authtok\n\
         Password-Initial:\n\t[success=end default=ignore]\tpam_krb5.so minimum_uid=1000\n\
         Session-Type: Additional\nSession:\n\toptional\tpam_krb5.so minimum_uid=1000\n",
    ),
    (
        "krb5-openafs",
        "Name: In conflict with the one of higher priority\nDefault: yes\nPriority: 10\n\
         Auth-Type: Additional\nAuth:\n\toptional\tpam_never.so\n",
    ),
    (
        "faillock",
        "Name: Two lines\nDefault: yes\nPriority: 300\nAuth-Type: Primary\nAuth:\n\
         \trequisite\t\tpam_faillock.so preauth\n\t[default=die]\tpam_faillock.so authfail\n\
         Account-Type: Primary\nAccount-Final:\n\trequired\tpam_faillock.so\n",
    ),
    (
        "mkhomedir-on",
        "Name: Interactive\nDefault: yes\nPriority: 0\nSession-Type: Additional\n\
         Session-Interactive-Only: yes\nSession:\n\toptional\tpam_mkhomedir.so umask=0077\n",
    ),
    (
        "off",
        "Name: Off\nDefault: no\nPriority: 900\nAuth-Type: Primary\nAuth:\n\trequired\tpam_off.so\n",
    ),
    (
        "backup~",
        "Name: A leftover\nDefault: yes\nPriority: 999\nAuth-Type: Primary\nAuth:\n\trequired\tpam_old.so\n",
    ),
];

#[test]
fn stacks_equal_those_of_pam_auth_update() {
    let oracle = Oracle::open();
    let folder = oracle.folder();
    let inside = oracle.inside(folder.path());
    let mut tree = Tree::new(0);
    let mut give = |name: &str, text: &str| {
        let host = folder.path().join(name);
        fs::create_dir_all(host.parent().unwrap()).unwrap();
        fs::write(&host, text).unwrap();
        tree.write(&TreePath::new(name).unwrap(), 0o644, text)
            .unwrap();
    };
    for (name, text) in PROFILES {
        give(&format!("usr/share/pam-configs/{name}"), text);
    }
    for name in ["unix", "systemd", "mkhomedir"] {
        let path = format!("usr/share/pam-configs/{name}");
        give(
            &path,
            &fs::read_to_string(oracle.root().join(&path)).unwrap(),
        );
    }
    for name in FILES {
        let path = format!("usr/share/pam/common-{name}");
        give(
            &path,
            &fs::read_to_string(oracle.root().join(&path)).unwrap(),
        );
    }
    // debconf's own files in the folder, so that the oracle root stays as it is.
    let settings = format!(
        "Config: configdb\nTemplates: templatedb\n\nName: configdb\nDriver: File\nFilename: {inside}/config.dat\n\n\
         Name: templatedb\nDriver: File\nFilename: {inside}/templates.dat\n"
    );
    fs::write(folder.path().join("debconf.conf"), settings).unwrap();
    fs::create_dir_all(folder.path().join("etc/pam.d")).unwrap();
    fs::create_dir_all(folder.path().join("var/lib/pam")).unwrap();
    let debconf = format!("DEBCONF_SYSTEMRC={inside}/debconf.conf");
    let told = oracle.run_with_proc(&[
        "env",
        &debconf,
        "DEBIAN_FRONTEND=noninteractive",
        "pam-auth-update",
        "--root",
        &inside,
        "--package",
        "--force",
    ]);
    assert_eq!(told.status, 0, "{told:?}");
    pam::run(&mut tree).unwrap();
    for name in FILES {
        let path = format!("etc/pam.d/common-{name}");
        let theirs = fs::read_to_string(folder.path().join(&path)).unwrap();
        assert_eq!(
            tree.read_text(&TreePath::new(&path).unwrap()).unwrap(),
            theirs,
            "{path}"
        );
    }
}
