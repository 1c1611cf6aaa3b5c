//! All jobs in their order.

use crate::modules::{FactsCache, ModuleIndex};
use crate::{Error, Identifiers, PackageData, Result, Settings};
use crate::{
    alternatives, apparmor, audit, catalog, certificates, database, files, glib, hardware,
    libraries, modules, name_services, owners, pam, shells, stamps, state, system, tmpfiles, trim,
    units, users,
};
use fortress_package::Package;
use fortress_progress::{Observer, Unit};
use fortress_tree::{Tree, TreePath};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// What a job did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// In a few words ("22 users, 45 groups").
    pub summary: String,
    /// What somebody should look at, a line each.
    pub warnings: Vec<String>,
}

impl Done {
    /// A job that has nothing to warn of.
    pub(crate) fn new(summary: impl Into<String>) -> Self {
        Self {
            summary: summary.into(),
            warnings: Vec::new(),
        }
    }
}

/// What all jobs did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Job by job, in their order: its name, and what it did.
    pub jobs: Vec<(String, Done)>,
    /// The kernel modules by release, for whoever builds an initrd.
    pub modules: BTreeMap<String, ModuleIndex>,
}

impl Report {
    /// All warnings, each after its job's name.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        self.jobs.iter().flat_map(|(name, done)| {
            let line = move |warning| format!("{name}: {warning}");
            done.warnings.iter().map(line)
        })
    }
}

/// Does to the tree what the scripts of its packages would have done, and what the settings say.
/// `facts` keeps what kernel modules' files say and the hardware database from one build to the
/// next ([`modules::NoCache`] keeps nothing).
///
/// # Errors
/// The first job that fails; [`Error::Cancelled`] when the observer asks to stop.
pub fn configure(
    tree: &mut Tree,
    packages: &[Package],
    settings: &Settings,
    facts: &dyn FactsCache,
    observer: &dyn Observer,
) -> Result<Report> {
    let mut configuration = Configuration {
        packages,
        settings,
        present: packages
            .iter()
            .map(|package| package.name.as_str())
            .collect(),
        architecture: architecture(packages),
        data: PackageData::known()?.with(&settings.package_data),
        identifiers: Identifiers::known()?.with(&settings.identifiers),
        modules: BTreeMap::new(),
        run: Run::new(observer),
    };
    // Long, on one core, and nobody waits for it: so it runs beside everything else.
    let sources = hardware::sources(tree)?;
    let (done, compiled) = rayon::join(
        || configuration.of(tree, facts),
        || compiled(&sources, facts),
    );
    done?;
    let compiled = compiled?;
    let Configuration {
        mut run, modules, ..
    } = configuration;
    run.job("hardware", || {
        counted(hardware::store(tree, compiled)?, "entries")
    })?;
    Ok(Report {
        jobs: run.jobs,
        modules,
    })
}

/// The hardware database, kept from an earlier build or compiled.
fn compiled(sources: &Tree, facts: &dyn FactsCache) -> Result<Option<(Vec<u8>, usize)>> {
    let digest = hardware::digest(sources)?;
    if let Some(kept) = facts.hardware(&digest) {
        return Ok(Some(kept));
    }
    let compiled = hardware::compile(sources)?;
    if let Some(compiled) = &compiled {
        facts.keep_hardware(&digest, compiled);
    }
    Ok(compiled)
}

/// What jobs are told, and what they find out.
struct Configuration<'a> {
    packages: &'a [Package],
    settings: &'a Settings,
    present: Vec<&'a str>,
    architecture: &'a str,
    data: PackageData,
    identifiers: Identifiers,
    modules: BTreeMap<String, ModuleIndex>,
    run: Run<'a>,
}

