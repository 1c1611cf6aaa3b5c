//! The packages as the solver sees them: each name a variable, each version a value, each
//! relation a set of values.

mod provider;

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use debversion::Version;
use resolvo::{DenseIndex, Requirement, StringId, VersionSetId, VersionSetUnionId};

use super::Request;
use crate::dependency::{self, Relation};
use crate::error::Error;
use crate::index::{Index, Stanza};
use crate::packages::MultiArch;

/// What a group of alternatives comes to.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// One of these packages.
    Requirement(Requirement),
    /// Nothing: only this package could meet it, and it stays out.
    LeftOut(String),
    /// It cannot be read, for this reason.
    Malformed(String),
}

/// The packages of one name that meet a relation, the best first.
pub(super) type Meeting<'a> = (&'a str, Vec<u32>);

/// A group of alternatives.
#[derive(Debug)]
pub(super) struct Group<'a> {
    /// For each alternative what meets it, in the order of preference.
    pub(super) alternatives: Vec<Vec<Meeting<'a>>>,
    /// What they come to.
    answer: Answer,
}

/// Values of one variable that meet a relation.
#[derive(Debug)]
struct Set {
    name: u32,
    allowed: Rc<[u32]>,
    /// The relation, or the group, that it comes from.
    text: Rc<str>,
}

#[derive(Default)]
struct Cache<'a> {
    names: Vec<Rc<str>>,
    name_numbers: HashMap<Rc<str>, u32>,
    /// For each name the packages that may be chosen, the best first.
    candidates: HashMap<u32, Rc<[u32]>>,
    sets: Vec<Set>,
    unions: Vec<(Vec<VersionSetId>, Rc<str>)>,
    groups: HashMap<Rc<str>, Rc<Group<'a>>>,
    versions: HashMap<u32, Option<Rc<Version>>>,
    strings: Vec<String>,
}

/// Which packages may be chosen, and what each asks for.
pub(super) struct Universe<'a> {
    index: &'a Index,
    excluded: BTreeSet<String>,
    phased: bool,
    /// Versions that a root names.
    named: BTreeMap<String, BTreeSet<String>>,
    /// What is tried first.
    favoured: RefCell<BTreeSet<u32>>,
    cache: RefCell<Cache<'a>>,
}

/// A root as a group of relations: `name=version` becomes `name (= version)`.
pub(super) fn root_group(text: &str) -> String {
    let alternatives: Vec<String> = text
        .split('|')
        .map(|alternative| match alternative.split_once('=') {
            Some((name, version)) if !alternative.contains('(') => {
                format!("{} (= {})", name.trim(), version.trim())
            }
            _ => alternative.trim().to_owned(),
        })
        .collect();
    alternatives.join(" | ")
}

impl<'a> Universe<'a> {
    pub(super) fn new(index: &'a Index, request: &Request) -> Self {
        let mut named: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for root in &request.roots {
            for alternative in root.split('|') {
                if let Some((name, version)) = alternative.split_once('=') {
                    let name = name.split(':').next().unwrap_or(name).trim();
                    named
                        .entry(name.to_owned())
                        .or_default()
                        .insert(version.trim().to_owned());
                }
            }
        }
        Self {
            index,
            excluded: request
                .excluded
                .iter()
                .map(|excluded| excluded.name.clone())
                .collect(),
            phased: request.phased,
            named,
            favoured: RefCell::default(),
            cache: RefCell::default(),
        }
    }

