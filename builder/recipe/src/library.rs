//! A project folder: its boards, recipes, bases and overlays.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::base::BaseFile;
use crate::board::BoardFile;
use crate::check;
use crate::composition::Composition;
use crate::error::{Error, ErrorKind, Result, nearest};
use crate::overlay::OverlayFolder;
use crate::plan::{Architecture, Plan};
use crate::recipe::{Layer, RecipeFile};
use crate::resolve::Inputs;
use crate::source::{Located, Mark, Source};

/// The file in the folder of recipes that lists reviewed maintainer scripts, and is no recipe.
pub(crate) const REVIEWED_SCRIPTS: &str = "reviewed-scripts.toml";

/// A project folder, with `boards/`, `recipes/`, `recipes/bases/`, `overlays/` and `keys/` in it.
#[derive(Debug, Clone)]
pub struct Library {
    root: PathBuf,
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Name of the board.
    pub board: String,
    /// Name of the recipe; none: the board's own.
    pub recipe: Option<String>,
    /// Name of the base; none: the recipe's home base.
    pub base: Option<String>,
    /// A file with what differs from device to device.
    pub site: Option<PathBuf>,
    /// `--set` options: a recipe's key, and a value in TOML (or plain text).
    pub sets: Vec<(String, String)>,
}

/// A board, for a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BoardSummary {
    /// Its name.
    pub name: String,
    /// What it is, in a line.
    pub description: String,
    /// Processor architecture.
    pub architecture: Architecture,
    /// The recipe that it is built with unless another is asked for.
    pub recipe: Option<String>,
}

/// A recipe, for a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecipeSummary {
    /// Its name.
    pub name: String,
    /// What it is, in a line.
    pub description: String,
    /// Its version, or the one that it inherits; none: it is only there to be included.
    pub version: Option<String>,
    /// Its home base, or the one that it inherits.
    pub base: Option<String>,
    /// The recipes that it includes.
    pub include: Vec<String>,
}

/// A base, for a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BaseSummary {
    /// Its name.
    pub name: String,
    /// What it is, in a line.
    pub description: String,
    /// Distribution by the name that os-release gives.
    pub distribution: String,
    /// Release's code name.
    pub release: String,
}

/// The three kinds of files that have names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shelf {
    Boards,
    Recipes,
    Bases,
}

impl Shelf {
    fn what(self) -> &'static str {
        match self {
            Self::Boards => "board",
            Self::Recipes => "recipe",
            Self::Bases => "base",
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Boards => "boards",
            Self::Recipes => "recipes",
            Self::Bases => "recipes/bases",
        }
    }
}

impl Library {
    /// Takes a folder as a project folder.
    pub fn open(root: &Path) -> Result<Self> {
        for missing in ["boards", "recipes"] {
            if !root.join(missing).is_dir() {
                let root = root.to_owned();
                return Err(Error::new(ErrorKind::NotAProject { root, missing }, None));
            }
        }
        let root = root.to_owned();
        Ok(Self { root })
    }