impl Configuration<'_> {
    fn of(&mut self, tree: &mut Tree, facts: &dyn FactsCache) -> Result<()> {
        let gone = self.contents(tree)?;
        self.run.job("units", || {
            let report = units::apply(tree, &self.settings.units)?;
            Ok(Done {
                summary: format!("{} enabled", report.enabled.len()),
                warnings: report.warnings,
            })
        })?;
        self.services(tree)?;
        self.run.job("kernel modules", || {
            for release in modules::releases(tree) {
                let index = modules::index(tree, &release, facts)?;
                modules::write(tree, &index)?;
                self.modules.insert(release, index);
            }
            Ok(Done::new(format!("{} kernels", self.modules.len())))
        })?;
        self.run.job("libraries", || {
            counted(libraries::write(tree)?, "libraries")
        })?;
        self.run
            .job("catalog", || counted(catalog::write(tree)?, "messages"))?;
        self.state(tree, &gone)
    }

    /// Who and what there is. Gives the paths that were left out.
    fn contents(&mut self, tree: &mut Tree) -> Result<BTreeSet<TreePath>> {
        let Self {
            packages,
            settings,
            present,
            architecture,
            data,
            identifiers,
            run,
            ..
        } = self;
        let mut gone = BTreeSet::new();
        run.job("trim", || {
            let (done, paths) = trim::run(tree, &settings.trim)?;
            gone = paths;
            Ok(done)
        })?;
        run.job("users", || {
            users::run(tree, present, architecture, data, identifiers, settings)
        })?;
        run.job("files", || files::run(tree, present, architecture, data))?;
        run.job("owners", || owners::run(tree, present, architecture, data))?;
        let database = TreePath::new(database::FOLDER)?;
        run.job("alternatives", || {
            alternatives::run(tree, packages, architecture, data, &database)
        })?;
        run.job("shells", || shells::run(tree))?;
        Ok(gone)
    }

    /// What services read.
    fn services(&mut self, tree: &mut Tree) -> Result<()> {
        let Self {
            packages,
            settings,
            present,
            data,
            run,
            ..
        } = self;
        run.job("PAM", || pam::run(tree))?;
        run.job("name services", || name_services::run(tree, present, data))?;
        run.job("AppArmor", || apparmor::run(tree, packages))?;
        run.job("audit rules", || audit::run(tree))?;
        run.job("GLib", || glib::run(tree))?;
        run.job("system", || system::run(tree, settings))?;
        run.job("certificates", || certificates::run(tree))
    }

    /// What is made at boot, and what says that all is done.
    fn state(&mut self, tree: &mut Tree, gone: &BTreeSet<TreePath>) -> Result<()> {
        let Self {
            packages,
            settings,
            architecture,
            data,
            run,
            ..
        } = self;
        let hostname = &settings.hostname;
        run.job("tmpfiles", || tmpfiles::run(tree, hostname, architecture))?;
        run.job("dpkg database", || {
            database::run(tree, packages, architecture, data, gone)
        })?;
        run.job("stamps", || stamps::run(tree))?;
        run.job("state", || {
            state::run(tree, &[database::LINK], hostname, architecture)
        })
    }
}

/// The architecture of a set of packages: the one that most of them are made for, but for those
/// that fit every one.
pub fn architecture(packages: &[Package]) -> &str {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for package in packages
        .iter()
        .filter(|package| package.architecture != "all")
    {
        *counts.entry(&package.architecture).or_default() += 1;
    }
    let most = counts
        .into_iter()
        .max_by_key(|(name, count)| (*count, Reverse(*name)));
    most.map_or("all", |(name, _)| name)
}

fn counted(count: usize, of: &str) -> Result<Done> {
    Ok(Done::new(format!("{count} {of}")))
}

/// Runs jobs, tells whoever watches, and keeps what they did.
struct Run<'a> {
    observer: &'a dyn Observer,
    stage: Box<dyn fortress_progress::Stage>,
    jobs: Vec<(String, Done)>,
}

impl<'a> Run<'a> {
    fn new(observer: &'a dyn Observer) -> Self {
        Self {
            observer,
            stage: observer.stage("configure", None, Unit::Items),
            jobs: Vec::new(),
        }
    }

    fn job(&mut self, name: &str, job: impl FnOnce() -> Result<Done>) -> Result<()> {
        if self.observer.cancelled() {
            return Err(Error::Cancelled);
        }
        self.stage.doing(name);
        let done = job()?;
        for warning in &done.warnings {
            self.observer.warn(&format!("{name}: {warning}"));
        }
        self.stage.advance(1);
        self.jobs.push((name.to_owned(), done));
        Ok(())
    }
}