    pub(super) fn index(&self) -> &'a Index {
        self.index
    }

    /// Names whose best package is essential, sorted.
    pub(super) fn essential(&self) -> Vec<&'a str> {
        let mut names: Vec<&'a str> = self
            .index
            .stanzas()
            .filter(|stanza| {
                stanza.essential()
                    && self.candidates(stanza.name()).first() == Some(&stanza.number())
            })
            .map(|stanza| stanza.name())
            .collect();
        names.sort_unstable();
        names
    }

    /// What a root comes to.
    pub(super) fn root(&self, text: &str) -> Result<Answer, Error> {
        let group = root_group(text);
        let relations = match dependency::alternatives(&group) {
            Ok(relations) => relations,
            Err(reason) => return Ok(Answer::Malformed(reason)),
        };
        for relation in relations {
            let known = relation.qualifier.is_none_or(|qualifier| {
                [self.index.architecture(), "all", "any", "native"].contains(&qualifier)
            });
            if !known {
                return Err(Error::Request {
                    text: text.to_owned(),
                    reason: format!("only {} is loaded", self.index.architecture()),
                });
            }
        }
        Ok(self.requirement(&group))
    }

    fn name_number(&self, name: &str) -> u32 {
        let mut cache = self.cache.borrow_mut();
        if let Some(number) = cache.name_numbers.get(name) {
            return *number;
        }
        let name: Rc<str> = name.into();
        let number = cache.names.len() as u32;
        cache.names.push(name.clone());
        cache.name_numbers.insert(name, number);
        number
    }

    fn version(&self, number: u32) -> Option<Rc<Version>> {
        let mut cache = self.cache.borrow_mut();
        let text = self.index.stanza(number).version();
        cache
            .versions
            .entry(number)
            .or_insert_with(|| text.parse().ok().map(Rc::new))
            .clone()
    }

    /// Why a package may not be chosen, if it may not.
    pub(super) fn barred(&self, stanza: Stanza<'_>) -> Option<String> {
        let suite = stanza.suite();
        let architecture = stanza.architecture();
        let asked = || {
            let versions = self.named.get(stanza.name());
            versions.is_some_and(|versions| versions.contains(stanza.version()))
        };
        if self.excluded.contains(stanza.name()) {
            Some("left out on request".into())
        } else if !stanza.given() {
            Some(match suite.priority < 0 {
                true => format!("{} has the priority {}", suite.suite, suite.priority),
                false => format!("of {}, only some packages are taken", suite.suite),
            })
        } else if architecture != self.index.architecture() && architecture != "all" {
            Some(format!("it is for {architecture}"))
        } else if stanza.phased() < 100 && !self.phased && !asked() {
            Some(format!(
                "it is phased in, and at {} % so far",
                stanza.phased()
            ))
        } else {
            None
        }
    }

    /// The packages of a name that may be chosen, the best first.
    pub(super) fn candidates(&self, name: &str) -> Rc<[u32]> {
        let key = self.name_number(name);
        if let Some(candidates) = self.cache.borrow().candidates.get(&key) {
            return candidates.clone();
        }
        let mut found: Vec<u32> = self
            .index
            .named(name)
            .filter(|stanza| self.barred(*stanza).is_none())
            .map(|stanza| stanza.number())
            .collect();
        self.sort(&mut found);
        // The same version in two suites is one package.
        let mut seen = BTreeSet::new();
        found.retain(|number| seen.insert(self.index.stanza(*number).version()));
        let candidates: Rc<[u32]> = found.into();
        self.cache
            .borrow_mut()
            .candidates
            .insert(key, candidates.clone());
        candidates
    }

    /// The highest version of the highest priority first.
    fn sort(&self, numbers: &mut [u32]) {
        numbers.sort_by(|one, other| {
            let priority = |number: &u32| Reverse(self.index.stanza(*number).suite().priority);
            priority(one)
                .cmp(&priority(other))
                .then_with(|| self.version(*other).cmp(&self.version(*one)))
                .then_with(|| one.cmp(other))
        });
    }

    /// Whether an architecture qualifier lets a package through.
    fn qualified(&self, relation: &Relation<'_>, stanza: Stanza<'_>) -> bool {
        match relation.qualifier {
            None | Some("native") => true,
            Some("any") => stanza.multi_arch() == MultiArch::Allowed,
            Some("all") => stanza.architecture() == "all",
            Some(architecture) => architecture == self.index.architecture(),
        }
    }

    /// Whether a package meets a relation by its own name and version.
    fn meets(&self, relation: &Relation<'_>, number: u32) -> bool {
        let version = match &relation.version {
            None => true,
            Some((operator, wanted)) => self
                .version(number)
                .is_some_and(|version| operator.holds(version.as_ref().cmp(wanted))),
        };
        version && self.qualified(relation, self.index.stanza(number))
    }

    /// Whether a package meets a relation by something that it provides.
    fn provides(&self, relation: &Relation<'_>, stanza: Stanza<'_>) -> bool {
        let version = stanza.provides(relation.name).any(|provided| {
            match (&relation.version, &provided.version) {
                (None, _) => true,
                // Only a versioned provision meets a versioned relation (Policy, 7.5).
                (Some((operator, wanted)), Some((dependency::Operator::Equal, version))) => {
                    operator.holds(version.cmp(wanted))
                }
                (Some(_), _) => false,
            }
        });
        version && self.qualified(relation, stanza)
    }

    /// The packages that meet a relation, by name, in the order of preference; each name's best
    /// package first.
    fn meeting(&self, relation: &Relation<'_>) -> Vec<Meeting<'a>> {
        let mut names: Vec<Meeting<'a>> = Vec::new();
        if self.excluded.contains(relation.name) {
            return names;
        }
        let candidates = self.candidates(relation.name);
        let own: Vec<u32> = candidates
            .iter()
            .copied()
            .filter(|number| self.meets(relation, *number))
            .collect();
        if let Some(first) = own.first() {
            names.push((self.index.stanza(*first).name(), own));
        }
        let mut providers: BTreeMap<&'a str, Vec<u32>> = BTreeMap::new();
        for stanza in self.index.providing(relation.name) {
            if self.candidates(stanza.name()).contains(&stanza.number())
                && self.provides(relation, stanza)
            {
                let numbers = providers.entry(stanza.name()).or_default();
                if !numbers.contains(&stanza.number()) {
                    numbers.push(stanza.number());
                }
            }
        }
        let mut providers: Vec<(&'a str, Vec<u32>)> = providers.into_iter().collect();
        for (_, numbers) in &mut providers {
            self.sort(numbers);
        }
        // As apt: essential, then protected, then by priority, then the last one.
        providers.sort_by_key(|(_, numbers)| {
            let best = numbers.first().map(|number| self.index.stanza(*number));
            best.map(|best| {
                (
                    !best.essential(),
                    !best.protected(),
                    best.importance(),
                    Reverse(best.number()),
                )
            })
        });
        names.extend(providers);
        names
    }

    fn set(&self, name: &str, allowed: Vec<u32>, text: &Rc<str>) -> VersionSetId {
        let name = self.name_number(name);
        let mut cache = self.cache.borrow_mut();
        cache.sets.push(Set {
            name,
            allowed: allowed.into(),
            text: text.clone(),
        });
        VersionSetId::from_index(cache.sets.len() - 1)
    }

    /// What a group of alternatives comes to.
    pub(super) fn requirement(&self, group: &str) -> Answer {
        self.group(group).answer.clone()
    }

    /// A group of alternatives.
    pub(super) fn group(&self, group: &str) -> Rc<Group<'a>> {
        if let Some(known) = self.cache.borrow().groups.get(group) {
            return known.clone();
        }
        let (alternatives, answer) = match dependency::alternatives(group) {
            Ok(relations) => {
                let text = group
                    .split_ascii_whitespace()
                    .collect::<Vec<_>>()
                    .join(" ")
                    .into();
                let meeting: Vec<Vec<Meeting<'a>>> = relations
                    .iter()
                    .map(|relation| self.meeting(relation))
                    .collect();
                let answer = self.answer(&relations, &meeting, &text);
                (meeting, answer)
            }
            Err(reason) => (Vec::new(), Answer::Malformed(reason)),
        };
        let known = Rc::new(Group {
            alternatives,
            answer,
        });
        self.cache
            .borrow_mut()
            .groups
            .insert(group.into(), known.clone());
        known
    }

    fn answer(
        &self,
        relations: &[Relation<'_>],
        alternatives: &[Vec<Meeting<'a>>],
        text: &Rc<str>,
    ) -> Answer {
        let meeting = alternatives.iter().flatten();
        let sets: Vec<VersionSetId> = meeting
            .map(|(name, numbers)| self.set(name, numbers.clone(), text))
            .collect();
        match sets.as_slice() {
            [] => {
                let out = relations
                    .iter()
                    .find_map(|relation| self.left_out(relation));
                match out {
                    Some(name) => Answer::LeftOut(name),
                    // A name that is none, so that the solver finds nothing for it.
                    None => Answer::Requirement(self.set("", Vec::new(), text).into()),
                }
            }
            [set] => Answer::Requirement((*set).into()),
            _ => {
                let mut cache = self.cache.borrow_mut();
                cache.unions.push((sets, text.clone()));
                let union = VersionSetUnionId::from_index(cache.unions.len() - 1);
                Answer::Requirement(union.into())
            }
        }
    }

    /// Just this package.
    pub(super) fn exactly(&self, number: u32) -> Requirement {
        let stanza = self.index.stanza(number);
        self.set(stanza.name(), vec![number], &stanza.to_string().into())
            .into()
    }

    /// Has these packages tried first; to be said before anything is solved.
    pub(super) fn favour(&self, numbers: &BTreeSet<u32>) {
        self.favoured.borrow_mut().clone_from(numbers);
    }

    /// The excluded package that could have met a relation.
    fn left_out(&self, relation: &Relation<'_>) -> Option<String> {
        if self.excluded.contains(relation.name) {
            return Some(relation.name.to_owned());
        }
        self.index
            .providing(relation.name)
            .find(|stanza| self.excluded.contains(stanza.name()))
            .map(|stanza| stanza.name().to_owned())
    }

    /// Whether there is any package that meets a requirement.
    pub(super) fn can_be_met(&self, requirement: Requirement) -> bool {
        match requirement {
            Requirement::Union(_) => true,
            Requirement::Single(set) => {
                !self.cache.borrow().sets[set.to_index()].allowed.is_empty()
            }
        }
    }

    /// The group that a requirement comes from.
    pub(super) fn requirement_text(&self, requirement: Requirement) -> Rc<str> {
        match requirement {
            Requirement::Single(set) => self.set_text(set),
            Requirement::Union(union) => self.cache.borrow().unions[union.to_index()].1.clone(),
        }
    }

    /// The relation that a set comes from.
    pub(super) fn set_text(&self, set: VersionSetId) -> Rc<str> {
        self.cache.borrow().sets[set.to_index()].text.clone()
    }

    /// What a package conflicts with: each relation, and the packages that meet it.
    pub(super) fn conflicts(&self, number: u32) -> Vec<(&'a str, Vec<Meeting<'a>>)> {
        let stanza = self.index.stanza(number);
        let mut conflicts = Vec::new();
        for text in stanza.conflicts() {
            // A conflict that cannot be read is none; the tree's own check finds what clashes.
            if let Ok(relation) = Relation::parse(text) {
                let mut hits = self.meeting(&relation);
                // No package conflicts with itself (Policy, 7.4).
                hits.retain(|(name, _)| *name != stanza.name());
                conflicts.push((text, hits));
            }
        }
        conflicts
    }

    /// What may remain of others beside a package that conflicts with some of their versions.
    fn constraints(&self, number: u32) -> Vec<VersionSetId> {
        let mut sets = Vec::new();
        for (text, hits) in self.conflicts(number) {
            for (name, hit) in hits {
                let candidates = self.candidates(name);
                let rest = candidates
                    .iter()
                    .copied()
                    .filter(|number| !hit.contains(number));
                sets.push(self.set(name, rest.collect(), &text.into()));
            }
        }
        sets
    }

    fn string(&self, text: String) -> StringId {
        let mut cache = self.cache.borrow_mut();
        cache.strings.push(text);
        StringId::from_index(cache.strings.len() - 1)
    }
}