    /// Finds the project folder that a folder is, or is in.
    pub fn discover(from: &Path) -> Result<Self> {
        let start = std::path::absolute(from).unwrap_or_else(|_| from.to_owned());
        start
            .ancestors()
            .find_map(|folder| Self::open(folder).ok())
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::NoProject {
                        from: start.clone(),
                    },
                    None,
                )
            })
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// All boards, sorted by name.
    pub fn boards(&self) -> Result<Vec<BoardSummary>> {
        self.names(Shelf::Boards)?
            .into_iter()
            .map(|name| {
                let board = BoardFile::parse(&self.source(Shelf::Boards, &name)?)?;
                Ok(BoardSummary {
                    name,
                    description: board.description.value,
                    architecture: board.architecture.value,
                    recipe: board.recipe.map(|recipe| recipe.value),
                })
            })
            .collect()
    }

    /// All recipes, sorted by name.
    pub fn recipes(&self) -> Result<Vec<RecipeSummary>> {
        self.names(Shelf::Recipes)?
            .into_iter()
            .map(|name| {
                let file = RecipeFile::parse(&self.source(Shelf::Recipes, &name)?)?;
                let mut stack = Includes::default();
                let mark = Mark::option("--recipe", &name);
                // No list of a summary depends on the architecture.
                let architecture = Architecture::Amd64;
                let name = Located::new(name, mark);
                self.compose(&name, architecture, &mut stack)?;
                let scalars = stack.composition.wishes.scalars;
                Ok(RecipeSummary {
                    name: name.value,
                    description: file.description.value,
                    version: scalars.version.map(|version| version.value),
                    base: scalars.base.map(|base| base.value),
                    include: file.include.into_iter().map(|i| i.value).collect(),
                })
            })
            .collect()
    }

    /// All bases, sorted by name.
    pub fn bases(&self) -> Result<Vec<BaseSummary>> {
        self.names(Shelf::Bases)?
            .into_iter()
            .map(|name| {
                let base = BaseFile::parse(&self.source(Shelf::Bases, &name)?)?;
                Ok(BaseSummary {
                    name,
                    description: base.description.value,
                    distribution: base.distribution.value,
                    release: base.release.value,
                })
            })
            .collect()
    }

    /// Decides everything that a build for this request does, without doing it.
    pub fn plan(&self, request: &Request) -> Result<Plan> {
        let board_name = asked("--board", &request.board);
        let board = BoardFile::parse(&self.find(Shelf::Boards, &board_name)?)?;
        let architecture = board.architecture.value;

        let recipe_name = match (&request.recipe, &board.recipe) {
            (Some(recipe), _) => asked("--recipe", recipe),
            (None, Some(recipe)) => recipe.clone(),
            (None, None) => {
                return Err(board_name.mark.error(ErrorKind::NoRecipe {
                    board: board_name.value,
                    known: self.buildable()?,
                }));
            }
        };
        let mut includes = Includes::default();
        self.compose(&recipe_name, architecture, &mut includes)?;
        let mut composition = includes.composition;

        let mut site_overlays = None;
        if let Some(site) = &request.site {
            let source = Source::read(site, site.display().to_string())?;
            composition.add(Layer::parse_site(&source)?, architecture)?;
            let beside = site.parent().unwrap_or(Path::new("")).join("overlays");
            let beside = OverlayFolder {
                shown: beside.display().to_string(),
                path: beside,
            };
            site_overlays = Some((source, beside));
        }
        for (key, value) in &request.sets {
            let source = Source::option(option_text(key, value));
            composition.add(Layer::parse_option(&source)?, architecture)?;
        }

        if composition.wishes.scalars.version.is_none() {
            return Err(recipe_name.mark.error(ErrorKind::NotAnImage {
                recipe: recipe_name.value,
                known: self.buildable()?,
            }));
        }
        let base_name = match (&request.base, &composition.wishes.scalars.base) {
            (Some(base), _) => asked("--base", base),
            (None, Some(base)) => base.clone(),
            (None, None) => {
                return Err(recipe_name.mark.error(ErrorKind::NoBase {
                    recipe: recipe_name.value,
                    known: self.names(Shelf::Bases)?,
                }));
            }
        };
        let base = BaseFile::parse(&self.find(Shelf::Bases, &base_name)?)?;
        Inputs {
            root: &self.root,
            bases: self.bases()?,
            overlays: OverlayFolder {
                path: self.root.join("overlays"),
                shown: "overlays".to_owned(),
            },
            site_overlays,
            board_name,
            board,
            recipe_name,
            base_name,
            base,
            composition,
        }
        .plan()
    }

    /// Lays a recipe over those that it includes.
    fn compose(
        &self,
        name: &Located<String>,
        architecture: Architecture,
        includes: &mut Includes,
    ) -> Result<()> {
        if let Some(start) = includes.chain.iter().position(|outer| *outer == name.value) {
            let mut chain = includes.chain.split_off(start);
            chain.push(name.value.clone());
            return Err(name.mark.error(ErrorKind::Cycle { chain }));
        }
        if includes.done.contains(&name.value) {
            return Ok(());
        }
        let file = RecipeFile::parse(&self.find(Shelf::Recipes, name)?)?;
        includes.chain.push(name.value.clone());
        for include in &file.include {
            self.compose(include, architecture, includes)?;
        }
        includes.chain.pop();
        includes.done.insert(name.value.clone());
        includes.composition.add(file.layer, architecture)
    }

    /// Names of the recipes that can be built.
    fn buildable(&self) -> Result<Vec<String>> {
        let recipes = self.recipes()?.into_iter();
        Ok(recipes
            .filter(|recipe| recipe.version.is_some())
            .map(|recipe| recipe.name)
            .collect())
    }

    /// Names of the files on a shelf, sorted.
    fn names(&self, shelf: Shelf) -> Result<Vec<String>> {
        let folder = self.root.join(shelf.folder());
        let failed = |source| {
            let file = shelf.folder().to_owned();
            Error::new(ErrorKind::Read { file, source }, None)
        };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let file = entry.map_err(failed)?.file_name();
            let Some(file) = file.to_str() else { continue };
            if shelf == Shelf::Recipes && file == REVIEWED_SCRIPTS {
                continue;
            }
            if let Some(name) = file.strip_suffix(".toml")
                && check::name(name).is_ok()
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn find(&self, shelf: Shelf, name: &Located<String>) -> Result<Arc<Source>> {
        let known = self.names(shelf)?;
        if known.contains(&name.value) {
            return self.source(shelf, &name.value);
        }
        Err(name.mark.error(ErrorKind::Unknown {
            what: shelf.what(),
            name: name.value.clone(),
            nearest: nearest(&name.value, known.iter().map(String::as_str)),
            known,
        }))
    }

    fn source(&self, shelf: Shelf, name: &str) -> Result<Arc<Source>> {
        let shown = format!("{}/{name}.toml", shelf.folder());
        Source::read(&self.root.join(&shown), shown)
    }
}

/// Recipes that are being laid over each other.
#[derive(Debug, Default)]
struct Includes {
    composition: Composition,
    /// The recipes that lead to the one being read.
    chain: Vec<String>,
    done: BTreeSet<String>,
}

/// What an option of the command line asks for.
fn asked(option: &str, value: &str) -> Located<String> {
    Located::new(value.to_owned(), Mark::option(option, value))
}

/// A `--set` option as TOML. A value that is no TOML is a text.
fn option_text(key: &str, value: &str) -> String {
    match toml::de::DeValue::parse(value) {
        Ok(_) => format!("{key} = {value}"),
        Err(_) => format!("{key} = {}", toml::Value::from(value)),
    }
}
