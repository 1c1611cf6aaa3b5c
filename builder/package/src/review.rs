//! The review of maintainer scripts, which are never run.
//!
//! Debhelper writes much of them: blocks that say so, whose commands are known, and which the
//! builder covers. What is left when these, comments and empty formalities are taken out is
//! hashed, and looked up among the scripts that people have read. A script that nobody has read
//! is a finding without an answer.

mod blocks;
mod script;

pub use blocks::{GENERATED_BLOCKS, GeneratedBlock};

use crate::{Error, Package, Result};
use sha2::{Digest, Sha256};

/// Scripts that run when a package is installed. `prerm` and `postrm` do not count: the packages
/// of an image are never removed or upgraded, so nothing would ever run them.
const SCRIPTS: [&str; 3] = ["config", "preinst", "postinst"];

/// What is known of scripts that people have read.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reviewed {
    #[serde(default, rename = "script")]
    scripts: Vec<ReviewedScript>,
}

/// A script that somebody has read, and how the builder covers what it does.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewedScript {
    /// The package. One `*` stands for any text, for packages whose names change with their
    /// versions, as those of kernels do.
    pub package: String,
    /// The script: `postinst` and so on.
    pub script: String,
    /// SHA-256, in hexadecimal, of what is left of it (see [`review`]).
    pub sha256: String,
    /// How it is covered, in a line.
    pub covered: String,
}

impl Reviewed {
    /// Reads a file of reviewed scripts: `[[script]]` tables with the fields of
    /// [`ReviewedScript`].
    ///
    /// # Errors
    /// When it is not what it should be, says so of one script twice, or has an empty answer.
    pub fn from_toml(text: &str) -> Result<Self> {
        let reviewed: Self =
            toml::from_str(text).map_err(|error| Error::Reviewed(error.to_string()))?;
        let mut seen = std::collections::BTreeSet::new();
        for script in &reviewed.scripts {
            let name = format!("{} {}", script.package, script.script);
            if !SCRIPTS.contains(&script.script.as_str()) && script.script != "triggers" {
                return Err(Error::Reviewed(format!(
                    "{name}: no such script is reviewed"
                )));
            }
            let is_digest = script.sha256.len() == 64
                && script
                    .sha256
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
            if !is_digest {
                let problem = "sha256 is not 64 lower-case hexadecimal digits";
                return Err(Error::Reviewed(format!("{name}: {problem}")));
            }
            if script.covered.trim().is_empty() {
                let problem = "covered does not say how";
                return Err(Error::Reviewed(format!("{name}: {problem}")));
            }
            if !seen.insert((&script.package, &script.script, &script.sha256)) {
                return Err(Error::Reviewed(format!(
                    "{name}: the same script comes twice"
                )));
            }
        }
        Ok(reviewed)
    }

    /// What was said of a script.
    fn find(&self, package: &str, script: &str, sha256: &str) -> Option<&ReviewedScript> {
        self.scripts.iter().find(|known| {
            known.script == script && known.sha256 == sha256 && is_match(&known.package, package)
        })
    }
}

/// Whether a name fits a pattern with at most one `*`.
fn is_match(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, end)) => {
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        }
    }
}

/// A script of a package of which something is left to review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptFinding {
    /// The package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// The script: `config`, `preinst` or `postinst`; or `triggers`, whose lines name programs
    /// of other packages to run.
    pub script: String,
    /// SHA-256, in hexadecimal, of what is left.
    pub sha256: String,
    /// What is left, a command a line: the package's version and, for a kernel, its release are
    /// written `@VERSION@` and `@RELEASE@`, so that the next one finds the same answer.
    pub rest: String,
    /// How it is covered, if somebody has reviewed it.
    pub covered: Option<String>,
}

