//! The same packages as mkosi builds them.

use crate::child;
use crate::figures::{Series, Table, Target, Unit};
use crate::place::{Place, copy_folder, remove};
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

pub(crate) fn measure(place: &Place, rounds: usize, table: &mut Table) -> Result<()> {
    let mkosi = match Mkosi::prepare() {
        Ok(mkosi) => mkosi,
        Err(error) => {
            table.note(format!("mkosi was not measured: {error:#}."));
            return Ok(());
        }
    };
    eprintln!("mkosi, for its package cache");
    mkosi.build(&["--cache-only=auto"])?;
    let mut ours = Series::default();
    let mut whole = Series::default();
    for round in 1..=rounds {
        eprintln!("beside mkosi, round {round} of {rounds}");
        ours.time(place.build_cold("bench")?.time);
        remove(&mkosi.work.join("cache"))?;
        whole.time(mkosi.build(&["--cache-only=always"])?);
    }
    eprintln!("mkosi, for its incremental mode");
    let incremental_mode = ["--incremental=yes", "--cache-only=always"];
    mkosi.build(&incremental_mode)?;
    let mut cold = Series::default();
    let mut rebuild = Series::default();
    let mut incremental = Series::default();
    for round in 1..=rounds {
        eprintln!("beside mkosi's incremental mode, round {round} of {rounds}");
        cold.time(place.build_cold("bench")?.time);
        rebuild.time(place.build_anew("bench")?.time);
        incremental.time(mkosi.build(&incremental_mode)?);
    }
    let name = &mkosi.version;
    table.add(
        &format!("{name}, packages cached"),
        &whole,
        Unit::Seconds,
        Target::None,
    );
    table.add(
        &format!("{name} over our cold build"),
        &whole.over(&ours),
        Unit::Times,
        Target::AtLeast(20.0),
    );
    table.add(
        &format!("{name}, incremental mode"),
        &incremental,
        Unit::Seconds,
        Target::None,
    );
    table.add(
        &format!("{name}, incremental mode, over our cold build"),
        &incremental.over(&cold),
        Unit::Times,
        Target::AtLeast(6.0),
    );
    table.add(
        &format!("{name}, incremental mode, over our rebuild"),
        &incremental.over(&rebuild),
        Unit::Times,
        Target::None,
    );
    Ok(())
}

/// A Debian 13 with mkosi in it.
struct Mkosi {
    scripts: PathBuf,
    root: PathBuf,
    /// The folder that it builds in.
    work: PathBuf,
    version: String,
}

impl Mkosi {
    /// Makes the root, and the configuration in it.
    fn prepare() -> Result<Self> {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR"));
        let made = Command::new(scripts.join("mkosi-root"))
            .stderr(Stdio::inherit())
            .output()
            .context("cannot start mkosi-root")?;
        ensure!(made.status.success(), "mkosi-root made no Debian 13");
        let root = PathBuf::from(String::from_utf8_lossy(&made.stdout).trim());
        let work = root.join("work");
        for name in ["mkosi.conf", "mkosi.repart"] {
            remove(&work.join(name))?;
        }
        copy_folder(&scripts.join("mkosi"), &work)?;
        let mirror = |name: &str| {
            let path = root.join("mirrors").join(name);
            let text = fs::read_to_string(&path).with_context(|| format!("no {path:?}"))?;
            anyhow::Ok(text.trim().to_owned())
        };
        let (release, security) = (mirror("release")?, mirror("security")?);
        let key = "Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n";
        let sources = work.join("mkosi.sandbox/etc/apt/sources.list.d/mkosi.sources");
        let folder = sources.parent().context("it is in no folder")?;
        fs::create_dir_all(folder)?;
        fs::write(
            &sources,
            format!(
                "Types: deb\nURIs: {release}\nSuites: trixie trixie-updates\n{key}\n\
                 Types: deb\nURIs: {security}\nSuites: trixie-security\n{key}"
            ),
        )?;
        fs::write(
            work.join("mkosi.local.conf"),
            format!("[Distribution]\nMirror={release}\n"),
        )?;
        let mut mkosi = Self {
            scripts: scripts.to_owned(),
            root,
            work,
            version: String::new(),
        };
        let told = mkosi.command(&["--version"]).output()?;
        ensure!(told.status.success(), "mkosi does not run");
        mkosi.version = String::from_utf8_lossy(&told.stdout).trim().to_owned();
        if !mkosi.work.join("mkosi.key").exists() {
            child::run(&mut mkosi.command(&["genkey"]))?;
        }
        Ok(mkosi)
    }

    /// Builds the image.
    fn build(&self, arguments: &[&str]) -> Result<Duration> {
        rustix::fs::sync();
        let mut all = vec!["--force"];
        all.extend(arguments);
        all.push("build");
        Ok(child::run(&mut self.command(&all))?.time)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command
            .arg("--mount")
            .arg(self.scripts.join("mkosi-run"))
            .arg(&self.root)
            .arg("mkosi")
            .args(arguments);
        command
    }
}
