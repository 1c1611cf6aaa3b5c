//! All jobs in their order.

use crate::modules::{FactsCache, ModuleIndex};
use crate::{Error, Result, Settings};
use crate::{catalog, hardware, libraries, modules, units};
use fortress_package::Package;
use fortress_progress::{Observer, Unit};
use fortress_tree::Tree;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
/// `facts` keeps what kernel modules' files say from one build to the next
/// ([`modules::NoCache`] keeps nothing).
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
    let mut run = Run::new(observer);
    let _ = packages;
    run.job("units", || {
        let report = units::apply(tree, &settings.units)?;
        Ok(Done {
            summary: format!("{} enabled", report.enabled.len()),
            warnings: report.warnings,
        })
    })?;
    let mut indexes = BTreeMap::new();
    run.job("kernel modules", || {
        for release in modules::releases(tree) {
            let index = modules::index(tree, &release, facts)?;
            modules::write(tree, &index)?;
            indexes.insert(release, index);
        }
        Ok(Done::new(format!("{} kernels", indexes.len())))
    })?;
    run.job("libraries", || {
        counted(libraries::write(tree)?, "libraries")
    })?;
    run.job("hardware", || counted(hardware::write(tree)?, "entries"))?;
    run.job("catalog", || counted(catalog::write(tree)?, "messages"))?;
    Ok(Report {
        jobs: run.jobs,
        modules: indexes,
    })
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