/// Goes through the scripts of all packages, in their order. A finding with no `covered` is a
/// script that nobody has reviewed. Scripts that debhelper wrote altogether are no findings.
pub fn review(packages: &[Package], reviewed: &Reviewed) -> Vec<ScriptFinding> {
    let mut findings = Vec::new();
    for package in packages {
        let scripts = SCRIPTS.iter().copied().filter_map(|name| {
            let text = package.member_text(name)?;
            Some((name, script::rest(&text)))
        });
        let triggers = package
            .member_text("triggers")
            .map(|text| ("triggers", script::triggers(&text)));
        for (name, rest) in scripts.chain(triggers) {
            if rest.is_empty() {
                continue;
            }
            let rest = script::without_version(&rest, &package.name, &package.version);
            let sha256 = crate::deb::hexadecimal(&Sha256::digest(rest.as_bytes()));
            let known = reviewed.find(&package.name, name, &sha256);
            findings.push(ScriptFinding {
                package: package.name.clone(),
                version: package.version.clone(),
                script: name.to_owned(),
                covered: known.map(|known| known.covered.clone()),
                sha256,
                rest,
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Control;

    fn package(name: &str, script: &str, text: &str) -> Package {
        Package {
            name: name.into(),
            version: "1.0-1".into(),
            architecture: "all".into(),
            control: Control::parse(name, format!("Package: {name}\n")).unwrap(),
            members: [(script.to_owned(), text.as_bytes().to_vec())].into(),
            paths: Vec::new(),
            essential: false,
        }
    }

    const GENERATED: &str = "#!/bin/sh\nset -e\n\
        # Automatically added by dh_installsystemd/13.24.2\n\
        if [ \"$1\" = \"configure\" ] ; then\n\
        \tdeb-systemd-helper enable 'x.service' >/dev/null || true\n\
        fi\n\
        # End automatically added section\nexit 0\n";

    fn findings(name: &str, script: &str, text: &str) -> Vec<ScriptFinding> {
        review(&[package(name, script, text)], &Reviewed::default())
    }

    #[test]
    fn what_debhelper_wrote_needs_no_review() {
        assert_eq!(findings("x", "postinst", GENERATED), []);
    }

    #[test]
    fn a_block_with_other_commands_is_reviewed_whole() {
        for command in [
            "rm -rf /",
            "deb-systemd-helper enable x; curl evil",
            "`curl x`",
            "$(curl x)",
        ] {
            let text = GENERATED.replace("\nfi\n", &format!("\n{command}\nfi\n"));
            let findings = findings("x", "postinst", &text);
            assert_eq!(findings.len(), 1, "{command}");
            assert!(findings[0].rest.contains(command), "{command}");
            assert!(findings[0].rest.contains("enable 'x.service'"), "{command}");
        }
        let unknown = GENERATED.replace("dh_installsystemd", "dh_unheard_of");
        assert_eq!(findings("x", "postinst", &unknown).len(), 1);
        let unended = GENERATED.replace("# End automatically", "# Ended automatically");
        assert_eq!(findings("x", "postinst", &unended).len(), 1);
    }

    #[test]
    fn the_rest_is_the_same_whatever_is_around_it() {
        let one = findings(
            "x",
            "postinst",
            &GENERATED.replace("exit 0", "adduser --system y\nexit 0"),
        );
        let other = "#!/bin/bash\n# why\n\n  set -e\n   adduser --system y  \n#DEBHELPER#\nexit 0";
        let other = findings("x", "postinst", other);
        assert_eq!(one[0].rest, "adduser --system y\n");
        assert_eq!(one[0].sha256, other[0].sha256);
    }

    #[test]
    fn what_a_script_writes_is_part_of_it() {
        let script = "cat > /etc/x <<-'EOF'\n# all: ALL\n\nEOF\n# a comment\nnext\n";
        assert_eq!(
            findings("x", "postinst", script)[0].rest,
            "cat > /etc/x <<-'EOF'\n# all: ALL\n\nnext\n"
        );
        let open = "cat <<EOF\n# to the end";
        assert_eq!(
            findings("x", "postinst", open)[0].rest,
            "cat <<EOF\n# to the end\n"
        );
    }

    #[test]
    fn an_answer_fits_its_package_script_and_text_alone() {
        let found = &findings(
            "linux-image-6.12.1+deb13-amd64",
            "postinst",
            "link 6.12.1+deb13-amd64 1.0-1\n",
        )[0];
        assert_eq!(found.rest, "link @RELEASE@ @VERSION@\n");
        let toml = |package: &str, script: &str, sha256: &str| {
            format!(
                "[[script]]\npackage = {package:?}\nscript = {script:?}\nsha256 = {sha256:?}\ncovered = \"so\"\n"
            )
        };
        let covered = |text: &str| {
            let package = package(
                "linux-image-6.12.9+deb13-amd64",
                "postinst",
                "link 6.12.9+deb13-amd64 1.0-1",
            );
            let reviewed = Reviewed::from_toml(text).unwrap();
            review(&[package], &reviewed)[0].covered.clone()
        };
        let fits = toml("linux-image-*-amd64", "postinst", &found.sha256);
        assert_eq!(covered(&fits).as_deref(), Some("so"));
        for other in [
            toml("linux-image-*-arm64", "postinst", &found.sha256),
            toml("linux-image-*-amd64", "preinst", &found.sha256),
            toml("linux-image-*-amd64", "postinst", &"0".repeat(64)),
        ] {
            assert_eq!(covered(&other), None);
        }
        for bad in [
            format!("{fits}{fits}"),
            toml("x", "postinst", "0"),
            toml("x", "postrm", &found.sha256),
            fits.replace("\"so\"", "\" \""),
            fits.replace("covered", "coverd"),
        ] {
            assert!(Reviewed::from_toml(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn scripts_that_never_run_are_no_findings() {
        assert_eq!(findings("x", "postrm", "rm -rf /var/lib/x\n"), []);
        assert_eq!(findings("x", "prerm", "stop x\n"), []);
    }

    #[test]
    fn known_triggers_need_no_review() {
        assert_eq!(
            findings(
                "x",
                "triggers",
                "# c\nactivate-noawait ldconfig\ninterest /usr/x\n"
            ),
            []
        );
        let found = findings("x", "triggers", "activate ldconfig\nactivate make-coffee\n");
        assert_eq!(found[0].rest, "activate make-coffee\n");
    }
}
