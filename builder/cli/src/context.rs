//! What commands work with: the project, the store, who watches.

use crate::failure::Said;
use crate::options::{Global, Inputs, Selection};
use crate::progress::{Mode, Terminal};
use anyhow::{Context as _, Result};
use fortress_pipeline::{LockMode, Settings, Signing};
use fortress_progress::Observer;
use fortress_recipe::{Library, Plan, Request};
use fortress_store::{Client, ClientOptions, Store};
use fortress_trust::{KeySet, NewKeys, PublicKeys};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Finds the project folder.
pub(crate) fn library(global: &Global) -> Result<Library> {
    Ok(match &global.project {
        Some(folder) => Library::open(folder)?,
        None => {
            let here = std::env::current_dir().context("cannot tell the current folder")?;
            Library::discover(&here)?
        }
    })
}

/// Plans the image that is meant.
pub(crate) fn plan(selection: &Selection, global: &Global) -> Result<Plan> {
    Ok(library(global)?.plan(&Request {
        board: selection.board.clone(),
        recipe: selection.recipe.clone(),
        base: selection.base.clone(),
        site: selection.site.clone(),
        sets: selection.sets.clone(),
    })?)
}

/// Opens the store.
pub(crate) fn store(global: &Global) -> Result<Store> {
    let path = match &global.store {
        Some(path) => path.clone(),
        None => Store::default_path()?,
    };
    Ok(Store::open(&path)?)
}

/// The folder of the owner's keys.
pub(crate) fn keys_folder(global: &Global) -> Result<PathBuf> {
    Ok(match &global.keys {
        Some(folder) => folder.clone(),
        None => KeySet::default_folder()?,
    })
}

/// Opens the owner's keys.
pub(crate) fn keys(global: &Global) -> Result<KeySet> {
    Ok(KeySet::open(&keys_folder(global)?)?)
}

/// Opens the owner's keys; makes them if there are none, and says so.
pub(crate) fn keys_or_new(global: &Global, observer: &dyn Observer) -> Result<KeySet> {
    let folder = keys_folder(global)?;
    let made = KeySet::open_or_generate(&folder, &|| NewKeys {
        owner: owner_by_default(),
        passphrase: None,
    })?;
    if made.new {
        observer.note(&format!(
            "made keys of your own, with which your images are signed, in {}: keep a copy of that \
             folder in a safe place ('fortress-build keys --help')",
            folder.display()
        ));
    }
    Ok(made.keys)
}

/// What certificates call an owner who gave no name.
pub(crate) fn owner_by_default() -> String {
    let names = ["USER", "LOGNAME"].map(std::env::var);
    let mut names = names.into_iter().flatten();
    names
        .find(|name| name.len() <= 32 && !name.trim().is_empty())
        .unwrap_or_else(|| "owner".into())
}

/// The time, in seconds since 1970.
pub(crate) fn now() -> Result<u64> {
    Ok(SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("this machine's clock is before 1970")?
        .as_secs())
}

/// Shows progress as the options say; from now on the first Ctrl-C asks the work to stop.
pub(crate) fn terminal(global: &Global) -> Result<Terminal> {
    let terminal = Terminal::new(Mode::detect(global.quiet, global.verbose, global.json));
    terminal
        .stop_on_signals()
        .context("cannot watch for signals")?;
    Ok(terminal)
}

/// Everything that a build works with.
pub(crate) struct Context<'a> {
    global: &'a Global,
    pub(crate) store: Store,
    pub(crate) client: Client,
    pub(crate) terminal: Terminal,
}

/// What decides a build's settings.
pub(crate) struct InputSettings<'a> {
    pub(crate) inputs: &'a Inputs,
    pub(crate) plan: &'a Plan,
    pub(crate) output: PathBuf,
    pub(crate) strict: bool,
    pub(crate) keys: &'a PublicKeys,
    pub(crate) signing: Signing<'a>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(global: &'a Global, inputs: &Inputs) -> Result<Self> {
        let options = ClientOptions {
            offline: inputs.offline,
            ..ClientOptions::default()
        };
        Ok(Self {
            global,
            store: store(global)?,
            client: Client::new(options)?,
            terminal: terminal(global)?,
        })
    }

    pub(crate) fn plan(&self, selection: &Selection) -> Result<Plan> {
        plan(selection, self.global)
    }

    /// The settings of a build.
    pub(crate) fn settings<'s>(&'s self, from: InputSettings<'s>) -> Result<Settings<'s>> {
        let lock_path = match &from.inputs.lock {
            Some(path) => path.clone(),
            None => from_here(library(self.global)?.root())
                .join("recipes/locks")
                .join(format!(
                    "{}-{}-{}.toml",
                    from.plan.recipe.value, from.plan.board.name.value, from.plan.base.name.value
                )),
        };
        check_mirrors(from.inputs, from.plan)?;
        Ok(Settings {
            store: &self.store,
            client: &self.client,
            observer: &self.terminal,
            mirrors: from.inputs.mirrors.clone(),
            machine_configuration: "/etc".into(),
            lock_path,
            lock_mode: match (from.inputs.locked, from.inputs.update) {
                (true, _) => LockMode::Locked,
                (_, true) => LockMode::Update,
                _ => LockMode::Keep,
            },
            output: from.output,
            strict: from.strict,
            keys: from.keys,
            signing: from.signing,
            now: now()? as i64,
        })
    }
}

/// A folder as it is called from the current one, where that is shorter: messages name it.
fn from_here(folder: &Path) -> PathBuf {
    let here = std::env::current_dir().ok();
    match here.and_then(|here| Some(folder.strip_prefix(here).ok()?.to_owned())) {
        Some(relative) => relative,
        None => folder.to_owned(),
    }
}

/// Refuses mirrors that the base does not have: they would change nothing.
fn check_mirrors(inputs: &Inputs, plan: &Plan) -> Result<()> {
    let archives = plan.base.archives.iter();
    let known: BTreeSet<&str> = archives
        .map(|archive| archive.mirror.name.value.as_str())
        .collect();
    match inputs
        .mirrors
        .iter()
        .find(|(name, _)| !known.contains(name.as_str()))
    {
        None => Ok(()),
        Some((name, _)) => {
            let known: Vec<&str> = known.into_iter().collect();
            Err(Said {
                code: 2,
                message: format!(
                    "--mirror {name}=…: base {} has no mirror of that name",
                    plan.base.name.value
                ),
                hint: Some(format!("its mirrors are {}", known.join(", "))),
            }
            .into())
        }
    }
}
