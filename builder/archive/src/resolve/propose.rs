//! apt's choices: the packages that its classic solver would mark, in the order in which it
//! would, for a root that is empty. They are proposed to the solver, which proves them or finds
//! others; so nothing here needs to be right, only like apt.
//!
//! apt goes depth first. A package that was asked for, and what it cannot do without, is
//! protected: what conflicts with it is out of the question from then on.

use std::collections::{BTreeMap, BTreeSet};

use super::universe::Universe;

/// Deeper chains of dependencies are not followed; real ones are some hundreds long.
const DEPTH: usize = 2000;

struct Proposal<'u, 'a> {
    universe: &'u Universe<'a>,
    recommends: bool,
    marked: BTreeMap<&'a str, u32>,
    protected: BTreeSet<&'a str>,
    discarded: BTreeSet<&'a str>,
}

/// The packages that apt would choose for these groups, sorted.
pub(super) fn propose(
    universe: &Universe<'_>,
    groups: &[String],
    recommends: bool,
) -> BTreeSet<u32> {
    let mut proposal = Proposal {
        universe,
        recommends,
        marked: BTreeMap::new(),
        protected: BTreeSet::new(),
        discarded: BTreeSet::new(),
    };
    let mut roots = Vec::new();
    for group in groups {
        let group = universe.group(group);
        if let Some((name, numbers)) = group.alternatives.iter().flatten().next() {
            roots.extend(numbers.first().map(|number| (*name, *number)));
        }
    }
    for (name, number) in &roots {
        proposal.marked.insert(name, *number);
        proposal.protected.insert(name);
    }
    for (name, number) in roots {
        proposal.mark(name, number, 0);
    }
    proposal.marked.into_values().collect()
}

impl<'a> Proposal<'_, 'a> {
    /// The packages that meet a group, in the order in which apt tries them.
    fn solutions(&self, group: &str) -> Vec<(&'a str, u32)> {
        let mut solutions = Vec::new();
        for alternative in &self.universe.group(group).alternatives {
            let mut here: Vec<(&'a str, u32)> = alternative
                .iter()
                .filter(|(name, _)| !self.discarded.contains(name))
                // Only a package's best version counts.
                .filter_map(|(name, numbers)| {
                    let best = match self.marked.get(name) {
                        Some(marked) => *marked,
                        None => *self.universe.candidates(name).first()?,
                    };
                    numbers.contains(&best).then_some((*name, best))
                })
                .collect();
            here.sort_by_key(|(name, _)| !self.protected.contains(name));
            for solution in here {
                if !solutions.contains(&solution) {
                    solutions.push(solution);
                }
            }
        }
        solutions
    }

    fn satisfied(&self, group: &str) -> bool {
        let group = self.universe.group(group);
        group.alternatives.iter().flatten().any(|(name, numbers)| {
            self.marked
                .get(name)
                .is_some_and(|marked| numbers.contains(marked))
        })
    }

    /// Marks a package with what it depends on; false if it cannot be.
    fn mark(&mut self, name: &'a str, number: u32, depth: usize) -> bool {
        if self.discarded.contains(name) || depth > DEPTH {
            return false;
        }
        let protected = self.protected.contains(name);
        if !protected && self.marked.contains_key(name) {
            return true;
        }
        self.marked.insert(name, number);
        // While its dependencies are marked, nothing may take it away.
        self.protected.insert(name);
        let done = self.remove_conflicts(name, number, protected)
            && self.mark_dependencies(number, protected, depth);
        if !protected {
            self.protected.remove(name);
            if !done {
                self.marked.remove(name);
            }
        }
        done
    }

    fn remove_conflicts(&mut self, name: &'a str, number: u32, protected: bool) -> bool {
        let mut done = true;
        for (_, hits) in self.universe.conflicts(number) {
            for (other, numbers) in hits {
                let marked = self
                    .marked
                    .get(other)
                    .is_some_and(|marked| numbers.contains(marked));
                if marked {
                    if self.protected.contains(other) {
                        done = false;
                        continue;
                    }
                    self.marked.remove(other);
                }
                let best = self.universe.candidates(other).first().copied();
                if protected && other != name && best.is_some_and(|best| numbers.contains(&best)) {
                    self.discarded.insert(other);
                }
            }
        }
        done || protected
    }

    fn mark_dependencies(&mut self, number: u32, protected: bool, depth: usize) -> bool {
        let universe = self.universe;
        let stanza = universe.index().stanza(number);
        let needed = stanza.depends().map(|group| (group, true));
        let wished = stanza
            .recommends()
            .filter(|_| self.recommends)
            .map(|group| (group, false));
        for (group, critical) in needed.chain(wished).collect::<Vec<_>>() {
            let satisfied = self.satisfied(group);
            if satisfied && !(protected && critical) {
                continue;
            }
            let solutions = self.solutions(group);
            if satisfied {
                if let [(name, number)] = solutions.as_slice()
                    && self.protected.insert(name)
                {
                    self.mark(name, *number, depth + 1);
                }
                continue;
            }
            let only = protected && critical && solutions.len() == 1;
            let found = solutions.iter().any(|(name, number)| {
                if only {
                    self.marked.insert(name, *number);
                    self.protected.insert(name);
                }
                self.mark(name, *number, depth + 1)
            });
            if !found && critical && !protected {
                return false;
            }
        }
        true
    }
}
