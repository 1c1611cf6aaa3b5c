//! From names to a set of packages that fit together.
//!
//! A real solver (resolvo, by conflict-driven clause learning) decides; the order in which it
//! tries is apt's: the first alternative, the package of that name before those that provide it,
//! the highest version of the highest priority.

mod explain;
mod propose;
#[cfg(test)]
mod tests;
mod universe;

use std::collections::{BTreeMap, BTreeSet};

use resolvo::{ConditionalRequirement, Problem, Solver, UnsolvableOrCancelled};

use crate::dependency;
use crate::error::Error;
use crate::index::{Index, Stanza};
use universe::{Answer, Universe};

/// What to install.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Packages: `name`, `name=version`, `name:architecture`, or alternatives (`a | b`).
    pub roots: Vec<String>,
    /// Packages that stay out even where another one needs them. A dependency that only they
    /// could meet is then taken to be met.
    pub excluded: Vec<Excluded>,
    /// Whether all essential packages come along.
    pub essential: bool,
    /// Whether recommended packages come along, where they can.
    pub recommends: bool,
    /// Whether updates come along that their distribution does not yet give to everybody
    /// (`Phased-Update-Percentage` below 100). Otherwise only where a root names the version.
    pub phased: bool,
}

/// A package that stays out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excluded {
    /// Its name, or one that others provide.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// A package that was needed, and stayed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name.
    pub name: String,
    /// Why, from the request.
    pub reason: String,
    /// The packages that depend on it, sorted.
    pub needed_by: Vec<String>,
}

/// A set of packages in which each finds what it depends on, and none conflicts.
#[derive(Debug, Clone)]
pub struct Resolution<'a> {
    /// The packages, sorted by name.
    pub packages: Vec<Stanza<'a>>,
    /// Packages that were needed and stayed out, sorted by name.
    pub left_out: Vec<LeftOut>,
}

/// Finds the packages that a request needs.
///
/// # Errors
/// [`Error::UnknownPackage`], [`Error::Request`], or [`Error::Unsolvable`] with the reasons.
pub fn resolve<'a>(index: &'a Index, request: &Request) -> Result<Resolution<'a>, Error> {
    let universe = Universe::new(index, request);
    let mut groups = Vec::new();
    let mut roots = Vec::new();
    if request.essential {
        for name in universe.essential() {
            if let Answer::Requirement(requirement) = universe.requirement(name) {
                groups.push(name.to_owned());
                roots.push(requirement.into());
            }
        }
    }
    for text in &request.roots {
        if let Some(requirement) = root(&universe, index, text)? {
            groups.push(universe::root_group(text));
            roots.push(requirement);
        }
    }
    let proposed = propose::propose(&universe, &groups, request.recommends);
    universe.favour(&proposed);
    let mut all = roots.clone();
    all.extend(
        proposed
            .iter()
            .map(|number| ConditionalRequirement::from(universe.exactly(*number))),
    );
    let mut solver = Solver::new(universe);
    let mut chosen = match solve(&mut solver, &all) {
        Ok(chosen) => chosen,
        // apt would now weigh what to give up; the solver looks for what can be had.
        Err(_) => solve(&mut solver, &roots)?,
    };
    if request.recommends {
        let mut asked = BTreeSet::new();
        while let Some(more) = recommended(&mut solver, &mut roots, &chosen, &mut asked) {
            chosen = more;
        }
    }
    let mut packages: Vec<Stanza<'a>> = chosen
        .into_iter()
        .map(|number| index.stanza(number))
        .collect();
    packages.sort_by_key(Stanza::name);
    let left_out = left_out(solver.provider(), request, &packages);
    Ok(Resolution { packages, left_out })
}

/// The requirement that a root stands for; none, if it stays out.
fn root(
    universe: &Universe<'_>,
    index: &Index,
    text: &str,
) -> Result<Option<ConditionalRequirement>, Error> {
    match universe.root(text)? {
        Answer::Requirement(requirement) => {
            let alternatives = dependency::alternatives(&universe::root_group(text))
                .unwrap_or_default()
                .into_iter()
                .map(|relation| relation.name.to_owned())
                .collect::<Vec<_>>();
            let known = alternatives.iter().any(|name| {
                index.named(name).next().is_some() || index.providing(name).next().is_some()
            });
            match (known, alternatives.first()) {
                (false, Some(name)) => Err(Error::UnknownPackage {
                    name: name.clone(),
                    nearest: index.nearest(name),
                }),
                _ => Ok(Some(requirement.into())),
            }
        }
        Answer::LeftOut(_) => Ok(None),
        Answer::Malformed(reason) => Err(Error::Request {
            text: text.to_owned(),
            reason,
        }),
    }
}

fn solve(
    solver: &mut Solver<Universe<'_>>,
    roots: &[ConditionalRequirement],
) -> Result<Vec<u32>, Error> {
    match solver.solve(Problem::new().requirements(roots.to_vec())) {
        Ok(chosen) => Ok(chosen
            .into_iter()
            .map(resolvo::SolvableId::into_raw)
            .collect()),
        Err(UnsolvableOrCancelled::Unsolvable(conflict)) => Err(Error::Unsolvable {
            explanation: explain::explain(solver.provider(), &conflict.graph(solver)),
        }),
        Err(UnsolvableOrCancelled::Cancelled(_)) => Err(Error::Cancelled),
    }
}

/// A larger set, with what the packages of a set recommend; none, if nothing is to be added.
/// What cannot come along does not.
fn recommended(
    solver: &mut Solver<Universe<'_>>,
    roots: &mut Vec<ConditionalRequirement>,
    chosen: &[u32],
    asked: &mut BTreeSet<String>,
) -> Option<Vec<u32>> {
    let universe = solver.provider();
    let mut wanted = Vec::new();
    for number in chosen {
        for group in universe.index().stanza(*number).recommends() {
            if !asked.insert(group.to_owned()) {
                continue;
            }
            if let Answer::Requirement(requirement) = universe.requirement(group)
                && universe.can_be_met(requirement)
            {
                wanted.push(ConditionalRequirement::from(requirement));
            }
        }
    }
    if wanted.is_empty() {
        return None;
    }
    let before = roots.len();
    roots.extend_from_slice(&wanted);
    if let Ok(more) = solve(solver, roots) {
        return Some(more);
    }
    // Not all of them at once: each by itself, in their order.
    roots.truncate(before);
    let mut best = None;
    for requirement in wanted {
        roots.push(requirement);
        match solve(solver, roots) {
            Ok(more) => best = Some(more),
            Err(_) => {
                roots.pop();
            }
        }
    }
    best
}

/// Which of the excluded packages the chosen ones depend on.
fn left_out(universe: &Universe<'_>, request: &Request, packages: &[Stanza<'_>]) -> Vec<LeftOut> {
    let mut needed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages {
        for group in package.depends() {
            if let Answer::LeftOut(name) = universe.requirement(group) {
                needed
                    .entry(name)
                    .or_default()
                    .insert(package.name().to_owned());
            }
        }
    }
    for text in &request.roots {
        if let Ok(Answer::LeftOut(name)) = universe.root(text) {
            needed.entry(name).or_default();
        }
    }
    let reason = |name: &str| {
        let found = request
            .excluded
            .iter()
            .find(|excluded| excluded.name == name);
        found
            .map(|excluded| excluded.reason.clone())
            .unwrap_or_default()
    };
    needed
        .into_iter()
        .map(|(name, by)| LeftOut {
            reason: reason(&name),
            name,
            needed_by: by.into_iter().collect(),
        })
        .collect()
}
