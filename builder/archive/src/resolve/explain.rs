//! Why there is no solution, in lines that people can read: who needs what, and what there is.

use std::collections::{BTreeSet, VecDeque};

use resolvo::conflict::{ConflictCause, ConflictEdge, ConflictGraph, ConflictNode};
use resolvo::{Interner, Requirement, SolvableId};

use super::universe::Universe;
use crate::dependency;

/// More lines than this are not written; the first ones say most.
const LINES: usize = 30;

/// The lines that explain a conflict, from what was asked for to what stands in the way.
pub(super) fn explain(universe: &Universe<'_>, conflict: &ConflictGraph<SolvableId>) -> String {
    let nodes = conflict.graph.raw_nodes();
    let edges = conflict.graph.raw_edges();
    let name = |node: usize| match nodes[node].weight {
        ConflictNode::Solvable(solvable) => universe.display_solvable(solvable).to_string(),
        _ => String::new(),
    };
    let mut lines: Vec<String> = Vec::new();
    let mut seen = BTreeSet::from([conflict.root_node.index()]);
    let mut queue = VecDeque::from([conflict.root_node.index()]);
    let mut unresolved = BTreeSet::new();
    while let Some(node) = queue.pop_front() {
        // The graph is made from hash maps: its edges come in no order of their own.
        let mut requirements: Vec<(Requirement, BTreeSet<String>)> = Vec::new();
        let mut next = Vec::new();
        let mut conflicts = BTreeSet::new();
        for edge in edges.iter().filter(|edge| edge.source().index() == node) {
            let target = edge.target().index();
            match edge.weight {
                ConflictEdge::Requires(requirement) => {
                    match nodes[target].weight {
                        ConflictNode::UnresolvedDependency => {
                            unresolved.insert(universe.requirement_text(requirement));
                        }
                        _ => next.push((name(target), target)),
                    }
                    match requirements
                        .iter_mut()
                        .find(|(known, _)| *known == requirement)
                    {
                        Some((_, targets)) => {
                            targets.insert(name(target));
                        }
                        None => requirements.push((requirement, BTreeSet::from([name(target)]))),
                    }
                }
                ConflictEdge::Conflict(ConflictCause::Constrains(set)) => {
                    conflicts.insert(format!(
                        "{} conflicts with {}, as {}",
                        name(node),
                        universe.set_text(set),
                        name(target)
                    ));
                }
                ConflictEdge::Conflict(ConflictCause::ForbidMultipleInstances) => {
                    conflicts.insert(format!(
                        "{} and {} cannot both be installed",
                        name(node),
                        name(target)
                    ));
                }
                ConflictEdge::Conflict(ConflictCause::Excluded) => {
                    if let ConflictNode::Excluded(reason) = nodes[target].weight {
                        let reason = universe.display_string(reason);
                        conflicts.insert(format!("{} {reason}", name(node)));
                    }
                }
                ConflictEdge::Conflict(ConflictCause::Locked(_)) => {}
            }
        }
        requirements.sort_by_key(|(requirement, _)| universe.requirement_text(*requirement));
        for (requirement, targets) in requirements {
            let text = universe.requirement_text(requirement);
            lines.push(match node == conflict.root_node.index() {
                true => format!("{text} is asked for{}", found(&text, &targets)),
                false => format!("{} needs {text}{}", name(node), found(&text, &targets)),
            });
        }
        lines.extend(conflicts);
        next.sort_unstable();
        queue.extend(
            next.into_iter()
                .map(|(_, node)| node)
                .filter(|node| seen.insert(*node)),
        );
    }
    for text in unresolved {
        lines.push(what_there_is(universe, &text));
    }
    if lines.len() > LINES {
        let more = lines.len() - LINES;
        lines.truncate(LINES);
        lines.push(format!("and {more} lines more"));
    }
    lines
        .iter()
        .map(|line| format!("  {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Which packages meet a requirement, where that is not plain from its text.
fn found(text: &str, targets: &BTreeSet<String>) -> String {
    let targets: Vec<&str> = targets
        .iter()
        .map(String::as_str)
        .filter(|target| !target.is_empty())
        .collect();
    match targets.as_slice() {
        [] => String::new(),
        [only] if only.split(' ').next() == Some(text) => format!(": {only}"),
        targets => format!(": {}", targets.join(" or ")),
    }
}

/// What the suites have of the names in a group that nothing meets.
fn what_there_is(universe: &Universe<'_>, group: &str) -> String {
    let mut there = Vec::new();
    for relation in dependency::alternatives(group).unwrap_or_default() {
        let index = universe.index();
        let own = index.named(relation.name);
        for stanza in own.chain(index.providing(relation.name)) {
            let line = match universe.barred(stanza) {
                Some(reason) => format!("{stanza}, but {reason}"),
                None => stanza.to_string(),
            };
            if !there.contains(&line) {
                there.push(line);
            }
        }
    }
    match there.is_empty() {
        true => format!("nothing meets {group}: no suite has a package of that name"),
        false => format!("nothing meets {group}; there is {}", there.join("; ")),
    }
}
